"""Polynomials with remainders hold the truth with no slack: against mpmath, and in extended precision."""

import mpmath
import numpy as np
import pytest
from domains.test_enclosure import EXTENDED, truth
from kernels.test_series import ALL
from ops.cases import CASES, HANDLERS, SMOOTH, model_of
from ops.making import Changing
from support import nets, smooth_nets

from onnx_si.domains.polynomial import interpolated
from onnx_si.domains.polynomial.basis import basis
from onnx_si.domains.polynomial.followed import is_followed
from onnx_si.domains.polynomial.fusing import fused
from onnx_si.domains.polynomial.remainders import PolynomialDomain
from onnx_si.domains.polynomial.value import bounded, cells
from onnx_si.domains.walker import Tally, walk
from onnx_si.program.program import bind
from onnx_si.rules.registry import Context, Variable

ABOVE_ZERO = ("Log", "Sqrt", "Pow", "Reciprocal")
BETWEEN = ("Acos", "Asin", "Atanh")
DIGITS = 40


def ranges_of(name, rng):
    """Middles and half widths of an argument: tiny and wide, near and far, as far as it is defined."""
    middles, halves = rng.normal(scale=2.0, size=8), 10.0 ** rng.uniform(-8, 0.3, size=8)
    far = rng.choice([-1, 1], size=4) * rng.uniform(15, 60, size=4)
    middles, halves = np.append(middles, far), np.append(halves, 10.0 ** rng.uniform(-6, 1, size=4))
    if name.startswith(ABOVE_ZERO):
        middles = np.exp(0.3 * middles)
        halves = np.minimum(halves, 0.9 * middles)
    elif name in BETWEEN:
        middles, halves = 0.5 * np.sin(middles), np.minimum(halves, 0.45)
    elif name == "Acosh":
        middles, halves = 1.2 + np.abs(middles), np.minimum(halves, 0.15)
    elif name == "Tan":
        middles, halves = np.sin(middles), np.minimum(halves, 0.4)
    return middles, halves


def between_points(of, stack, t):
    """The polynomial through values at the points, at t, in mpmath: by the barycentric formula."""
    count = of.count
    at = [mpmath.cos((mpmath.mpf(j) + mpmath.mpf(1) / 2) * mpmath.pi / count) for j in range(count)]
    share = [
        (-1) ** j * mpmath.sin((mpmath.mpf(j) + mpmath.mpf(1) / 2) * mpmath.pi / count) for j in range(count)
    ]
    terms = [w / (t - x) for w, x in zip(share, at, strict=True)]
    return sum(w * exactly(v) for w, v in zip(terms, stack, strict=True)) / sum(terms)


def exactly(x):
    """A number, long or not, in mpmath."""
    leading = float(x)
    return mpmath.mpf(leading) + mpmath.mpf(float(x - np.asarray(x).dtype.type(leading)))


@pytest.mark.parametrize("order", [1, 4])
@pytest.mark.parametrize("name", ALL)
def test_a_smooth_function_stays_inside(name, order, longer=False):
    op, constants, attributes, exact = ALL[name]
    handler, of = HANDLERS[op], basis(order, longer)
    rule = handler.build((Variable((1,)), *constants), attributes, Context(0, 1, handler.versions[-1]))
    rng = np.random.default_rng([order, sum(map(ord, name))])
    middles, halves = ranges_of(name, rng)
    bend = rng.normal(size=(of.count, len(middles))) / of.count
    stack = (middles + halves * np.clip(bend, -0.5, 0.5))[..., None].astype(of.points.dtype)
    if longer:
        stack += 1e-18 * rng.normal(size=stack.shape) * np.abs(stack)
    radius = (halves * rng.choice([0.0, 1e-6, 0.1], size=len(middles)))[:, None]
    x = bounded(of, stack.reshape(-1, 1), radius)
    with np.errstate(all="ignore"):
        y = interpolated.curved(rule, x)
    checked = 0
    with mpmath.workdps(DIGITS):
        for cell in np.flatnonzero(np.isfinite(y.radius[:, 0])):
            for t in map(mpmath.mpf, rng.uniform(-1, 1, size=2)):
                argument = between_points(of, stack[:, cell, 0], t)
                made = between_points(of, y.stack[:, cell, 0], t)
                for sign in (-1, 0, 1):
                    truth_ = exact(argument + sign * mpmath.mpf(float(radius[cell, 0])))
                    off = abs(truth_ - made)
                    assert off <= mpmath.mpf(float(y.radius[cell, 0])), (middles[cell], halves[cell])
                    checked += 1
    assert checked > 30


def changed(case):
    """A case whose inputs jump, with ones that change all along the line in their place."""
    inputs = tuple(Changing(i.shape) if isinstance(i, Changing) and not i.choices else i for i in case.inputs)
    return type(case)(case.label, case.op, inputs, case.attributes, case.versions, case.outputs)


def carried(program, order, start, direction, low, high):
    """Every tensor's polynomial by name, and the domain that made them."""
    domain, seen = PolynomialDomain(len(low)), []

    def apply(rule, inputs):
        seen.append(domain.apply(rule, inputs))
        return seen[-1]

    list(walk(program, apply, cells(basis(order), start, direction, low, high), Tally()))
    return dict(zip((step.output for step in program.instructions), seen, strict=True)), domain


def assert_inside(program, start, direction, rng, order, widest=0.5):
    """On cells of many widths every tensor is within its remainder of the polynomial, and so is its norm."""
    middle, half = rng.uniform(-2, 2, size=8), 10.0 ** rng.uniform(-8, widest, size=8)
    low, high = middle - half, middle + half
    tensors, domain = carried(program, order, start, direction, low, high)
    checked = 0
    for cell in np.flatnonzero(~domain.lost):
        t = np.concatenate([[-1.0, 1.0], rng.uniform(-1, 1, size=5)]).astype(np.longdouble)
        middle_, half_ = (
            np.longdouble(x) for x in (0.5 * (low[cell] + high[cell]), 0.5 * (high[cell] - low[cell]))
        )
        values = truth(program, start, direction, middle_ + half_ * t)
        count = np.longdouble(order + 1)
        angles = (np.arange(order + 1, dtype=np.longdouble) + 0.5) * np.arccos(np.longdouble(-1)) / count
        waves = (
            np.cos(np.outer(np.arange(order + 1), angles))
            * np.where(np.arange(order + 1) == 0, 1, 2)[:, None]
        )
        at_t = np.cos(np.outer(np.arccos(np.clip(t, -1, 1)), np.arange(order + 1)))
        for name, value in tensors.items():
            if values[name].dtype != np.longdouble:
                continue  # scipy knows it in double precision only: the test above has it
            stack = value.stack[:, cell].astype(np.longdouble)
            made = np.tensordot(at_t @ waves / count, stack, axes=1)
            made = np.where((stack == stack[0]).all(axis=0), stack[0], made)  # to the last bit
            off = np.abs(values[name] - made)
            assert np.all(off <= value.radius[cell]), (name, float((off - value.radius[cell]).max()))
            norms = np.sqrt((off * off).reshape(len(off), -1).sum(axis=1))
            assert np.all(norms <= value.norm[cell]), name
            checked += off.size
    return checked


IN_DOUBLE = {"Erf", "Gelu"}  # where scipy has no wider type: mpmath above has them
FIRST = list({case.op: case for case in reversed(CASES)}.values())[::-1]
NOT_EVERYWHERE = {"Log", "Sqrt", "ReduceLogSum", "Acos", "Asin", "Atanh", "Acosh", "Pow", "Reciprocal", "Tan"}


@EXTENDED
@pytest.mark.parametrize(
    "case", FIRST + [changed(case) for case in SMOOTH if case.op not in IN_DOUBLE], ids=str
)
def test_every_op_stays_inside(case):
    rng = np.random.default_rng(11)
    model = model_of(case, case.opsets()[-1], bent=case in CASES)
    start = rng.normal(size=model.inputs[0].shape)
    program = bind(model, start, tuple(info.name for info in model.outputs))
    if not is_followed(program):
        pytest.skip("known by its values only, or the line moves whole numbers: refused")
    checked = assert_inside(program, start, rng.normal(size=start.shape), rng, 3)
    assert checked or case in CASES or case.op in NOT_EVERYWHERE


NETS = {
    "U-Net, LeakyRelu": lambda: smooth_nets.unet(size=8, width=2),
    "U-Net, tanh": lambda: smooth_nets.unet(size=8, width=2, act="Tanh"),
    "squeeze and excitation": lambda: smooth_nets.squeeze_excite(size=8, width=3),
    "two classes": lambda: smooth_nets.softmax_segmentation(size=6),
    "cam": lambda: nets.cam_nchw(1),
    "gates": lambda: nets.gated_net(1),
}


@EXTENDED
@pytest.mark.parametrize("order", [2, 6])
@pytest.mark.parametrize("name", NETS)
def test_networks_stay_inside(name, order):
    rng, model = np.random.default_rng(order), NETS[name]()
    start = rng.normal(size=[1 if isinstance(n, str) or n is None else n for n in model.inputs[0].shape])
    program = fused(bind(model, start, (model.outputs[0].name,)))
    assert assert_inside(program, start, rng.normal(size=start.shape), rng, order, widest=-0.5) > 100


@pytest.mark.parametrize("left_out", ["cut", "argument"])
def test_a_remainder_that_is_left_out_is_seen(left_out, monkeypatch):
    """The tests above can fail: without either part of a remainder the truth lies outside."""
    if left_out == "cut":
        monkeypatch.setattr(interpolated, "composed", lambda outer, inner: np.zeros_like(outer[0]))
    else:
        plain = interpolated.bounds

        def without_slope(*arguments):
            sizes = plain(*arguments)
            sizes[1] = 0.0
            return sizes

        monkeypatch.setattr(interpolated, "bounds", without_slope)
    with pytest.raises(AssertionError):
        test_a_smooth_function_stays_inside("Tanh", 4)


@pytest.mark.parametrize("op", ["InstanceNormalization", "LayerNormalization", "Softmax"])
def test_what_is_off_in_one_place_is_not_off_by_as_much_everywhere(op):
    """An error of one number, as a bend leaves it, moves the others by what they share: mean and size.
    Numbers that were moved by as much are inside, each by its own bound.
    """
    rng, handler, of = np.random.default_rng(1), HANDLERS[op], basis(2)
    shape = (1, 2, 8, 8) if op == "InstanceNormalization" else (1, 64)
    scale = () if op == "Softmax" else (np.ones(shape[1]), np.zeros(shape[1]))
    attributes = {} if op == "InstanceNormalization" else {"axis": -1}
    rule = handler.build((Variable(shape), *scale), attributes, Context(0, 1, handler.versions[-1]))
    middle, radius = rng.normal(size=(1, *shape)), np.zeros((1, *shape))
    values = np.concatenate([middle + 1e-3 * rng.normal(size=middle.shape) for _ in range(of.count)])
    radius[(0,) * radius.ndim] = 1e-3
    domain = PolynomialDomain(1)
    y = domain.apply(rule, [bounded(of, values, radius)])
    assert not domain.lost.any()
    for share in (-1.0, -0.3, 1.0):
        off = np.abs(rule.evaluate(values + share * radius) - y.values)
        assert (off <= y.radius).all()
    bounds = y.radius.ravel()
    assert np.median(bounds) < 0.2 * bounds[0]
