"""Image and references fitted to a model's input."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnx_si.errors import InputError, UnsupportedModel
from onnx_si.graph import Model
from onnx_si.layout import Layout, fit, layout_of, with_sizes
from onnx_si.preprocess import Preprocessing, with_preprocessing
from onnx_si.saliency import View
from onnx_si.settings import Settings

LARGEST_VALUE = 1e30  # far above any image, and models in float32 overflow at 3e38

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """Image and references as the model takes them, before any preprocessing, and how to read their axes."""

    model: Model
    input_name: str
    layout: Layout
    image: Array
    references: tuple[Array, ...]

    @property
    def view(self) -> View:
        return View(self.image.shape, self.layout)


def numbers(values: ArrayLike, what: str) -> Array:
    """An image as float64.

    Raises
    ------
    InputError
        If it holds integers, text, complex numbers, or values that are not finite.
    """
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        low, high = (array.min(), array.max()) if array.size else (0, 0)
        raise InputError(
            f"{what} holds integers ({array.dtype}, {low} to {high}); say how they become the model's input: "
            "--scale 0.00392156862745098 maps 0..255 to 0..1, --scale 1 takes them as they are"
        )
    if array.dtype.kind != "f" or array.size == 0:
        raise InputError(
            f"{what} holds {array.size} values of type {array.dtype}; floating-point numbers are needed"
        )
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise InputError(f"{what} holds {bad} values that are NaN or infinite; mask or replace them first")
    largest = float(np.abs(array).max())
    if largest > LARGEST_VALUE:
        raise InputError(
            f"{what} holds values up to {largest:.3g}, more than float32 can compute with; rescale it"
        )
    return np.asarray(array, dtype=np.float64)


def prepare(model: Model, image: ArrayLike, references: Sequence[ArrayLike], settings: Settings) -> Scene:
    """Fit image and references to the model's input.

    Raises
    ------
    InputError, UsageError
        If they don't fit.
    """
    if len(model.inputs) != 1:
        names = [info.name for info in model.inputs]
        raise UnsupportedModel(
            f"the model has {len(names)} inputs {names}; exactly one, the image, is supported"
        )
    info = model.inputs[0]
    if info.shape is None:
        raise UnsupportedModel(
            f"the model does not declare the shape of its input '{info.name}'; export it again with one"
        )
    layout = layout_of(info.shape, settings.layout)
    declared = with_sizes(info.shape, layout, settings.dims or {})

    def fitted(values: ArrayLike, what: str) -> Array:
        array = np.asarray(values)
        if array.dtype.kind in "iub" and settings.scale is not None:
            array = array.astype(np.float64)
        return fit(numbers(array, what), declared, layout, what)

    first = fitted(image, "the image")
    others = tuple(fitted(r, f"reference {i + 1}") for i, r in enumerate(references))
    if any(r.shape != first.shape for r in others):
        raise InputError(f"image {first.shape} and references {[r.shape for r in others]} differ in size")
    steps = Preprocessing(settings.scale, settings.mean, settings.std)
    return Scene(with_preprocessing(model, info.name, layout, steps), info.name, layout, first, others)
