"""Rows of tokens: an image's places side by side, as transformers have them, and class tokens beside them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.graph import Editor
from onnx_si.maps.appended import reshaped
from onnx_si.maps.map import View
from onnx_si.rules.axes import Axes, is_fresh, size_of
from onnx_si.rules.token_rows import inside_of


@dataclass(frozen=True, kw_only=True)
class Row:
    """A tensor's axis of tokens, the axes of the image that its places run over (slowest first) with their
    sizes, how many of all tokens stand in front of them, and the number of axes of the tensor.
    """

    axis: int
    sources: tuple[int, ...]
    sizes: tuple[int, ...]
    lead: int
    length: int
    rank: int

    @property
    def places(self) -> NDArray[np.int64]:
        """Positions of the tokens that are places of the image."""
        return np.arange(self.lead, self.lead + math.prod(self.sizes), dtype=np.int64)

    @property
    def others(self) -> NDArray[np.int64]:
        """Positions of class tokens and the like."""
        return np.setdiff1d(np.arange(self.length), self.places)

    def in_order(self, view: View) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The size in space, in the image's order of axes, and the order that the axes are turned to."""
        order = tuple(self.sources.index(axis) for axis in view.layout.spatial_axes)
        return tuple(self.sizes[i] for i in order), order


def row_of(axes: Axes | None, axis: int, view: View) -> Row | None:
    """The row of tokens that an axis is: all axes of the image's space in it; None where it is none."""
    found = None if axes is None else inside_of(axes[axis])
    if axes is None or found is None or {part.source for part in found[0]} != set(view.layout.spatial_axes):
        return None
    parts, lead = found
    sources, sizes = tuple(part.source for part in parts), tuple(part.size for part in parts)
    return Row(
        axis=axis % len(axes),
        sources=sources,
        sizes=sizes,
        lead=lead,
        length=size_of(axes[axis]),
        rank=len(axes),
    )


def rows_of(axes: Axes | None, view: View) -> list[Row]:
    """All rows of tokens of a tensor."""
    return [row for axis in range(len(axes or ())) if (row := row_of(axes, axis, view)) is not None]


def features_of(axes: Axes | None, view: View) -> tuple[Row, int] | None:
    """The row of tokens of a tensor, and its axis of channels; None where it has other axes, or no tokens."""
    rows = rows_of(axes, view)
    if axes is None or len(rows) != 1 or (len(rows[0].sizes) == 1 and not rows[0].lead):
        return None
    others = [axis for axis in range(len(axes)) if axis != rows[0].axis and size_of(axes[axis]) > 1]
    if len(others) != 1 or not is_fresh(axes[others[0]]):
        return None
    return rows[0], others[0]


def on_grid(editor: Editor, tensor: str, row: Row, channel: int, count: int, view: View) -> str:
    """Append nodes that put tokens back to their places (1, channels, *space); class tokens are left out."""
    tensor = editor.add("Gather", [tensor, editor.constant(row.places)], axis=row.axis)
    if channel > row.axis:
        rank = row.rank
        order = [axis for axis in range(rank) if axis not in (row.axis, channel)] + [channel, row.axis]
        tensor = editor.add("Transpose", [tensor], perm=order)
    tensor = reshaped(editor, tensor, (1, count, *row.sizes))
    _, turned = row.in_order(view)
    if turned == tuple(sorted(turned)):
        return tensor
    return editor.add("Transpose", [tensor], perm=[0, 1, *(2 + axis for axis in turned)])
