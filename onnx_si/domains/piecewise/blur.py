"""How far rounding may have moved the ends of S: an end is an interval, not a number."""

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.judge import Judge
from onnx_si.ground.intervals import Intervals
from onnx_si.rules.rules import Array

ULPS = 4.0 * float(np.finfo(np.float64).eps)  # of a place: it is itself the result of a few roundings


def rows_around(knots: Array, ends: Array) -> NDArray[np.intp]:
    """The intervals between knots that places lie in, and their neighbours."""
    rows: NDArray[np.intp] = np.unique(knots.searchsorted(ends)[:, None] + np.arange(-2, 2))
    rows = rows[(rows >= 0) & (rows < len(knots) - 1)]
    return rows[knots[rows] < knots[rows + 1]]


def uncertain(low: Array, high: Array, left: Array, right: Array, error: float) -> Array:
    """Where intervals have pixels that are within an error of zero, and none that is wrong by more.

    Parameters
    ----------
    low, high : arrays (n,)
        Ends of the intervals.
    left, right : arrays (n, pixels)
        Margins there, positive on the observed side.
    error : float

    Returns
    -------
    array (m, 2)
        At each side of what holds for certain, and as far again beyond: a knot in between is as uncertain.
    """
    shift = np.array([error, -error])[:, None, None]
    (may_low, sure_low), (may_high, sure_high) = _stretches(low, high, left + shift, right + shift)
    none, may = sure_low >= sure_high, may_low < may_high
    sure_low, sure_high = np.where(none, may_high, sure_low), np.where(none, may_high, sure_high)
    starts, ends = may & (left <= error).any(axis=1), may & ~none & (right <= error).any(axis=1)
    pieces = np.concatenate(
        [
            np.stack([may_low[starts], sure_low[starts]], axis=1),
            np.stack([sure_high[ends], may_high[ends]], axis=1),
        ]
    )
    return widened(pieces, pieces[:, 1] - pieces[:, 0])


def widened(pieces: Array, by: Array) -> Array:
    """Intervals (n, 2) with so much more on both sides, and the rounding of their ends."""
    by = by + ULPS * np.abs(pieces).max(axis=1)
    return np.stack([pieces[:, 0] - by, pieces[:, 1] + by], axis=1)


def at_jumps(inside: Array, places: list[tuple[Array, Array]], judge: Judge, widest: float) -> Array:
    """The intervals of ends of stretches (n, 2) at which something jumps, or may.

    Parameters
    ----------
    inside : array (n, 2)
    places : list of (array (k,), array (k,))
        Where something jumps, and how far rounding may have moved each.
    judge : Judge
        Tells which places are the same but for rounding.
    widest : float
        No place is farther off than that.
    """
    at, off = (np.concatenate([one[i] for one in places]) for i in (0, 1))
    found = []
    for end in Intervals.of(inside).bounds.ravel().tolist():
        here = ~judge.wide(np.minimum(at, end), np.maximum(at, end))
        if here.any():
            found.append((end, min(float(off[here].max()), widest)))
    ends = np.array(found).reshape(-1, 2)
    return widened(ends[:, [0, 0]], ends[:, 1])


def _stretches(low: Array, high: Array, left: Array, right: Array) -> tuple[Array, Array]:
    """Where on each interval, of margins (..., n, pixels), every pixel is positive; empty if it starts behind
    its end.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = left / (left - right)
    enters = np.where((left <= 0) & (right > 0), share, 0.0).max(axis=-1, initial=0.0)
    leaves = np.where((left > 0) & (right <= 0), share, 1.0).min(axis=-1, initial=1.0)
    never = np.any((left <= 0) & (right <= 0), axis=-1)
    length = high - low
    start = np.where(enters > 0, np.minimum(low + enters * length, high), low)
    end = np.where(leaves < 1, np.minimum(low + leaves * length, high), high)
    return np.where(never, high, start), np.where(never, low, end)
