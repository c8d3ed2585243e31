"""Breakpoints worked out by hand: the place of every knot and the value there."""

import numpy as np
import pytest

from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.value import PiecewiseLinear, line_segment
from onnx_si.rules.registry import Context, Variable

from .cases import HANDLERS

DOMAIN = ExactDomain()
LOW, HIGH = -4.0, 4.0


def rule(op, *inputs, **attributes):
    """The rule of an op in its newest version."""
    handler = HANDLERS[op]
    return handler.build(inputs, attributes, Context(0, 1, handler.versions[-1]))


def lines(*elements, shape=None):
    """A tensor whose elements are intercept + slope * z on [-4, 4]."""
    intercept, slope = (
        np.array(part, dtype=float).reshape(shape or -1) for part in zip(*elements, strict=True)
    )
    return line_segment(intercept, slope, LOW, HIGH)


def through(knots, *elements):
    """A tensor whose elements are given by their values at the knots."""
    return PiecewiseLinear(np.array(knots, dtype=float), np.array(elements, dtype=float).T)


def apply(made, *inputs):
    return DOMAIN.apply(made, list(inputs))


def variable(f, stepwise=False):
    return Variable(f.values.shape[1:], stepwise)


def assert_is(f, knots, *elements):
    """Exactly these knots and, up to rounding, these values."""
    np.testing.assert_allclose(f.knots, knots, rtol=0, atol=1e-15)
    flat = f.values.reshape(len(f.knots), -1)
    np.testing.assert_allclose(flat, np.array(elements, dtype=float).T, rtol=0, atol=2e-15)


def test_relu():
    x = lines((-1, 1), (3, 2), (0, -1))
    knots = [-4, -1.5, 0, 1, 4]
    assert_is(
        apply(rule("Relu", variable(x)), x), knots, [0, 0, 0, 0, 3], [0, 0, 3, 5, 11], [4, 1.5, 0, 0, 0]
    )


def test_relu_is_exactly_zero_on_its_breakpoint():
    x = lines((-1 / 3, 0.7), (0.1, 1 / 3))
    y = apply(rule("Relu", variable(x)), x)
    assert y.knots.tolist() == [-4, *sorted([(1 / 3) / 0.7, -0.1 * 3]), 4] or y.points == 4
    assert y.values[2, 0] == 0.0
    assert y.values[1, 1] == 0.0


def test_relu_that_never_changes_adds_no_knot():
    x = lines((5, 1), (-5, 1), (0, 0))
    assert_is(apply(rule("Relu", variable(x)), x), [-4, 4], [1, 9], [0, 0], [0, 0])


def test_relu_that_touches_zero_adds_no_knot():
    x = through([-4, 1, 4], [-2, 0, -1], [5, 0, 3])
    assert_is(apply(rule("Relu", variable(x)), x), [-4, 1, 4], [0, 0, 0], [5, 0, 3])


def test_leaky_relu():
    x = lines((1, 1), (2, -2))
    assert_is(
        apply(rule("LeakyRelu", variable(x), alpha=0.5), x), [-4, -1, 1, 4], [-1.5, 0, 2, 5], [10, 4, 0, -3]
    )


def test_prelu_with_a_slope_for_each_element():
    x = lines((1, 1), (2, -2))
    made = rule("PRelu", variable(x), np.array([-2.0, 0.0]))
    assert_is(apply(made, x), [-4, -1, 1, 4], [6, 0, 2, 5], [10, 4, 0, 0])


def test_abs():
    x = lines((1, 2), (0, 0))
    assert_is(apply(rule("Abs", variable(x)), x), [-4, -0.5, 4], [7, 0, 9], [0, 0, 0])


def test_clip():
    x = lines((1, 2), (0, -1))
    made = rule("Clip", variable(x), np.array(-1.0), np.array(2.0))
    knots = [-4, -2, -1, 0.5, 1, 4]
    assert_is(apply(made, x), knots, [-1, -1, -1, 2, 2, 2], [2, 2, 1, -0.5, -1, -1])


def test_clip_with_crossed_limits_is_the_upper_one():
    x = lines((0, 1))
    made = rule("Clip", variable(x), np.array(2.0), np.array(-1.0))
    assert set(apply(made, x).values.ravel()) == {-1.0}


def test_hard_sigmoid_is_exactly_flat():
    x = lines((0, 1), (1, -1))
    y = apply(rule("HardSigmoid", variable(x), alpha=0.25, beta=0.5), x)
    assert_is(y, [-4, -2, -1, 2, 3, 4], [0, 0, 0.25, 1, 1, 1], [1, 1, 1, 0.25, 0, 0])
    assert set(y.values[:2, 0]) == {0.0}
    assert set(y.values[-3:, 0]) == {1.0}


def test_max_of_two_lines():
    a, b = lines((0, 1), (0, 0)), lines((1, 0), (0, 0))
    assert_is(apply(rule("Max", variable(a), variable(b)), a, b), [-4, 1, 4], [1, 1, 4], [0, 0, 0])


def test_max_with_a_constant():
    x = lines((0, 1), (0, -1))
    made = rule("Max", variable(x), np.array([1.0, 2.0]))
    assert_is(apply(made, x), [-4, -2, 1, 4], [1, 1, 1, 4], [4, 2, 2, 2])


@pytest.mark.parametrize(
    ("third", "knots", "values"),
    [
        ((-1, 0.1), [-4, 0, 4], [4, 0, 4]),
        ((1, 0), [-4, -1, 1, 4], [4, 1, 1, 4]),
        ((0, 0), [-4, 0, 4], [4, 0, 4]),
        ((0.5, 0.5), [-4, -1 / 3, 1, 4], [4, 1 / 3, 1, 4]),
    ],
    ids=["below both", "winner in the middle", "through the crossing", "tilted winner in the middle"],
)
def test_max_of_three_lines(third, knots, values):
    """The winners at both ends cross at 0; what counts is whether the third one is above them there."""
    parts = [lines((0, 1)), lines((0, -1)), lines(third)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        xs = [parts[i] for i in order]
        assert_is(apply(rule("Max", *map(variable, xs)), *xs), knots, values)


def test_min_mirrors_max():
    a, b = lines((0, 1)), lines((1, 0))
    assert_is(apply(rule("Min", variable(a), variable(b)), a, b), [-4, 1, 4], [-4, 1, 1])


def test_equal_lines_make_no_knots():
    a, b, c = lines((0.1, 0.3)), lines((0.1, 0.3)), lines((0.1, 0.3))
    assert apply(rule("Max", *map(variable, (a, b, c))), a, b, c).points == 2


def test_lines_that_meet_at_an_end_make_no_knots():
    a, b = lines((0, 1)), lines((4, 0))
    assert_is(apply(rule("Max", variable(a), variable(b)), a, b), [-4, 4], [4, 4])


def test_many_winners_in_a_row():
    """The tangents of z*z/2 at -3 .. 3 take over from each other half way."""
    xs = [lines((-t * t / 2, t)) for t in (3, -1, 0, 2, -3, 1, -2)]
    knots = [-4, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 4]
    values = [max(t * z - t * t / 2 for t in range(-3, 4)) for z in knots]
    assert_is(apply(rule("Max", *map(variable, xs)), *xs), knots, values)


def test_max_pool():
    x = lines((0, 1), (0, 0), (1, -1), shape=(1, 1, 3))
    made = rule("MaxPool", variable(x), kernel_shape=[2])
    assert_is(apply(made, x), [-4, 0, 1, 4], [0, 0, 1, 4], [5, 1, 0, 0])


def test_max_pool_never_takes_the_pad():
    x = lines((-10, 1), shape=(1, 1, 1))
    made = rule("MaxPool", variable(x), kernel_shape=[2], pads=[1, 1])
    assert_is(apply(made, x), [-4, 4], [-14, -6], [-14, -6])


def test_reduce_max():
    x = lines((0, 1), (2, 0), (0, -1), (5, 0), shape=(2, 2))
    made = rule("ReduceMax", variable(x), np.array([0]), keepdims=0)
    assert_is(apply(made, x), [-4, 0, 4], [4, 0, 4], [5, 5, 5])


def test_comparison_jumps():
    x = lines((-1, 1), (-3, 0))
    y = apply(rule("Greater", variable(x), np.array(0.0)), x)
    assert_is(y, [-4, 1, 1, 4], [0, 0, 1, 1], [0, 0, 0, 0])


def test_where_jumps_between_both_limits():
    x = lines((0, 1))
    gate = apply(rule("Greater", variable(x), np.array(1.0)), x)
    y = apply(rule("Where", variable(gate, True), variable(x), np.array([-2.0])), gate, x)
    assert_is(y, [-4, 1, 1, 4], [-2, -2, 1, 4])


def test_gate_times_signal():
    x, s = lines((0, 1)), through([-4, 0, 4], [2, 1, -3])
    gate = apply(rule("Less", variable(x), np.array(2.0)), x)
    y = apply(rule("Mul", variable(gate, True), variable(s)), gate, s)
    assert_is(y, [-4, 0, 2, 2, 4], [2, 1, -1, 0, 0])


def test_jump_meets_a_knot():
    """A tensor with a jump at 1 plus one with a kink at 1: two knots there, both limits right."""
    x = lines((0, 1))
    gate = apply(rule("Greater", variable(x), np.array(1.0)), x)
    kink = apply(rule("Relu", Variable((1,))), lines((-1, 1)))
    assert_is(apply(rule("Add", variable(gate), variable(kink)), gate, kink), [-4, 1, 1, 4], [0, 0, 1, 4])


def test_touching_a_level_is_no_jump():
    x = through([-4, 1, 4], [5, 0, 3])
    y = apply(rule("Greater", variable(x), np.array(0.0)), x)
    assert set(y.values.ravel()) == {1.0}


def test_plateau_on_the_level():
    """On a stretch that is exactly zero, > and >= differ, and so they do between its ends."""
    x = through([-4, -1, 2, 4], [-3, 0, 0, 1])
    assert_is(apply(rule("Greater", variable(x), np.array(0.0)), x), [-4, 2, 2, 4], [0, 0, 1, 1])
    assert_is(apply(rule("GreaterOrEqual", variable(x), np.array(0.0)), x), [-4, -1, -1, 4], [0, 0, 1, 1])
    assert_is(apply(rule("Equal", variable(x), np.array(0.0)), x), [-4, -1, -1, 2, 2, 4], [0, 0, 1, 1, 0, 0])


def test_arg_max_then_gather():
    x = lines((0, 1), (1, 0), (0, -1))
    index = apply(rule("ArgMax", variable(x), keepdims=0), x)
    assert_is(index, [-4, -1, -1, 1, 1, 4], [2, 2, 1, 1, 0, 0])
    table = np.array([10.0, 20.0, 30.0])
    assert_is(
        apply(rule("Gather", table, variable(index, True)), index), index.knots, [30, 30, 20, 20, 10, 10]
    )
    picked = apply(rule("Gather", variable(x), variable(index, True)), x, index)
    assert_is(picked, index.knots, [4, 1, 1, 1, 1, 4])


def test_the_first_of_equals_wins_along_a_tie():
    x = through([-4, 0, 4], [0, 0, 1], [0, 0, 2])
    assert_is(apply(rule("ArgMax", variable(x), keepdims=0), x), [-4, 0, 0, 4], [0, 0, 1, 1])


def test_zero_stretches_stay_exactly_zero():
    """What Relu switched off is 0.0 to the last bit, behind knots of other elements and sums, too."""
    rng = np.random.default_rng(0)
    x = line_segment(rng.normal(size=40), rng.normal(size=40), LOW, HIGH)
    off = apply(rule("Relu", variable(x)), x)
    weight = np.abs(rng.normal(size=(40, 3)))
    weight[:, 0] = np.where(np.arange(40) == 7, 1 / 3, 0.0)
    mixed = apply(rule("MatMul", variable(off), weight), off)
    again = apply(rule("Relu", variable(mixed)), mixed)
    root = -(x.values[0, 7] * HIGH - x.values[1, 7] * LOW) / (x.values[1, 7] - x.values[0, 7])
    side = again.knots < root if x.values[1, 7] > x.values[0, 7] else again.knots > root
    assert side.sum() > 5
    assert set(again.values[side, 0]) == {0.0}
    assert np.all(again.values[~side & (np.abs(again.knots - root) > 1e-9), 0] > 0)
    assert len(again.knots) == len(off.knots), "Relu of what is not negative found a crossing"


def test_a_gate_may_be_constant_up_to_rounding():
    """BLAS rounds equal rows of a product differently: a gate that went through one is taken as it starts."""
    third = 1 / 3
    gate = through([-4, 1, 1, 4], [third, np.nextafter(third, 1), 0.0, 5e-324])
    signal = through([-4, 4], [3, 6])
    y = apply(rule("Mul", variable(gate, True), variable(signal)), gate, signal)
    assert y.knots.tolist() == [-4, 1, 1, 4]
    assert y.values.ravel().tolist() == [third * 3, third * 4.875, 0.0, 0.0]


def test_a_gate_that_changes_is_our_own_bug():
    gate, signal = through([-4, 4], [0, 1]), through([-4, 4], [3, 6])
    with pytest.raises(AssertionError, match="a gate changes inside an interval"):
        apply(rule("Mul", variable(gate, True), variable(signal)), gate, signal)
