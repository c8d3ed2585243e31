"""Where elements of a tensor change their piece, and the knots that this needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from onnx_si.domains.piecewise.value import Index, PiecewiseLinear, interpolate, interpolated_rows
from onnx_si.domains.walker import NeedsSplit
from onnx_si.kernels.windows import blocks
from onnx_si.rules.rules import Array

BLOCK_BYTES = 512 << 10  # of values whose extremes are looked for at a time; they stay in the cache
MAX_CROSSINGS = 1 << 21  # of whole levels in one part of the line; it is halved where there are more


@dataclass(frozen=True, kw_only=True)
class Crossings:
    """Places where single elements change their piece: interval, element (flat index) and z of each, and how
    fast what decides there changes along the line.
    """

    interval: Index
    element: Index
    at: Array
    slope: Array


_NOTHING = np.empty(0, np.intp)
NO_CROSSINGS = Crossings(
    interval=np.empty(0, np.intp), element=np.empty(0, np.intp), at=np.empty(0), slope=np.empty(0)
)


def zero_crossings(knots: Array, switch: Array) -> Crossings:
    """Where elements of `switch` (K, n) change sign strictly inside an interval of positive length."""
    (found,) = crossings_of(knots, switch, (np.zeros(()),))
    return found


def crossings_of(knots: Array, values: Array, levels: Sequence[Array]) -> list[Crossings]:
    """Where elements of `values` (K, n) pass each of some levels, one for all of them or (n,)."""
    moving = [list[Index]() for _ in levels]
    for block in blocks(values.shape[1], values.itemsize * len(values), BLOCK_BYTES):
        part = values[:, block]
        low, high = part.min(axis=0), part.max(axis=0)
        for columns, level in zip(moving, levels, strict=True):
            own = level[block] if level.ndim else level
            columns.append(np.flatnonzero((low < own) & (high > own)) + block.start)  # most never change
    return [
        _passing(knots, values, np.concatenate(columns) if columns else _NOTHING, level)
        for columns, level in zip(moving, levels, strict=True)
    ]


def _passing(knots: Array, values: Array, columns: Index, level: Array) -> Crossings:
    """The crossings of elements that are on both sides of a level."""
    if not len(columns):
        return NO_CROSSINGS
    switch = values[:, columns] - (level[columns] if level.ndim else level)
    positive, negative = switch > 0, switch < 0
    changes = (positive[:-1] & negative[1:]) | (negative[:-1] & positive[1:])
    changes[knots[1:] <= knots[:-1]] = False
    interval, column = np.nonzero(changes)
    before, after = switch[interval, column], switch[interval + 1, column]
    low, high = knots[interval], knots[interval + 1]
    change, length = before - after, high - low
    at = low + length * (before / change)
    return Crossings(
        interval=interval, element=columns[column], at=np.clip(at, low, high), slope=np.abs(change) / length
    )


def level_crossings(knots: Array, switch: Array, spacing: Array) -> Crossings:
    """Where elements of `switch` (K, n) pass a multiple of `spacing` (K, n) strictly inside an interval.

    Raises
    ------
    NeedsSplit
        If there are more than `MAX_CROSSINGS`.
    """
    # where the spacing vanishes the switch does too, and their ratio is the same all along the interval
    ratio = np.divide(switch, spacing, out=np.full(switch.shape, np.nan), where=spacing > 0)
    lowest = np.floor(np.minimum(ratio[:-1], ratio[1:])) + 1
    highest = np.ceil(np.maximum(ratio[:-1], ratio[1:])) - 1
    passed = np.maximum(highest - lowest + 1, 0)
    passed[np.isnan(passed) | (knots[1:] <= knots[:-1])[:, None]] = 0
    middle = 0.5 * (knots[0] + knots[-1])
    if passed.sum() > MAX_CROSSINGS and knots[0] < middle < knots[-1]:
        raise NeedsSplit(float(middle))
    interval, element = np.nonzero(passed)
    count = passed[interval, element].astype(np.intp)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    interval, element = np.repeat(interval, count), np.repeat(element, count)
    level = lowest[interval, element] + within
    before = switch[interval, element] - level * spacing[interval, element]
    after = switch[interval + 1, element] - level * spacing[interval + 1, element]
    apart = before - after
    share = np.divide(before, apart, out=np.zeros_like(apart), where=apart != 0)
    low, high = knots[interval], knots[interval + 1]
    at = np.clip(low + (high - low) * share, low, high)
    return Crossings(interval=interval, element=element, at=at, slope=np.abs(apart) / (high - low))


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """Old knots and new ones in one order: where each went, and where each crossing now stands."""

    knots: Array
    old: Index
    new: Index
    interval: Index
    position: Index

    def __call__(self, f: PiecewiseLinear) -> PiecewiseLinear:
        """The tensor on the refined knots."""
        if not len(self.new):
            return f
        values = np.empty((len(self.knots), *f.values.shape[1:]))
        values[self.old] = f.values
        values[self.new] = self.at_new(f)
        return PiecewiseLinear(self.knots, values)

    def at_new(self, f: PiecewiseLinear) -> Array:
        """Values at the new knots only."""
        return interpolate(f, self.interval, self.knots[self.new])

    def rows_at_new(self, f: PiecewiseLinear) -> Iterator[Array]:
        """The same one by one, each only until the next."""
        return interpolated_rows(f, self.interval, self.knots[self.new])


def refine(knots: Array, crossings: Crossings) -> Refinement:
    """Insert a knot at every crossing; one that rounds to an end of its interval uses the knot that is
    there.
    """
    inside = (crossings.at > knots[crossings.interval]) & (crossings.at < knots[crossings.interval + 1])
    interval, at = crossings.interval[inside], crossings.at[inside]
    order = at.argsort(kind="stable")  # knots never decrease: this orders the intervals too
    interval_sorted, at_sorted = interval[order], at[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = at_sorted[1:] != at_sorted[:-1]
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.cumsum(fresh) - 1
    new_interval, new_at = interval_sorted[fresh], at_sorted[fresh]
    new = new_interval + 1 + np.arange(len(new_interval))
    old = np.arange(len(knots)) + new_interval.searchsorted(np.arange(len(knots)), "left")
    merged = np.empty(len(knots) + len(new))
    merged[old], merged[new] = knots, new_at
    at_end = crossings.interval + (crossings.at >= knots[crossings.interval + 1])
    position = old[at_end]
    position[inside] = new[rank]
    return Refinement(knots=merged, old=old, new=new, interval=new_interval, position=position)


def concatenate(parts: Sequence[Crossings]) -> Crossings:
    if len(parts) == 1:
        return parts[0]
    return Crossings(
        interval=np.concatenate([part.interval for part in parts]),
        element=np.concatenate([part.element for part in parts]),
        at=np.concatenate([part.at for part in parts]),
        slope=np.concatenate([part.slope for part in parts]),
    )


def afford(knots: Array, crossings: Crossings, element_bytes: int, budget: float) -> None:
    """Ask for a split where knots and crossings together would not fit."""
    if (len(knots) + len(crossings.at)) * element_bytes <= budget:
        return
    places = np.unique(np.concatenate([knots, crossings.at]))
    if (len(places)) * element_bytes <= budget or len(places) < 4:
        return
    raise NeedsSplit(float(places[len(places) // 2]))
