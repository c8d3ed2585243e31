"""Bounds of all Taylor coefficients of a smooth function on ranges of its argument.

Where a function is smooth on the whole line its coefficients change slowly: they are enclosed once on the
cells of a grid, and a range takes the largest of those that it meets. Elsewhere they are enclosed on it
itself, which is right, and wide where it is.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.kernels.balls import UP, Ball
from onnx_si.kernels.long import narrowed, unit_of
from onnx_si.rules.rules import Array, Smooth

Series = Callable[[Any, int], Any]
ENOUGH = 1 + 1e-12  # factors of a function that are rounded themselves, such as 2 / sqrt(pi)
REACH, PER_UNIT = 24, 32  # of the grid: its ends, and cells in a length of 1


@dataclass(frozen=True, eq=False)
class Grid:
    """The largest coefficients on runs of 1, 2, 4 ... cells: (levels, order + 1, cells)."""

    levels: Array

    def on(self, low: Array, high: Array) -> Array:
        """Bounds (order + 1, n) on ranges (n,) inside the grid."""
        first, last = ((end + REACH) * PER_UNIT for end in (low, high))
        start, stop = first.astype(np.intp), last.astype(np.intp)
        level = np.log2(stop - start + 1).astype(np.intp)
        other = stop - (1 << level) + 1
        found: Array = np.maximum(self.levels[level, :, start], self.levels[level, :, other]).T
        return found


def sizes(series: Series, ball: Ball, order: int) -> Array:
    """Bounds (order + 1, *shape) of the coefficients at every number in a ball; infinite where unknown."""
    with np.errstate(all="ignore"):
        found = [c.size if isinstance(c, Ball) else np.abs(c) for c in series(ball, order)]
        bounds = np.array([np.broadcast_to(c, np.shape(ball.mid)) for c in found]) * ENOUGH
    return np.where(np.isnan(bounds), np.inf, bounds)


@functools.lru_cache(maxsize=64)
def grid(series: Series, order: int) -> Grid:
    """The grid of a function."""
    count = 2 * REACH * PER_UNIT + 1
    middle = (np.arange(count) + 0.5) / PER_UNIT - REACH
    radius = np.full(count, 0.5 / PER_UNIT * (1 + 1e-6))  # a place beside a border is found in either cell
    levels = [sizes(series, Ball(middle, radius), order)]
    step = 1
    while 2 * step <= count:
        last = levels[-1].copy()
        last[:, :-step] = np.maximum(last[:, :-step], levels[-1][:, step:])
        last[:, count - 2 * step + 1 :] = np.inf  # runs that leave the grid are never asked for
        levels.append(last)
        step *= 2
    return Grid(np.array(levels))


def bounds(rule: Smooth, low: Array, high: Array, order: int) -> Array:
    """Bounds (order + 1, *shape) of a function's Taylor coefficients on ranges; infinite where unknown."""
    shape, low, high = low.shape, low.ravel(), high.ravel()
    found = np.full((order + 1, low.size), np.inf)
    inside: NDArray[np.bool_] = np.isfinite(low) & np.isfinite(high)
    if rule.everywhere:
        by_grid = inside & (low > -REACH) & (high < REACH)
        found[:, by_grid] = grid(rule.series, order).on(low[by_grid], high[by_grid])
        inside &= ~by_grid
    if inside.any():
        found[:, inside] = sizes(rule.series, Ball.between(low[inside], high[inside]), order)
    return found.reshape(order + 1, *shape)


def value(rule: Smooth, x: Array) -> tuple[Array, Array]:
    """A function at numbers, and how far what is computed may be off."""
    (found,) = rule.series(Ball(x), 0)
    return found.mid, narrowed(found.rad + 4 * unit_of(x) * np.abs(found.mid)) * UP


def reach(rule: Smooth, low: Array, high: Array) -> Array:
    """How far a function's values on ranges are from one another, at most half of that."""
    with np.errstate(all="ignore"):
        (found,) = rule.series(Ball.between(low, high), 0)
    radius = np.broadcast_to(found.rad, low.shape)
    return np.where(np.isnan(radius) | np.isnan(found.mid), np.inf, radius)
