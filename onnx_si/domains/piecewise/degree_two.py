"""Rules on tensors that are polynomials of degree 2 between knots."""

from collections.abc import Sequence

import numpy as np

from onnx_si.domains.piecewise import crests
from onnx_si.domains.piecewise.crossings import Crossings, concatenate
from onnx_si.domains.piecewise.quadratic import PiecewiseQuadratic
from onnx_si.domains.piecewise.roots import crossings_of_zero
from onnx_si.domains.piecewise.value import Index, PiecewiseLinear, between_jumps
from onnx_si.rules.rules import Affine, Array, Bilinear, Gated, Kinked, Maximum, Rule


def product(rule: Bilinear, xs: Sequence[PiecewiseLinear]) -> PiecewiseQuadratic:
    """The product of two tensors that are affine between the same knots: it bends by that of their rises."""
    knots = xs[0].knots
    rises = [_rises(x) for x in (xs[0], xs[-1])]
    return PiecewiseQuadratic(knots, rule.evaluate(*(x.values for x in xs)), rule.of(*rises))


def _rises(x: PiecewiseLinear) -> Array:
    """How much each interval adds; a jump is no rise."""
    rises = x.values[1:] - x.values[:-1]
    rises[x.knots[1:] <= x.knots[:-1]] = 0.0
    return rises


def apply(rule: Rule, xs: Sequence[PiecewiseQuadratic]) -> PiecewiseQuadratic:
    """The output of a rule that is followed behind a product."""
    match rule:
        case Affine():
            values = rule.evaluate_fast(*(x.values for x in xs))
            return PiecewiseQuadratic(xs[0].knots, values, rule.slope(*(x.bends for x in xs)))
        case Gated():
            return _gated(rule, xs)
        case _:
            raise AssertionError(f"{type(rule).__name__} of a product")  # the binder let it through


def _gated(rule: Gated, xs: Sequence[PiecewiseQuadratic]) -> PiecewiseQuadratic:
    """The bends go through the gates like the values, without what is constant behind them."""
    gates = {i: between_jumps(xs[i].chords) for i in rule.gates}
    values = rule.evaluate(*(gates.get(i, x.values) for i, x in enumerate(xs)))
    held = {i: gate[:-1] for i, gate in gates.items()}  # an interval's gate is the one at its left end
    bends = rule.evaluate(*(held.get(i, x.bends) for i, x in enumerate(xs)))
    still = rule.evaluate(*(held.get(i, np.zeros_like(x.bends)) for i, x in enumerate(xs)))
    return PiecewiseQuadratic(xs[0].knots, values, bends - still)


def changes(rule: Kinked | Maximum, xs: Sequence[PiecewiseQuadratic]) -> Crossings:
    """Where elements of a rule's output change their piece."""
    if isinstance(rule, Kinked):
        return concatenate([_through(xs[0], level) for level in rule.breakpoints])
    knots = xs[0].knots
    values = rule.sign * np.asarray(rule.candidates(*(x.values for x in xs)))
    bends = _bends(rule, xs)
    flat = (len(values), len(knots), -1), (len(bends), len(knots) - 1, -1)
    return crests.handovers(knots, values.reshape(flat[0]), rule.sign * bends.reshape(flat[1]))


def _through(x: PiecewiseQuadratic, level: Array) -> Crossings:
    """Where elements pass a level strictly inside an interval."""
    values = (x.values - level).reshape(len(x.knots), -1)
    bends = x.bends.reshape(len(x.knots) - 1, -1)
    least = values.min(axis=0) - 0.25 * np.maximum(bends, 0.0).max(axis=0, initial=0.0)
    most = values.max(axis=0) + 0.25 * np.maximum(-bends, 0.0).max(axis=0, initial=0.0)
    columns = np.flatnonzero((least < 0) & (most > 0))
    left, right, bend = values[:-1, columns], values[1:, columns], bends[:, columns]
    real = (x.knots[1:] > x.knots[:-1])[:, None]
    found = []
    for root in crossings_of_zero(left, right, bend):
        interval, column = np.nonzero((root > 0) & (root < 1) & real)
        low, length = x.knots[interval], x.knots[interval + 1] - x.knots[interval]
        share, at = root[interval, column], (interval, column)
        slope = np.abs(right[at] - left[at] - (1 - 2 * share) * bend[at]) / length
        place = np.clip(low + share * length, low, low + length)
        found.append(Crossings(interval=interval, element=columns[column], at=place, slope=slope))
    return concatenate(found)


def _bends(rule: Maximum, xs: Sequence[PiecewiseQuadratic]) -> Array:
    """The bend of every candidate; those of constant ones and of missing ones are zero."""
    bends = np.asarray(rule.candidates(*(x.bends for x in xs)))
    still = np.asarray(rule.candidates(*(np.zeros_like(x.bends) for x in xs)))
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(still), bends - still, 0.0)


def maximum(rule: Maximum, xs: Sequence[PiecewiseQuadratic]) -> PiecewiseQuadratic:
    """The largest candidate on knots between which none overtakes another."""
    middles = rule.sign * np.asarray(rule.candidates(*(x.middles() for x in xs)))
    winner = middles.argmax(axis=0)[None]
    bends = np.take_along_axis(_bends(rule, xs), winner, axis=0)[0]
    return PiecewiseQuadratic(xs[0].knots, rule.evaluate(*(x.values for x in xs)), bends)


def on_levels(rule: Kinked, x: PiecewiseQuadratic, found: Crossings, position: Index) -> PiecewiseQuadratic:
    """The tensor with every element that changes its piece exactly on the breakpoint."""
    shape, values = x.values.shape[1:], x.values.copy()
    flat, at = values.reshape(len(x.knots), -1), (position, found.element)
    levels = np.stack([np.broadcast_to(level, shape).ravel()[found.element] for level in rule.breakpoints])
    nearest = np.abs(levels - flat[at]).argmin(axis=0)
    flat[at] = levels[nearest, np.arange(len(nearest))]
    return PiecewiseQuadratic(x.knots, values, x.bends)


def kinked(rule: Kinked, x: PiecewiseQuadratic) -> PiecewiseQuadratic:
    """The function on knots between which no element passes a breakpoint.

    It is affine there, and the bend gets the slope between the middle and the end that is farther from it.
    """
    values, middle = rule.evaluate(x.values), x.middles()
    left, right = x.values[:-1], x.values[1:]
    farther = np.abs(left - middle) > np.abs(right - middle)
    far = np.where(farther, left, right)
    rise = rule.evaluate(middle) - np.where(farther, values[:-1], values[1:])
    slope = np.divide(rise, middle - far, out=np.zeros_like(far), where=middle != far)
    return PiecewiseQuadratic(x.knots, values, slope * x.bends)
