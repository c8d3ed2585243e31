"""Which axes of a model's input are batch, channels and space."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import InputError, UnsupportedModel, UsageError

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


_SPACE = {0: "", 1: "W", 2: "HW", 3: "DHW"}


def layout_of(shape: Shape, wanted: str | None = None) -> Layout:
    """Layout of a model's input.

    Parameters
    ----------
    shape : tuple
        Declared shape; free axes are None or a name.
    wanted : str, optional
        "NCHW" or "NHWC" (channels first or last, for any number of axes).

    Raises
    ------
    UsageError, InputError
        If the wish can't be read, or the input can't be an image.
    """
    if wanted is not None and wanted not in ("NCHW", "NHWC"):
        raise UsageError(f"layout '{wanted}'; allowed are NCHW and NHWC")
    rank = len(shape)
    if rank not in (1, 2, 3, 4, 5):
        raise InputError(f"the model's input has shape {shape}; an image needs 1 to 5 axes")
    if rank == 2 and isinstance(shape[0], int) and shape[0] > 1:
        return Layout("HW", "two axes of space: the first one is no batch of one")
    if rank <= 2:
        return Layout("NW"[2 - rank :], "no channel axis: one value per position")
    space = _SPACE[rank - 2]
    first, last = f"NC{space}", f"N{space}C"
    if wanted is not None:
        return Layout(first if wanted == "NCHW" else last, "chosen by --layout")
    small = [isinstance(shape[axis], int) and shape[axis] <= FEW_CHANNELS for axis in (1, -1)]  # type: ignore[operator]
    if small == [False, True] or (small == [True, True] and shape[-1] < shape[1]):  # type: ignore[operator]
        return Layout(last, f"the last axis has {shape[-1]} entries")
    if small == [True, False]:
        return Layout(first, f"the second axis has {shape[1]} entries")
    return Layout(first, "ONNX's own convention; --layout changes it")


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
    for shape in candidates:
        if agrees(shape) and (shape[:1] == (1,) or not layout.axes.startswith("N")):
            return array.reshape(shape)
    if layout.axes.startswith("NC") and array.ndim == len(declared) - 1:
        moved = np.moveaxis(array, -1, 0)[None]
        if agrees(moved.shape):
            return moved
    wanted = ", ".join("any" if not isinstance(n, int) else str(n) for n in declared)
    raise InputError(
        f"{what} has shape {array.shape}, the model's input is ({wanted}) read as {layout.axes}; "
        "give one image of that size (--layout changes how the axes are read)"
    )
