"""Rules on tensors that are polynomials of degree 2 between knots."""

from collections.abc import Sequence

import numpy as np

from onnx_si.domains.piecewise.quadratic import PiecewiseQuadratic
from onnx_si.domains.piecewise.value import PiecewiseLinear, between_jumps
from onnx_si.rules.rules import Affine, Array, Bilinear, Gated, Rule


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
