"""Numbers that are equal but for rounding: no comparison or choice tells them apart, in any domain."""

import numpy as np
import pytest
from onnx import TensorProto
from support import nets, scenes

import onnx_si
from onnx_si.rules.registry import Context, Variable
from onnx_si.rules.rules import TIE, loosely

SHAPE = (1, 1, 6, 6)


def greater_of_equals(n):
    """Two sums of the same numbers in another order."""
    left = n.add("Add", n.add("Add", "x", n.const(0.25)), n.const(0.5))
    right = n.add("Add", "x", n.const(0.75))
    return n.add("Cast", n.add("Greater", n.add("Relu", left), n.add("Relu", right)), to=TensorProto.FLOAT)


def nearest_prototype(n):
    """In L1 distance: all whole numbers between two channels are equally near."""
    channels = n.add("Unsqueeze", n.conv("x", 1, 2), n.ints(1))
    apart = n.add("Abs", n.add("Sub", channels, n.const(np.arange(4.0).reshape(1, 4, 1, 1, 1))))
    return n.add("ArgMin", n.add("ReduceSum", apart, n.ints(2), keepdims=0), axis=1, keepdims=0)


def peaks(n):
    """Where a map is its own largest value around."""
    scores = n.conv("x", 1, 1)
    largest = n.add("MaxPool", scores, kernel_shape=[3, 3], pads=[1] * 4)
    return n.add("Mul", scores, n.add("Cast", n.add("Equal", scores, largest), to=TensorProto.FLOAT))


def at_least_the_largest(n):
    scores = n.conv("x", 1, 1)
    largest = n.add("MaxPool", scores, kernel_shape=[3, 3], pads=[1] * 4)
    return n.add("Mul", scores, n.add("Cast", n.add("GreaterOrEqual", scores, largest), to=TensorProto.FLOAT))


def largest_of_dead_units(n):
    return n.add("ArgMax", n.add("Relu", n.conv("x", 1, 3)), axis=1, keepdims=0)


MODELS = [nearest_prototype, peaks, at_least_the_largest, largest_of_dead_units]


def model_of(make, seed):
    n = nets.Net(seed, SHAPE, opset=17)
    return n.finish(n.add("Cast", make(n), to=TensorProto.FLOAT, out="map"))


@pytest.mark.parametrize("make", MODELS)
def test_the_truncation_set_is_what_plain_evaluation_gives(make):
    """At 400 points of lines on which values tie on whole stretches, and at the image itself."""
    searched = 0
    for seed in range(6):
        model = model_of(make, seed)
        image = np.random.default_rng([seed, 5]).normal(size=SHAPE)
        case = scenes.make_case(model, image, threshold="minmax:0.5", saliency="output:map")
        if case is None:
            continue
        found = case.search()
        assert found.inside.contains(case.line.statistic)
        z = case.line.statistic + case.line.standard_error * np.linspace(-4, 4, 401)
        ends = np.array([end for part in (*found.inside, *found.undecided) for end in part])
        clear = np.min(np.abs(z[:, None] - ends), axis=1) > 1e-9
        clear &= [not found.undecided.contains(value) for value in z]
        assert clear.mean() > 0.9
        inside = np.array([found.inside.contains(value) for value in z])
        np.testing.assert_array_equal(inside[clear], case.member(z)[clear])
        searched += 1
    assert searched > 2


def test_equal_sums_are_not_greater():
    """Rounding alone makes some of them so."""
    image = np.random.default_rng(1).normal(size=SHAPE)
    assert ((image + 0.25) + 0.5 > image + 0.75).any()
    assert not onnx_si.evaluate(model_of(greater_of_equals, 0), {"x": image})["map"].any()


@pytest.mark.parametrize(
    ("op", "expected"),
    [("Greater", 0), ("GreaterOrEqual", 1), ("Less", 0), ("LessOrEqual", 1), ("Equal", 1)],
)
def test_relations_of_numbers_up_to_rounding(op, expected):
    """In single precision; in double precision a model may tell them apart."""
    from ops.cases import HANDLERS

    near, far = 1 + 0.5 * TIE, 1 + 8 * TIE
    for element, ones in ((TensorProto.FLOAT, [expected] * 2), (TensorProto.DOUBLE, None)):
        both = (Variable((4,), element=element),) * 2
        rule = HANDLERS[op].build(both, {}, Context(0, 1, HANDLERS[op].versions[-1]))
        a, b = np.array([[1, near, 1, far]]), np.array([[near, 1, far, 1]])
        exact = {
            "Greater": a > b,
            "GreaterOrEqual": a >= b,
            "Less": a < b,
            "LessOrEqual": a <= b,
            "Equal": a == b,
        }[op].astype(float)[0]
        wanted = exact if ones is None else [*ones, *exact[2:]]
        np.testing.assert_array_equal(loosely(rule, a, b)[0], wanted)


def test_infinite_numbers_are_compared_as_they_are():
    from ops.cases import HANDLERS

    rule = HANDLERS["Equal"].build((Variable((3,)),) * 2, {}, Context(0, 1, 19))
    a, b = np.array([[np.inf, -np.inf, np.inf]]), np.array([[np.inf, np.inf, 1.0]])
    np.testing.assert_array_equal(loosely(rule, a, b), [[1, 0, 0]])


def test_the_first_of_equal_candidates_wins():
    from ops.cases import HANDLERS

    for op, sign in (("ArgMax", 1), ("ArgMin", -1)):
        for element, first in ((TensorProto.FLOAT, 0), (TensorProto.DOUBLE, 1)):
            handler = HANDLERS[op]
            rule = handler.build((Variable((1, 3), element=element),), {"axis": 1}, Context(0, 1, 13))
            x = sign * np.array([[[2.0, 2.0 + TIE, 1.0]]])
            assert loosely(rule, x).ravel().tolist() == [first]
            assert rule.evaluate(x).ravel().tolist() == [1]


def test_in_double_precision_the_largest_is_the_largest():
    from ops.cases import HANDLERS

    x = np.array([[[[1.0, 1 + 0.5 * TIE]]]])
    for element, place in ((TensorProto.FLOAT, 0), (TensorProto.DOUBLE, 1)):
        variable = Variable((1, 1, 2), element=element)
        pool = HANDLERS["MaxPool"].build((variable,), {"kernel_shape": [2]}, Context(1, 2, 12))
        first, second = pool.stages
        assert second.rule.evaluate(loosely(first.rule, x)).ravel().tolist() == [place]
        marks = HANDLERS["Hardmax"].build((variable,), {"axis": 2}, Context(0, 1, 13))
        first, second = marks.stages
        assert second.rule.evaluate(loosely(first.rule, x)).ravel().tolist() == [1 - place, place]


def test_a_region_that_only_rounding_made_is_refused():
    """A map that is zero as a real number: what is left of it says nothing about the image."""
    n = nets.Net(0, SHAPE, opset=17)
    values = n.conv("x", 1, 3)
    mean = n.add(
        "ReduceMean", n.add("Sub", values, n.add("ReduceMean", values, axes=[1])), axes=[1], out="map"
    )
    model = n.finish(mean)
    image = np.random.default_rng(2).normal(size=SHAPE)
    with pytest.raises(onnx_si.UnsupportedModel, match="nothing but rounding decides the region"):
        onnx_si.test(model, image, sigma=1.0, saliency="output:map", threshold="minmax:0.5")
