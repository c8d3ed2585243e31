"""Which axes of a model's input are batch, channels and space."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import AmbiguousLayout, InputError, UnsupportedModel, UsageError
from onnx_si.ground.terminal import shown

FEW_CHANNELS = 4  # grey, colour, colour with alpha; anything larger is space where there is a choice

Shape = tuple[int | str | None, ...]


@dataclass(frozen=True)
class Layout:
    """Names of a tensor's axes: N batch, C channels, D H W space; and why they were chosen."""

    axes: str
    reason: str

    @property
    def channel_axis(self) -> int | None:
        """Position of the channels, if there are any."""
        return self.axes.index("C") if "C" in self.axes else None

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """Positions of the axes of space."""
        return tuple(i for i, name in enumerate(self.axes) if name in "DHW")

    def spatial_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Size in space of a tensor of this layout."""
        return tuple(shape[axis] for axis in self.spatial_axes)

    def spread(self, region: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """A region of space as a mask over the whole tensor (every channel)."""
        sizes = [n if axis in self.spatial_axes else 1 for axis, n in enumerate(shape)]
        return np.broadcast_to(region.reshape(sizes), shape)


LAYOUTS = ("HW", "NHW", "CHW", "HWC", "NCHW", "NHWC", "NCDHW", "NDHWC")
"""What an image's axes can be, by the names that users know."""
_LINES, _STACKS = ("W", "NW", "NCW", "NWC"), ("DHW", "NDHW", "CDHW", "DHWC")
ALL_LAYOUTS = (*_LINES, *LAYOUTS, *_STACKS)
_NODES = "the model's own nodes read it so"


def layout_of(shape: Shape, wanted: str | None = None, readings: Iterable[Mapping[int, str]] = ()) -> Layout:
    """Layout of a model's input: told by the model's nodes first, by its shape second.

    Parameters
    ----------
    shape : tuple
        Declared shape; free axes are None or a name.
    wanted : str, optional
        One of `ALL_LAYOUTS`.
    readings : iterable of mappings
        How nodes of the model read the axes: N, C or S (space) by an axis's position. What they say of an
        axis of length one means nothing for the pixels, and only tells layouts apart that are the same.

    Raises
    ------
    UsageError, InputError
        If the wish can't be read, or the input can't be an image.
    AmbiguousLayout
        If two layouts fit.
    """
    rank = len(shape)
    if wanted is not None:
        return _wanted(shape, wanted)
    if rank not in (1, 2, 3, 4, 5):
        raise InputError(f"the model's input has shape {shape}; an image needs 1 to 5 axes")
    told = [reading for reading in readings if reading]
    named = [axes for axes in ALL_LAYOUTS if len(axes) == rank]
    if told:
        agreeing = [axes for axes in named if all(_agrees(axes, reading, shape) for reading in told)]
        if not agreeing:
            raise AmbiguousLayout(
                f"the model's nodes read its input of shape {_shown(shape)} in ways that no layout fits: "
                f"choose one with --layout: {', '.join(named)}"
            )
        closest = sorted(agreeing, key=lambda axes: -sum(_matches(axes, reading) for reading in told))
        return _only(closest, shape, _NODES)
    if rank == 2 and isinstance(shape[0], int) and shape[0] > 1:
        return Layout("HW", "two axes of space: the first one is no batch of one")
    if rank <= 2:
        return Layout("NW"[2 - rank :], "no channel axis: one value per position")
    if rank == 3:
        return _only(_plain(named, shape), shape, "the only reading of its shape")
    first, last = f"NC{'DHW'[-(rank - 2) :]}", f"N{'DHW'[-(rank - 2) :]}C"
    few = [axes for axes in (first, last) if _few(axes, shape)]
    return _only(few or [first, last], shape, f"its channels are at most {FEW_CHANNELS}")


def _wanted(shape: Shape, wanted: str) -> Layout:
    """The layout that was asked for."""
    if wanted not in ALL_LAYOUTS:
        raise UsageError(f"layout '{wanted}'; allowed are {', '.join(ALL_LAYOUTS)}")
    if len(wanted) != len(shape):
        fitting = ", ".join(axes for axes in ALL_LAYOUTS if len(axes) == len(shape))
        raise UsageError(
            f"layout {wanted} has {len(wanted)} axes, the model's input {_shown(shape)} has {len(shape)}"
            f"{f'; choose one of {fitting}' if fitting else ''}"
        )
    return Layout(wanted, "chosen by --layout")


def _only(candidates: Sequence[str], shape: Shape, reason: str) -> Layout:
    """The one layout that is left; those that mean the same pixels are one.

    Raises
    ------
    AmbiguousLayout
        If several are left.
    """
    means = {_meaning(axes, shape): axes for axes in reversed(candidates)}
    if len(means) == 1:
        return Layout(next(iter(means.values())), reason)
    told = " or ".join(f"{axes} ({_words(axes, shape)})" for axes in reversed(means.values()))
    raise AmbiguousLayout(
        f"the model's input of shape {_shown(shape)} can be read as {told}, and nothing in the model tells "
        "which: choose with --layout"
    )


def _shown(shape: Shape) -> str:
    return "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"


def _meaning(axes: str, shape: Shape) -> tuple[object, ...]:
    """What a layout says of the axes that are longer than one."""
    return tuple(
        "space" if name in "DHW" else name for name, size in zip(axes, shape, strict=True) if size != 1
    )


def _words(axes: str, shape: Shape) -> str:
    sizes = ["any" if not isinstance(n, int) else str(n) for n in shape]
    space = " x ".join(size for name, size in zip(axes, sizes, strict=True) if name in "DHW")
    channels = next((size for name, size in zip(axes, sizes, strict=True) if name == "C"), "1")
    return f"{space} pixels of {channels} channel{'' if channels == '1' else 's'}"


def _matches(axes: str, reading: Mapping[int, str]) -> int:
    """Axes that a layout reads as a node does."""
    return sum(("S" if axes[axis] in "DHW" else axes[axis]) == role for axis, role in reading.items())


def _agrees(axes: str, reading: Mapping[int, str], shape: Shape) -> bool:
    """Whether it does for every axis that is longer than one."""
    long = {axis: role for axis, role in reading.items() if shape[axis] != 1}
    return _matches(axes, long) == len(long)


def _few(axes: str, shape: Shape) -> bool:
    """Whether a layout has few channels, and more than a handful of pixels if they are a line."""
    size = shape[axes.index("C")]
    if not isinstance(size, int) or size > FEW_CHANNELS:
        return False
    space = [n for name, n in zip(axes, shape, strict=True) if name in "DHW"]
    line = [n for n in space if n != 1]
    return (
        size == 1 or len(line) == len(space) or any(not isinstance(n, int) or n > FEW_CHANNELS for n in line)
    )


def _plain(candidates: Sequence[str], shape: Shape) -> list[str]:
    """Layouts of one image that are no absurd reading: nothing but channels."""

    def is_image(axes: str) -> bool:
        sizes = dict(zip(axes, shape, strict=True))
        batch = sizes.get("N", 1)
        return (not isinstance(batch, int) or batch == 1) and any(sizes.get(n, 1) != 1 for n in "DHW")

    return [axes for axes in candidates if is_image(axes)] or list(candidates)


def require_one_image(shape: Shape, layout: Layout) -> None:
    """Refuse a model that takes several images at a time.

    Raises
    ------
    UnsupportedModel
        If the batch has a fixed size other than one.
    """
    batch = shape[0] if layout.axes.startswith("N") else 1
    if isinstance(batch, int) and batch != 1:
        raise UnsupportedModel(
            f"the model's input of shape {tuple(shape)} takes {batch} images at a time; export it with "
            "a batch of one, or a free one"
        )


def with_sizes(declared: Shape, layout: Layout, sizes: Mapping[str, int]) -> Shape:
    """A declared shape with sizes for its free axes.

    Parameters
    ----------
    declared : tuple
    layout : Layout
        Of that shape.
    sizes : mapping of str to int
        By an axis's name in the model, or by its letter in the layout.

    Raises
    ------
    UsageError
        If there is no such free axis.
    """
    names = [
        None if isinstance(size, int) else next((name for name in (size, letter) if name in sizes), None)
        for letter, size in zip(layout.axes, declared, strict=True)
    ]
    strange = sorted(set(sizes) - set(names))
    if strange:
        free = [str(n or x) for x, n in zip(layout.axes, declared, strict=True) if not isinstance(n, int)]
        raise UsageError(f"no free axis {strange}; the model's free axes are {free}")
    return tuple(n if name is None else sizes[name] for name, n in zip(names, declared, strict=True))


def fit(array: NDArray[np.float64], declared: Shape, layout: Layout, what: str) -> NDArray[np.float64]:
    """The array in the model's input shape; a missing batch axis, or a missing single channel, is added.

    Channels behind space, as picture files have them, are moved in front where the model wants them there
    and the array fits no other way.

    Raises
    ------
    InputError
        If it does not fit; the message shows both shapes.
    """

    def agrees(shape: tuple[int, ...]) -> bool:
        return len(shape) == len(declared) and all(
            not isinstance(want, int) or want == have for want, have in zip(declared, shape, strict=True)
        )

    candidates = [array.shape, (1, *array.shape)]
    if layout.channel_axis is not None and array.ndim == len(declared) - 2:
        full = [1, *array.shape]
        full.insert(layout.channel_axis, 1)
        candidates.append(tuple(full))
    turned = _picture(array, layout, len(declared))
    plain = next(
        (s for s in candidates if agrees(s) and (s[:1] == (1,) or not layout.axes.startswith("N"))), None
    )
    if plain is not None and turned is not None and agrees(turned.shape):
        _require_one_reading(plain, turned.shape, layout, what)
        return turned if _channels_of(turned.shape, layout) <= FEW_CHANNELS else array.reshape(plain)
    if plain is not None:
        return array.reshape(plain)
    if turned is not None and agrees(turned.shape):
        return turned
    wanted = ", ".join("any" if not isinstance(n, int) else str(n) for n in declared)
    raise InputError(
        f"{what} has shape {shown(array.shape)}, the model's input is ({wanted}) read as {layout.axes}; "
        f"{_advice([*candidates, *([] if turned is None else [turned.shape])], declared, layout)}"
    )


_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's names of pictures, by their channels."""


def _advice(candidates: Sequence[tuple[int, ...]], declared: Shape, layout: Layout) -> str:
    """What to do about the axes that don't fit, by the reading of the array that fits on the most."""
    wrong: tuple[list[str], Shape] = ["N"], declared
    for shape in (one for one in candidates if len(one) == len(declared)):
        axes = zip(layout.axes, declared, shape, strict=True)
        found = [name for name, want, have in axes if isinstance(want, int) and want != have]
        if len(found) < len(wrong[0]) or wrong[1] is declared:
            wrong = found, shape
    names, nearest = wrong
    if names == ["C"]:
        axis = layout.axes.index("C")
        has, takes = nearest[axis], declared[axis]
        mode = _MODES.get(takes) if isinstance(takes, int) and has in _MODES else None
        if has == 1 and takes != 1:
            return f"the channels differ: it has 1, the model takes {takes}; --gray gives it to each of them"
        how = "" if mode is None else f" (with Pillow: Image.open(FILE).convert('{mode}').save(NEW))"
        return f"the channels differ: it has {has}, the model takes {takes}; save it with {takes}{how}"
    if set(names) <= set("DHW"):
        larger = all(_exceeds(nearest[place], declared[place]) for place in map(layout.axes.index, names))
        windows = ", --window-size N lays a model that gives maps over it window by window" if larger else ""
        return f"the size differs: --resize-input linear makes the resizing part of what is tested{windows}"
    return "give one image of that size (--layout changes how the axes are read)"


def _exceeds(have: int | str | None, want: int | str | None) -> bool:
    return isinstance(have, int) and isinstance(want, int) and have > want


def _picture(array: NDArray[np.float64], layout: Layout, rank: int) -> NDArray[np.float64] | None:
    """An array with channels behind space, as picture files have them, in a layout with channels in front."""
    axis = layout.channel_axis
    if axis is None or axis == rank - 1 or array.ndim != (rank - 1 if layout.axes.startswith("N") else rank):
        return None
    moved = np.moveaxis(array, -1, 0)
    return moved[None] if layout.axes.startswith("N") else moved


def _channels_of(shape: tuple[int, ...], layout: Layout) -> int:
    return shape[layout.channel_axis or 0]


def _require_one_reading(plain: tuple[int, ...], turned: tuple[int, ...], layout: Layout, what: str) -> None:
    """Where free axes take an array both as it is and with its channels moved: few channels tell which.

    Raises
    ------
    InputError
        If they don't.
    """
    few = [_channels_of(shape, layout) <= FEW_CHANNELS for shape in (plain, turned)]
    if few[0] == few[1]:
        raise InputError(
            f"{what} can be read as {plain} or, with its channels moved in front, as {turned}: the model's "
            f"input takes both; give it in the shape of {layout.axes}, with all its axes"
        )
