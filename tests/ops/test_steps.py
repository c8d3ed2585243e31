"""Steps and what is composed of them: every knot worked out by hand."""

import numpy as np
import onnx
import pytest

from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.crossings import level_crossings
from onnx_si.domains.piecewise.value import PiecewiseLinear, line_segment
from onnx_si.domains.walker import NeedsSplit
from onnx_si.rules.registry import Context, Variable
from onnx_si.rules.rules import Composition

from .cases import HANDLERS
from .test_breakpoints import apply, assert_is, lines, rule, through, variable


def run(op, *inputs, output=0, stepwise=False, constants=(), **attributes):
    """An op of several rules on the exact domain."""
    handler = HANDLERS[op]
    given = (*(variable(x, stepwise) for x in inputs), *constants)
    made = handler.build(given, attributes, Context(output, 3, handler.versions[-1]))
    values = list(inputs)
    for stage in made.stages if isinstance(made, Composition) else ():
        values.append(ExactDomain().apply(stage.rule, [values[i] for i in stage.inputs]))
    return values[-1] if isinstance(made, Composition) else ExactDomain().apply(made, values)


def test_floor():
    x = lines((0.5, 0.5))
    assert_is(run("Floor", x), [-4, -3, -3, -1, -1, 1, 1, 3, 3, 4], [-2, -2, -1, -1, 0, 0, 1, 1, 2, 2])


def test_floor_of_two_elements_keeps_both_places():
    x = lines((0.5, 0.25), (0, -0.5))
    y = run("Floor", x)
    assert_is(y, [-4, -2, -2, 0, 0, 2, 2, 4], [-1, -1, 0, 0, 0, 0, 1, 1], [1, 1, 0, 0, -1, -1, -2, -2])


def test_ceil_and_round():
    x = lines((0.5, 0.25))
    assert_is(run("Ceil", x), [-4, -2, -2, 2, 2, 4], [0, 0, 1, 1, 2, 2])
    assert_is(
        run("Round", lines((0, 0.5))), [-4, -3, -3, -1, -1, 1, 1, 3, 3, 4], [-2, -2, -1, -1, 0, 0, 1, 1, 2, 2]
    )


def test_a_level_that_is_only_touched_is_no_jump():
    x = through([-4, 0, 4], [1.5, 1, 1.5])
    assert set(run("Floor", x).values.ravel()) == {1.0}


def test_sign_is_zero_on_a_stretch_only():
    x = through([-4, -1, 2, 4], [-3, 0, 0, 1])
    assert_is(run("Sign", x), [-4, -1, -1, 2, 2, 4], [-1, -1, 0, 0, 1, 1])


def test_cast_to_integers_truncates():
    x = lines((0, 0.5))
    y = run("Cast", x, to=onnx.TensorProto.INT64)
    assert_is(y, [-4, -2, -2, 2, 2, 4], [-1, -1, 0, 0, 1, 1])


def test_mod_falls_back():
    x = lines((0, 0.5))
    y = run("Mod", x, constants=(np.array(1.5),), fmod=1)
    assert_is(y, [-4, -3, -3, 3, 3, 4], [-0.5, 0, -1.5, 1.5, 0, 0.5])
    y = run("Mod", x, constants=(np.array(1.5),))
    assert_is(y, [-4, -3, -3, 0, 0, 3, 3, 4], [1, 1.5, 0, 1.5, 0, 1.5, 0, 0.5])


def test_thresholded_relu_jumps_by_its_threshold():
    assert_is(run("ThresholdedRelu", lines((0, 1)), alpha=2.0), [-4, 2, 2, 4], [0, 0, 2, 4])


def test_shrink_jumps_on_both_sides():
    y = run("Shrink", lines((0, 1)), lambd=1.0, bias=0.25)
    assert_is(y, [-4, -1, -1, 1, 1, 4], [-3.75, -0.75, 0, 0, 0.75, 3.75])


def test_soft_shrink_bends():
    assert_is(run("Shrink", lines((0, 1)), lambd=1.0, bias=1.0), [-4, -1, 1, 4], [-3, 0, 0, 3])


def test_quantize_saturates():
    """Levels 0.5 wide around zero point 2 of a 2-bit number: 0, 1, 2, 3."""
    x = lines((0, 0.25))
    two_bits = onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.UINT2)
    y = run("QuantizeLinear", x, constants=(np.array(0.5), np.array(2, dtype=two_bits)))
    at, jumps = y.knots, np.diff(y.values[:, 0])
    assert at[np.nonzero(jumps)[0]].tolist() == [-3, -1, 1]
    assert y.values[[0, -1], 0].tolist() == [0, 3]


def test_far_beyond_the_range_there_are_no_levels():
    x = lines((0, 1e9))
    y = run("QuantizeLinear", x, constants=(np.array(1.0), np.array(128, np.uint8)))
    assert len(y.knots) < 600
    assert set(y.values.ravel()) == {float(n) for n in range(256)}


def test_dynamic_scale_moves_with_the_image():
    """x = (z, 1): the range is [min(z, 0), max(z, 1)], so a level is (1 - z) / 255 wide for z < 0."""
    x = lines((0, 1), (1, 0))
    assert_is(run("DynamicQuantizeLinear", x, output=1), [-4, 0, 1, 4], [5 / 255, 1 / 255, 1 / 255, 4 / 255])
    zero = run("DynamicQuantizeLinear", x, output=2)
    edges = [-(k + 0.5) / (254.5 - k) for k in range(204)]  # 255 * -z / (1 - z) = k + 1/2
    jumps = zero.knots[np.nonzero(np.diff(zero.values))[0]]
    np.testing.assert_allclose(jumps, sorted(edge for edge in edges if edge > -4), atol=1e-12)
    assert zero.values[[0, -1]].tolist() == [204.0, 0.0]


def test_dynamic_scale_of_zeros():
    x = through([-4, 0, 4], [0, 0, 2])
    assert_is(run("DynamicQuantizeLinear", x, output=1), [-4, 0, 0, 4], [1, 1, 0, 2 / 255])
    assert_is(run("DynamicQuantizeLinear", x), [-4, 0, 0, 4], [0, 0, 255, 255])


def test_top_two_of_three():
    x = lines((0, 1), (1, 0), (0, -1))
    values = run("TopK", x, constants=(np.array([2]),))
    places = run("TopK", x, constants=(np.array([2]),), output=1)
    assert_is(places, [-4, -1, -1, 0, 0, 1, 1, 4], [2, 2, 1, 1, 1, 1, 0, 0], [1, 1, 2, 2, 0, 0, 1, 1])
    np.testing.assert_allclose(values.values[:, 0], [4, 1, 1, 1, 1, 1, 1, 4], atol=2e-15)
    np.testing.assert_allclose(values.values[:, 1], [1, 1, 1, 0, 0, 1, 1, 1], atol=2e-15)


def test_last_of_equals():
    x = through([-4, 0, 4], [0, 0, 1], [0, 0, -2])
    y = run("ArgMax", x, keepdims=0, select_last_index=1)
    assert_is(y, [-4, 0, 0, 4], [1, 1, 0, 0])


def test_reduce_l1_bends_where_elements_change_sign():
    x = lines((0, 1), (-1, 0.5))
    made = run("ReduceL1", x, keepdims=0)
    assert_is(made, [-4, 0, 2, 4], [7, 1, 2, 5])


def test_places_of_the_largest():
    x = lines((0, 1), (0, 0), (1, -1))
    x = PiecewiseLinear(x.knots, x.values.reshape(-1, 1, 1, 3))
    y = run("MaxPool", x, output=1, kernel_shape=[2])
    assert_is(y, [-4, 0, 0, 1, 1, 4], [1, 1, 0, 0, 0, 0], [2, 2, 2, 2, 1, 1])


def test_too_many_levels_split_the_line():
    segment = line_segment(np.zeros(1), np.full(1, 1e9), -4.0, 4.0)
    with pytest.raises(NeedsSplit) as split:
        level_crossings(segment.knots, segment.values, np.ones_like(segment.values))
    assert split.value.at == 0.0


def test_round_on_a_plateau_between_levels_is_even():
    x = through([-4, 4], [2.5, 2.5], [3.5, 3.5])
    assert run("Round", x).values.tolist() == [[2, 4], [2, 4]]


def test_rules_are_alike_in_both_test_files():
    """`rule` and `run` build the same op."""
    x = lines((0, 1))
    np.testing.assert_array_equal(apply(rule("Floor", Variable((1,))), x).values, run("Floor", x).values)
