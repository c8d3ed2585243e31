"""What to do about an array that does not fit a model's input: images, channels or size too many."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnx_si.ground.words import so_many

Shape = tuple[int | str | None, ...]
FEW_CHANNELS = 4  # grey, colour, colour with alpha; anything larger is space where there is a choice
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's names of pictures, by their channels."""
_ELSE = "give one image of that size (--layout changes how the axes are read)"


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """An array's axes as the layout names them, and what of it does not fit."""

    shape: tuple[int, ...]
    images: int
    wrong: tuple[str, ...]
    moved: bool


def advice(shape: tuple[int, ...], declared: Shape, axes: str) -> str:
    """What to do, by the reading of the array that fits on the most axes.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    declared : tuple
        Of the model's input.
    axes : str
        The layout's names of these.
    """
    readings = list(_readings(shape, declared, axes))
    if not readings:
        return _ELSE
    best = min(readings, key=lambda one: len(one.wrong) + (one.images != 1))
    channels = best.shape[axes.index("C")] if "C" in axes else 1
    sides = [name for name in best.wrong if name in "DHW"]
    if sides and "C" in best.wrong and channels > FEW_CHANNELS:
        return _ELSE
    told = []
    if best.images != 1:
        told.append(f"it holds {best.images} images: give one image (onnx-si audit tests several)")
    if "C" in best.wrong:
        told.append(_of_channels(channels, declared[axes.index("C")], alone=not sides))
    elif best.moved and not told and not sides:
        place = "behind" if axes[-1] == "C" else "in front"
        told.append(f"its channels lie at the other end: the model reads them {place}; move them there")
    if sides:
        told.append(_of_size(best.shape, declared, [axes.index(name) for name in sides]))
    return "; ".join(told) or _ELSE


def _readings(shape: tuple[int, ...], declared: Shape, axes: str) -> Iterator[_Reading]:
    """The array as it is, with the channels at its other end, and as one without channels."""
    batched = axes.startswith("N")
    rank, extra = len(declared) - batched, shape
    images = 1
    if len(shape) == rank + 1:
        images, extra = shape[0], shape[1:]
    if "C" in axes and len(extra) == rank - 1:
        place = axes.index("C") - batched
        extra = (*extra[:place], 1, *extra[place:])
    if len(extra) != rank:
        return
    moved = (
        [] if "C" not in axes else [(*extra[1:], extra[0]) if axes[-1] == "C" else (extra[-1], *extra[:-1])]
    )
    for number, one in enumerate([extra, *moved]):
        full = (1, *one) if batched else one
        pairs = zip(axes, declared, full, strict=True)
        wrong = tuple(
            name for name, want, have in pairs if name != "N" and isinstance(want, int) and want != have
        )
        yield _Reading(shape=full, images=images, wrong=wrong, moved=number > 0)


def _of_channels(has: int, takes: int | str | None, *, alone: bool) -> str:
    if has == 1 and takes != 1:
        return f"the channels differ: it has 1, the model takes {takes}; --gray gives it to each of them"
    mode = _MODES.get(takes) if isinstance(takes, int) and has in _MODES else None
    how = "" if mode is None else f" (with Pillow: Image.open(FILE).convert('{mode}').save(NEW))"
    what = f"it has {has}"
    if has not in _MODES and alone:
        what = f"it has {so_many(has, 'channel')}, or is {so_many(has, 'image')}"
    return f"the channels differ: {what}, the model takes {takes}; save it with {takes}{how}"


def _of_size(shape: tuple[int, ...], declared: Shape, places: Sequence[int]) -> str:
    larger = all(_exceeds(shape[place], declared[place]) for place in places)
    windows = ", --window-size N lays a model that gives maps over it window by window" if larger else ""
    return f"the size differs: --resize-input linear makes the resizing part of what is tested{windows}"


def _exceeds(have: int, want: int | str | None) -> bool:
    return isinstance(want, int) and have > want
