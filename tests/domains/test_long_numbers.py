"""Polynomials in more than double precision hold the truth with no slack: against mpmath, in 50 digits."""

import mpmath
import numpy as np
import pytest
from domains import test_polynomial_rules as plain_numbers
from domains.test_enclosure import EXTENDED
from domains.test_polynomial_rules import exactly
from kernels.test_series import ALL
from scipy import special
from support import nets, smooth_nets

from onnx_si.domains.polynomial import longer
from onnx_si.domains.polynomial.basis import basis
from onnx_si.domains.polynomial.fusing import fused
from onnx_si.domains.polynomial.remainders import PolynomialDomain
from onnx_si.domains.polynomial.value import cells, without_remainder
from onnx_si.domains.walker import Tally, walk
from onnx_si.kernels import long
from onnx_si.program.program import bind
from onnx_si.rules.rules import Step, Winner

pytestmark = EXTENDED
OBJECTS = np.vectorize(exactly, otypes=[object])


@pytest.mark.parametrize("name", ALL)
def test_a_smooth_function_stays_inside_in_long_numbers(name):
    plain_numbers.test_a_smooth_function_stays_inside(name, 4, longer=True)


@pytest.mark.parametrize(
    ("function", "truth", "units"),
    [(long.error_function, mpmath.erf, 16), (long.normal_distribution, mpmath.ncdf, 2**13)],
    ids=["erf", "ndtr"],
)
def test_the_error_function_in_long_numbers(function, truth, units):
    x = np.concatenate([np.linspace(-37, 37, 149), np.linspace(-3.1, 3.1, 101), [0.0, 1e-30, -2.0, 2.0]])
    x = x.astype(np.longdouble) * (1 + np.longdouble(2) ** -60)
    with mpmath.workdps(60):
        for at, found in zip(x, function(x), strict=True):
            wanted = truth(exactly(at))
            assert abs(exactly(found) - wanted) <= units * long.LONG_UNIT * abs(wanted)


def truth(program, image):
    """Every tensor at one image, an array of mpmath's numbers."""
    live = {program.input: image[None]}
    for step in program.instructions:
        live[step.output] = of_rule(step.rule, [live[name] for name in step.inputs])
    return live


def of_rule(rule, xs):
    if getattr(rule.evaluate, "function", None) is special.expit:  # which takes no objects
        return 1 / (1 + np.exp(-xs[0]))
    found = rule.evaluate(*xs)
    return OBJECTS(found) if isinstance(rule, Step | Winner) else found


def assert_inside(program, start, direction, widths):
    """On cells of some widths every tensor is within its remainder of the polynomial; gives the least."""
    low = np.array([0.3 - 0.5 * width for width in widths])
    high = np.array([0.3 + 0.5 * width for width in widths])
    of, domain, seen = basis(3, longer=True), PolynomialDomain(len(low)), []

    def apply(rule, inputs):
        seen.append(domain.apply(rule, inputs))
        return seen[-1]

    list(walk(program, apply, cells(of, start, direction, low, high), Tally()))
    least = np.inf
    for cell in np.flatnonzero(~domain.lost):
        for share in (0.0, 1.0, 0.37):
            z = mpmath.mpf(low[cell]) + mpmath.mpf(share) * (mpmath.mpf(high[cell]) - mpmath.mpf(low[cell]))
            t = 2 * mpmath.mpf(share) - 1
            wanted = truth(program, OBJECTS(start) + OBJECTS(direction) * z)
            at = [mpmath.cos((j + mpmath.mpf(0.5)) * mpmath.pi / of.count) for j in range(of.count)]
            parts = [[(t - b) / (a - b) for b in at if b is not a] for a in at]
            weights = [mpmath.fprod(part) for part in parts]
            for step, value in zip(program.instructions, seen, strict=True):
                stack = value.stack[:, cell]
                made = sum(w * OBJECTS(v) for w, v in zip(weights, stack, strict=True))
                made = np.where((stack == stack[0]).all(axis=0), OBJECTS(stack[0]), made)  # to the last bit
                off = np.abs(made - wanted[step.output][0])
                assert np.all(off <= OBJECTS(value.radius[cell])), (step.node, cell)
                assert mpmath.sqrt(np.sum(off * off)) <= value.norm[cell]
        least = min(least, float(seen[-1].radius[cell].max()))
    assert not domain.lost.all()
    return least


NETS = {
    "U-Net, tanh": lambda: smooth_nets.unet(size=6, width=2, act="Tanh"),
    "U-Net, LeakyRelu": lambda: smooth_nets.unet(size=4, width=2),
    "cam": lambda: nets.cam_nchw(1, size=3),
    "gates": lambda: nets.gated_net(1, size=3),
}


def program_of(name):
    rng, model = np.random.default_rng(5), NETS[name]()
    start = rng.normal(size=[1 if isinstance(n, str) or n is None else n for n in model.inputs[0].shape])
    return fused(bind(model, start, (model.outputs[0].name,))), start, rng.normal(size=start.shape)


@pytest.fixture
def in_mpmath(monkeypatch):
    """numpy asks an object for these."""
    for name in ("tanh", "sqrt", "exp"):
        monkeypatch.setattr(mpmath.mpf, name, getattr(mpmath, name), raising=False)
    with mpmath.workdps(50):
        yield


@pytest.mark.parametrize("name", NETS)
def test_networks_stay_inside_in_long_numbers(name, in_mpmath):
    assert assert_inside(*program_of(name), (1e-9, 1e-3)) < 1e-13


def test_a_part_that_is_left_out_is_seen(monkeypatch, in_mpmath):
    """The tests above can fail: leading bits alone are not the product."""
    plain = longer._quanta
    monkeypatch.setattr(longer, "_quanta", lambda largest, bits: plain(largest, bits + 20))
    with pytest.raises(AssertionError):
        assert_inside(*program_of("U-Net, tanh"), (1e-9,))


@pytest.mark.parametrize("weight", ["of one bit", "of all bits"])
def test_sums_of_parts_are_off_by_no_more_than_is_said(weight, in_mpmath):
    """Each kind of error by itself: weights of one bit leave those of the values alone."""
    rng, net = np.random.default_rng(2), nets.Net(0, (1, 64))
    factors = rng.choice([-1.0, 1.0], (64, 40))
    factors = factors if weight == "of one bit" else (factors * rng.uniform(1, 2, factors.shape))
    net.add("MatMul", "x", net.const(factors), out="y")
    start = rng.normal(size=(1, 64))
    (step,) = bind(net.finish("y"), start, ("y",)).instructions
    of = basis(3, longer=True)
    given = cells(of, start, rng.normal(size=start.shape), np.array([-0.1]), np.array([0.1]))
    exact = without_remainder(given)  # what the values are off by is not meant
    found = longer.in_parts(step.rule, [exact])
    (stored,) = step.rule.weights
    wanted = OBJECTS(exact.values) @ OBJECTS(stored)
    off = np.abs(OBJECTS(found.values) - wanted)
    said = found.rounding @ np.abs(stored) + found.of_weights
    assert (off <= OBJECTS(said)).all() and off.max() > 0
    assert (weight == "of one bit") == (found.of_weights.max() == 0)
