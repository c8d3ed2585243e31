"""How images become a model's input: the same for all images of a shape."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from onnx_si.analysis.padding import padded
from onnx_si.analysis.settings import Settings
from onnx_si.analysis.sliding_windows import slid
from onnx_si.errors import InputError, UnsupportedModel, UsageError
from onnx_si.graph import Model
from onnx_si.graph.preprocess import Preprocessing, with_preprocessing
from onnx_si.ground.layout import Layout, Shape, require_one_image, with_sizes
from onnx_si.ground.terminal import shown
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

    def accepted(self, settings: Settings) -> Shape:
        """The shape that an image must have; any size in space where it is resized or resampled.

        Raises
        ------
        UsageError
            If there is nothing to resize to.
        """
        axes, sizes = self.layout.spatial_axes, self.sizes
        if settings.gray:
            sizes = tuple(1 if axis == self._repeated else size for axis, size in enumerate(sizes))
        if settings.spacing is not None or settings.window_size is not None:
            return tuple(None if axis in axes else size for axis, size in enumerate(sizes))
        if settings.resize_input is None:
            return sizes
        if any(not isinstance(self.sizes[axis], int) for axis in axes):
            raise UsageError(
                f"the model's input {self.sizes} takes images of any size: there is nothing to resize to; "
                "leave --resize-input out"
            )
        return tuple(None if axis in axes else size for axis, size in enumerate(sizes))

    def repeats(self, settings: Settings) -> dict[int, Array]:
        """A matrix for the channels, where each is the image's only one."""
        if not settings.gray:
            return {}
        axis = self._repeated
        return {axis: np.ones((cast(int, self.sizes[axis]), 1))}

    @property
    def _repeated(self) -> int:
        """The axis of several channels.

        Raises
        ------
        UsageError
            If there is none.
        """
        axis = self.layout.channel_axis
        count = None if axis is None else self.sizes[axis]
        if axis is None or not isinstance(count, int) or count < 2:
            raise UsageError(
                f"--gray gives one channel to a model that takes several; this one's input is {self.sizes} "
                f"read as {self.layout.axes}: leave it out"
            )
        return axis


def input_of(model: Model, settings: Settings, known: Layout | None = None) -> Input:
    """The one input of a model, with its layout.

    Raises
    ------
    UnsupportedModel, UsageError
        If there is not exactly one, its shape is not declared, or its layout is not clear.
    """
    if not model.inputs:
        stored = [shown(value.name) for value in model.proto.graph.input]
        raise UnsupportedModel(
            f"the model has no input that takes an image (stored ones: {', '.join(stored) or 'none'}); "
            "export it with the image as an input without a value"
        )
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
        inner = self.layout.spatial_shape(self.inner) if self.steps.resize else None
        return View(shape=self.shape, layout=self.layout, resize=self.resize, scores=self.scores, inner=inner)

    @property
    def inner(self) -> tuple[int, ...]:
        """The shape of what the model itself is given."""
        return resized_shape(self.shape, self.steps.resize)


def frame_of(
    model: Model,
    taken: Input,
    shape: tuple[int, ...],
    settings: Settings,
    spacing: tuple[float, ...] | None = None,
) -> Frame:
    """Put the preprocessing in front of a model, for images of a shape.

    Raises
    ------
    UsageError, InputError
        If it does not fit.
    """
    if settings.spacing is not None:
        resize = _resamples(taken, shape, settings, spacing)
    else:
        resize = _resizes(taken, shape, settings.resize_input)
    resize |= taken.repeats(settings)
    steps = Preprocessing(
        scale=settings.scale, mean=settings.mean, std=settings.std, window=settings.window, resize=resize
    )
    if settings.pad is not None:
        inner = resized_shape(shape, resize)
        plain = replace(steps, resize={})
        model = padded(model, taken.name, inner, taken.layout, settings.pad, plain)
    if settings.window_size is not None:
        sides, inner = tuple(int(side) for side in settings.window_size), resized_shape(shape, resize)
        kind, _, named = settings.saliency.partition(":")
        wanted = named if kind == "output" else None
        model = slid(model, taken.name, inner, taken.layout, sides, settings.overlap, wanted)
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


def resized_shape(shape: tuple[int, ...], resize: Mapping[int, Array]) -> tuple[int, ...]:
    """A shape after the matrices of some axes."""
    return tuple(len(resize[axis]) if axis in resize else n for axis, n in enumerate(shape))


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


def _resamples(
    taken: Input, have: tuple[int, ...], settings: Settings, spacing: tuple[float, ...] | None
) -> dict[int, Array]:
    """A matrix for every axis of space whose pixels have another size than the model takes.

    The image becomes one of round(size x its spacing / the model's) pixels, stretched over the same extent.

    Raises
    ------
    InputError, UsageError
        If the size of a pixel is not known, or the image of that spacing does not fit.
    """
    axes, asked = taken.layout.spatial_axes, settings.spacing or ()
    wanted = asked * len(axes) if len(asked) == 1 else asked
    if len(wanted) != len(axes):
        raise UsageError(f"--spacing {wanted}; give one size, or one for each of {len(axes)} axes of space")
    if spacing is None:
        raise InputError("--spacing: the image's file does not say how large a pixel is; give --pixel-size")
    sizes = {
        axis: max(1, round(have[axis] * own / new))
        for axis, own, new in zip(axes, spacing, wanted, strict=True)
    }
    for axis, size in sizes.items():
        if (
            settings.window_size is None
            and taken.sizes[axis] not in (size, None)
            and isinstance(taken.sizes[axis], int)
        ):
            found = " x ".join(map(str, sizes.values()))
            raise InputError(
                f"--spacing: at {', '.join(f'{n:g}' for n in wanted)} mm the image has {found} pixels, and "
                f"the model takes {taken.sizes}: crop the image, or --resize-input"
            )
        if size * have[axis] > MAX_RESIZE_VALUES:
            raise InputError(f"an image of {have} is too large to be resampled to {tuple(sizes.values())}")
    changed = {axis: size for axis, size in sizes.items() if size != have[axis]}
    return {axis: resize_matrix(have[axis], size, settings.resample) for axis, size in changed.items()}
