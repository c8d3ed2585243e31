"""The distance between scores has the sign of the margin that the winning class decides."""

import numpy as np
import pytest
from support import nets

from onnx_si.program.continuous import continuous
from onnx_si.program.program import bind


def class_net(target, channels=4, op="ArgMax", compare="Equal"):
    """1 where the winning channel is the wanted one, less a half, in another shape."""
    net = nets.Net(3, (1, channels, 5, 5))
    scores = net.add("Conv", net.add("Relu", "x"), net.normal(channels, channels, 1, 1), out="scores")
    label = net.add(op, scores, axis=1, keepdims=1)
    one = net.add("Cast", net.add(compare, label, net.ints(target)), to=1)
    net.add("Reshape", net.add("Sub", one, net.const(np.array(0.5))), net.ints(5, 5), out="margin")
    return net.finish("margin")


def distance_of(model):
    """The program, and its distance."""
    program = bind(model, np.random.default_rng(0).normal(size=(1, 4, 5, 5)), ("margin",))
    return program, continuous(program, "margin")


def values(program, images, name):
    live = {program.input: images}
    for step in program.instructions:
        live[step.output] = step.rule.evaluate(*(live[x] for x in step.inputs))
    return live[name]


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("compare", ["Equal", "Less", "GreaterOrEqual"])
@pytest.mark.parametrize("target", [1, 2])
def test_the_sign_is_the_same(target, compare, op):
    program, made = distance_of(class_net(target, op=op, compare=compare))
    images = np.random.default_rng(1).normal(size=(400, 1, 4, 5, 5))
    jumps, distance = values(program, images, "margin"), values(made.program, images, made.margin)
    assert set(np.unique(jumps)) == {-0.5, 0.5} and distance.shape == jumps.shape
    told = distance != 0  # it says nothing where every unit is off
    assert told.mean() > 0.9
    np.testing.assert_array_equal(jumps[told] > 0, distance[told] > 0)


def test_equal_scores_are_on_no_side():
    """Every unit is off: class 0 wins, as the first of equals, and the distance says nothing."""
    program, made = distance_of(class_net(0))
    images = np.full((1, 1, 4, 5, 5), -1.0)
    assert np.all(values(program, images, "margin") > 0)
    assert np.all(values(made.program, images, made.margin) == 0)


@pytest.mark.parametrize("target", [0, 9])
def test_what_no_class_decides_stays(target):
    """Every class is at least 0, and none is 9: all margins are on one side."""
    assert distance_of(class_net(target, compare="GreaterOrEqual"))[1] is None


def test_a_class_that_the_image_chooses_stays():
    net = nets.Net(3, (1, 4, 5, 5))
    label = net.add("ArgMax", net.add("Relu", "x"), axis=1, keepdims=1)
    one = net.add("Equal", label, net.add("ReduceMax", label, keepdims=1))
    net.add("Sub", net.add("Cast", one, to=1), net.const(np.array(0.5)), out="margin")
    assert distance_of(net.finish("margin"))[1] is None
