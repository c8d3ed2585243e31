"""What enclosures of the margins say of the event."""

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.enclosure.value import UNIT, Enclosure, proven
from onnx_si.domains.event import RegionEvent
from onnx_si.rules.rules import Array


def certify(
    event: RegionEvent, margin: Enclosure, zero: bool = True
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Cells on which the event provably never holds (cells,), and the pixels (cells, *map) that may be on
    the wrong side somewhere. Without `zero` a margin of zero is on no side.
    """
    low, high = margin.bounds()
    below = high <= 0 if zero else high < 0
    wrong = proven(low, high, np.where(event.observed, below, low > 0)) & event.pixels
    open_ = ~proven(low, high, np.where(event.observed, low > 0, below)) & event.pixels
    return np.any(wrong.reshape(len(wrong), -1), axis=1), np.ascontiguousarray(open_)  # it is written to


def clarity(event: RegionEvent, margin: Enclosure) -> Array:
    """How clearly each pixel is on the wrong side, or on its own where that is below zero: how far in the
    middle of the cell, in what it can move on the way to its ends (cells, pixels). Beyond 1 it is so on all
    of the cell; zero of pixels that do not matter.
    """
    count = len(margin.half_width)
    depth = np.where(event.observed, -margin.centre, margin.centre).reshape(count, -1)
    share = _share(np.abs(depth), margin.reach.reshape(count, -1))
    return np.where(event.pixels.reshape(-1), np.copysign(share, depth), 0.0)


def clearer(margin: Enclosure, cells: NDArray[np.intp], pixels: NDArray[np.intp], radius: Array) -> Array:
    """How clearly pixels are on either side if their radii are others."""
    count = len(margin.half_width)
    centre, slope = (x.reshape(count, -1)[cells, pixels] for x in (margin.centre, margin.slope))
    return _share(np.abs(centre), radius + np.abs(slope) * margin.half_width[cells])


def _share(depth: Array, reach: Array) -> Array:
    """The depth in reaches, rounded down; none where either is no number."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = depth / (reach * (1 + 16 * UNIT) + 16 * UNIT * depth)
    return np.where((depth > 0) & np.isfinite(depth) & np.isfinite(reach), share, 0.0)
