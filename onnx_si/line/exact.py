"""The exact domain: a tensor on a part of the line as knots and the tensor's value at each knot.

Between knots the tensor is affine. A jump is two knots at the same place: the limits from the left and
from the right.
Nothing here steps by an epsilon; a tolerance occurs only where two values are equal up to rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.line import envelope
from onnx_si.line.walker import NeedsSplit
from onnx_si.ops.rules import (
    FEW_CANDIDATES,
    Affine,
    Array,
    Curved,
    Gated,
    Kinked,
    Maximum,
    Rule,
    Step,
    Winner,
)

Index = NDArray[np.intp]
MAX_CROSSINGS = 1 << 21  # of whole levels in one part of the line; it is halved where there are more


@dataclass(frozen=True)
class PiecewiseLinear:
    """Values (K, *shape) at nondecreasing knots (K,); affine in between."""

    knots: Array
    values: Array

    @property
    def points(self) -> int:
        return len(self.knots)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def split(self, at: float) -> tuple["PiecewiseLinear", "PiecewiseLinear"]:
        """The same on both sides of a point inside; a jump there goes apart."""
        left, right = self.knots.searchsorted(at, "left"), self.knots.searchsorted(at, "right")
        if left < right:
            return (
                PiecewiseLinear(self.knots[: left + 1], self.values[: left + 1]),
                PiecewiseLinear(self.knots[right - 1 :], self.values[right - 1 :]),
            )
        middle = interpolate(self, np.array([left - 1]), np.array([at]))
        end = np.array([at])
        return (
            PiecewiseLinear(
                np.concatenate([self.knots[:left], end]), np.concatenate([self.values[:left], middle])
            ),
            PiecewiseLinear(
                np.concatenate([end, self.knots[left:]]), np.concatenate([middle, self.values[left:]])
            ),
        )


def line_segment(start: Array, direction: Array, low: float, high: float) -> PiecewiseLinear:
    """The input start + direction * z for low <= z <= high."""
    ends = np.array([low, high])
    return PiecewiseLinear(ends, start + direction * ends.reshape(-1, *(1,) * start.ndim))


def interpolate(f: PiecewiseLinear, interval: Index, at: Array) -> Array:
    """Values at points inside the given intervals; a constant stays what it is to the last bit."""
    low, high = f.knots[interval], f.knots[interval + 1]
    share = ((at - low) / (high - low)).reshape(-1, *(1,) * (f.values.ndim - 1))
    start, result = f.values[interval], f.values[interval + 1]
    result -= start
    result *= share
    result += start
    return result


def merge(tensors: Sequence[PiecewiseLinear]) -> list[PiecewiseLinear]:
    """The same tensors on common knots; a jump of any is a double knot of all."""
    first = tensors[0].knots
    if all(t.knots is first or np.array_equal(t.knots, first) for t in tensors[1:]):
        return list(tensors)
    counted = [np.unique(t.knots, return_counts=True) for t in tensors]
    points = np.unique(np.concatenate([u for u, _ in counted]))
    count = np.ones(len(points), dtype=np.intp)
    for unique, times in counted:
        at = points.searchsorted(unique)
        count[at] = np.maximum(count[at], times)
    knots = np.repeat(points, count)
    second = np.concatenate([[False], knots[1:] == knots[:-1]])
    return [PiecewiseLinear(knots, _resample(t, knots, second)) for t in tensors]


def _resample(f: PiecewiseLinear, knots: Array, second: NDArray[np.bool_]) -> Array:
    """Values at new knots that contain the old ones; `second` marks the right limits."""
    if len(f.knots) == len(knots):
        return f.values
    left, right = f.knots.searchsorted(knots, "left"), f.knots.searchsorted(knots, "right")
    known = left < right
    values = np.empty((len(knots), *f.values.shape[1:]))
    values[known] = f.values[np.where(second, right - 1, left)[known]]
    values[~known] = interpolate(f, left[~known] - 1, knots[~known])
    return values


@dataclass(frozen=True)
class Crossings:
    """Places where single elements change their piece: interval, element (flat index) and z of each."""

    interval: Index
    element: Index
    at: Array


NO_CROSSINGS = Crossings(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))


def zero_crossings(knots: Array, switch: Array) -> Crossings:
    """Where elements of `switch` (K, n) change sign strictly inside an interval of positive length."""
    columns = np.flatnonzero((switch.max(axis=0) > 0) & (switch.min(axis=0) < 0))  # most never change
    if not len(columns):
        return NO_CROSSINGS
    switch = switch[:, columns]
    positive, negative = switch > 0, switch < 0
    changes = (positive[:-1] & negative[1:]) | (negative[:-1] & positive[1:])
    changes[knots[1:] <= knots[:-1]] = False
    interval, column = np.nonzero(changes)
    before, after = switch[interval, column], switch[interval + 1, column]
    low, high = knots[interval], knots[interval + 1]
    at = low + (high - low) * (before / (before - after))
    return Crossings(interval, columns[column], np.clip(at, low, high))


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
    return Crossings(interval, element, np.clip(low + (high - low) * share, low, high))


@dataclass(frozen=True)
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
    return Refinement(merged, old, new, new_interval, position)


def _changes(rule: Step, knots: Array, switch: Array, xs: Sequence[PiecewiseLinear]) -> Crossings:
    """Where one switch of a step changes what the step gives."""
    flat = switch.reshape(len(knots), -1)
    if rule.spacing is None:
        return zero_crossings(knots, flat)
    spacing = rule.spacing(*(x.values for x in xs))
    return level_crossings(knots, flat, spacing.reshape(flat.shape))


def _afford(knots: Array, crossings: Crossings, element_bytes: int, budget: int) -> None:
    """Ask for a split where knots and crossings together would not fit."""
    if (len(knots) + len(crossings.at)) * element_bytes <= budget:
        return
    places = np.unique(np.concatenate([knots, crossings.at]))
    if (len(places)) * element_bytes <= budget or len(places) < 4:
        return
    raise NeedsSplit(float(places[len(places) // 2]))


def _concatenate(parts: Sequence[Crossings]) -> Crossings:
    if len(parts) == 1:
        return parts[0]
    return Crossings(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("interval", "element", "at"))
    )


def from_pieces(edges: Array, pieces: Array) -> PiecewiseLinear:
    """A tensor that is constant on each interval between edges (P+1,), with values (P, *shape)."""
    changes = np.any((pieces[1:] != pieces[:-1]).reshape(len(pieces) - 1, pieces[0].size), axis=1)
    first = np.concatenate([[0], np.nonzero(changes)[0] + 1])
    starts, ends = edges[first], np.append(edges[first[1:]], edges[-1])
    knots = np.stack([starts, ends], axis=1).ravel()
    return PiecewiseLinear(knots, np.repeat(pieces[first], 2, axis=0))


def _between_jumps(gate: PiecewiseLinear) -> Array:
    """A gate's values, each stretch between two jumps as it starts.

    Matrix products round equal rows differently, so a gate that went through one is constant up to
    rounding only.
    """
    fresh = np.append(True, gate.knots[1:] <= gate.knots[:-1])
    start = np.maximum.accumulate(np.where(fresh, np.arange(gate.points), 0))
    values = gate.values[start]
    if not np.allclose(values, gate.values, rtol=0.0, atol=1e-9 * (1 + np.abs(values).max(initial=0.0))):
        raise AssertionError("a gate changes inside an interval")  # the binder let a non-gate through
    return values


@dataclass(frozen=True)
class ExactDomain:
    """Applies rules to `PiecewiseLinear` values; no tensor grows beyond `budget` bytes while it can be
    split.
    """

    budget: int = 64 << 20

    def apply(self, rule: Rule, inputs: list[PiecewiseLinear]) -> PiecewiseLinear:
        """The rule's output on the inputs' part of the line.

        Raises
        ------
        NeedsSplit
            If it would not fit into the budget.
        """
        xs = merge(inputs)
        self._check(xs)
        match rule:
            case Affine():
                return PiecewiseLinear(xs[0].knots, rule.evaluate_fast(*(x.values for x in xs)))
            case Kinked():
                return self._kinked(rule, xs[0])
            case Maximum():
                return self._maximum(rule, xs)
            case Step():
                return self._step(rule, xs)
            case Winner():
                return self._winner(rule, xs)
            case Gated():
                return self._gated(rule, xs)
            case Curved():
                return self._curved(rule, xs)

    def _check(self, xs: list[PiecewiseLinear]) -> None:
        for x in xs:
            if x.nbytes > self.budget:
                _afford(x.knots, NO_CROSSINGS, x.values[0].nbytes, self.budget)

    def _kinked(self, rule: Kinked, x: PiecewiseLinear) -> PiecewiseLinear:
        shape = x.values.shape[1:]
        flat = x.values.reshape(len(x.knots), -1)
        levels = [np.broadcast_to(level, shape).reshape(-1) for level in rule.breakpoints]
        found = [
            zero_crossings(x.knots, flat - values if level.any() else flat)
            for level, values in zip(rule.breakpoints, levels, strict=True)
        ]
        crossings = _concatenate(found)
        if not len(crossings.at):
            return PiecewiseLinear(x.knots, rule.evaluate(x.values))
        _afford(x.knots, crossings, x.values[0].nbytes, self.budget)
        refinement = refine(x.knots, crossings)
        refined = refinement(x)
        values = refined.values if refined is not x else refined.values.copy()
        # the element that changes its piece stands exactly on the breakpoint
        exact = np.concatenate([level[c.element] for level, c in zip(levels, found, strict=True)])
        values.reshape(len(refined.knots), -1)[refinement.position, crossings.element] = exact
        return PiecewiseLinear(refined.knots, rule.evaluate(values))

    def _envelope(
        self, rule: Maximum | Winner, xs: list[PiecewiseLinear]
    ) -> tuple[Array, Refinement, Crossings, Array]:
        """Upper envelope of the candidates: values at the old knots, refined knots, crossings and values
        there.
        """
        candidates = rule.candidates(*(x.values for x in xs))
        top, found = envelope.crossings(xs[0].knots, candidates, rule.sign)
        crossings = Crossings(found.interval, found.element, found.at)
        copies = len(candidates) if len(candidates) > FEW_CANDIDATES else 1
        _afford(xs[0].knots, crossings, copies * top[0].nbytes, self.budget)
        return top, refine(xs[0].knots, crossings), crossings, found.value

    def _maximum(self, rule: Maximum, xs: list[PiecewiseLinear]) -> PiecewiseLinear:
        top, refinement, crossings, exact = self._envelope(rule, xs)
        values = np.empty((len(refinement.knots), *top.shape[1:]))
        values[refinement.old] = top
        if len(refinement.new):
            values[refinement.new] = rule.evaluate(*(refinement.at_new(x) for x in xs))
        values.reshape(len(values), -1)[refinement.position, crossings.element] = exact
        return PiecewiseLinear(refinement.knots, values)

    def _pieces(self, evaluate: Callable[..., Array], xs: list[PiecewiseLinear]) -> PiecewiseLinear:
        """What `evaluate` gives in the middle of each interval, as a tensor with jumps."""
        knots = xs[0].knots
        real = np.nonzero(knots[1:] > knots[:-1])[0]
        if not len(real):
            return PiecewiseLinear(knots, evaluate(*(x.values for x in xs)))
        middles = (0.5 * (x.values[real] + x.values[real + 1]) for x in xs)
        return from_pieces(np.append(knots[real], knots[-1]), evaluate(*middles))

    def _winner(self, rule: Winner, xs: list[PiecewiseLinear]) -> PiecewiseLinear:
        _, refinement, _, _ = self._envelope(rule, xs)
        return self._pieces(rule.evaluate, [refinement(x) for x in xs])

    def _step(self, rule: Step, xs: list[PiecewiseLinear]) -> PiecewiseLinear:
        knots = xs[0].knots
        switches = rule.switches(*(x.values for x in xs))
        crossings = _concatenate([_changes(rule, knots, s, xs) for s in switches])
        _afford(knots, crossings, max(x.values[0].nbytes for x in xs), self.budget)
        refinement = refine(knots, crossings)
        return self._pieces(rule.evaluate, [refinement(x) for x in xs])

    def _gated(self, rule: Gated, xs: list[PiecewiseLinear]) -> PiecewiseLinear:
        values = [_between_jumps(x) if i in rule.gates else x.values for i, x in enumerate(xs)]
        return PiecewiseLinear(xs[0].knots, rule.evaluate(*values))

    def _curved(self, rule: Curved, xs: list[PiecewiseLinear]) -> PiecewiseLinear:
        """Only of tensors that are constant on pieces; the binder refuses every other."""
        return PiecewiseLinear(xs[0].knots, rule.evaluate(*(x.values for x in xs)))
