"""Random networks and random bundles of lines: the exact domain loses no knot and makes no value up."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.value import line_segment
from onnx_si.program.program import bind
from onnx_si.rules.registry import Context, Variable
from onnx_si.rules.rules import Winner

from .cases import HANDLERS
from .line import assert_exact
from .strategies import bundles, sketches

LOW, HIGH = -4.0, 4.0


@settings(max_examples=500)
@given(sketches(), st.sampled_from([1 << 26, 1 << 15, 1 << 12]))
def test_networks(sketch, budget):
    """At, around and between all knots of the output the exact domain agrees with single evaluations."""
    program = bind(sketch.model, sketch.start, (sketch.output,))
    program.require_exact()
    assert_exact(program, sketch.start, sketch.direction, budget=budget)


def kinks(lines):
    """Places strictly inside (-4, 4) where the upper envelope bends, in exact arithmetic."""
    places = {Fraction(b - a, s - t) for i, (a, s) in enumerate(lines) for b, t in lines[:i] if s != t}
    found = []
    for z in sorted(places):
        top = max(a + s * z for a, s in lines)
        slopes = {s for a, s in lines if a + s * z == top}
        if LOW < z < HIGH and len(slopes) > 1:
            found.append(z)
    return found


def as_inputs(lines):
    return [line_segment(np.array([float(a)]), np.array([float(s)]), LOW, HIGH) for a, s in lines]


def top_at(lines, z):
    return max(a + s * z for a, s in lines)


@settings(max_examples=300)
@given(bundles())
def test_largest_of_lines_bends_where_it_should(lines):
    xs = as_inputs(lines)
    rule = HANDLERS["Max"].build(tuple(Variable((1,)) for _ in xs), {}, Context(0, 1, 13))
    y = ExactDomain().apply(rule, xs)
    expected = [LOW, *map(float, kinks(lines)), HIGH]
    np.testing.assert_allclose(
        np.unique(np.round(y.knots, 12)), np.unique(np.round(expected, 12)), atol=1e-11
    )
    np.testing.assert_allclose(
        y.values[:, 0], [float(top_at(lines, Fraction(z))) for z in y.knots], atol=1e-12
    )


@settings(max_examples=300)
@given(bundles())
def test_winner_of_lines_changes_where_it_should(lines):
    """ArgMax between two bends is the first line that is largest there."""
    x = line_segment(*(np.array(part, dtype=float) for part in zip(*lines, strict=True)), LOW, HIGH)
    rule = HANDLERS["ArgMax"].build((Variable(x.values.shape[1:]),), {"keepdims": 0}, Context(0, 1, 13))
    assert isinstance(rule, Winner)
    y = ExactDomain().apply(rule, [x])
    ends = [Fraction(LOW), *kinks(lines), Fraction(HIGH)]
    for low, high in pairwise(ends):
        middle = (low + high) / 2
        values = [a + s * middle for a, s in lines]
        interval = y.knots.searchsorted(float(middle)) - 1
        assert y.values[interval] == y.values[interval + 1] == values.index(max(values))
