"""How images become a model's input: the same for all images of a shape."""

from dataclasses import dataclass
from typing import cast

from onnx_si.analysis.padding import padded
from onnx_si.analysis.settings import Settings
from onnx_si.errors import InputError, UnsupportedModel, UsageError
from onnx_si.graph import Model
from onnx_si.graph.preprocess import Preprocessing, with_preprocessing
from onnx_si.ground.layout import Layout, Shape, require_one_image, with_sizes
from onnx_si.maps import View, resize_matrix
from onnx_si.maps.map import MAX_RESIZE_VALUES
from onnx_si.maps.trace import input_layout
from onnx_si.rules.rules import Array
from onnx_si.runtime.told import with_told_shapes


@dataclass(frozen=True, kw_only=True)
class Input:
    """The input of a model that takes the image, how its axes are read, and its sizes as far as they are
    declared or chosen; `whole_numbers`: it takes no others.
    """

    name: str
    layout: Layout
    sizes: Shape
    whole_numbers: bool = False

    @property
    def is_free(self) -> bool:
        """Whether images of several sizes in space fit."""
        return not all(isinstance(self.sizes[axis], int) for axis in self.layout.spatial_axes)

    def accepted(self, resized: str | None) -> Shape:
        """The shape that an image must have; any size in space where it is resized to the model's.

        Raises
        ------
        UsageError
            If there is nothing to resize to.
        """
        if resized is None:
            return self.sizes
        axes = self.layout.spatial_axes
        if any(not isinstance(self.sizes[axis], int) for axis in axes):
            raise UsageError(
                f"the model's input {self.sizes} takes images of any size: there is nothing to resize to; "
                "leave --resize-input out"
            )
        return tuple(None if axis in axes else size for axis, size in enumerate(self.sizes))


def input_of(model: Model, settings: Settings, known: Layout | None = None) -> Input:
    """The one input of a model, with its layout.

    Raises
    ------
    UnsupportedModel, UsageError
        If there is not exactly one, its shape is not declared, or its layout is not clear.
    """
    if len(model.inputs) != 1:
        names = [info.name for info in model.inputs]
        raise UnsupportedModel(
            f"the model has {len(names)} inputs {names}; one is the image: give the "
            f"others values with --input {names[-1]}=VALUE, or export it with them as constants"
        )
    info = model.inputs[0]
    if info.shape is None:
        raise UnsupportedModel(
            f"the model does not declare the shape of its input '{info.name}'; export it again with one"
        )
    layout = known or input_layout(model, info, settings.layout)
    require_one_image(info.shape, layout)
    sizes = with_sizes(info.shape, layout, settings.dims or {})
    return Input(name=info.name, layout=layout, sizes=sizes, whole_numbers=not info.is_floating)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A model that takes images of one shape: as it was loaded, and with the preprocessing in front.

    `shape` is an image's, as the file has it, batch axis included.
    """

    loaded: Model
    model: Model
    input: Input
    shape: tuple[int, ...]
    steps: Preprocessing
    resize: str
    scores: str | None

    @property
    def layout(self) -> Layout:
        return self.input.layout

    @property
    def view(self) -> View:
        return View(shape=self.shape, layout=self.layout, resize=self.resize, scores=self.scores)


def frame_of(model: Model, taken: Input, shape: tuple[int, ...], settings: Settings) -> Frame:
    """Put the preprocessing in front of a model, for images of a shape.

    Raises
    ------
    UsageError, InputError
        If it does not fit.
    """
    resize = _resizes(taken, shape, settings.resize_input)
    steps = Preprocessing(
        scale=settings.scale, mean=settings.mean, std=settings.std, window=settings.window, resize=resize
    )
    if settings.pad is not None:
        model = padded(model, taken.name, shape, taken.layout, settings.pad, steps)
    framed = with_preprocessing(model, taken.name, taken.layout, steps)
    if settings.may_draw:
        framed = with_told_shapes(model, framed, shape, taken.layout, steps)
    return Frame(
        loaded=model,
        model=framed,
        input=taken,
        shape=shape,
        steps=steps,
        resize=settings.resize,
        scores=settings.scores,
    )


def _resizes(taken: Input, have: tuple[int, ...], mode: str | None) -> dict[int, Array]:
    """A matrix for every axis on which the image's size is not the model's."""
    if mode is None:
        return {}
    wanted = {axis: cast(int, taken.sizes[axis]) for axis in taken.layout.spatial_axes}
    for axis, size in wanted.items():
        if size * have[axis] > MAX_RESIZE_VALUES:
            raise InputError(f"an image of {have} is too large to be resized to {taken.sizes}")
    changed = {axis: size for axis, size in wanted.items() if size != have[axis]}
    return {axis: resize_matrix(have[axis], size, mode) for axis, size in changed.items()}
