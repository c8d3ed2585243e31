"""The selective t-test inverted: masses against mpmath, F falling in the mean, ends, coverage."""

import itertools
import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support import nets

import onnx_si
from onnx_si.ground.intervals import Intervals
from onnx_si.statistics import truncated
from onnx_si.statistics.truncated import Scaled

pytestmark = pytest.mark.filterwarnings("error")

INF = math.inf
NOTHING = Intervals.empty()
TOLERANCE = 1e-9


# With equal tails here; tests/statistics/test_inversion.py has the other alternatives.


def scaled_bounds(*args):
    return truncated.scaled_bounds(*args, "two-sided")


def interval_bounds(*args):
    return truncated.interval_bounds(*args, "two-sided")


def true_sides(pairs, statistic, se, df, mean):
    """Probabilities below and above the statistic on a set, from T - mean = sqrt(Q) times a coordinate of a
    point on a sphere of df + 1 axes; the coordinate's square is beta distributed. At 60 digits.
    """
    with mp.workdps(60):
        t, m = mp.mpf(statistic), mp.mpf(mean)
        radius = mp.sqrt((t - m) ** 2 + df * mp.mpf(se) ** 2)

        def share(x):
            """Of the segment of length 2 sqrt(Q) that lies below; beta distributed with df / 2 twice."""
            x = mp.mpf(x)
            return min(max((1 + (x - m) / radius) / 2, mp.mpf(0)), mp.mpf(1))

        def between(lo, hi):
            lo, hi = share(lo), share(hi)
            if lo + hi > 1:  # from the nearer end, where a small probability keeps its digits
                lo, hi = 1 - hi, 1 - lo
            lower, upper = (
                mp.betainc(mp.mpf(df) / 2, mp.mpf(df) / 2, 0, x, regularized=True) for x in (lo, hi)
            )
            return upper - lower

        def mass(lo, hi):
            clipped = [(max(a, lo), min(b, hi)) for a, b in pairs]
            return sum((between(a, b) for a, b in clipped if a < b), mp.mpf(0))

        return mass(-mp.inf, t), mass(t, mp.inf)


def odds_error(pairs, statistic, se, df, mean):
    """Of the log odds of F, against the truth."""
    sides = Scaled.of(Intervals.of(pairs), statistic, se, df)
    at = (mean - statistic) / se
    below, above = true_sides(pairs, statistic, se, df, mean)
    with mp.workdps(60):
        return abs(float(mp.mpf(sides.log_below(at) - sides.log_above(at)) - mp.log(below / above)))


SETS = [
    [(-INF, INF)],
    [(0.9, INF)],
    [(-3.0, -1.8), (0.9, 1.2), (2.1, INF)],
    [(1.0 - 1e-12, 1.0), (1.0, 1.0 + 3e-12), (1.5, 1.5 + 1e-9)],
    [(1.0 - 1e-6, 1.0 + 1e-9), (-40.0, -40.0 + 1e-12), (40.0, 41.0)],
]


@pytest.mark.parametrize("df", [2, 3, 4, 9, 64, 1000])
@pytest.mark.parametrize("number", range(len(SETS)))
def test_the_odds_of_f_against_many_digits(df, number):
    """Means up to 40 estimated standard errors and a million away."""
    for mean in (1.0, 0.3, -2.0, 3.7, -30.0, 41.0, 1e6, -1e6):
        assert odds_error(SETS[number], 1.0, 1.0, df, mean) < TOLERANCE, mean


@pytest.mark.parametrize("df", [2, 5, 200])
def test_thousands_of_intervals(df):
    ends = np.sort(np.random.default_rng(3).uniform(-2, 3, 4000)).reshape(-1, 2).tolist()
    for mean in (0.5, -6.0):
        assert odds_error([tuple(pair) for pair in ends], ends[900][0] + 1e-7, 0.8, df, mean) < TOLERANCE


sets = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=6).map(Intervals.of)


@given(sets, st.integers(2, 40), st.floats(-30, 30), st.floats(1e-3, 30))
def test_f_falls_in_the_mean_whatever_the_set(inside, df, mean, step):
    sides = Scaled.of(inside, 0.0, 1.0, df)
    odds = [sides.log_below(m) - sides.log_above(m) for m in (mean, mean + step)]
    if math.isfinite(odds[0]) and math.isfinite(odds[1]):
        assert odds[1] <= odds[0] + 1e-9


def test_on_one_degree_of_freedom_f_may_rise():
    """Why there is no interval then: the means that are not rejected need not be one."""
    pairs = [(-5.0, -4.0), (-0.1, 9.0)]
    f = [
        below / (below + above) for below, above in (true_sides(pairs, 0.0, 1.0, 1, m) for m in (-2.4, -2.0))
    ]
    falls = [a / (a + b) for a, b in (true_sides(pairs, 0.0, 1.0, 2, m) for m in (-2.4, -2.0))]
    assert falls[1] <= falls[0]
    with pytest.raises(ValueError, match="df"):
        Scaled.of(Intervals.of(pairs), 0.0, 1.0, 1)
    grid = [true_sides(pairs, 0.0, 1.0, 1, m) for m in np.linspace(-6, -1.5, 60)]
    values = [float(a / (a + b)) for a, b in grid]
    assert max(np.diff(values)) > 1e-3
    assert f


@pytest.mark.parametrize("df", [2, 3, 10, 100])
def test_without_truncation_it_is_students_interval(df):
    median, lower, upper = scaled_bounds(Intervals.line(), NOTHING, 1.3, 0.7, df, 0.9)
    expected = 1.3 + 0.7 * stats.t.ppf([0.05, 0.95], df)
    assert (lower[0], upper[1]) == pytest.approx(tuple(expected), rel=1e-9)
    assert median == pytest.approx((1.3, 1.3), abs=1e-9)


@pytest.mark.parametrize("df", [2, 3, 30])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_interval_ends_solve_their_equation(df, level):
    pairs, rest = SETS[2], (1 - level) / 2
    median, lower, upper = scaled_bounds(Intervals.of(pairs), NOTHING, 1.1, 0.6, df, level)

    def above(mean):
        below, beyond = true_sides(pairs, 1.1, 0.6, df, mean)
        return beyond / (below + beyond)

    assert float(above(lower[0])) == pytest.approx(rest, rel=1e-8) and above(lower[0]) <= mp.mpf(rest)
    assert float(1 - above(upper[1])) == pytest.approx(rest, rel=1e-8) and 1 - above(upper[1]) <= mp.mpf(rest)
    assert float(above(0.5 * sum(median))) == pytest.approx(0.5, rel=1e-8)
    assert lower[0] <= lower[1] < median[0] <= median[1] < upper[0] <= upper[1]


def test_with_many_degrees_of_freedom_it_is_the_normal_interval():
    inside = Intervals.of(SETS[2])
    _, lower, upper = scaled_bounds(inside, NOTHING, 1.1, 0.6, 10**7, 0.9)
    normal = interval_bounds(inside, NOTHING, 1.1, 0.6, 0.9)
    assert (lower[0], upper[1]) == pytest.approx((normal[0][0], normal[1][1]), abs=1e-5)


def test_what_is_undecided_only_widens_and_covers_every_subset():
    rng = np.random.default_rng(31)
    for number in range(12):
        ends = np.sort(rng.normal(size=14) * 2).reshape(-1, 2)
        df, inside, undecided = int(rng.integers(2, 9)), Intervals(ends[::2]), Intervals(ends[1::2])
        at = float(rng.uniform(*inside.bounds[2]))
        most = scaled_bounds(inside, undecided, at, 0.9, df, 0.9)
        for _ in range(4):
            chosen = Intervals(undecided.bounds[rng.random(len(undecided)) < 0.5])
            some = scaled_bounds(inside.union(chosen), NOTHING, at, 0.9, df, 0.9)
            for wide, narrow in zip(most, some, strict=True):
                slack = 1e-8 * (1 + abs(narrow[0]))
                assert wide[0] - slack <= narrow[0] and narrow[1] <= wide[1] + slack, number


def test_open_ends_are_infinite():
    left, right = Intervals.of([(0.0, 1.0)]), Intervals.of([(1.0, 2.0)])
    assert scaled_bounds(NOTHING, NOTHING, 1.0, 1.0, 4, 0.9) == ((-INF, INF),) * 3
    median, lower, upper = scaled_bounds(left, right, 1.0, 1.0, 4, 0.9)
    assert math.isfinite(lower[0]) and upper[1] == INF and median[1] == INF
    median, lower, upper = scaled_bounds(right, left, 1.0, 1.0, 4, 0.9)
    assert lower[0] == -INF and math.isfinite(upper[1]) and median[0] == -INF


@pytest.mark.parametrize(("df", "mean"), [(2, 0.0), (2, 1.5), (5, -0.5)])
def test_intervals_cover_under_selection(df, mean):
    """And those that take the estimate for the truth do not."""
    rng, trials, level = np.random.default_rng([df, 107]), 200, 0.9
    selected = Intervals.of([(-3.0, -1.8), (0.9, 1.2), (2.1, INF)])
    covered = plain = above = done = 0
    while done < trials:
        t, se = mean + rng.standard_normal(), math.sqrt(rng.chisquare(df) / df)
        if not selected.contains(t):
            continue
        done += 1
        median, lower, upper = scaled_bounds(selected, NOTHING, t, se, df, level)
        low, high = interval_bounds(selected, NOTHING, t, se, level)
        covered += lower[0] <= mean <= upper[1]
        plain += low[0] <= mean <= high[1]
        above += median[0] > mean
    least, most = stats.binom.interval(0.999, trials, level)
    assert least <= covered <= most
    assert plain < least or df > 2
    assert stats.binomtest(above, trials, 0.5).pvalue > 0.001


# --------------------------------------------------------------------------------
# The whole program


def spots():
    """A map that follows the image's bright spots."""
    net = nets.Net(3, (1, 1, 4, 4))
    weight = np.abs(net.rng.normal(size=(1, 1, 3, 3))) * 0.4
    weight[0, 0, 1, 1] = 2
    net.add("Conv", "x", net.const(weight), pads=[1, 1, 1, 1], out="map")
    return net.finish("map")


def test_the_program_s_intervals_cover_a_true_difference():
    """A ramp as the signal: the truth differs with the region; sigma on three degrees of freedom."""
    rng, model, covered, trials = np.random.default_rng(12), spots(), 0, 120
    truth = np.linspace(-1, 2, 16).reshape(4, 4)
    for _ in range(trials):
        image, reference = rng.normal(size=(2, 4, 4))
        result = onnx_si.test(
            model,
            image + truth,
            reference,
            sigma=math.sqrt(rng.chisquare(3) / 3),
            sigma_df=3,
            threshold="minmax:0.7",
            precision=1e-3,
            alpha=0.2,
        )
        low, high = result.confidence_interval or (-math.inf, math.inf)  # none: a gap at 0
        covered += low <= truth[result.region].mean() <= high
    least, most = stats.binom.interval(0.999, trials, 0.8)
    assert least <= covered <= most


def test_a_t_test_has_an_estimate_and_its_interval_agrees_with_its_p_value():
    image, reference = np.random.default_rng(13).normal(size=(2, 4, 4))
    for alpha, alternative in itertools.product((0.05, 0.5, 0.9), ("two-sided", "two-sided-abs")):
        result = onnx_si.test(
            spots(),
            image,
            reference,
            sigma=0.8,
            sigma_df=6,
            threshold="minmax:0.7",
            alpha=alpha,
            alternative=alternative,
            precision=1e-6,
        )
        low, high = result.confidence_interval
        assert (low <= 0 <= high) == (result.p_value > alpha)
        if alternative == "two-sided":  # the median is the mean that equal tails reject last
            assert low < result.estimate < high


@pytest.mark.parametrize(
    ("options", "words"),
    [({"sigma_df": 1}, "one degree of freedom"), ({"hypothesis": "global", "sigma_df": 9}, "many pixels")],
)
def test_where_there_is_no_interval_the_result_says_why(options, words):
    image, reference = np.random.default_rng(14).normal(size=(2, 4, 4))
    result = onnx_si.test(spots(), image, reference, sigma=0.8, threshold="minmax:0.7", **options)
    assert result.confidence_interval is None and result.estimate is None
    reasons = result.to_dict()["reasons"]
    assert words in reasons["confidence_interval.*"] and words in reasons["estimate"]
    assert words in result.summary()


def test_beside_the_end_of_its_set_the_ends_of_the_hull_are_far_and_right():
    """So far out that masses are beyond double precision: that is borne in silence, and nothing is lost."""
    pairs, statistic = ((5.7837610541878375, 5.862970498721237), (6.4, 8.1)), 5.783850931577119
    inside = Intervals.of(pairs)
    _, (outer, inner), _ = truncated.scaled_bounds(inside, NOTHING, statistic, 1.0, 3, 0.99)
    assert outer <= inner < -100.0
    for mean, accepted in ((inner, True), (outer * 1.001, False), (outer * 100.0, False)):
        below, above = true_sides(pairs, statistic, 1.0, 3, mean)  # the mirror image of t is not in the set
        assert (above > 0.01 * (below + above)) == accepted


def test_where_the_hull_is_at_one_place_nothing_is_left_to_be_cut():
    """The farthest accepted mean is next to the first that is rejected, so that no stretch lies between."""
    inside = Intervals.of([(-1.312006952059836, -0.28095792136993397)])
    undecided = Intervals.of([(-INF, -175.5062716041295), (12.08479938809037, INF)])
    statistic, se, df = -1.3069173563803946, 0.7439842635817093, 2
    _, lower, upper = truncated.scaled_bounds(inside, undecided, statistic, se, df, 0.95, "two-sided-abs")
    _, known, _ = truncated.scaled_bounds(inside, NOTHING, statistic, se, df, 0.95, "two-sided-abs")
    assert lower[0] <= known[0] <= known[1] <= lower[1] < statistic <= upper[0] <= upper[1]
