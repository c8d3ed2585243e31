"""An image to bind a model to where only its shape matters: free axes get a size, values are random."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import UnsupportedModel
from onnx_si.graph import Model, TensorInfo
from onnx_si.ground.layout import Layout, with_sizes
from onnx_si.maps import View
from onnx_si.maps.trace import input_layout
from onnx_si.runtime.session import INPUT_TYPES

FREE_SIZE = 64  # of an axis of space: divisible by the strides of common networks, and quick
MAX_PROBE_VALUES = 2**26


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The input that takes the image, how its axes are read, an image of that shape, and what was assumed."""

    info: TensorInfo
    layout: Layout
    image: NDArray[Any]
    assumed: tuple[str, ...]

    @property
    def view(self) -> View:
        return View(shape=self.image.shape, layout=self.layout)


def image_input(model: Model) -> TensorInfo:
    """The input that takes the image: the first that is floating point, else the first.

    Raises
    ------
    UnsupportedModel
        If the model has no input, or that one declares no shape.
    """
    if not model.inputs:
        raise UnsupportedModel("the model has no input; it can't take an image")
    info = next((info for info in model.inputs if info.is_floating), model.inputs[0])
    if info.shape is None:
        raise UnsupportedModel(f"the input '{info.name}' declares no shape; export the model with one")
    return info


def probe(
    model: Model, sizes: Mapping[str, int], layout: str | None = None, known: Layout | None = None
) -> Probe:
    """Make a random image of a model's input shape.

    Parameters
    ----------
    model : Model
    sizes : mapping of str to int
        Sizes of free axes, by their name in the model or by their letter in the layout (N, C, D, H, W).
        Without one, the batch and channel axes get 1 and those of space `FREE_SIZE`.
    layout : str, optional
        As in `onnx_si.ground.layout.layout_of`.
    known : Layout, optional
        What the file itself told before its graph was changed.

    Raises
    ------
    UnsupportedModel, UsageError, InputError
        If the model takes no image, or a size does not fit.
    """
    info = image_input(model)
    declared = info.shape or ()
    read_as = known or input_layout(model, info, layout)
    shape, assumed = [], []
    for letter, size in zip(read_as.axes, with_sizes(declared, read_as, sizes), strict=True):
        shape.append(size if isinstance(size, int) else FREE_SIZE if letter in "DHW" else 1)
        if not isinstance(size, int):
            assumed.append(f"free axis '{size or letter}' of input '{info.name}' gets size {shape[-1]}")
    if min(shape) < 1 or math.prod(shape) > MAX_PROBE_VALUES:
        raise UnsupportedModel(
            f"the input '{info.name}' of shape {tuple(shape)} is empty or too large to be tried out"
        )
    return Probe(info=info, layout=read_as, image=_values(info, tuple(shape)), assumed=tuple(assumed))


def _values(info: TensorInfo, shape: tuple[int, ...]) -> NDArray[Any]:
    if info.is_floating:
        return np.random.default_rng(0).normal(size=shape)
    if info.type in INPUT_TYPES:
        return np.random.default_rng(0).integers(0, 127, shape).astype(np.float64)  # a picture's own numbers
    return np.ones(shape, np.bool_ if info.type == "bool" else np.int64)
