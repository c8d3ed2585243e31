"""Polynomials of degree 2 between knots: products, levels, maxima, enclosures and the event on them."""

from fractions import Fraction

import numpy as np
import pytest
from support.scenes import NoJudge

from onnx_si.domains.enclosure.certified import EnclosureDomain
from onnx_si.domains.enclosure.value import Enclosure
from onnx_si.domains.event import RegionEvent, TopEvent
from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.crests import FEW, handovers
from onnx_si.domains.piecewise.quadratic import PiecewiseQuadratic, resampled, together
from onnx_si.domains.piecewise.roots import crossings_of_zero
from onnx_si.domains.piecewise.value import PiecewiseLinear
from onnx_si.domains.piecewise.verdict import blurred, verdict_on
from onnx_si.rules.rules import Affine, Bilinear, Gated, Kinked, Maximum

DOMAIN = ExactDomain()
PRODUCT = Bilinear(product=np.multiply)
exact = np.vectorize(Fraction, otypes=[object])


def lines(seed, count=2, elements=6, knots=5, jump=False):
    """Tensors that are affine between knots of their own, with whole numbers at them."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        at = np.concatenate([[0.0], np.sort(rng.uniform(0, 4, knots - 2)), [4.0]])
        if jump:
            at = np.sort(np.append(at, at[2]))
        found.append(PiecewiseLinear(at, rng.integers(-3, 4, (len(at), elements)).astype(float)))
    return found


def at(f, z):
    """Values at places that are no knots, from the definition."""
    i = f.knots.searchsorted(z) - 1
    s = ((z - f.knots[i]) / (f.knots[i + 1] - f.knots[i]))[:, None]
    chord = f.values[i] * (1 - s) + f.values[i + 1] * s
    return chord - s * (1 - s) * f.bends[i] if isinstance(f, PiecewiseQuadratic) else chord


PLACES = np.random.default_rng(0).uniform(0, 4, 400)


@pytest.mark.parametrize("jump", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_a_product_is_exact_between_knots(seed, jump):
    a, b = lines(seed, jump=jump)
    for xs in ([a, b], [a]):
        q = DOMAIN.apply(PRODUCT, xs)
        np.testing.assert_allclose(at(q, PLACES), at(xs[0], PLACES) * at(xs[-1], PLACES), atol=1e-12)
        assert not q.bends[np.diff(q.knots) == 0].any()  # a jump is no rise
        finer = resampled(q, np.sort(np.concatenate([q.knots, [0.3, 1.7, 2.9]])))
        np.testing.assert_allclose(at(finer, PLACES), at(q, PLACES), atol=1e-12)
        left, right = q.split(1.7)
        assert left.knots[-1] == right.knots[0] == 1.7
        below = PLACES < 1.7
        np.testing.assert_allclose(at(left, PLACES[below]), at(q, PLACES[below]), atol=1e-12)
        np.testing.assert_allclose(at(right, PLACES[~below]), at(q, PLACES[~below]), atol=1e-12)
        left, right = q.split(float(q.knots[2]))
        assert left.knots[-1] == right.knots[0] == q.knots[2]


def test_what_is_constant_or_affine_has_no_bend():
    a, _ = lines(1)
    still = PiecewiseLinear(a.knots, np.full_like(a.values, 0.3))
    assert not DOMAIN.apply(PRODUCT, [a, still]).bends.any()
    q, line = together([DOMAIN.apply(PRODUCT, [a]), a])
    assert q.bends.any() and not line.bends.any()


RULES = {
    "sum": Affine(linear=lambda x, y: x - y, offset=np.array(0.5)),
    "gate": Gated(evaluate=lambda g, x, y: np.where(g > 0, x, y - 1), gates=(0,)),
    "maximum": Maximum(lambda x, y: (x, y, np.ones_like(x))),
    "minimum": Maximum(lambda x, y: (x, y, np.full_like(x, 0.5)), sign=-1),
    "missing": Maximum(lambda x, y: (x, np.full_like(y, -np.inf))),
    "many": Maximum(lambda x, y: np.moveaxis(np.concatenate([x, y, x, y + x], axis=1)[:, None], 2, 0)),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("seed", range(10))
def test_rules_behind_a_product(name, seed):
    rule, (a, b) = RULES[name], lines(seed)
    xs = [DOMAIN.apply(PRODUCT, [a, b]), DOMAIN.apply(PRODUCT, [b]) if seed % 2 else b]
    if name == "gate":
        gate = PiecewiseLinear(
            np.array([0.0, 1.5, 1.5, 4.0]), np.repeat([[1.0], [0.0]], 2, axis=0) + 0 * a.values[0]
        )
        xs = [gate, *xs]
    found = DOMAIN.apply(rule, xs)
    np.testing.assert_allclose(at(found, PLACES), rule.evaluate(*(at(x, PLACES) for x in xs)), atol=1e-11)


def q_middles(q, knots):
    """Values in the middle of intervals that are more than one place but for rounding."""
    return np.where((np.diff(knots) > 1e-12)[:, None], at(q, 0.5 * (knots[1:] + knots[:-1])), 0.0)


KINKS = {
    "relu": Kinked(lambda x: np.maximum(x, 0.0), (np.array(0.0),)),
    "clip": Kinked(lambda x: np.clip(x, -1.0, 2.0), (np.array(-1.0), np.array(2.0))),
    "abs": Kinked(lambda x: np.abs(x - 0.5), (np.array(0.5),)),
}


@pytest.mark.parametrize("name", KINKS)
@pytest.mark.parametrize("seed", range(10))
def test_kinks_behind_a_product(name, seed):
    rule, q = KINKS[name], DOMAIN.apply(PRODUCT, lines(seed))
    found = DOMAIN.apply(rule, [q])
    np.testing.assert_allclose(at(found, PLACES), rule.evaluate(at(q, PLACES)), atol=1e-11)
    if name == "relu":
        off = (found.values[:-1] == 0) & (found.values[1:] == 0) & (q_middles(q, found.knots) < 0)
        assert off.any() and not found.bends[off].any()  # to the last bit


@pytest.mark.parametrize("seed", range(5))
def test_what_crosses_a_level_stands_on_it(seed):
    rng = np.random.default_rng(seed)
    x = PiecewiseLinear(np.array([0.0, 1.0, 4.0]), rng.normal(size=(3, 12)))
    q = DOMAIN.apply(PRODUCT, [x, PiecewiseLinear(x.knots, rng.normal(size=(3, 12)))])
    found = DOMAIN.apply(KINKS["relu"], [q])
    assert len(found.knots) > 6 and not ((found.values > 0) & (found.values < 1e-12)).any()


@pytest.mark.parametrize("count", [2, 3, 6, FEW[-1], 3 * FEW[-1]])
@pytest.mark.parametrize("seed", range(5))
def test_every_change_of_the_largest_is_found(count, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(-4, 5, (count, 2, 1)).astype(float) if seed % 2 else rng.normal(size=(count, 2, 1))
    values[1] = values[0]  # twice the same
    bends = 6 * rng.normal(size=(count, 1, 1))
    bends[1] = bends[0]
    found = handovers(np.array([0.0, 1.0]), values, bends)
    s = np.linspace(0, 1, 20001)
    there = values[:, 0] * (1 - s) + values[:, 1] * s - s * (1 - s) * bends[:, 0]
    winner = np.where(there.argmax(axis=0) == 1, 0, there.argmax(axis=0))
    changes = s[1:][winner[1:] != winner[:-1]]
    for change in changes[(changes > 1e-4) & (changes < 1 - 1e-4)]:
        assert np.abs(found.at - change).min() < 1e-4
    assert len(found.at) <= len(changes) + 2


@pytest.mark.parametrize("seed", range(20))
def test_roots_are_those_of_the_polynomial(seed):
    rng = np.random.default_rng(seed)
    left, right, bend = rng.normal(size=(3, 50)) * 10.0 ** rng.integers(-3, 4, (3, 50))
    bend[:10] = 0.0
    up, down = crossings_of_zero(left, right, bend)
    for i in range(50):
        slope = right[i] - left[i] - bend[i]
        true = np.roots(np.trim_zeros([bend[i], slope, left[i]], "f"))
        true = np.sort(true[np.isreal(true)].real)
        mine = np.array([root[i] for root in (up, down) if np.isfinite(root[i])])
        assert len(mine) == len(true)
        np.testing.assert_allclose(np.sort(mine), true, rtol=1e-7)
        for root, sign in ((up[i], 1), (down[i], -1)):
            assert np.isnan(root) or np.isinf(root) or sign * (slope + 2 * bend[i] * root) >= 0


def test_a_root_next_to_a_large_one_is_not_lost():
    """l = 1e-12 beside a slope of -1: the small root is exact to the last digits."""
    _, down = crossings_of_zero(np.array([1e-12]), np.array([-1.0]), np.array([1e-6]))
    slope = -1.0 - 1e-12 - 1e-6
    assert down[0] == pytest.approx(-1e-12 / slope, rel=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_the_event_is_that_of_a_scan(seed):
    q = DOMAIN.apply(PRODUCT, lines(seed, elements=4, knots=6))
    margin = PiecewiseQuadratic(q.knots, q.values - 0.37, q.bends)
    s = np.random.default_rng(seed).uniform(0, 4)
    event = RegionEvent(at(margin, np.array([s]))[0] > 0)
    verdict = verdict_on(event, margin)
    expected = ((at(margin, PLACES) > 0) == event.observed).all(axis=1)
    low, high = verdict.inside.T
    inside = ((low <= PLACES[:, None]) & (PLACES[:, None] <= high)).any(axis=1)
    assert inside.any() or not expected.any()
    assert np.array_equal(inside, expected)
    assert not len(verdict.unclear)


def bow(left, right, bend):
    """Margins on the interval from 0 to 1."""
    values = np.array([left, right], float)
    return PiecewiseQuadratic(np.array([0.0, 1.0]), values, np.array([bend], float))


def test_a_double_root_is_undecided_where_rounding_decides():
    margin = bow([0.25], [0.25], [1.0])  # (s - 1/2)^2
    for observed in (True, False):
        event = RegionEvent(np.array([observed]))
        plain, judged = verdict_on(event, margin), verdict_on(event, margin, NoJudge(1e-10))
        assert plain.inside.tolist() == ([[0.0, 1.0]] if observed else [])
        (sliver,) = judged.unclear
        np.testing.assert_allclose(
            sliver, 0.5 + 1e-5 * (np.sqrt(2) if observed else 1.0) * np.array([-1, 1]), rtol=1e-7
        )
        assert judged.inside.tolist() == ([[0.0, sliver[0]], [sliver[1], 1.0]] if observed else [])


def test_a_double_root_at_a_knot_is_undecided_too():
    verdict = verdict_on(RegionEvent(np.array([True])), bow([1e-16], [1.0], [1.0]), NoJudge(1e-10))
    np.testing.assert_allclose(verdict.unclear, [[0.0, 1e-5 * np.sqrt(2)]], rtol=1e-4)


def test_two_close_roots_farther_apart_than_rounding_are_a_hole():
    margin = bow([0.25 - 1e-6], [0.25 - 1e-6], [1.0])
    inside = verdict_on(RegionEvent(np.array([True])), margin, NoJudge(1e-12)).inside
    np.testing.assert_allclose(inside, [[0.0, 0.499], [0.501, 1.0]], rtol=1e-9)
    outside = verdict_on(RegionEvent(np.array([False])), margin, NoJudge(1e-12)).inside
    np.testing.assert_allclose(outside, [[0.499, 0.501]], rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 1e-16])
def test_what_is_zero_all_along(value):
    """To the last bit it is outside of the region; up to rounding nobody knows."""
    margin = bow([value, 1.0], [value, -1.0], [0.0, 0.5])
    for observed in (True, False):
        verdict = verdict_on(RegionEvent(np.array([observed, True])), margin, NoJudge(1e-12))
        kept = np.array([0.0, 2.5 - np.sqrt(2.5**2 - 2)])  # 1 - 2.5 s + 0.5 s^2
        if value:
            np.testing.assert_allclose(verdict.unclear, [kept], rtol=1e-9)
        else:
            assert not len(verdict.unclear)
        expected = [] if value or observed else [kept]
        np.testing.assert_allclose(verdict.inside, np.reshape(expected, (-1, 2)), rtol=1e-9)


def test_ties_of_a_share_need_equal_values():
    margin = bow([1.0, 0.0, 0.0, -1.0], [1.0, 0.0, 0.0, -1.0], [0.5, 0.0, 0.0, 0.0])
    observed = np.array([True, False, False, False])
    assert verdict_on(TopEvent(observed, ties=2), margin).inside.tolist() == [[0.0, 1.0]]
    bent = bow([1.0, 0.0, 0.0, -1.0], [1.0, 0.0, 0.0, -1.0], [0.5, 0.1, 0.0, 0.0])
    assert verdict_on(TopEvent(observed, ties=2), bent).inside.tolist() == []
    nearly = bow([1.0, 0.0, 0.0, -1.0], [1.0, 0.0, 0.0, -1.0], [0.5, 1e-15, 0.0, 0.0])
    verdict = verdict_on(TopEvent(observed, ties=2), nearly, NoJudge(1e-12))
    assert verdict.inside.tolist() == [] and verdict.unclear.tolist() == [[0.0, 1.0]]


def test_the_ends_of_what_is_found_are_blurred():
    margin = bow([-0.25], [0.75], [0.0])
    event = RegionEvent(np.array([True]))
    sharp = blurred(event, margin, verdict_on(event, margin), 1e-6)
    assert sharp[0, 0] < 0.25 - 1e-6 < 0.25 + 1e-6 < sharp[0, 1] < 0.25 + 1e-5
    margin = bow([0.25 - 1e-6], [0.25 - 1e-6], [1.0])  # roots 1e-3 from the turning point
    blunt = blurred(event, margin, verdict_on(event, margin), 1e-7)
    assert len(blunt) == 2 and (blunt[:, 1] - blunt[:, 0] > 9e-5).all()


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_an_enclosure_of_a_product_holds_it(seed, square):
    rng = np.random.default_rng(seed)
    half = np.array([0.25, 1.0])
    xs = [
        Enclosure(
            centre=rng.normal(size=(2, 3)),
            slope=rng.normal(size=(2, 3)),
            radius=0.01 * rng.random((2, 3)),
            half_width=half,
        )
        for _ in range(1 if square else 2)
    ]
    low, high = EnclosureDomain(2).apply(PRODUCT, xs).bounds()
    for _ in range(60):
        t = exact(half * rng.uniform(-1, 1, 2) ** rng.choice([0, 1])).reshape(-1, 1)
        a, b = (
            (exact(x.centre) + exact(x.slope) * t + exact(x.radius) * rng.choice([-1, 1], size=(2, 3)))
            for x in (xs[0], xs[-1])
        )
        true = a * a if square else a * b
        assert (true >= exact(low)).all() and (true <= exact(high)).all()


def test_an_enclosure_of_a_product_is_narrow():
    """It is off by the square of the way, not by the way."""
    x = Enclosure(
        centre=np.ones((1, 1)), slope=np.ones((1, 1)), radius=np.zeros((1, 1)), half_width=np.array([1e-3])
    )
    assert EnclosureDomain(1).apply(PRODUCT, [x]).radius.item() < 1e-6
