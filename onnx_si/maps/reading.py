"""How a tensor is a map over the image: which of its axes are space, told by the nodes, at what stride."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from onnx_si.errors import SaliencyUnavailable
from onnx_si.ground.layout import Layout
from onnx_si.maps.map import View
from onnx_si.rules.axes import MIXED, TOKENS, Axes, Axis, follows, is_fresh

OPEN, OTHER = "?", "-"  # an axis that may be anything, one that is no axis of space


@dataclass(frozen=True)
class Reading:
    """The layout of a tensor, its size in space, in the image's order of axes, and the stride of each axis
    (None: not told by the nodes, the sizes are the image's).
    """

    layout: Layout
    size: tuple[int, ...]
    strides: tuple[Fraction, ...] | None

    def is_whole(self, view: View) -> bool:
        """Whether the sizes are the image's, or what the graph's own strides make of them."""
        if self.size in (view.space, view.inner):
            return True
        return self.strides is not None and all(
            stride >= 1 and size in (math.floor(n / stride), math.ceil(n / stride))
            for size, n, stride in zip(self.size, view.space, self.strides, strict=True)
        )

    def note(self, name: str, view: View) -> tuple[str, ...]:
        """What to tell of a map that is not all of the image."""
        if self.is_whole(view):
            return ()
        return (
            f"'{name}' of {self.size} does not cover the image's {view.space} pixels at its strides "
            f"({', '.join(f'{float(n):g}' for n in self.strides or ())}): it is stretched to them",
        )


def read_tensor(shape: tuple[int, ...], view: View, axes: Axes | None) -> Reading:
    """How a tensor is read as a map: by the axes of the image that its own follow, else by the image's size.

    Parameters
    ----------
    shape : tuple of int
    view : View
    axes : Axes or None
        What the nodes tell of them.

    Raises
    ------
    SaliencyUnavailable
        If it is no map, or two readings fit.
    """
    names = "DHW"[-len(view.space) :]
    letters = _letters(shape, view, axes)
    told = [layout for layout in _layouts(len(shape), names) if _is_told(layout, letters, shape, view)]
    if told:
        return _reading(told[0], shape, view, axes, "the model's nodes tell")
    fitting = [layout for layout in _usual(len(shape), names) if _fits(layout, letters, shape)]
    plain = [layout for layout in fitting if _turned_back(layout, shape, names) == view.space]
    if not plain and view.inner is not None:
        plain = [layout for layout in fitting if _turned_back(layout, shape, names) == view.inner]
    meanings = {
        tuple(n for n, size in zip(layout, shape, strict=True) if size > 1): layout for layout in plain[::-1]
    }
    if not meanings:
        raise SaliencyUnavailable(
            f"a tensor of shape {shape} is no map over an image of {view.space} pixels: its axes don't "
            "follow the image's"
        )
    if len(meanings) > 1:
        raise SaliencyUnavailable(
            f"a tensor of shape {shape} is a map over an image of {view.space} pixels in more than one way: "
            f"{' or '.join(sorted(meanings.values()))}, and the model's nodes don't tell which; name a "
            "tensor in front of it"
        )
    (layout,) = meanings.values()
    return Reading(Layout(layout, "its size is the image's"), _turned_back(layout, shape, names), None)


def _usual(rank: int, names: str) -> Iterator[str]:
    """Space alone, behind a batch, or with channels in front or behind."""
    return (axes for axes in (names, f"N{names}", f"NC{names}", f"N{names}C") if len(axes) == rank)


def _layouts(rank: int, names: str) -> Iterator[str]:
    """The usual ones, then channels between axes of space, all turned in every way."""
    turned = ["".join(order) for order in itertools.permutations(names)]
    for space in turned:
        yield from _usual(rank, space)
    if rank == len(names) + 2:
        yield from (f"N{space[:at]}C{space[at:]}" for space in turned for at in range(1, len(space)))


def _letters(shape: tuple[int, ...], view: View, axes: Axes | None) -> list[str]:
    """What the nodes tell of each axis: D, H or W, that it is none of these, or nothing."""
    return [OPEN] * len(shape) if axes is None else [_letter(axis, view) for axis in axes]


def _letter(axis: Axis, view: View) -> str:
    part = follows(axis)
    if part is not None:
        name = view.layout.axes[part.source]
        return OTHER if name not in "DHW" and part.size > 1 else name if part.stride > 0 else OTHER
    return OPEN if is_fresh(axis) or any(part.source in (MIXED, TOKENS) for part in axis) else OTHER


def _fits(layout: str, letters: list[str], shape: tuple[int, ...]) -> bool:
    """Whether nothing that is told speaks against a layout."""
    for name, letter, size in zip(layout, letters, shape, strict=True):
        if name == "N" and size != 1:
            return False
        if size > 1 and letter != OPEN and (name in "DHW" or letter in "DHW") and letter != name:
            return False
    return True


def _is_told(layout: str, letters: list[str], shape: tuple[int, ...], view: View) -> bool:
    """Whether every axis of space is told, those of length one aside where the image's is one too."""
    if not _fits(layout, letters, shape):
        return False
    whole = dict(zip((n for n in view.layout.axes if n in "DHW"), view.space, strict=True))
    told = [
        name == letter or (size == 1 == whole[name] and letter not in "DHW")
        for name, letter, size in zip(layout, letters, shape, strict=True)
        if name in "DHW"
    ]
    return all(told) and any(
        name == letter and size > 1 for name, letter, size in zip(layout, letters, shape, strict=True)
    )


def _turned_back(layout: str, shape: tuple[int, ...], names: str) -> tuple[int, ...]:
    return tuple(shape[layout.index(name)] for name in names)


def _reading(layout: str, shape: tuple[int, ...], view: View, axes: Axes | None, reason: str) -> Reading:
    names = "DHW"[-len(view.space) :]
    parts = [follows((axes or ())[layout.index(name)]) for name in names]
    strides = tuple(Fraction(1) if part is None else part.stride for part in parts)
    return Reading(Layout(layout, reason), _turned_back(layout, shape, names), strides)
