"""Enclosures hold the truth with no slack at all: checked in extended precision, which they know nothing of.

`numpy.longdouble` carries 64 bits of mantissa against 53; the rules compute in the type that they are given.
"""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from ops.cases import CASES, model_of
from support import nets

import onnx_si
from onnx_si.domains.enclosure.backwards import Trace, followed_back
from onnx_si.domains.enclosure.certified import EnclosureDomain
from onnx_si.domains.enclosure.value import Enclosure, cells
from onnx_si.domains.walker import Tally, walk
from onnx_si.ops.einsum import einsum
from onnx_si.ops.elementwise import multiply
from onnx_si.ops.linear import gemm
from onnx_si.program.program import bind
from onnx_si.rules.registry import Variable
from onnx_si.rules.reversible import Reversible
from onnx_si.rules.rules import Affine, Step, Winner

CASES_OF_FAULTS = Path(__file__).parents[3] / "shared" / "cases"
EXTENDED = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="this machine's long double is no wider than double"
)
NETS = {
    "cam_nchw": nets.cam_nchw,
    "cam_nhwc": nets.cam_nhwc,
    "map": nets.map_net,
    "extremes": nets.extremes_net,
    "gated": nets.gated_net,
}


def enclosed(program, start, direction, low, high):
    """Every tensor's enclosure by name, and the domain that made them."""
    domain = EnclosureDomain(len(low), program=program, trace=Trace())
    list(walk(program, domain.apply, cells(start, direction, low, high), Tally()))
    return dict(zip((step.output for step in program.instructions), domain.trace.made, strict=True)), domain


def followed(program, start, direction, low, high, domain, rng):
    """A random element of each output for every cell, and its radius by following it back."""
    first, chosen, found = cells(start, direction, low, high), np.flatnonzero(~domain.lost), {}
    if not len(chosen):
        return {}
    for name in set(program.outputs) & {step.output for step in program.instructions}:
        element = rng.integers(math.prod(program.shapes[name]), size=len(chosen))
        radius = followed_back(program, first, domain.trace, name, chosen, element)
        found[name] = {int(c): (int(e), float(r)) for c, e, r in zip(chosen, element, radius, strict=True)}
    return found


def truth(program, start, direction, z):
    """Every tensor at points z (n,), in extended precision."""
    points = np.asarray(z, dtype=np.longdouble).reshape(-1, *(1,) * start.ndim)
    live = {program.input: start.astype(np.longdouble) + direction.astype(np.longdouble) * points}
    for step in program.instructions:
        value = step.rule.evaluate(*(live[name] for name in step.inputs))
        discrete = isinstance(step.rule, Step | Winner)  # exact in any type, but what follows is not
        live[step.output] = value.astype(np.longdouble) if discrete else value
    return live


def assert_enclosed(program, start, direction, rng):
    """On cells of many widths, every tensor lies inside its enclosure at random points and at the ends."""
    middle = rng.uniform(-2, 2, size=12)
    half = 10.0 ** rng.uniform(-9, 0.5, size=12)
    low, high = middle - half, middle + half
    tensors, domain = enclosed(program, start, direction, low, high)
    checked, back = 0, followed(program, start, direction, low, high, domain, rng)
    for cell in np.nonzero(~domain.lost)[0]:
        z = np.concatenate([[low[cell], high[cell]], rng.uniform(low[cell], high[cell], size=6)])
        values = truth(program, start, direction, z)
        t = z.astype(np.longdouble) - 0.5 * (low[cell] + high[cell])
        for name, box in tensors.items():
            value = values[name]
            discrete = name in program.stepwise  # truth values and indices are exact in any type
            assert discrete or value.dtype == np.longdouble, f"{name} lost its precision on the way"
            along = t.reshape(-1, *(1,) * (value.ndim - 1))
            off = np.abs(value - box.centre[cell].astype(np.longdouble) - box.slope[cell] * along)
            assert np.all(off <= box.radius[cell]), (name, float((off - box.radius[cell]).max()))
            if name in back:
                element, radius = back[name][int(cell)]
                assert np.all(off.reshape(len(off), -1)[:, element] <= radius), (name, "followed back")
                assert radius == math.inf or radius <= box.radius[cell].flat[element]
            lowest, highest = box.bounds()
            assert np.all((value >= lowest[cell]) & (value <= highest[cell])), name
            checked += value.size
    return checked


@EXTENDED
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_networks_stay_inside(make, seed):
    rng = np.random.default_rng([seed, 5])
    model = make(seed)
    start = rng.normal(size=model.inputs[0].shape)
    program = bind(model, start, (model.outputs[0].name,))
    assert assert_enclosed(program, start, rng.normal(size=start.shape), rng) > 0


@EXTENDED
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_op_stays_inside(case):
    rng = np.random.default_rng(11)
    model = model_of(case, case.opsets()[-1], bent=True)
    start = rng.normal(size=model.inputs[0].shape)
    program = bind(model, start, tuple(info.name for info in model.outputs))
    if program.findings:
        pytest.skip("the op is smooth: the exact domain and enclosures refuse it")
    assert_enclosed(program, start, rng.normal(size=start.shape), rng)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_linear_parts_are_followed_back(case):
    """The sum of y * linear(*xs) is that of back * x: exactly but for rounding, for every op that has one."""
    rng = np.random.default_rng(12)
    model = model_of(case, case.opsets()[-1], bent=True)
    start = rng.normal(size=model.inputs[0].shape)
    program = bind(model, start, tuple(info.name for info in model.outputs))
    affine = [step for step in program.instructions if isinstance(step.rule, Affine)]
    known = [step for step in affine if isinstance(step.rule.linear, Reversible)]
    if not known:
        pytest.skip("the op has no linear part that is followed back")
    for step in known:
        xs = [rng.normal(size=(3, *program.shapes[name])) for name in step.inputs]
        y = rng.normal(size=(3, *step.shape))
        back = step.rule.linear.back(y, [x.shape[1:] for x in xs], *step.rule.weights)
        assert [part.shape for part in back] == [x.shape for x in xs]
        forth = (y * step.rule.slope(*xs)).reshape(3, -1).sum(axis=1)
        gone = sum((b * x).reshape(3, -1).sum(axis=1) for b, x in zip(back, xs, strict=True))
        assert gone == pytest.approx(forth, rel=1e-10, abs=1e-10)


def test_following_back_cancels():
    """Behind x, -x and a sum nothing is left of what a Relu in front is off by; forward it counts twice."""
    net = nets.Net(0, (1, 2))
    unit = net.add("Relu", "x")
    shift = net.const(np.full(2, 5.0))
    one, other = (
        net.add("Relu", net.add("Add", net.add("Mul", unit, net.const(np.array(sign))), shift))
        for sign in (1.0, -1.0)
    )
    net.add("Add", one, other, out="y")
    start, direction = np.zeros((1, 2)), np.ones((1, 2))
    program = bind(net.finish("y"), start, ("y",))
    low, high = np.array([-1.0]), np.array([1.0])
    tensors, domain = enclosed(program, start, direction, low, high)
    first, place = cells(start, direction, low, high), np.array([0])
    radius = followed_back(program, first, domain.trace, "y", place, place)
    assert tensors["y"].radius[0, 0, 0] > 0.4 and radius[0] < 1e-12


def test_following_back_counts_what_is_rounded():
    """2^60 + 1 - 2^60 of ones is computed as 0: nothing in front of the sum is off by that 1."""
    net = nets.Net(0, (1, 3, 1, 1))
    ones = net.add("Add", net.add("Mul", "x", net.const(np.zeros(1))), net.const(np.ones(1)))
    large = 2.0**60
    kernel = np.array([large, 1.0, -large]).reshape(1, 3, 1, 1)
    net.add("Conv", ones, net.const(kernel), out="y")
    start, direction = np.ones((1, 3, 1, 1)), np.zeros((1, 3, 1, 1))
    program = bind(net.finish("y"), start, ("y",))
    low, high = np.array([-1.0]), np.array([1.0])
    tensors, domain = enclosed(program, start, direction, low, high)
    first, place = cells(start, direction, low, high), np.array([0])
    assert program.ways_back.gains.keys() == {"y", *(step.output for step in program.instructions)}
    radius = followed_back(program, first, domain.trace, "y", place, place)
    assert abs(tensors["y"].centre.item() - 1.0) <= radius[0] < 1e6


def test_narrow_cells_are_tight():
    """Radii shrink to rounding with the cell: otherwise every bound above would hold for a useless reason."""
    model = nets.cam_nchw(1)
    rng = np.random.default_rng(0)
    start, direction = rng.normal(size=(2, *model.inputs[0].shape))
    program = bind(model, start, (model.outputs[0].name,))
    half = 1e-9
    tensors, domain = enclosed(program, start, direction, np.array([0.3 - half]), np.array([0.3 + half]))
    assert domain.undecided[0] == 0
    for box in tensors.values():
        assert np.all(box.radius <= 1e-11 * (1 + np.abs(box.centre).max()))


def test_gates_that_may_switch_are_lost():
    """A gate that may switch inside a cell makes the cell lost: nothing is claimed of it."""
    model = nets.gated_net(0)
    rng = np.random.default_rng(3)
    start, direction = rng.normal(size=(2, *model.inputs[0].shape))
    program = bind(model, start, ("map",))
    low, high = np.array([-50.0, 0.1]), np.array([50.0, 0.1 + 1e-9])
    _, domain = enclosed(program, start, direction, low, high)
    assert domain.lost.tolist() == [True, False]


def test_a_gate_of_a_dead_unit_is_decided():
    """The unit is exactly zero all along the cell, so `> 0` and `>= 0` each have one value there."""
    net = nets.Net(0, (1, 3))
    unit = net.add("Relu", net.add("Add", "x", net.const(np.array([-9.0, 0.0, 9.0]))))
    zero = net.const(np.zeros(1))
    for op, out in (("Greater", "open"), ("GreaterOrEqual", "closed")):
        net.add("Where", net.add(op, unit, zero), net.const(np.ones(1)), zero, out=out)
    model = net.finish("open", "closed")
    start, direction = np.zeros((1, 3)), np.array([[1.0, 0.0, 1.0]])  # below zero, at zero, above it
    program = bind(model, start, ("open", "closed"))
    tensors, domain = enclosed(program, start, direction, np.array([-2.0]), np.array([2.0]))
    assert not domain.lost[0]
    assert tensors["open"].centre.ravel().tolist() == [0, 0, 1]
    assert tensors["closed"].centre.ravel().tolist() == [1, 1, 1]


@EXTENDED
@pytest.mark.parametrize("seed", range(6))
def test_rounded_gates_stay_inside(seed):
    """A gate that went through a sum of products carries its rounding into what it is multiplied with."""
    net = nets.Net(seed, (1, 16), dtype=np.float64)
    gates = net.add("Cast", net.add("Greater", "x", net.const(np.zeros(1))), to=TensorProto.DOUBLE)
    there = np.vander(np.linspace(0.5, 1.5, 16))  # ill conditioned: the way back cancels many digits
    mixed = net.add("MatMul", gates, net.const(there))
    gate = net.add("MatMul", mixed, net.const(np.linalg.inv(there)))
    model = net.finish(net.add("Mul", gate, "x", out="y"))
    rng = np.random.default_rng(seed)
    start, direction = rng.normal(size=(2, 1, 16))
    program = bind(model, start, ("y",))
    assert assert_enclosed(program, start, direction, rng) > 0


@EXTENDED
@pytest.mark.parametrize("seed", range(4))
def test_negative_indices_stay_inside(seed):
    """A gate that picks by a negative index picks the same element's radius."""
    net = nets.Net(seed, (1, 6))
    index = net.add("Sub", net.add("ArgMax", "x", axis=1, keepdims=0), net.ints(6))
    mixed = net.add("MatMul", "x", net.normal(6, 6))
    scaled = net.add("Mul", net.add("Abs", mixed), net.const(10.0 ** np.arange(6)))
    model = net.finish(net.add("Gather", scaled, index, axis=1, out="y"))
    rng = np.random.default_rng(seed)
    start, direction = rng.normal(size=(2, 1, 6))
    assert assert_enclosed(bind(model, start, ("y",)), start, direction, rng) > 0


def products():
    """Rules that multiply gates with another tensor, with constants of both signs and large addends."""
    rng = np.random.default_rng(12)
    steps, other = Variable((3, 4), stepwise=True), Variable((3, 4))
    weight = rng.normal(size=(4,))
    large = np.full((3, 3), 1e7)
    return {
        "einsum": einsum(steps, other, weight, equation="ij,kj,j->ik"),
        "gemm": gemm(steps, Variable((4, 3)), large, alpha=-0.7),
        "mul": multiply(steps, other),
    }


@pytest.mark.parametrize("name", ["einsum", "gemm", "mul"])
def test_products_of_gates_lie_inside(name):
    """In rational arithmetic, at corners of what the factors may be, without slack."""
    rule, rng = products()[name], np.random.default_rng(13)
    shapes = [(3, 4), (4, 3) if name == "gemm" else (3, 4)]
    xs = [
        Enclosure(
            centre=rng.normal(size=(2, *shape)),
            slope=np.zeros((2, *shape)) if i == 0 else rng.normal(size=(2, *shape)),
            radius=0.1 * rng.random((2, *shape)),
            half_width=np.array([0.25, 1.0]),
        )
        for i, shape in enumerate(shapes)
    ]
    low, high = EnclosureDomain(2).apply(rule, xs).bounds()
    exact = np.vectorize(Fraction, otypes=[object])
    weights = [exact(weight) for weight in rule.weights]
    for _ in range(40):
        t = np.array([0.25, 1.0]) * rng.choice([-1.0, 1.0])
        points = [
            exact(x.centre)
            + exact(x.slope) * exact(t).reshape(-1, 1, 1)
            + exact(x.radius) * rng.choice([-1, 1], size=x.radius.shape)
            for x in xs
        ]
        for cell in range(2):
            a, b = (point[cell] for point in points)
            if name == "einsum":
                true = (a * weights[0]) @ b.T
            elif name == "gemm":
                true = weights[0] * (a @ b) + exact(rule.offset)
            else:
                true = a * b
            assert (true >= exact(low[cell])).all() and (true <= exact(high[cell])).all()


def box(centre, slope=0.0, radius=0.0, half=1.0):
    centre = np.array(centre, dtype=float)[None]
    return Enclosure(
        centre=centre,
        slope=np.zeros_like(centre) + slope,
        radius=np.zeros_like(centre) + radius,
        half_width=np.array([half]),
    )


@pytest.mark.parametrize("seed", range(4))
def test_errors_do_not_cancel_behind_a_signed_weight(seed):
    """At the corner where every error pulls the same way."""
    rng, signs = np.random.default_rng(seed), np.array([1, -1, 1, -1])
    steps, other = Variable((4,), stepwise=True), Variable((4,))
    rule = einsum(steps, other, signs.astype(float), equation="c,c,c->")
    gate, centre, radius = rng.uniform(1, 2, 4), rng.normal(size=4), rng.uniform(0.1, 0.2, 4)
    low, high = EnclosureDomain(1).apply(rule, [box(gate), box(centre, radius=radius)]).bounds()
    exact = np.vectorize(Fraction, otypes=[object])
    for side in (1, -1):
        true = sum(exact(gate) * signs * (exact(centre) + side * signs * exact(radius)))
        assert Fraction(low.item()) <= true <= Fraction(high.item())


def test_a_large_addend_takes_nothing_from_the_slope():
    rule = gemm(Variable((1, 1), stepwise=True), Variable((1, 1)), np.full((1, 1), 1e7))
    assert EnclosureDomain(1).apply(rule, [box([[1.0]]), box([[0.3]], slope=0.1)]).slope.item() == 0.1


@pytest.mark.parametrize("far", ["reach", "product"])
def test_a_product_too_large_for_a_bound_claims_nothing(far):
    """Nought times infinity is no radius of nought: the second entry is off by .5."""
    steps, other = Variable((2,), stepwise=True), Variable((2,))
    if far == "reach":
        rule = einsum(steps, other, equation="i,i->")
        xs = [box([0.0, 1.0], half=1e10), box([0.0, 1.0], [1e300, 0.0], [0.0, 0.5], half=1e10)]
    else:
        rule = einsum(steps, other, np.array([0.0, 1.0]), equation="i,i,i->")
        xs = [box([1e200, 1.0]), box([0.0, 1.0], radius=[1e200, 0.5])]
    assert not np.isfinite(EnclosureDomain(1).apply(rule, xs).radius).any()


def test_a_product_that_underflows_is_not_proven_zero():
    rule = multiply(Variable((1,), stepwise=True), Variable((1,)))
    low, high = EnclosureDomain(1).apply(rule, [box([1e-200]), box([1e-200])]).bounds()
    assert low.item() < 0 < high.item()
    low, high = EnclosureDomain(1).apply(rule, [box([0.0]), box([1e-200])]).bounds()
    assert low.item() == high.item() == 0.0


def assert_inside_near_zero(model, shape):
    checked = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        start, direction = rng.normal(size=(2, *shape))
        program = bind(model, start, (model.outputs[0].name,))
        checked += assert_enclosed(program, start, direction, rng)
    assert checked > 0


@EXTENDED
def test_the_case_of_three_factors():
    if not CASES_OF_FAULTS.is_dir():
        pytest.skip("the shared cases are not here")
    assert_inside_near_zero(onnx_si.load(CASES_OF_FAULTS / "einsum_of_three.onnx"), (1, 4, 6, 6))


@EXTENDED
@pytest.mark.parametrize("zero", [100, 30])
def test_dequantised_steps_of_a_changing_width_stay_inside(zero):
    """int8 steps of both signs less a zero point, times a scale that bends with the image."""
    net = nets.Net(0, (1, 4))
    none, point = (net.const(np.array(value, dtype=np.int8)) for value in (0, zero))
    steps = net.add("QuantizeLinear", "x", net.const(0.05), none)
    width = net.add("ReduceSum", net.add("Relu", "x"), keepdims=0)
    assert_inside_near_zero(net.finish(net.add("DequantizeLinear", steps, width, point, out="map")), (1, 4))


@pytest.mark.parametrize("perm", [(0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2)])
def test_relu_behind_a_transpose_whatever_the_order_of_its_numbers_in_memory(perm):
    net = nets.Net(0, (1, 3, 4, 5), dtype=np.float64)
    out = net.add("Relu", net.add("Transpose", net.conv("x", 3, 3), perm=list(perm)))
    rng = np.random.default_rng(1)
    start, direction = rng.normal(size=(2, 1, 3, 4, 5))
    program = bind(net.finish(out), start, (out,))
    low = np.array([-1.0, 0.2, 0.4])
    made, _ = enclosed(program, start, direction, low, low + 0.9)
    enclosure, t = made[program.outputs[0]], np.linspace(-0.45, 0.45, 21).reshape(-1, 1, 1, 1, 1)
    for cell, middle in enumerate(low + 0.45):
        values = start + direction * (middle + t)
        for step in program.instructions:
            values = step.rule.evaluate(values)
        apart = np.abs(values - enclosure.centre[cell] - enclosure.slope[cell] * t)
        assert (apart <= enclosure.radius[cell]).all()
        assert enclosure.radius[cell].any()
