"""Rounding of tensors against rational arithmetic: proofs hold, and the estimate is never too small."""

import dataclasses
import warnings
from fractions import Fraction

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper
from ops.cases import HANDLERS
from random_graphs.rational import exact, run_node
from random_graphs.sample import sample_of
from support import nets

import onnx_si
from onnx_si.domains import carried
from onnx_si.domains.carried import LOOKS, SAFETY, Carried
from onnx_si.domains.judge import Judge
from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.value import line_segment
from onnx_si.domains.points.value import Points, evaluate
from onnx_si.domains.walker import Tally, walk
from onnx_si.graph import model_from_proto
from onnx_si.ground.intervals import Intervals
from onnx_si.program.growth import EPS, Growth, steepness
from onnx_si.program.instruction import with_deaths
from onnx_si.program.program import bind
from onnx_si.rules.registry import Context, Variable
from onnx_si.rules.rules import Step, Winner

MODELS = 120
FAR = 4.0  # of the line, in units of its direction


@dataclasses.dataclass(frozen=True)
class Seen:
    """One tensor at one place: how far it is off, and how far it may be."""

    name: str
    off: float
    proven: float
    estimated: float


def all_of(program):
    """The program with every tensor as an output."""
    names = tuple(step.output for step in program.instructions)
    return dataclasses.replace(program, instructions=with_deaths(program.instructions, names), outputs=names)


def truth(proto, image):
    """Every tensor of a graph at an image of rational numbers."""
    env = {one.name: exact(numpy_helper.to_array(one)) for one in proto.graph.initializer}
    env[proto.graph.input[0].name] = image
    for node in proto.graph.node:
        run_node(node, env)
    return env


def off_by(values, right):
    pairs = zip(values.ravel().tolist(), right.ravel(), strict=True)
    return max((float(abs(Fraction(a) - b)) for a, b in pairs), default=0.0)


def clean(program, found, right):
    """The tensors in front of which no decision fell otherwise."""
    spoiled = set()
    for step in program.instructions:
        jumps = isinstance(step.rule, Step | Winner)
        known = step.output in right and right[step.output].size == found[step.output].size
        wrong = jumps and (not known or off_by(found[step.output], right[step.output]) > 0)
        if wrong or spoiled & set(step.inputs):
            spoiled.add(step.output)
        elif known:
            yield step.output


def seen_of(seed):
    """Tensors of a random graph on a random line: in plain evaluation, and at knots of the exact domain."""
    sample, rng = sample_of(seed, ties=0.3), np.random.default_rng(seed)
    program = bind(model_from_proto(sample.proto), sample.image, ("map",))
    if program.findings:
        return
    whole, start, direction = all_of(program), sample.image, rng.normal(size=sample.image.shape)
    ends = np.sort(rng.uniform(-FAR, FAR, 2))
    carried = Carried(program=program, start=start, direction=direction, at=float(ends[0]), scale=1.0)
    places = {}
    for z in ends:
        (points,) = walk(whole, evaluate, Points((start + direction * z)[None]), Tally())
        places[z] = [{name: value.values[0] for name, value in points.items()}]
    (parts,) = walk(whole, ExactDomain().apply, line_segment(start, direction, *ends), Tally())
    for z in ends:
        places[z].append({name: f.values[0 if z == ends[0] else -1] for name, f in parts.items()})
    knots = parts["map"].knots[1:-1]
    for z in knots[:: max(1, len(knots) // 3)]:
        at = {name: at_knot(f, z) for name, f in parts.items()}
        places[z] = [{name: value for name, value in at.items() if value is not None}]
    for z, found in places.items():
        image = exact(start) + exact(direction) * Fraction(float(z))
        right = truth(sample.proto, image)
        for values in found:
            if len(values) == len(parts):  # no jump is here
                yield from compared(carried, values, right, z)


def compared(carried, values, right, z):
    """Tensors at a place of the line against what they are."""
    judge = Judge(program=carried.program, start=carried.start, direction=carried.direction, carried=carried)
    for name in clean(carried.program, values, right):
        off = off_by(values[name], right[name])
        yield Seen(
            name, off, carried.proven((name,), z, z), judge.slack((name,), np.array([z, z]), [values[name]])
        )


def at_knot(f, z):
    """The value at a place; None at a jump."""
    where = np.flatnonzero(f.knots == z)
    if len(where) > 1:
        return None
    if len(where):
        return f.values[where[0]]
    left = f.knots.searchsorted(z) - 1
    share = (z - f.knots[left]) / (f.knots[left + 1] - f.knots[left])
    return f.values[left] + share * (f.values[left + 1] - f.values[left])


@pytest.fixture(scope="module")
def seen():
    found, graphs = [], 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(MODELS):
            ours = list(seen_of(seed))
            found, graphs = found + ours, graphs + bool(ours)
    assert graphs > 0.8 * MODELS
    return found


def test_no_tensor_is_off_by_more_than_what_is_proven(seen):
    proven = [one for one in seen if one.proven < np.inf]
    assert len(proven) > 1500 and sum(one.off > 0 for one in proven) > 1000
    assert not [one for one in proven if one.off > one.proven]


def test_no_tensor_is_off_by_more_than_the_estimate(seen):
    """The factor of safety is 4096; what it leaves is in the page on the method."""
    rounded = [one for one in seen if one.off > 0]
    assert len(rounded) > 2000
    assert max(one.off / one.estimated for one in rounded) < 16 / SAFETY


def deep(kind, depth, seed):
    """Many layers, with a large number added and taken away again in each of some."""
    net, x = nets.Net(seed, (1, 1, 6, 6)), "x"
    for layer in range(depth):
        if kind == "convolutions":
            x = net.add("Conv", x, net.normal(3, 3 if layer else 1, 3, 3, scale=0.35), pads=[1] * 4)
        else:
            x = net.add("MatMul", x, net.normal(6, 6, scale=0.6))
        if kind == "moved":
            x = net.add("Add", net.add("Add", x, net.const(1e6)), net.const(-1e6))
        x = net.add("Relu", x) if layer % 2 else net.add("LeakyRelu", x, alpha=0.1)
    return net.finish(net.add("Conv", x, net.normal(1, 3 if kind == "convolutions" else 1, 1, 1), out="map"))


@pytest.mark.parametrize(("kind", "depth"), [("convolutions", 6), ("products", 24), ("moved", 12)])
def test_deep_networks(kind, depth):
    """Where proofs add up too much, the estimate still does."""
    for seed in range(3):
        model, rng = deep(kind, depth, seed), np.random.default_rng(seed)
        start, direction = rng.normal(size=(2, 1, 1, 6, 6))
        program = bind(model, start, ("map",))
        carried = Carried(program=program, start=start, direction=direction, at=0.0, scale=1.0)
        for z in (0.0, 3.0):
            (points,) = walk(all_of(program), evaluate, Points((start + direction * z)[None]), Tally())
            values = {name: value.values[0] for name, value in points.items()}
            right = truth(model.proto, exact(start) + exact(direction) * Fraction(z))
            found = [one for one in compared(carried, values, right, z) if one.off > 0]
            assert len(found) > depth
            assert not [one for one in found if one.off > one.proven]
            assert max(one.off / one.estimated for one in found) < 16 / SAFETY


def test_numbers_that_are_off_by_a_unit_in_the_last_place_stay_within_what_is_proven():
    """Every number of every tensor, at once."""
    asked = 0
    for seed in range(MODELS):
        sample, rng = sample_of(seed), np.random.default_rng(seed)
        program = bind(model_from_proto(sample.proto), sample.image, ("map",))
        carried = Carried(
            program=program,
            start=sample.image,
            direction=rng.normal(size=sample.image.shape),
            at=0.0,
            scale=1.0,
        )
        for name, error in carried.errors.items():
            bound = carried.proven((name,), min(LOOKS), max(LOOKS))
            if bound > 1e-200:  # else all weights are zero
                assert bound > 3 * error / SAFETY
                asked += bound < np.inf and error > 0
    assert asked > 100


@pytest.mark.parametrize("op", ["Mul", "Relu", "Max"])
def test_errors_add_up(op):
    """Of ten ops in a row, of which none makes a number larger."""
    made = []
    for count in (1, 10):
        net, x = nets.Net(0, (1, 1, 2, 2)), "x"
        for _ in range(count):
            given = {"Mul": [net.const(1.0)], "Relu": [], "Max": [net.const(0.0)]}[op]
            x = net.add(op, x, *given)
        program = bind(net.finish(net.add("Neg", x, out="map")), np.ones((1, 1, 2, 2)), ("map",))
        before = program.instructions[-2].output
        made.append(program.growth.of(before, 8.0) - program.growth.of(program.input, 8.0))
    assert made[0] > 8 * 64 * EPS and made[1] > 9.9 * made[0]


@pytest.mark.parametrize(
    ("op", "inputs", "given", "steepest", "at_zero"),
    [
        ("Relu", (), {}, 1, 0),
        ("LeakyRelu", (), {"alpha": -3.0}, 3, 0),
        ("Clip", (np.float32(2), np.float32(5)), {}, 1, 2),
        ("HardSigmoid", (), {"alpha": 2.0, "beta": 0.5}, 2, 0.5),
        ("Abs", (), {}, 1, 0),
        ("PRelu", (np.array([-7.0, 0.5], np.float32),), {}, (7, 1), 0),
    ],
)
def test_the_steepest_slope_of_a_kinked_op(op, inputs, given, steepest, at_zero):
    handler = HANDLERS[op]
    rule = handler.build((Variable((2,)), *inputs), given, Context(0, 1, handler.versions[-1]))
    slope, value = steepness(rule, (2,))
    np.testing.assert_allclose(slope, np.broadcast_to(steepest, (2,)), rtol=1e-12)
    np.testing.assert_allclose(value, np.broadcast_to(at_zero, (2,)))


def test_nothing_is_proven_behind_a_jump():
    net = nets.Net(0, (1, 1, 2, 2))
    before = net.add("Relu", "x")
    net.add("Add", net.add("Floor", before), "x", out="map")
    program = bind(net.finish("map"), np.ones((1, 1, 2, 2)), ("map",))
    assert np.isfinite(program.growth.of(before, 1.0))
    assert program.growth.of("map", 1.0) == np.inf
    assert Growth(program.input, program.shape, ()).of("map", 1.0) == np.inf


def test_a_constant_that_a_kinked_op_gives_is_rounded_too():
    net = nets.Net(0, (1, 1, 2, 2))
    clipped = net.add("Clip", "x", net.const(2.0), net.const(5.0))
    net.add("Mul", clipped, net.const(1.0), out="map")
    program = bind(net.finish("map"), np.ones((1, 1, 2, 2)), ("map",))
    assert program.growth.of("map", 0.0) > 2 * 64 * EPS


def test_units_that_are_off_carry_what_they_are_made_of():
    """They may be on elsewhere, and be told from others there."""
    net = nets.Net(0, (1, 1, 2, 2))
    moved = net.add("Add", "x", net.const(-1000.0))
    on = net.add("Relu", moved)
    net.add("Add", net.add("Floor", on), net.add("MatMul", on, net.const(np.eye(2))), out="map")
    start, direction = np.zeros((1, 1, 2, 2)), np.ones((1, 1, 2, 2))
    program = bind(net.finish("map"), start, ("map",))
    errors = Carried(program=program, start=start, direction=direction, at=0.0, scale=1.0).errors
    assert all(errors[name] > 100 * SAFETY * EPS for name in (moved, on, "map"))


def test_of_a_large_network_the_nearest_image_is_looked_at_first(monkeypatch):
    """Ends of S ask for that one only; the estimate is the same as of all images at the same time."""
    net = nets.Net(0, (1, 1, 4, 4))
    net.add("MatMul", net.add("Relu", "x"), net.const(np.eye(4)), out="map")
    start, direction = np.ones((1, 1, 4, 4)), np.ones((1, 1, 4, 4))
    program = bind(net.finish("map"), start, ("map",))
    line = {"program": program, "start": start, "direction": direction, "at": 0.0, "scale": 1.0}
    asked, disturbed = [], carried.disturbed
    monkeypatch.setattr(carried, "disturbed", lambda *args: asked.append(1) or disturbed(*args))
    monkeypatch.setattr(carried, "ROOM", 0)
    ours = Carried(**line)
    near = ours.between(("map",), 0.0, 0.0)
    assert len(asked) == 1
    one_by_one = ours.errors
    assert len(asked) == len(LOOKS)
    alone = [disturbed(program, start[None] + place * direction)["map"][0] for place in LOOKS]
    assert one_by_one["map"] == max(alone)
    assert near == carried.ENOUGH / SAFETY * alone[0]


def rounded_zero_behind_a_gate(way, seed):
    """A map that is up by 5 but from 1 to 2 standard errors below the statistic, where a difference of equal
    sums of large numbers decides; the error of what decides elsewhere is far smaller.
    """
    image = np.random.default_rng(seed).normal(size=(1, 1, 5, 5))
    region = image > 0.5
    eta = np.where(region, 1 / region.sum(), -1 / (~region).sum())
    at, error = float((eta * image).sum()), float(np.sqrt((eta**2).sum()))
    n = nets.Net(0, image.shape, dtype=np.float64)
    along = n.add("ReduceSum", n.add("Mul", "x", n.const(eta)), keepdims=0)
    places = (at - 2 * error, at - error)
    low, high = (n.const(np.array(place)) for place in places)
    gate = n.add("And", n.add("Greater", along, low), n.add("Less", along, high))
    large = n.add("Mul", "x", n.const(np.array(1e6)))
    one, other = ([n.ints(2), n.ints(3)][::step] for step in (1, -1))
    sums = [
        n.add("ReduceSum", n.add("ReduceSum", large, first, keepdims=1), second, keepdims=1)
        for first, second in (one, other)
    ]
    apart = n.add("Sub", *sums)
    small = n.add(
        "Add", n.add("Mul", n.add("ReduceMax", "x"), n.const(np.array(1e-4))), n.const(np.array(1e-2))
    )
    steps = n.add("Cast", gate, to=TensorProto.DOUBLE)
    unit = n.const(np.array(1.0))
    if way == "where":
        decides = n.add("Where", gate, apart, small)
    elif way == "product":
        off = n.add("Sub", unit, steps)
        decides = n.add("Add", n.add("Mul", steps, apart), n.add("Mul", off, small))
    else:  # a maximum of which one candidate is far below but in between
        far = n.add("Mul", n.add("Sub", unit, steps), n.const(np.array(-1e3)))
        up = n.add("Where", gate, n.const(np.array(-1e3)), small)
        decides = n.add("Max", n.add("Where", gate, apart, far), up)
    five = n.add("Mul", n.add("Sign", decides), n.const(np.array(5.0)))
    n.add("Add", n.const(region.astype(float)), five, out="map")
    return n.finish("map"), image, places


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("way", ["where", "product", "max"])
def test_a_unit_that_is_off_wherever_the_estimate_looks(way, seed):
    """The sign of a zero that is rounded to 1e-10 is no sign."""
    model, image, (low, high) = rounded_zero_behind_a_gate(way, seed)
    how = {"sigma": 1.0, "hypothesis": "background", "threshold": 5.5, "verify": 0}
    result = onnx_si.test(model, image, saliency="output:map", p_value_only=True, engine="exact", **how)
    between = Intervals.of([(low + 1e-9, high - 1e-9)])
    assert not result.truncation.intersect(between) and result.truncation.contains(result.statistic)
    assert result.p_value_bounds[1] - result.p_value_bounds[0] < 1e-3
