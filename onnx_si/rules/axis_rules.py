"""Where the axes of a node's output come from: one rule for each kind of op."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.rules.axes import (
    Axes,
    Axis,
    follows,
    fresh,
    is_fresh,
    met,
    mixed,
    regrouped,
    scaled,
    shuffled,
    size_of,
)
from onnx_si.rules.token_rows import cut_row, joined_row


@dataclass(frozen=True, kw_only=True)
class Place:
    """A node where it stands: its inputs' axes (None: it does not change, or can't be told), which of its
    inputs are constants, and the shape of its output.
    """

    node: onnx.NodeProto
    inputs: tuple[Axes | None, ...]
    constants: Mapping[str, NDArray[Any]]
    shape: tuple[int, ...]
    position: int

    def attribute(self, name: str, default: Any = None) -> Any:
        """Its value."""
        found = next((a for a in self.node.attribute if a.name == name), None)
        return default if found is None else onnx.helper.get_attribute_value(found)

    def numbers(self, position: int, attribute: str) -> list[int] | None:
        """Whole numbers that are an input, of older ops an attribute; None where there are none."""
        given = self.attribute(attribute)
        if given is not None:
            return list(given)
        name = self.node.input[position] if position < len(self.node.input) else ""
        return [int(n) for n in np.ravel(self.constants[name])] if name in self.constants else None

    @property
    def first(self) -> Axes:
        """Axes of the first input.

        Raises
        ------
        LookupError
            If they can't be told.
        """
        if not self.inputs or self.inputs[0] is None:
            raise LookupError
        return self.inputs[0]


AxisRule = Callable[[Place], Axes | None]
"""Raises LookupError, ValueError or ZeroDivisionError where the axes can't be told."""


def elementwise(place: Place) -> Axes:
    """Entry by entry, as broadcasting puts the inputs beside each other."""
    rank = len(place.shape)
    known = [((),) * (rank - len(axes)) + axes for axes in place.inputs if axes is not None]
    return tuple(met((axes[i] for axes in known), size) for i, size in enumerate(place.shape))


def same(place: Place) -> Axes:
    """Those of the first input."""
    return place.first if place.position == 0 else ()


def windowed(place: Place) -> Axes:
    """A convolution: channels that it makes, and space at a stride."""
    return _windows(place, place.attribute("strides"), fresh(place.shape[1]))


def spread(place: Place) -> Axes:
    """A transposed convolution: its strides make space finer."""
    strides = place.attribute("strides")
    return _windows(place, strides and [Fraction(1, n) for n in strides], fresh(place.shape[1]))


def pooled(place: Place) -> Axes:
    """Windows in each channel by itself."""
    return _windows(place, place.attribute("strides"), place.first[1])


def _windows(place: Place, strides: Sequence[int | Fraction] | None, channels: Axis) -> Axes:
    first, rank = place.first, len(place.shape)
    if rank < 3:
        raise ValueError
    steps = [Fraction(n) for n in strides or [1] * (rank - 2)]
    space = tuple(
        scaled(axis, size, step) for axis, size, step in zip(first[2:], place.shape[2:], steps, strict=True)
    )
    return (first[0], channels, *space)


def space_gone(place: Place) -> Axes:
    """Every axis of space has length one."""
    return (*place.first[:2], *((),) * (len(place.shape) - 2))


def permuted(place: Place) -> Axes:
    """The order that the attribute names."""
    order = place.attribute("perm", list(range(len(place.shape)))[::-1])
    return tuple(place.first[axis] for axis in order)


def by_reshape(place: Place) -> Axes | None:
    """Joined and split, in the order of the elements."""
    if tuple(map(size_of, place.first)) == place.shape:
        return place.first
    return regrouped(place.first, place.shape)


def sliced(place: Place) -> Axes:
    """Slice: backwards where its step is."""
    first = place.first
    axes = place.numbers(3, "axes")
    starts, steps = place.numbers(1, "starts"), place.numbers(4, "steps")
    if len(place.node.input) > 4 and place.node.input[4] and steps is None:
        raise LookupError
    axes = list(range(len(starts or steps or ()))) if axes is None else axes
    by = {axis % len(first): step for axis, step in zip(axes, steps or [1] * len(axes), strict=True)}
    begin = {axis % len(first): start for axis, start in zip(axes, starts or (), strict=False)}
    return tuple(
        scaled(axis, size, Fraction(by.get(i, 1)))
        if by.get(i, 1) != 1 or (row := cut_row(axis, begin.get(i, 0), size)) is None
        else row
        for i, (axis, size) in enumerate(zip(first, place.shape, strict=True))
    )


def padded(place: Place) -> Axes:
    """Every axis may be longer or shorter at its ends."""
    return tuple(scaled(axis, size) for axis, size in zip(place.first, place.shape, strict=True))


def resized(place: Place) -> Axes:
    """Where a length changes, so does the stride."""
    if place.attribute("coordinate_transformation_mode", b"") == b"tf_crop_and_resize":
        raise LookupError
    return tuple(
        scaled(axis, size, Fraction(size_of(axis), size)) if size != size_of(axis) else axis
        for axis, size in zip(place.first, place.shape, strict=True)
    )


def reduced(place: Place) -> Axes | None:
    """The axes that are named are gone, or have length one."""
    axes = place.numbers(1, "axes")
    if axes is None and len(place.node.input) > 1 and place.node.input[1]:
        return None
    return _without(place, axes)


def chosen(place: Place) -> Axes:
    """The axis along which one is chosen is gone, or has length one."""
    return _without(place, [place.attribute("axis", 0)])


def _without(place: Place, axes: Sequence[int] | None) -> Axes:
    first = place.first
    gone = {axis % len(first) for axis in axes} if axes else set(range(len(first)))
    if len(place.shape) == len(first):
        return tuple(() if i in gone and place.shape[i] == 1 else axis for i, axis in enumerate(first))
    return tuple(axis for i, axis in enumerate(first) if i not in gone)


def parted(place: Place) -> Axes:
    """Pieces of one axis."""
    return padded(place)


def concatenated(place: Place) -> Axes:
    """One axis holds several, one behind the other."""
    rank = len(place.shape)
    along = place.attribute("axis") % rank
    known = [axes for axes in place.inputs if axes is not None]
    joined = (
        fresh(place.shape[along])
        if all(is_fresh(axes[along]) for axes in known)
        else mixed(place.shape[along])
    )
    if any(follows(axes[along]) is not None for axes in known):
        joined = mixed(place.shape[along])
    pieces = [
        fresh(place.constants[name].shape[along]) if axes is None else axes[along]
        for name, axes in zip(place.node.input, place.inputs, strict=True)
    ]
    joined = joined_row(pieces) or joined
    return tuple(
        joined if i == along else met((axes[i] for axes in known), size) for i, size in enumerate(place.shape)
    )


def attended(place: Place) -> Axes | None:
    """Attention: the rows of the queries."""
    return None if place.position else (*place.first[:-1], fresh(place.shape[-1]))


def gathered(place: Place) -> Axes:
    """Gather: the axis gives way to those of the indices."""
    first = place.first
    along = place.attribute("axis", 0) % len(first)
    inside = len(place.shape) - len(first) + 1
    sizes = place.shape[along : along + inside]
    made = tuple(shuffled(first[along], size) for size in sizes)
    return (*first[:along], *made, *first[along + 1 :])


def repeated(place: Place) -> Axes:
    """Tile, TopK: an axis of the same length is the same."""
    return tuple(
        axis if size == size_of(axis) else shuffled(axis, size)
        for axis, size in zip(place.first, place.shape, strict=True)
    )


def sorted_along(place: Place) -> Axes:
    """One axis in another order."""
    along = place.attribute("axis", -1) % len(place.shape)
    return tuple(
        shuffled(axis, size) if i == along else axis
        for i, (axis, size) in enumerate(zip(place.first, place.shape, strict=True))
    )


def expanded(place: Place) -> Axes:
    """What an axis of length one is repeated to is made."""
    first = ((),) * (len(place.shape) - len(place.first)) + place.first
    return tuple(
        axis if size == size_of(axis) else fresh(size) for axis, size in zip(first, place.shape, strict=True)
    )


def in_blocks(place: Place) -> Axes:
    """DepthToSpace and SpaceToDepth."""
    first = place.first
    return (
        first[0],
        fresh(place.shape[1]),
        *(scaled(a, n, Fraction(size_of(a), n)) for a, n in zip(first[2:], place.shape[2:], strict=True)),
    )


def matrix_product(place: Place) -> Axes:
    """MatMul: rows of the left, columns of the right; a constant that interpolates moves along the axis."""
    left, right = place.inputs[:2]
    names = place.node.input
    rank = len(place.shape)
    if any(axes is not None and len(axes) < 2 for axes in (left, right)) or any(
        place.constants[name].ndim < 2 for name in names if name in place.constants
    ):
        raise LookupError  # a vector: the product has no rows, or no columns
    rows = fresh(place.shape[-2]) if left is None else left[-2]
    columns = fresh(place.shape[-1]) if right is None else right[-1]
    if left is not None and right is None:
        columns = _interpolated(left[-1], place.constants[names[1]], place.shape[-1])
    if right is not None and left is None:
        matrix = place.constants[names[0]]
        rows = _interpolated(right[-2], np.swapaxes(matrix, -1, -2), place.shape[-2])
    known = [((),) * (rank - len(axes)) + axes for axes in (left, right) if axes is not None]
    batch = (met((axes[i] for axes in known), n) for i, n in enumerate(place.shape[:-2]))
    return (*batch, rows, columns)


def _interpolated(axis: Axis, matrix: NDArray[Any], size: int) -> Axis:
    """An axis behind a matrix (old, new): still the image's where each new entry is a weighted mean around
    its own place, as a resize is; one that the graph made elsewhere.
    """
    part, old = follows(axis), matrix.shape[0]
    if part is None or matrix.ndim != 2 or old == 1 or size == 1:
        return fresh(size)
    weights = np.asarray(matrix, np.float64)
    if weights.min() < 0 or not np.allclose(weights.sum(axis=0), 1, atol=1e-5):
        return fresh(size)
    centres = (np.arange(old) + 0.5) @ weights
    wanted = (np.arange(size) + 0.5) * old / size
    spread = np.abs(np.arange(old)[:, None] + 0.5 - wanted) * (weights > 0)
    reach = 1 + max(1.0, old / size)
    if np.any(np.diff(centres) < 0) or spread.max() > reach:
        return fresh(size)
    return scaled(axis, size, Fraction(old, size))


def gemm(place: Place) -> Axes:
    """Rows of the left, columns of the right, either of them turned first."""
    left, right = place.inputs[:2]

    def turned(axes: Axes, name: str) -> Axes:
        return axes[::-1] if place.attribute(name, 0) else axes

    rows = fresh(place.shape[0]) if left is None else turned(left, "transA")[0]
    columns = fresh(place.shape[1]) if right is None else turned(right, "transB")[1]
    return (rows, columns)


def row_by_row(place: Place) -> Axes:
    """Rows stay; the columns are made."""
    return (place.first[0], *(fresh(n) for n in place.shape[1:]))


def one_hot(place: Place) -> Axes:
    """One more axis, which is made."""
    along = place.attribute("axis", -1) % len(place.shape)
    return (*place.first[:along], fresh(place.shape[along]), *place.first[along:])
