"""Sums of polynomials, and of these times smooth functions, between knots: rules, roots, jumps, the event."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from numpy.polynomial import Polynomial
from support.scenes import NoJudge

from onnx_si.domains.enclosure.certified import EnclosureDomain
from onnx_si.domains.enclosure.value import Enclosure
from onnx_si.domains.event import RegionEvent, TopEvent
from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.curves.curve import Curve, Term, curved, resampled
from onnx_si.domains.piecewise.curves.expressions import Product, Sums
from onnx_si.domains.piecewise.curves.signs import signs_of
from onnx_si.domains.piecewise.value import PiecewiseLinear
from onnx_si.domains.piecewise.verdict import blurred, verdict_on
from onnx_si.domains.walker import NeedsSplit
from onnx_si.errors import Undefined
from onnx_si.kernels import bernstein
from onnx_si.kernels.bounded import Logistic, Reciprocal, Root
from onnx_si.rules.rules import Affine, Bilinear, Gated, Kinked, Maximum, Quotient, Smooth, Step, Winner

DOMAIN = ExactDomain()
PRODUCT = Bilinear(product=np.multiply, elementwise=True)
RATIO = Quotient(line_up=lambda a, b: [a, b])
INVERSE = Quotient(line_up=lambda b: [np.full((1, 1), 2.0), b], divides_changing=False)
ROOT = Smooth(evaluate=np.sqrt, series=lambda x, order: x, reach=Root())
SIGMOID = Smooth(evaluate=Logistic(), series=lambda x, order: x, reach=Logistic())
ABOVE = Affine(linear=lambda x: x, offset=np.array(0.7))
PLACES = np.random.default_rng(0).uniform(0, 4, 300)


def lines(seed, count=2, elements=6, knots=5):
    """Tensors that are affine between knots of their own, with whole numbers at them."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        at = np.concatenate([[0.0], np.sort(rng.uniform(0, 4, knots - 2)), [4.0]])
        found.append(PiecewiseLinear(at, rng.integers(-3, 4, (len(at), elements)).astype(float)))
    return found


def at(x, z):
    """Values at places that are no knots."""
    curve = curved(x)
    i = curve.knots.searchsorted(z) - 1
    share = (z - curve.knots[i]) / (curve.knots[i + 1] - curve.knots[i])
    size = int(np.prod(curve.shape))
    rows = curve.rows(np.repeat(i, size), np.tile(np.arange(size), len(z)))
    return rows.at(np.repeat(share, size)).reshape(len(z), *curve.shape)


def apply(rule, *xs):
    return DOMAIN.apply(rule, list(xs))


def squares(x):
    return apply(PRODUCT, x, x)


def made(seed):
    """A polynomial of degree 4, a root and a ratio, of one shape."""
    a, b = lines(seed)
    fourth = apply(PRODUCT, squares(a), squares(b))
    root = apply(ROOT, apply(ABOVE, squares(a)))
    ratio = apply(RATIO, b, apply(ABOVE, squares(a)))
    return fourth, root, ratio


def truth(seed, z):
    a, b = (at(x, z) for x in lines(seed))
    return a**2 * b**2, np.sqrt(a**2 + 0.7), b / (a**2 + 0.7)


@pytest.mark.parametrize("degree", range(9))
def test_bernstein_coefficients(degree):
    rng = np.random.default_rng(degree)
    c, other, s = rng.normal(size=(degree + 1, 3)), rng.normal(size=(4, 3)), rng.random(3)
    v = bernstein.value(c, s)
    np.testing.assert_allclose(bernstein.value(bernstein.elevated(c, degree + 3), s), v, atol=1e-13)
    np.testing.assert_allclose(
        bernstein.value(bernstein.product(np.multiply, c, other), s),
        v * bernstein.value(other, s),
        atol=1e-13,
    )
    left, right = bernstein.halved(c, 0.3)
    np.testing.assert_allclose(bernstein.value(left, s), bernstein.value(c, 0.3 * s), atol=1e-13)
    np.testing.assert_allclose(bernstein.value(right, s), bernstein.value(c, 0.3 + 0.7 * s), atol=1e-13)
    h = 1e-6
    slope = (bernstein.value(c, s + h) - bernstein.value(c, s - h)) / (2 * h)
    np.testing.assert_allclose(bernstein.value(bernstein.derivative(c), s), slope, atol=1e-7)
    still = np.full((degree + 1, 2), 0.3)
    for same in (bernstein.elevated(still, 8), *bernstein.halved(still, 0.7), bernstein.value(still, 0.1)):
        assert (same == 0.3).all()  # to the last bit


@pytest.mark.parametrize("function", [Root(), Reciprocal(), Logistic()], ids=str)
def test_reaches_hold_the_function(function):
    rng = np.random.default_rng(1)
    low = rng.normal(size=400) * 10.0 ** rng.integers(-3, 3, 400)
    low = np.abs(low) if function == Root() else low
    high = low + np.abs(rng.normal(size=400)) * 10.0 ** rng.integers(-3, 3, 400)
    (least, most), (flat, steep) = function.values(low, high), function.slopes(low, high)
    for s in (0.0, 0.2, 0.5, 0.9, 1.0):
        x = low + s * (high - low)
        y, h = function(x), 1e-6 * np.abs(x)
        assert ((y >= least * (1 - 1e-14)) | (y >= least)).all() and (y <= most + 1e-14 * np.abs(most)).all()
        inner = (x - h > low) & (x + h < high) & (x * (x - h) > 0)
        slope = (function(x + h) - function(x - h))[inner] / (2 * h[inner])
        slack = 1e-8 * np.abs(slope) + 1e-16 / h[inner]
        assert (slope >= flat[inner] - slack).all() and (slope <= steep[inner] + slack).all()


@pytest.mark.parametrize("seed", range(6))
def test_rules_agree_with_single_places(seed):
    fourth, root, ratio = made(seed)
    p, r, q = truth(seed, PLACES)
    for found, true in zip((fourth, root, ratio), (p, r, q), strict=True):
        np.testing.assert_allclose(at(found, PLACES), true, rtol=1e-10, atol=1e-10)
    both = Affine(linear=lambda x, y, z: 2 * x - y + z, offset=np.array(0.5))
    np.testing.assert_allclose(at(apply(both, fourth, root, ratio), PLACES), 2 * p - r + q + 0.5, atol=1e-9)
    np.testing.assert_allclose(at(apply(PRODUCT, root, ratio), PLACES), r * q, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(at(apply(RATIO, ratio, root), PLACES), q / r, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(at(apply(INVERSE, root), PLACES), 2 / r, rtol=1e-9)
    np.testing.assert_allclose(at(apply(SIGMOID, ratio), PLACES), Logistic()(q), rtol=1e-9)
    mixed = Affine(linear=lambda x, w: x @ w, weights=(np.arange(12.0).reshape(6, 2) - 4,), terms=6)
    np.testing.assert_allclose(at(apply(mixed, root), PLACES), r @ mixed.weights[0], rtol=1e-9, atol=1e-9)


KINKS = {
    "relu": Kinked(lambda x: np.maximum(x, 0.0), (np.array(0.0),)),
    "clip": Kinked(lambda x: np.clip(x, 0.4, 2.0), (np.array(0.4), np.array(2.0))),
    "abs": Kinked(lambda x: np.abs(x - 0.5), (np.array(0.5),)),
}
MAXIMA = {
    "maximum": Maximum(lambda x, y, z: (x, y, z, np.ones_like(x))),
    "minimum": Maximum(lambda x, y, z: (x, y, z, np.full_like(x, 0.2)), sign=-1),
    "missing": Maximum(lambda x, y, z: (x, y, z, np.full_like(x, -np.inf))),
    "of all": Maximum(lambda x, y, z: np.moveaxis(np.concatenate([x, y, z, x], axis=1)[:, None], 2, 0)),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", [*KINKS, *MAXIMA])
def test_kinks_and_maxima(name, seed):
    xs, true = made(seed), truth(seed, PLACES)
    if name in MAXIMA:
        rule = MAXIMA[name]
        found = apply(rule, *xs)
        np.testing.assert_allclose(at(found, PLACES), rule.evaluate(*true), rtol=1e-9, atol=1e-9)
        return
    for x, y in zip(xs, true, strict=True):
        found = apply(KINKS[name], x)
        np.testing.assert_allclose(at(found, PLACES), KINKS[name].evaluate(y), rtol=1e-9, atol=1e-9)


def test_what_a_relu_holds_back_is_zero_to_the_last_bit():
    fourth, _, ratio = made(3)
    for x in (apply(Affine(linear=lambda x: x, offset=np.array(-1.0)), fourth), ratio):
        off, values = at(x, PLACES) < -1e-9, at(apply(KINKS["relu"], x), PLACES)
        assert off.any() and not values[off].any()


@pytest.mark.parametrize("seed", range(4))
def test_gates_let_polynomials_through(seed):
    a, b = lines(seed)
    gate = PiecewiseLinear(
        np.array([0.0, 1.5, 1.5, 4.0]), np.repeat([[1.0], [0.0]], 2, axis=0) + 0 * a.values[0]
    )
    chosen = Gated(evaluate=lambda g, x, y: np.where(g > 0, x, y - 1), gates=(0,))
    fourth = made(seed)[0]
    found = at(apply(chosen, gate, fourth, b), PLACES)
    below = (PLACES < 1.5)[:, None]
    np.testing.assert_allclose(found, np.where(below, truth(seed, PLACES)[0], at(b, PLACES) - 1), atol=1e-9)


def polynomials(seed, count=40):
    """With roots of their own in and around [0, 1], some of them double: (coefficients, the roots)."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        roots = rng.uniform(-0.5, 1.5, rng.integers(1, 9))
        p = Polynomial.fromroots(roots) * rng.choice([-1, 1]) * 10.0 ** rng.integers(-3, 3)
        x = np.linspace(0, 1, 9)
        basis = np.stack([bernstein.value(np.eye(9)[:, [k]], s) for s in x for k in range(9)])
        c = np.linalg.solve(basis.reshape(9, 9), p(x))
        found.append((c, roots))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_every_root_is_found(seed):
    many = polynomials(seed)
    sums = Sums((Product(np.stack([c for c, _ in many], axis=1)),))
    size = np.abs(sums.products[0].polynomial).max(axis=0)
    signs = signs_of(sums, 1e-15 * size)
    row, share = signs.changes()
    for i, (_, roots) in enumerate(many):
        inside = np.sort(roots[(roots > 0) & (roots < 1)])
        lonely = [r for r in inside if np.sum(np.abs(roots - r) < 0.02) == 1]
        for root in lonely:
            assert np.abs(share[row == i] - root).min(initial=1.0) < 1e-6, (seed, i, root)
        _, low, high = (x[signs.row == i] for x in (signs.row, signs.low, signs.high))
        assert low[0] == 0 and high[-1] == 1 and (low[1:] == high[:-1]).all()


def row_of(*coefficients):
    return Sums((Product(np.array(coefficients, float)[:, None]),))


def test_two_close_roots_beside_others_are_both_found():
    """-(s - .3)(s - .3 - 1e-6)(s - .7)(s - 2), by exact coefficients."""
    roots = [Fraction(3, 10), Fraction(3, 10) + Fraction(1, 10**6), Fraction(7, 10), Fraction(2)]
    power = [Fraction(-1)]
    for root in roots:
        power = [a - root * b for a, b in zip([Fraction(0), *power], [*power, Fraction(0)], strict=True)]
    c = [float(sum(power[j] * comb(k, j) / Fraction(comb(4, j)) for j in range(k + 1))) for k in range(5)]
    signs = signs_of(row_of(*c), 1e-16)
    np.testing.assert_allclose(signs.changes()[1], [0.3, 0.3 + 1e-6, 0.7], rtol=0, atol=1e-9)
    _, low, high = signs_of(row_of(*c), 1e-12).where(0)
    assert len(low) == 1 and 0.29 < low[0] < 0.3 < high[0] < 0.31


def test_a_double_root_is_not_told_and_a_narrow_gap_is():
    touching = signs_of(row_of(0.25, -0.25, 0.25), 1e-10)  # (s - 1/2)^2
    (low,), (high,) = touching.where(0)[1:]
    assert low < 0.5 - 1e-5 < 0.5 + 1e-5 < high < 0.501
    gap = signs_of(row_of(0.25 - 1e-6, -0.25 - 1e-6, 0.25 - 1e-6), 1e-12)
    np.testing.assert_allclose(gap.changes()[1], [0.499, 0.501], rtol=1e-9)


def test_what_cancels_is_zero_to_the_last_bit():
    _, root, ratio = made(1)
    for x in (root, ratio):
        apart = apply(Affine(linear=lambda a, b: a - b), x, x)
        assert isinstance(apart, Curve)
        assert apart.rows(np.array([0, 1]), np.array([2, 3])).merged().nothing().all()


def test_a_root_of_a_negative_number_is_refused():
    a, _ = lines(1)
    with pytest.raises(Undefined, match="root of a negative number"):
        apply(ROOT, apply(Affine(linear=lambda x: x, offset=np.array(-0.5)), squares(a)))


def test_a_pole_is_a_place_that_is_not_told():
    line = PiecewiseLinear(np.array([0.0, 1.0]), np.array([[-1.0], [1.0]]))
    pole = apply(INVERSE, line)
    verdict = verdict_on(RegionEvent(np.array([True])), pole, NoJudge(1e-12))
    np.testing.assert_allclose(verdict.inside, [[0.5, 1.0]], atol=1e-9)


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("seed", range(8))
def test_the_event_is_that_of_a_scan(seed, which):
    margin = apply(Affine(linear=lambda x: x, offset=np.array(-0.83)), made(seed)[which])
    z = np.random.default_rng(seed).uniform(0, 4)
    event = RegionEvent(at(margin, np.array([z]))[0] > 0)
    verdict = verdict_on(event, margin, NoJudge(1e-13))
    low, high = verdict.inside.T
    inside = ((low <= PLACES[:, None]) & (PLACES[:, None] <= high)).any(axis=1)
    assert np.array_equal(inside, ((at(margin, PLACES) > 0) == event.observed).all(axis=1))
    assert verdict.unclear.sum() < 1e-5


def bow(*coefficients):
    """Margins on the interval from 0 to 1, by their coefficients."""
    return Curve(np.array([0.0, 1.0]), (Term(np.array(coefficients, float)[:, None]),))


def test_a_triple_touch_is_undecided_where_rounding_decides():
    margin = bow([0.0625], [-0.0625], [0.0625], [-0.0625], [0.0625])  # (s - 1/2)^4
    for observed in (True, False):
        (sliver,) = verdict_on(RegionEvent(np.array([observed])), margin, NoJudge(1e-12)).unclear
        assert sliver[0] < 0.5 - 1e-3 < 0.5 + 1e-3 < sliver[1] < 0.51


@pytest.mark.parametrize("value", [0.0, 1e-16])
def test_what_is_zero_all_along(value):
    """To the last bit it is outside of the region; up to rounding nobody knows."""
    margin = bow([value, 1.0], [value, 1.0], [value, 0.0], [value, -1.0])
    for observed in (True, False):
        verdict = verdict_on(RegionEvent(np.array([observed, True])), margin, NoJudge(1e-12))
        assert bool(len(verdict.unclear)) == bool(value)
        assert bool(len(verdict.inside)) == (not value and not observed)


def test_ties_of_a_share_need_equal_values():
    observed = np.array([True, False, False, False])
    tied = bow([1.0, 0.0, 0.0, -1.0], [2.0, 0.0, 0.0, -2.0], [1.0, 0.0, 0.0, -1.0], [1.0, 0.0, 0.0, -1.0])
    assert verdict_on(TopEvent(observed, ties=2), tied).inside.tolist() == [[0.0, 1.0]]
    bent = bow([1.0, 0.0, 0.0, -1.0], [2.0, -0.1, 0.0, -2.0], [1.0, 0.0, 0.0, -1.0], [1.0, 0.0, 0.0, -1.0])
    assert verdict_on(TopEvent(observed, ties=2), bent).inside.tolist() == []
    nearly = bow(
        [1.0, 0.0, 0.0, -1.0], [2.0, -1e-15, 0.0, -2.0], [1.0, 0.0, 0.0, -1.0], [1.0, 0.0, 0.0, -1.0]
    )
    verdict = verdict_on(TopEvent(observed, ties=2), nearly, NoJudge(1e-12))
    assert verdict.inside.tolist() == [] and verdict.unclear.tolist() == [[0.0, 1.0]]


def test_the_ends_of_what_is_found_are_blurred():
    margin = bow([-0.125], [0.0], [0.375], [0.875])
    event = RegionEvent(np.array([True]))
    ((end, _),) = verdict_on(event, margin).inside
    sharp = blurred(event, margin, verdict_on(event, margin), 1e-6)
    assert sharp[0, 0] < end - 1e-7 < end + 1e-7 < sharp[0, 1] < end + 1e-4


@pytest.mark.parametrize("seed", range(5))
def test_steps_and_choices_jump_where_curves_cross(seed):
    xs, (p, r, q) = made(seed), truth(seed, PLACES)
    greater = Step(switches=lambda x, y: (x - y,), evaluate=lambda x, y: (x > y).astype(float))
    best = Winner(lambda x, y, z: np.stack([x, y, z]))
    domain = ExactDomain(judge=None)
    for rule, given, true in (
        (greater, xs[:2], p > r),
        (greater, xs[1:], r > q),
        (best, xs, np.stack([p, r, q]).argmax(axis=0)),
    ):
        found = domain.apply(rule, list(given))
        assert isinstance(found, PiecewiseLinear)
        np.testing.assert_array_equal(at(found, PLACES), true)


def test_a_step_that_rounding_decides_is_undecided():
    x = bow([0.25], [-0.25], [0.25])
    domain = ExactDomain(judge=Doubting())
    positive = Step(switches=lambda x: (x,), evaluate=lambda x: (x > 0).astype(float))
    domain.apply(positive, [x])
    ((low, high),) = domain.undecided
    assert low < 0.5 < high < 0.501


class Doubting:
    """Takes nothing below 1e-10 for a number."""

    def reads(self, rule):
        return ()

    def slacks(self, names, knots, sizes):
        yield 1e-10


@pytest.mark.parametrize("rule", [ROOT, SIGMOID, INVERSE, RATIO], ids=["root", "sigmoid", "inverse", "ratio"])
@pytest.mark.parametrize("seed", range(6))
def test_an_enclosure_of_a_smooth_function_holds_it(rule, seed):
    rng = np.random.default_rng(seed)
    half = np.array([0.25, 1.0])
    xs = [
        Enclosure(
            centre=3 + rng.random((2, 3)),
            slope=rng.normal(size=(2, 3)),
            radius=0.01 * rng.random((2, 3)),
            half_width=half,
        )
        for _ in range(2 if rule is RATIO else 1)
    ]
    low, high = EnclosureDomain(2).apply(rule, xs).bounds()
    for _ in range(60):
        t = (half * rng.uniform(-1, 1, 2) ** rng.choice([0, 1])).reshape(-1, 1)
        values = [x.centre + x.slope * t + x.radius * rng.choice([-1, 1], size=(2, 3)) for x in xs]
        true = rule.evaluate(*values)
        assert (true >= low).all() and (true <= high).all()


def test_rational_arithmetic_divides():
    from onnx_si.domains.rational import apply as exactly
    from onnx_si.domains.rational import exact, rounded

    a, b = exact(np.array([[1.0]])), exact(np.array([[3.0]]))
    assert exactly(RATIO, [a, b])[0, 0] == Fraction(1, 3)
    assert rounded(exactly(INVERSE, [b]))[0, 0] == 2 / 3


def curve_and_line():
    a, b = lines(0, knots=200)
    return [b, apply(ABOVE, squares(a))]


@pytest.mark.parametrize("points", [3.0, 30.0])
def test_curves_take_no_more_than_the_walk_has_room_for(points):
    """Of few points there is no room for a curve of hundreds; the domain's own budget is far from that."""
    domain = ExactDomain(rooms=lambda position, waiting: points)
    domain.enter(0, 0)
    with pytest.raises(NeedsSplit):
        domain.apply(RATIO, curve_and_line())
    with pytest.raises(NeedsSplit):
        domain.apply(Step(evaluate=np.sign, switches=lambda x: x), [apply(RATIO, *curve_and_line())])


def test_curves_for_which_there_is_room_are_made_at_once():
    domain = ExactDomain(rooms=lambda position, waiting: 10_000.0)
    domain.enter(0, 0)
    assert len(domain.apply(RATIO, curve_and_line()).knots) > 300


def test_products_of_one_kind_are_computed_together():
    root = squares(lines(1, count=1)[0])
    curve = apply(PRODUCT, lines(2, count=1)[0], apply(ROOT, apply(ABOVE, root)))
    intervals = np.arange(len(curve.knots) - 1)
    rows = [curve.rows(intervals, np.full(len(intervals), element)) for element in (0, 1)]
    both = Sums((*rows[0].products, *rows[1].times(-1.0).products)).merged()
    together = both.grouped()
    assert len(together.products) < len(both.products)
    np.testing.assert_allclose(together.at(0.3), both.at(0.3), rtol=1e-14)
    for made, wanted in zip(together.bounds(), both.bounds(), strict=True):
        np.testing.assert_allclose(made, wanted, rtol=1e-14)
    kept = {one.polynomial.tobytes() for one in both.products}
    assert {one.polynomial.tobytes() for one in together.apart().products} == kept


def test_parts_of_an_interval_keep_its_bounds():
    curve = apply(ROOT, apply(ABOVE, squares(lines(1, count=1)[0])))
    least, _ = curve.bounds
    middles = 0.5 * (curve.knots[1:] + curve.knots[:-1])
    finer = resampled(curve, np.sort(np.concatenate([curve.knots, middles])))
    assert np.array_equal(finer.bounds[0], np.repeat(least, 2, axis=0))
    for share in np.linspace(0, 1, 9):
        values = finer.at_share(share)
        assert ((values >= finer.bounds[0] - 1e-12) & (values <= finer.bounds[1] + 1e-12)).all()


def test_a_kink_is_exact_where_bounds_are_far_too_large():
    """What is added beside a bound of 1e30 would be lost."""
    knots, ones = np.array([0.0, 1.0]), np.ones((1, 1, 1))
    known = np.full((1, 1), 1.5), np.full((1, 1), 1e30)
    x = Curve(knots, (Term(np.array([2.0, 3.0]).reshape(2, 1, 1) * ones),), known)
    shrunk = Kinked(function=lambda v: np.where(v > 1, v - 0.5, 0.5 * v), breakpoints=(np.array(1.0),))
    np.testing.assert_allclose(apply(shrunk, x).at_share(0.5), 2.0, rtol=1e-15)
