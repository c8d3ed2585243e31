"""Truncated distributions: masses against mpmath, bounds without tolerance, statistics by simulation."""

import math
from functools import cache

import mpmath as mp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics import truncated
from onnx_si.statistics.truncated import (
    Chi,
    Normal,
    Ratio,
    Student,
    bounds,
    decided,
    log_p_value,
    median_bounds,
    median_unbiased,
    p_value_bounds,
)

pytestmark = pytest.mark.filterwarnings("error")

INF = math.inf
ALTERNATIVES = ("two-sided", "two-sided-abs", "greater", "less")
WIDTHS = (1e-12, 1e-9, 1e-6, 1e-3, 0.1, 0.5, 0.99, 1.01, 2.0, 10.0, INF)
PLACES = (0.0, 1e-9, 0.1, 0.7, 1.0, 1.5, 3.0, 8.0, 20.0, 40.0)
TOLERANCE = 1e-9


# With equal tails here; tests/statistics/test_inversion.py has the other alternatives.


def confidence_interval(*args):
    (lowest, _), (_, highest) = truncated.interval_bounds(*args, "two-sided")
    return lowest, highest


def interval_bounds(*args):
    return truncated.interval_bounds(*args, "two-sided")


# --------------------------------------------------------------------------------
# The truth, at 60 digits: 50 are left after the differences of slivers 1e-12 wide.


def high_precision(function):
    def wrapped(*args):
        with mp.workdps(60):
            return function(*args)

    return wrapped


@cache
def normal_upper(z):
    return mp.erfc(z / mp.sqrt(2)) / 2


@high_precision
def normal_mass(lo, hi, mean, sd):
    a, b = ((mp.mpf(end) - mp.mpf(mean)) / mp.mpf(sd) for end in (lo, hi))
    if a + b < 0:
        a, b = -b, -a
    return normal_upper(a) - normal_upper(b)


@high_precision
def chi_mass(lo, hi, df, scale):
    half = mp.mpf(df) / 2
    a, b = ((max(mp.mpf(end), 0) / mp.mpf(scale)) ** 2 / 2 for end in (lo, hi))
    if a > half:
        return mp.gammainc(half, a, mp.inf, regularized=True) - (
            0 if b == mp.inf else mp.gammainc(half, b, mp.inf, regularized=True)
        )
    return (1 if b == mp.inf else mp.gammainc(half, 0, b, regularized=True)) - mp.gammainc(
        half, 0, a, regularized=True
    )


@high_precision
def ratio_mass(lo, hi, df, error_df, radius):
    """The square of a part of a point on a sphere, over the radius's, is beta distributed."""
    a, b = ((min(max(mp.mpf(end), 0), mp.mpf(radius)) / mp.mpf(radius)) ** 2 for end in (lo, hi))
    p, q = mp.mpf(df) / 2, mp.mpf(error_df) / 2
    if a > p / (p + q):
        upper = [mp.betainc(q, p, 0, 1 - x, regularized=True) for x in (a, b)]
        return upper[0] - upper[1]
    lower = [mp.betainc(p, q, 0, x, regularized=True) for x in (a, b)]
    return lower[1] - lower[0]


def student_mass(lo, hi, df, radius):
    sides = [(max(lo, 0.0), hi), (max(-hi, 0.0), -lo)]
    with mp.workdps(60):
        return sum((ratio_mass(a, b, 1, df, radius) for a, b in sides if a < b), mp.mpf(0)) / 2


def true_mass(distribution, lo, hi):
    if isinstance(distribution, Normal):
        return normal_mass(lo, hi, distribution.mean, distribution.sd)
    if isinstance(distribution, Ratio):
        return ratio_mass(lo, hi, distribution.df, distribution.error_df, distribution.radius)
    if isinstance(distribution, Student):
        return student_mass(lo, hi, distribution.df, distribution.radius)
    return chi_mass(lo, hi, distribution.df, distribution.scale)


@high_precision
def true_p_value(distribution, pairs, statistic, alternative):
    """Compute the p-value by its definition, or None if the set holds no mass."""

    def mass(lo, hi):
        clipped = [(max(lo, a), min(hi, b)) for a, b in pairs]
        return sum((true_mass(distribution, a, b) for a, b in clipped if a < b), mp.mpf(0))

    below, above = mass(-INF, statistic), mass(statistic, INF)
    total = below + above
    if total == 0:
        return None
    if alternative == "two-sided-abs":
        return (mass(-INF, -abs(statistic)) + mass(abs(statistic), INF)) / total
    tails = {"less": below / total, "greater": above / total}
    return tails.get(alternative, 2 * min(tails.values()))


@high_precision
def log_error(log_mass, truth):
    return float(abs(mp.mpf(float(log_mass)) - mp.log(truth)))


def assert_masses(distribution, pairs):
    log_masses = distribution.log_masses(np.array(pairs))
    assert log_masses.shape == (len(pairs),)
    for value, (lo, hi) in zip(log_masses, pairs, strict=True):
        # The allowance that p_value_bounds relies on is itself far below the wanted accuracy.
        allowance = bounds.log_error(float(value))
        assert log_error(value, true_mass(distribution, lo, hi)) <= allowance < TOLERANCE, (lo, hi)


def grid(centre, unit):
    """Intervals that start on both sides of a centre and reach away from it, and some across it."""
    pairs = [(centre + unit * place, centre + unit * (place + width)) for place in PLACES for width in WIDTHS]
    pairs += [(2 * centre - hi, 2 * centre - lo) for lo, hi in pairs]
    pairs += [
        (centre - unit * x, centre + unit * y) for x, y in ((0.5, 0.2), (1e-13, 2e-13), (40, 40), (1e-6, 30))
    ]
    return [(lo, hi) for lo, hi in [*pairs, (-INF, INF)] if lo < hi]


# --------------------------------------------------------------------------------
# Masses


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.3, 1.7), (-7.0, 0.1), (1e6, 0.1), (0.0, 1e-8)])
def test_normal_masses(mean, sd):
    assert_masses(Normal(mean, sd), grid(mean, sd))


@pytest.mark.parametrize("df", [1, 2, 3, 5, 17, 40, 192, 1024])
def test_chi_masses(df):
    scale = 1.3
    mode = scale * math.sqrt(df - 1)
    pairs = [(lo, hi) for lo, hi in grid(mode, scale * math.sqrt(0.5)) if hi > 0]
    pairs += [(0.0, fraction * mode + 1e-3) for fraction in (0.0, 1e-3, 0.1, 0.5, 0.9, 1.0, 1.2)]
    pairs += [(0.0, 1e-12), (1e-9, 2e-9), (0.0, INF), (-5.0, 1.0)]
    assert_masses(Chi(df, scale), pairs)


def test_chi_of_many_pixels():
    mode = math.sqrt(12287)
    offsets = ((-28, -27), (-3, -3 + 1e-9), (-1, 2), (0, INF), (5, 5 + 1e-12), (28, 30), (28, INF))
    assert_masses(Chi(12288, 1.0), [(mode + lo, mode + hi) for lo, hi in offsets])


def sphere_grid(radius):
    """Intervals from the centre to the very end of a sphere, slivers of 1e-12 of it among them."""
    shares = np.concatenate([[0, 1e-9, 1e-3], np.linspace(0.01, 0.99, 9), 1 - 10.0 ** -np.arange(3, 13, 2)])
    ends = [(s * radius, min(s + w, 1.0) * radius) for s in shares for w in (1e-12, 1e-9, 1e-4, 0.1, 1.0)]
    return [(lo, hi) for lo, hi in ends if lo < hi]


SPHERES = [(1, 1), (1, 2), (1, 9), (1, 60), (1, 3000), (2, 1), (3, 7), (17, 4), (192, 50), (40, 2000)]


@pytest.mark.parametrize(("df", "error_df"), SPHERES)
def test_ratio_masses(df, error_df):
    radius = math.hypot(40.0, math.sqrt(error_df))  # a statistic forty standard errors out
    pairs = [*sphere_grid(radius), (40.0, 40.0 + 1e-12), (40.0, INF), (-INF, INF), (-5.0, 0.1)]
    assert_masses(Ratio(df, error_df, radius), pairs)


@pytest.mark.parametrize("df", [1, 2, 3, 30, 1000])
def test_student_masses(df):
    radius = math.hypot(40.0, math.sqrt(df))
    pairs = sphere_grid(radius)
    pairs += [(-hi, -lo) for lo, hi in pairs[::7]]
    pairs += [(-0.3, 0.2), (-INF, 1.0), (-INF, INF), (-40.0, -40.0 + 1e-12), (-1e-12, 1e-13), (1.0, 2e9)]
    assert_masses(Student(df, radius), pairs)


@pytest.mark.parametrize("df", [1, 4, 50])
def test_student_and_ratio_are_scipys_t_and_f(df):
    radius = 3.0
    ends = np.array([-2.9, -1.0, -0.2, 0.0, 0.7, 2.0, 2.999])
    t = math.sqrt(df) * ends / np.sqrt(radius**2 - ends**2)
    tails = Student(df, radius).log_masses(np.stack([ends, np.full(7, INF)], axis=1))
    np.testing.assert_allclose(tails, stats.t.logsf(t, df), rtol=1e-10, atol=1e-13)
    f = (ends[4:] ** 2 / 5) / ((radius**2 - ends[4:] ** 2) / df)
    tails = Ratio(5, df, radius).log_masses(np.stack([ends[4:], np.full(3, INF)], axis=1))
    np.testing.assert_allclose(tails, stats.f.logsf(f, 5, df), rtol=1e-9)


@pytest.mark.parametrize("distribution", [Student(4, 2.0), Ratio(3, 5, 2.0)])
def test_nothing_lies_beyond_the_sphere(distribution):
    assert distribution.log_mass(Intervals.of([(-9.0, -2.0), (2.0, INF)])) == -INF
    assert distribution.log_mass(Intervals.line()) == pytest.approx(0.0, abs=1e-13)
    for wrong in ((0, 1.0), (2.5, 1.0), (3, 0.0), (3, INF)):
        with pytest.raises(ValueError, match="must be"):
            Student(*wrong)


@pytest.mark.parametrize(
    "distribution", [Normal(0.0, 1.0), Chi(30, 1.0), Student(900, 50.0), Ratio(30, 900, 50.0)]
)
def test_thousands_of_intervals_far_out(distribution):
    """Mass and p-value, 39 to 40 standard deviations out, the last interval without an end."""
    ends = 39.0 + np.sort(np.random.default_rng(3).uniform(0, 1, 4000))
    ends[-1] = INF
    pieces = Intervals(ends.reshape(-1, 2))
    statistic = float(pieces.bounds[700].mean())
    with mp.workdps(60):
        masses = [true_mass(distribution, lo, hi) for lo, hi in pieces]
        part = true_mass(distribution, statistic, pieces.bounds[700, 1])
        tail = (part + sum(masses[701:])) / sum(masses)
    assert log_error(distribution.log_mass(pieces), sum(masses)) < TOLERANCE
    low, high = p_value_bounds(distribution, pieces, Intervals.empty(), statistic, "greater")
    assert mp.mpf(low) <= tail <= mp.mpf(high)
    assert high - low < TOLERANCE * high and 0 < high < 0.1


@pytest.mark.parametrize("distribution", [Normal(1.0, 2.0), Chi(1, 2.0), Chi(9, 2.0)])
def test_masses_of_nothing_and_everything(distribution):
    nothing = np.array([[3.0, 3.0], [INF, INF], [0.0, -0.0]])
    assert distribution.log_masses(nothing).tolist() == [-INF] * 3
    assert distribution.log_masses(np.empty((0, 2))).shape == (0,)
    assert distribution.log_mass(Intervals.empty()) == -INF
    assert distribution.log_mass(Intervals.line()) == pytest.approx(0.0, abs=1e-14)


def test_chi_has_no_mass_below_zero():
    assert Chi(4, 1.0).log_mass(Intervals.of([(-3.0, -1.0), (-0.5, 0.0)])) == -INF


# --------------------------------------------------------------------------------
# p-value bounds


@pytest.mark.parametrize("statistic", [-38.0, -1.2, 0.0, 0.4, 2.0, 35.0])
def test_without_truncation_it_is_the_z_test(statistic):
    less, greater = stats.norm.cdf(statistic), stats.norm.sf(statistic)
    expected = {"less": less, "greater": greater, "two-sided": 2 * min(less, greater)}
    expected["two-sided-abs"] = expected["two-sided"]
    for alternative in ALTERNATIVES:
        bounds = p_value_bounds(
            Normal(0.0, 2.0), Intervals.line(), Intervals.empty(), 2 * statistic, alternative
        )
        assert bounds == pytest.approx((expected[alternative],) * 2, rel=1e-10)


def random_sets(rng, centre, spread):
    """Disjoint certain and undecided sets around a statistic, slivers among them, some with infinite ends."""
    count = int(rng.integers(3, 14))
    ends = np.sort(centre + spread * rng.standard_normal(2 * count) * 10 ** rng.uniform(-4, 0, 2 * count))
    pairs = ends.reshape(-1, 2)
    pairs[rng.random(count) < 0.2, 1] -= 1e-13  # touching none, some shorter
    if rng.random() < 0.4:
        pairs[0, 0], pairs[-1, 1] = -INF, INF
    pairs = pairs[pairs[:, 1] > pairs[:, 0]]
    pairs = np.array([pair for k, pair in enumerate(pairs) if k == 0 or pair[0] > pairs[k - 1][1]])
    split = rng.random(len(pairs)) < 0.5
    return Intervals(pairs[split]), Intervals(pairs[~split])


def bound_cases():
    rng = np.random.default_rng(11)
    for case in range(48):
        alternative = ALTERNATIVES[case % 4]
        if case % 5 == 3:
            distribution, statistic = Student(int(rng.integers(1, 60)), 9.0), float(rng.uniform(-8.0, 8.0))
        elif case % 5 == 4:
            freedom = rng.integers(1, 60, 2).tolist()
            distribution, statistic = Ratio(*freedom, 9.0), float(rng.uniform(0.5, 8.0))
        elif case % 3 == 2:
            distribution, statistic = Chi(int(rng.integers(1, 60)), 1.3), float(rng.uniform(0.5, 40.0))
        else:
            distribution, statistic = Normal(0.0, 0.7), float(rng.uniform(-25.0, 25.0))
        yield distribution, statistic, alternative, rng


def test_bounds_hold_for_random_subsets_without_tolerance():
    compared = 0
    for distribution, statistic, alternative, rng in bound_cases():
        inside, undecided = random_sets(rng, statistic, 1.0)
        lower, upper = p_value_bounds(distribution, inside, undecided, statistic, alternative)
        assert 0.0 <= lower <= upper <= 1.0
        for _ in range(5):
            chosen = undecided.bounds[rng.random(len(undecided)) < rng.random()]
            exact = true_p_value(distribution, [*inside, *Intervals(chosen)], statistic, alternative)
            if exact is not None:
                compared += 1
                assert mp.mpf(lower) <= exact <= mp.mpf(upper)
    assert compared > 150


@pytest.mark.parametrize(
    ("distribution", "statistics"),
    [
        (Normal(0.0, 1.0), [*np.linspace(-9, 9, 41), *np.linspace(900, 1000, 21)]),
        (Chi(2500, 1.0), np.linspace(47, 53, 41)),
    ],
    ids=["normal", "chi"],
)
def test_bounds_hold_without_tolerance_when_nothing_is_undecided(distribution, statistics):
    """Rounding alone is left: probabilities near 0 and 1, and odds far out, must still be enclosed."""
    for z in np.asarray(statistics).tolist():
        pairs = [(-INF, INF)] if z < 40 else [(z - 0.01, z - 0.009), (z - 0.002, z + 0.01)]
        for alternative in ("less", "greater"):
            bounds = p_value_bounds(distribution, Intervals.of(pairs), Intervals.empty(), z, alternative)
            exact = true_p_value(distribution, pairs, z, alternative)
            assert mp.mpf(bounds[0]) <= exact <= mp.mpf(bounds[1])


def test_bounds_are_sharp():
    """Each bound is attained by a subset: the undecided mass of the tail, or of the rest."""
    for distribution, statistic, alternative, rng in bound_cases():
        if alternative == "two-sided":
            continue  # mixes both directions; its ends are checked through `less` below
        inside, undecided = random_sets(rng, statistic, 1.0)
        lower, upper = p_value_bounds(distribution, inside, undecided, statistic, alternative)
        size = abs(statistic)
        tail = {
            "greater": Intervals.of([(statistic, INF)]),
            "less": Intervals.of([(-INF, statistic)]),
            "two-sided-abs": Intervals.of([(-INF, -size), (size, INF)]),
        }[alternative]
        for bound, extra in ((upper, undecided.intersect(tail)), (lower, undecided.subtract(tail))):
            exact = true_p_value(distribution, list(inside.union(extra)), statistic, alternative)
            assert exact is None or bound == pytest.approx(float(exact), rel=TOLERANCE)


def test_two_sided_bounds_map_the_range_of_f():
    for distribution, statistic, _, rng in bound_cases():
        sets = random_sets(rng, statistic, 1.0)
        low, high = p_value_bounds(distribution, *sets, statistic, "less")
        folded = sorted(2 * min(f, 1 - f) for f in (low, high))
        expected = (folded[0], 1.0 if low < 0.5 < high else folded[1])
        assert p_value_bounds(distribution, *sets, statistic, "two-sided") == pytest.approx(
            expected, abs=1e-10
        )


def test_two_sided_bounds_that_straddle_one_half():
    side = 0.3
    inside, undecided = Intervals.of([(-side, side)]), Intervals.of([(-9, -side), (side, 9)])
    lower, upper = p_value_bounds(Normal(0.0, 1.0), inside, undecided, 0.0, "two-sided")
    # F ranges from m / (m + 1/2) to (1/2) / (1/2 + m) with m the mass of (0, side).
    m = stats.norm.cdf(side) - 0.5
    assert upper == 1.0
    assert lower == pytest.approx(2 * m / (m + 0.5), rel=1e-10)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_deciding_more_narrows_the_bounds(alternative):
    rng = np.random.default_rng(23)
    for _ in range(30):
        statistic = float(rng.uniform(-20, 20))
        inside, undecided = random_sets(rng, statistic, 1.0)
        lower, upper = p_value_bounds(Normal(0.0, 1.0), inside, undecided, statistic, alternative)
        first = (lower, upper)
        while undecided:
            piece = Intervals(undecided.bounds[: (len(undecided) + 1) // 2])
            undecided = undecided.subtract(piece)
            inside = inside.union(piece) if rng.random() < 0.5 else inside
            narrower = p_value_bounds(Normal(0.0, 1.0), inside, undecided, statistic, alternative)
            if not inside and not undecided:
                break  # nothing left to condition on: (0, 1) by definition
            # Equal sums in another order round differently.
            assert narrower[0] >= lower * (1 - 1e-12) and narrower[1] <= upper * (1 + 1e-12)
            lower, upper = narrower
        if inside:
            assert upper - lower <= 1e-9 * upper + 5e-324
            assert first[1] - first[0] >= upper - lower


def test_no_mass_means_no_information():
    chi, below_zero = Chi(3, 1.0), Intervals.of([(-2.0, -1.0)])
    for alternative in ALTERNATIVES:
        for sets in ((Intervals.empty(), Intervals.empty()), (Intervals.empty(), Intervals.line())):
            assert p_value_bounds(Normal(0.0, 1.0), *sets, 1.0, alternative) == (0.0, 1.0)
        assert p_value_bounds(chi, below_zero, below_zero, 1.0, alternative) == (0.0, 1.0)


def test_a_tail_without_mass_is_settled():
    inside = Intervals.of([(0.0, 1.0)])
    assert p_value_bounds(Normal(0.0, 1.0), inside, Intervals.empty(), 1.0, "greater") == (0.0, 0.0)
    assert p_value_bounds(Normal(0.0, 1.0), inside, Intervals.empty(), 1.0, "less") == (1.0, 1.0)


def test_far_out_and_narrow():
    """Forty standard deviations out, a set of two slivers: the odds are the ratio of the densities."""
    inside = Intervals.of([(40.0, 40.0 + 2**-40), (41.0, 41.0 + 2**-40)])
    lower, upper = p_value_bounds(Normal(0.0, 1.0), inside, Intervals.empty(), 40.5, "greater")
    assert lower <= upper == pytest.approx(math.exp(-40.5), rel=1e-9)


def test_a_p_value_below_the_smallest_float_keeps_true_bounds():
    lower, upper = p_value_bounds(Normal(0.0, 1.0), Intervals.line(), Intervals.empty(), 40.0, "greater")
    assert lower == 0.0 < upper < 1e-320


extremes = st.one_of(
    st.floats(-50, 50),
    st.floats(allow_nan=False),
    st.sampled_from([0.0, 1e-300, -1e-300, 1e160, -1e160, INF, -INF]),
)
extreme_sets = st.lists(st.tuples(extremes, extremes), max_size=5).map(Intervals.of)


@given(extreme_sets, extreme_sets, extremes.filter(math.isfinite), st.sampled_from(ALTERNATIVES))
@example(Intervals.empty(), Intervals.of([(0.0, 2.4e301)]), 2.3e301, "two-sided")
@settings(max_examples=200, deadline=None)
def test_extreme_values_never_give_a_nan(inside, undecided, statistic, alternative):
    for distribution in (Normal(0.0, 1.0), Normal(-3.0, 1e-5), Chi(1, 1.0), Chi(2, 1e-5), Chi(50, 3.0)):
        lower, upper = p_value_bounds(distribution, inside, undecided, statistic, alternative)
        assert 0.0 <= lower <= upper <= 1.0
    low, high = confidence_interval(inside, undecided, statistic, 1.0, 0.9)
    assert low <= high


def test_decided():
    assert decided((0.01, 0.05), 0.05)
    assert decided((0.051, 0.9), 0.05)
    assert not decided((0.05, 0.06), 0.05)
    assert not decided((0.0, 1.0), 0.05)


# --------------------------------------------------------------------------------
# Confidence intervals and estimates

SETS = [
    ([(-INF, INF)], 1.3, 1.0),
    ([(1.0, INF)], 1.2, 1.0),
    ([(-INF, -1.5), (1.5, 4.0)], 1.6, 0.8),
    ([(2.0, 2.5), (3.0, 3.01), (7.0, 9.0)], 2.2, 1.0),
    ([(30.0, 31.0)], 30.4, 1.0),
    ([(-1.0, -1.0 + 2**-33), (0.5, 0.5 + 2**-33)], -1.0 + 2**-34, 1.0),
    ([(-0.1, 0.1)], 0.05, 3.0),
]


@pytest.mark.parametrize(("pairs", "statistic", "sd"), SETS)
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_interval_ends_solve_their_equation(pairs, statistic, sd, level):
    inside, rest = Intervals.of(pairs), (1 - level) / 2
    low, high = confidence_interval(inside, Intervals.empty(), statistic, sd, level)
    at_low = true_p_value(Normal(low, sd), pairs, statistic, "greater")
    at_high = true_p_value(Normal(high, sd), pairs, statistic, "less")
    assert float(at_low) == pytest.approx(rest, rel=1e-8) and float(at_high) == pytest.approx(rest, rel=1e-8)
    # Outwards, never inwards.
    assert at_low <= mp.mpf(rest) and at_high <= mp.mpf(rest)
    middle = median_unbiased(inside, statistic, sd)
    assert low < middle < high
    assert float(true_p_value(Normal(middle, sd), pairs, statistic, "less")) == pytest.approx(0.5, rel=1e-8)


def test_an_end_inside_a_sliver():
    """The sliver's length is chosen so that the lower end falls into it, where its two ends nearly cancel."""
    distance, odds = 6.0, 0.975 / 0.025
    mills = stats.norm.sf(distance) / stats.norm.pdf(distance)
    half = 0.5 * mills / odds * math.exp(-0.5 * distance**2)
    pairs = [(-INF, -distance), (-half, half)]
    low, _ = confidence_interval(Intervals.of(pairs), Intervals.empty(), -distance, 1.0, 0.95)
    assert abs(low) < half
    assert float(true_p_value(Normal(low, 1.0), pairs, -distance, "greater")) == pytest.approx(
        0.025, rel=1e-9
    )


def test_without_truncation_it_is_the_z_interval():
    low, high = confidence_interval(Intervals.line(), Intervals.empty(), 5.0, 2.0, 0.9)
    half = 2.0 * stats.norm.isf(0.05)
    assert (low, high) == pytest.approx((5.0 - half, 5.0 + half), rel=1e-11)
    assert median_unbiased(Intervals.line(), 5.0, 2.0) == pytest.approx(5.0, rel=1e-12)


def test_a_sliver_gives_a_wide_but_finite_interval():
    """On a set of length d the density is exponential with rate theta: the ends grow like 1 / d."""
    length = 2.0**-40
    low, high = confidence_interval(Intervals.of([(0.0, length)]), Intervals.empty(), length / 2, 1.0, 0.95)
    # F(1/2) = 1 / (1 + exp(k / 2)) for k = theta * length.
    expected = 2 * math.log(0.975 / 0.025) / length
    assert (low, high) == pytest.approx((-expected, expected), rel=1e-9)


def test_undecided_mass_only_widens_and_covers_every_subset():
    rng = np.random.default_rng(31)
    finite = 0
    for _ in range(15):
        statistic = float(rng.uniform(-8, 8))
        inside, undecided = random_sets(rng, statistic, 1.0)
        inside = inside.union(Intervals.of([(statistic - 0.2, statistic + 0.3)]))
        low, high = confidence_interval(inside, undecided, statistic, 1.5, 0.9)
        assert math.isfinite(low) and math.isfinite(high)
        shorter = 0
        for _ in range(6):
            chosen = Intervals(undecided.bounds[rng.random(len(undecided)) < 0.5])
            some = confidence_interval(inside.union(chosen), Intervals.empty(), statistic, 1.5, 0.9)
            assert low <= some[0] + 1e-9 and some[1] - 1e-9 <= high
            shorter += some[1] - some[0] < high - low - 1e-6
        finite += shorter > 0
    assert finite >= 5


def test_undecided_ends_are_attained():
    inside = Intervals.of([(1.0, 2.0)])
    above, below = Intervals.of([(3.0, 4.0)]), Intervals.of([(-1.0, 0.5)])
    low, high = confidence_interval(inside, above.union(below), 1.7, 1.0, 0.95)
    with_above = confidence_interval(inside.union(above), Intervals.empty(), 1.7, 1.0, 0.95)
    with_below = confidence_interval(inside.union(below), Intervals.empty(), 1.7, 1.0, 0.95)
    assert low == pytest.approx(with_above[0], rel=1e-9) and high == pytest.approx(with_below[1], rel=1e-9)


def test_open_ends_are_infinite():
    nothing, left, right = Intervals.empty(), Intervals.of([(0.0, 1.0)]), Intervals.of([(1.0, 2.0)])
    assert confidence_interval(nothing, nothing, 1.0, 1.0, 0.9) == (-INF, INF)
    assert confidence_interval(nothing, Intervals.line(), 1.0, 1.0, 0.9) == (-INF, INF)
    low, high = confidence_interval(left, right, 1.0, 1.0, 0.9)
    assert math.isfinite(low) and high == INF
    low, high = confidence_interval(right, left, 1.0, 1.0, 0.9)
    assert low == -INF and math.isfinite(high)
    assert median_unbiased(left, 1.0, 1.0) == INF and median_unbiased(right, 1.0, 1.0) == -INF


def test_bad_arguments_are_refused():
    line, nothing = Intervals.line(), Intervals.empty()
    for bad in (lambda: Normal(0.0, 0.0), lambda: Normal(math.nan, 1.0), lambda: Normal(0.0, INF)):
        with pytest.raises(ValueError, match="must be"):
            bad()
    for df, scale in ((0, 1.0), (2.5, 1.0), (3, -1.0)):
        with pytest.raises(ValueError, match="must be"):
            Chi(df, scale)
    for statistic in (math.nan, INF):
        with pytest.raises(ValueError, match="finite"):
            p_value_bounds(Normal(0.0, 1.0), line, nothing, statistic)
    with pytest.raises(ValueError, match="alternative"):
        p_value_bounds(Normal(0.0, 1.0), line, nothing, 0.0, "both")
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="level"):
            confidence_interval(line, nothing, 0.0, 1.0, level)
    with pytest.raises(ValueError, match="sd"):
        confidence_interval(line, nothing, 0.0, 0.0, 0.9)
    with pytest.raises(ValueError, match="empty"):
        median_unbiased(nothing, 0.0, 1.0)


# --------------------------------------------------------------------------------
# Statistics: each check is also run on the test that ignores the selection, and must fail there.

SELECTED = Intervals.of([(-3.0, -1.8), (0.9, 1.2), (2.1, INF)])


def selected_draws(rng, draw, intervals, count):
    kept = [z for z in draw(20 * count) if intervals.contains(z)][:count]
    assert len(kept) == count
    return kept


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_p_values_are_uniform_under_selection(alternative):
    rng = np.random.default_rng(101)
    draws = selected_draws(rng, rng.standard_normal, SELECTED, 1000)

    def uniformity(truncation):
        bounds = [
            p_value_bounds(Normal(0.0, 1.0), truncation, Intervals.empty(), z, alternative) for z in draws
        ]
        return stats.kstest([upper for _, upper in bounds], "uniform").pvalue

    assert uniformity(SELECTED) > 0.01
    assert uniformity(Intervals.line()) < 1e-6


def test_chi_p_values_are_uniform_under_selection():
    rng, df, scale = np.random.default_rng(103), 12, 0.5
    selected = Intervals.of([(0.9, 1.2), (1.9, 2.0), (2.2, INF)])

    def draw(count):
        return scale * np.sqrt(rng.chisquare(df, count))

    draws = selected_draws(rng, draw, selected, 1000)

    def uniformity(truncation):
        bounds = [p_value_bounds(Chi(df, scale), truncation, Intervals.empty(), z, "greater") for z in draws]
        return stats.kstest([upper for _, upper in bounds], "uniform").pvalue

    assert uniformity(selected) > 0.01
    assert uniformity(Intervals.line()) < 1e-6


@pytest.mark.parametrize("mean", [0.0, 1.5])
def test_confidence_intervals_cover(mean):
    rng, trials, level = np.random.default_rng(107), 300, 0.9
    draws = selected_draws(rng, lambda count: mean + rng.standard_normal(count), SELECTED, trials)

    def coverage(truncation):
        intervals = [confidence_interval(truncation, Intervals.empty(), z, 1.0, level) for z in draws]
        return sum(low <= mean <= high for low, high in intervals)

    least, most = stats.binom.ppf([0.001, 0.999], trials, level)
    assert least <= coverage(SELECTED) <= most
    if mean == 0.0:
        assert coverage(Intervals.line()) < least
    above = sum(median_unbiased(SELECTED, z, 1.0) > mean for z in draws)
    assert stats.binomtest(above, trials, 0.5).pvalue > 0.001


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("distribution", [Normal(0.0, 2.0), Chi(7, 1.0), Student(5, 20.0), Ratio(4, 9, 20.0)])
def test_the_log_of_a_p_value_without_truncation(distribution, alternative):
    for statistic in (0.3, 2.0, 15.0):
        low, high = p_value_bounds(distribution, Intervals.line(), Intervals.empty(), statistic, alternative)
        assert math.exp(log_p_value(distribution, statistic, alternative)) == pytest.approx(
            0.5 * (low + high), rel=1e-9
        )


def test_the_log_of_a_p_value_far_below_the_smallest_float():
    with mp.workdps(60):
        truth = float(mp.log(2 * normal_mass(400.0, INF, 0.0, 2.0)))
    assert log_p_value(Normal(0.0, 2.0), -400.0, "two-sided") == pytest.approx(truth, rel=1e-12)


def test_bounds_of_estimate_and_interval_hold_for_every_subset_and_are_attained():
    rng = np.random.default_rng(31)
    attained = 0
    for _ in range(25):
        statistic = float(rng.uniform(-3, 3))
        inside, undecided = random_sets(rng, statistic, 1.0)
        sides = [undecided.intersect(Intervals.of([pair])) for pair in ((-INF, statistic), (statistic, INF))]
        median = median_bounds(inside, undecided, statistic, 0.7)
        ends = interval_bounds(inside, undecided, statistic, 0.7, 0.9)
        chosen = [Intervals(undecided.bounds[rng.random(len(undecided)) < 0.5]) for _ in range(4)]
        for extra in (*chosen, *sides):
            total = inside.union(extra)
            if not total.bounds[0, 0] < statistic < total.bounds[-1, 1]:
                continue  # nothing to invert: the statistic is an end of the set
            low, high = confidence_interval(total, Intervals.empty(), statistic, 0.7, 0.9)
            value = median_unbiased(total, statistic, 0.7)
            slack = 1e-8 * (1 + abs(value)) if math.isfinite(value) else 0.0
            assert median[0] - slack <= value <= median[1] + slack
            for end, (least, most) in zip((low, high), ends, strict=True):
                allowed = 1e-8 * (1 + abs(end)) if math.isfinite(end) else 0.0
                assert least - allowed <= end <= most + allowed
            if math.isfinite(value) and inside and extra in sides:
                attained += value == pytest.approx(median[sides.index(extra) == 0], rel=1e-6, abs=1e-6)
    assert attained > 15
