"""Equal numbers: copies of one stay equal however it is rounded, others that round alike do not."""

from fractions import Fraction

import numpy as np
import pytest
from onnx import TensorProto
from ops.cases import HANDLERS
from support import nets

from onnx_si.domains.copies import behind_jumps, changed
from onnx_si.domains.doubt import exact_distances
from onnx_si.domains.rational import Exact, Inexact, rounded
from onnx_si.domains.walker import Tally
from onnx_si.program.program import bind
from onnx_si.rules.registry import Context, Variable
from onnx_si.rules.rules import Step, Winner

SHAPE = (1, 1, 6, 6)


def share(n, divisor=20.0):
    """How many pixels are above zero, in twentieths."""
    above = n.add("Cast", n.add("Greater", "x", n.const(0.0)), to=TensorProto.DOUBLE)
    return n.add("Div", n.add("ReduceSum", above, n.ints(2, 3), keepdims=1), n.const(divisor))


def of_the_level(n):
    return n.add("Sub", share(n), n.const(0.3))


def of_two_ways(n):
    return n.add("Sub", share(n), n.add("Mul", share(n, 1.0), n.const(0.05)))


def of_whole_numbers(n):
    return n.add("Sub", n.add("Mul", share(n, 1.0), n.const(0.5)), n.const(3.0))


def of_copies(n):
    map_ = n.add("Add", n.add("Mul", "x", n.const(0.1)), share(n))
    largest = n.add("MaxPool", map_, kernel_shape=[1, 1])
    return n.add("Sub", largest, map_)


def of_equals(n):
    """One third in several places; zero, less the largest, in these."""
    above = n.add("Cast", n.add("Greater", "x", n.const(0.0)), to=TensorProto.DOUBLE)
    thirds = n.add("Div", above, n.const(3.0))
    return n.add("Sub", n.add("ReduceMax", thirds, axes=[2, 3]), thirds)


@pytest.mark.parametrize(
    ("make", "above", "copies"),
    [
        (of_the_level, 6, False),
        (of_two_ways, 1, False),
        (of_whole_numbers, 6, True),
        (of_copies, 6, True),
        (of_equals, 6, True),
    ],
)
def test_numbers_that_round_alike_are_told_from_copies(make, above, copies):
    net = nets.Net(0, SHAPE, dtype=np.float64)
    image = np.where(np.arange(36) < above, 1.0, -1.0).reshape(SHAPE)
    net.add("Identity", make(net), out="map")
    program = bind(net.finish("map"), image, ("map",))
    zero = program.values["map"] == 0
    assert zero.any()
    assert (changed(program, image[None], Tally())["map"][0][zero] == 0).all() == copies
    assert "map" in behind_jumps(program.instructions)


def test_nothing_is_behind_a_jump_where_there_is_none_or_nothing_computed():
    net = nets.Net(0, SHAPE)
    scores = net.conv("x", 1, 1)
    floor = net.add("Transpose", net.add("Floor", scores), perm=[0, 1, 3, 2])
    net.add("Max", net.add("Relu", scores), floor, out="map")
    program = bind(net.finish("map"), np.ones(SHAPE), ("map",))
    assert behind_jumps(program.instructions) == frozenset()


def rational(*numbers):
    out = np.empty((1, len(numbers)), object)
    out[0] = [Exact(Fraction(n)) for n in numbers]
    return out


NEAR = Fraction(3) - Fraction(1, 10**18)  # three, as a double


def test_distances_of_rational_numbers_are_not_those_of_the_doubles_they_round_to():
    assert rounded(rational(NEAR)) == 3.0
    handler = HANDLERS["Floor"]
    floor = handler.build((Variable((1,)),), {}, Context(0, 1, handler.versions[-1]))
    (distance,) = exact_distances(floor, [rational(NEAR)])
    assert rounded(distance) == -1e-18
    (distance,) = exact_distances(floor, [rational(3.25)])
    assert rounded(distance) == 0.25
    step = Step(switches=lambda a, b: (a - b,), evaluate=np.greater)
    (distance,) = exact_distances(step, [rational(NEAR), rational(3)])
    assert rounded(distance) == -1e-18
    best = Winner(lambda x: np.moveaxis(x, 1, 0))
    (distance,) = exact_distances(best, [rational(NEAR, 3, 1)])
    assert sorted(rounded(distance).ravel().tolist()) in ([-1e-18, 0, 2], [0, 1e-18, 2])


def test_a_missing_candidate_is_infinitely_far_behind_and_what_rounds_is_found_out():
    best = Winner(lambda x: [x, np.full(x.shape, -np.inf, object)])
    (distance,) = exact_distances(best, [rational(NEAR)])
    assert rounded(distance).ravel().tolist() == [0, np.inf]
    with pytest.raises(Inexact):
        exact_distances(Step(switches=lambda x: (x.astype(np.float64),), evaluate=np.sign), [rational(NEAR)])
