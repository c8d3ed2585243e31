"""Interval and p-value never contradict each other: the interval inverts the test that was asked for."""

import dataclasses
import math

import mpmath as mp
import numpy as np
import pytest
from scipy import stats
from support import nets

import onnx_si
from onnx_si.analysis.options import Options
from onnx_si.analysis.outcome import _without_contradiction
from onnx_si.analysis.settings import settle
from onnx_si.engines.engine import Answer, Spent
from onnx_si.ground.intervals import Intervals
from onnx_si.report import Estimate
from onnx_si.statistics.truncated import (
    Normal,
    Randomised,
    Student,
    interval_bounds,
    likely_ends,
    p_value_bounds,
    randomised_bounds,
    scaled_bounds,
)
from onnx_si.statistics.truncated.absolute import odds_bounds
from onnx_si.statistics.truncated.shifted import Shifted

pytestmark = pytest.mark.filterwarnings("error")

INF = math.inf
NOTHING = Intervals.empty()
ALTERNATIVES = ("two-sided-abs", "two-sided", "greater", "less")
SD, DF, SHARE = 0.8, 4, 0.3


def random_sets(rng, pieces):
    """A truncation set, a part of it that is undecided, and a place in the certain part."""
    ends = np.sort(rng.normal(scale=rng.choice([0.3, 1.0, 3.0]), size=2 * pieces)) + rng.normal()
    if rng.random() < 0.3:
        ends[-1] = INF
    if rng.random() < 0.3:
        ends[0] = -INF
    bounds = ends.reshape(-1, 2)
    here = int(rng.integers(pieces))
    low, high = np.clip(bounds[here], -9.0, 9.0)
    statistic = float(low + (high - low) * rng.uniform(0.02, 0.98))
    open_ones = (rng.random(pieces) < 0.3) & (np.arange(pieces) != here)
    return Intervals(bounds[~open_ones]), Intervals(bounds[open_ones]), statistic


def normal(inside, undecided, statistic, alternative, level):
    p = p_value_bounds(Normal(0.0, SD), inside, undecided, statistic, alternative)
    return p, interval_bounds(inside, undecided, statistic, SD, level, alternative)


def student(inside, undecided, statistic, alternative, level):
    law = Student(DF, math.hypot(statistic, SD * math.sqrt(DF)))
    p = p_value_bounds(law, inside, undecided, statistic, alternative)
    return p, scaled_bounds(inside, undecided, statistic, SD, DF, level, alternative)[1:]


def randomised(inside, undecided, statistic, alternative, level):
    law = Randomised(SD, SHARE, statistic + 0.2)
    p = p_value_bounds(law, inside, undecided, statistic, alternative)
    return p, randomised_bounds(inside, undecided, law, level, alternative)[1:]


def in_a_gap(test, sets, statistic, ends, alpha):
    """Whether means on both sides of 0 are accepted though 0 is not, by moving everything so that they are 0.

    The hull may hold 0 then, and no interval could do otherwise. A mean d of T on S is the mean 0 of T - d on
    S - d.
    """
    far = ends[0][0] if statistic > 0 else ends[1][1]
    inside, undecided = sets
    for d in np.linspace(0.0, far, 400)[1:-1]:
        moved = [Intervals(each.bounds - d) for each in (inside, undecided)]
        if test(*moved, statistic - d)[0][1] > alpha:
            return True
    moved = [Intervals(each.bounds - far * (1 - 1e-9)) for each in sets]
    return test(*moved, statistic - far * (1 - 1e-9))[0][1] > alpha


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize(("kind", "cases"), [(normal, 300), (student, 60), (randomised, 4)])
def test_zero_is_in_the_interval_exactly_if_the_test_does_not_reject(kind, cases, alternative):
    """Whatever is undecided: the reported ends are the outermost, the reported p-value is the largest; and
    what is certain of one is certain of the other.
    """
    rng, gaps, rejected = np.random.default_rng(len(alternative) + cases), 0, 0
    for number in range(cases):
        inside, undecided, statistic = random_sets(rng, int(rng.choice([1, 2, 3, 6, 20])))
        alpha = float(rng.choice([0.05, 0.3, 0.6]))
        (least, most), (lower, upper) = kind(inside, undecided, statistic, alternative, 1 - alpha)
        assert lower[0] <= lower[1] and upper[0] <= upper[1], number
        outermost, innermost = lower[0] <= 0 <= upper[1], lower[1] <= 0 <= upper[0]
        rejected += most <= alpha
        if most > alpha or not outermost:
            assert outermost == (most > alpha), number
        else:
            assert alternative == "two-sided-abs", number
            gaps += 1

            def test(inside, undecided, at, alpha=alpha):
                return kind(inside, undecided, at, "two-sided-abs", 1 - alpha)

            if kind is normal:
                assert in_a_gap(test, (inside, undecided), statistic, (lower, upper), alpha), number
        if least > alpha:
            assert innermost, number
    assert rejected > cases / 20 and gaps <= cases / 20


def brute_p(pairs, statistic, sd, mean):
    """P(|T - d| >= |t - d|) on the set, by its definition at 50 digits."""
    with mp.workdps(50):
        d, size = mp.mpf(mean), abs(mp.mpf(statistic) - mp.mpf(mean))

        def mass(lo, hi):
            if not lo < hi:
                return mp.mpf(0)
            a, b = ((mp.mpf(x) - d) / mp.mpf(sd) for x in (lo, hi))
            if a < 0:
                a, b = -b, -a
            if a < 0:
                return 1 - mp.erfc(b / mp.sqrt(2)) / 2 - mp.erfc(-a / mp.sqrt(2)) / 2
            return (mp.erfc(a / mp.sqrt(2)) - mp.erfc(b / mp.sqrt(2))) / 2

        total = sum(mass(a, b) for a, b in pairs)
        tail = sum(mass(a, min(mp.mpf(b), d - size)) + mass(max(mp.mpf(a), d + size), b) for a, b in pairs)
        return tail / total


FAR = [
    ([(-INF, INF)], 1.3),
    ([(-3.0, -1.8), (0.9, 1.2), (2.1, INF)], 1.1),
    ([(200.0, 200.5), (200.7, 201.0)], 200.2),
    ([(-400.0, -399.0), (150.0, 150.1), (500.0, INF)], 150.05),
    ([(1.0, 1.0 + 1e-12), (1.5, 1.5 + 1e-9)], 1.0 + 4e-13),
    ([(1.0 - 1e-6, 1.0 + 1e-9), (-40.0, -40.0 + 1e-12), (40.0, 41.0)], 1.0),
]


@pytest.mark.parametrize(("pairs", "statistic"), FAR)
def test_the_p_value_of_any_mean_against_many_digits(pairs, statistic):
    """Hundreds of standard errors out, and slivers 1e-12 wide: the bounds hold and are close."""
    sides = Shifted.of(Intervals.of(pairs), statistic, SD)
    for mean in (0.0, statistic - 0.3, statistic + 0.3, statistic + 40.0, -3.0, 260.0, -900.0):
        at = (mean - statistic) / SD
        low, high = odds_bounds(sides, sides, at)
        p = brute_p(pairs, statistic, SD, mean)
        with mp.workdps(50):
            truth = mp.inf if p == 1 else mp.log(p) - mp.log1p(-p)
            if not -1e4 < truth < 25:  # closer to 1 than the digits of what is left
                continue
        assert low <= truth <= high and high - low < 1e-7 * max(1.0, abs(low)), mean


@pytest.mark.parametrize(("pairs", "statistic"), FAR)
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_nothing_accepted_lies_beyond_the_hull_and_its_ends_are_accepted(pairs, statistic, level):
    lower, upper = interval_bounds(Intervals.of(pairs), NOTHING, statistic, SD, level)
    for sign, outer, inner in ((-1, lower[0], lower[1]), (1, upper[1], upper[0])):
        if math.isinf(outer):
            continue
        far = abs(outer - statistic)
        slack = 1e-9 * far + 1e-13 + 1e-15 * abs(statistic)
        assert abs(outer - inner) <= max(slack, 1e-8)  # slivers keep the search from getting closer
        if far > 1e-9:
            accepted = statistic + sign * (abs(inner - statistic) - slack)
            assert brute_p(pairs, statistic, SD, accepted) > 1 - level
        for more in (1e-7, 1e-4, 1e-2, 0.1, 0.5, 1.0, 3.0, 10.0):
            beyond = outer + sign * far * more
            assert brute_p(pairs, statistic, SD, beyond) <= 1 - level, more


def test_accepted_means_that_are_no_interval():
    """A narrow stretch at the statistic and a broad one far above: half way to it is accepted again."""
    pairs, statistic = [(0.0, 0.1), (4.0, 8.0)], 1e-3
    means = np.linspace(0.001, 3.0, 1500)
    accepted = means[[brute_p(pairs, statistic, 1.0, float(mean)) > 0.05 for mean in means]]
    assert np.diff(accepted).max() > 0.5  # a gap
    _, upper = interval_bounds(Intervals.of(pairs), NOTHING, statistic, 1.0, 0.95)
    assert accepted[-1] <= upper[0] <= upper[1] <= accepted[-1] + 0.003


def test_a_region_that_nearly_all_images_would_exceed_is_not_significant():
    """S = [1.0059, 1.1973] and 1.0060: far in the lower tail, hence significant for equal tails."""
    inside, statistic, sd = Intervals.of([(1.0059, 1.1973)]), 1.0060, 0.206
    truth = float(brute_p([(1.0059, 1.1973)], statistic, sd, 0.0))
    low, high = p_value_bounds(Normal(0.0, sd), inside, NOTHING, statistic)
    assert low <= truth <= high and truth == pytest.approx(0.9975, abs=1e-4)
    lower, upper = interval_bounds(inside, NOTHING, statistic, sd, 0.95)
    assert lower[0] < 0 < upper[1] and upper[1] > statistic
    equal = p_value_bounds(Normal(0.0, sd), inside, NOTHING, statistic, "two-sided")
    assert equal[1] == pytest.approx(2 * (1 - truth), rel=1e-6) and equal[1] < 0.05
    assert interval_bounds(inside, NOTHING, statistic, sd, 0.95, "two-sided")[1][1] < 0


@pytest.mark.parametrize("alternative", ["greater", "less"])
def test_one_sided_tests_give_one_sided_intervals(alternative):
    lower, upper = interval_bounds(Intervals.line(), NOTHING, 2.0, 0.5, 0.95, alternative)
    z = 0.5 * stats.norm.ppf(0.95)
    if alternative == "greater":
        assert upper == (INF, INF) and lower[0] == pytest.approx(2.0 - z, rel=1e-9)
    else:
        assert lower == (-INF, -INF) and upper[1] == pytest.approx(2.0 + z, rel=1e-9)


@pytest.mark.parametrize("df", [2, 5, 50])
def test_without_truncation_they_are_students_and_the_randomised_interval_the_normal_one(df):
    _, lower, upper = scaled_bounds(Intervals.line(), NOTHING, 1.3, 0.7, df, 0.9)
    assert (lower[0], upper[1]) == pytest.approx(tuple(1.3 + 0.7 * stats.t.ppf([0.05, 0.95], df)), rel=1e-8)
    _, lower, upper = randomised_bounds(Intervals.line(), NOTHING, Randomised(0.7, 0.4, 1.3), 0.9)
    assert (lower[0], upper[1]) == pytest.approx(tuple(1.3 + 0.7 * stats.norm.ppf([0.05, 0.95])), rel=1e-8)


def test_randomised_p_values_against_simulation():
    """T given that T + U lies in S, drawn."""
    rng, sd, share, statistic = np.random.default_rng(5), 1.2, 0.5, -1.4
    inside = Intervals.of([(-2.0, -0.5), (0.8, 1.1), (2.0, INF)])
    t = sd * rng.normal(size=2_000_000)
    w = t + sd * math.sqrt(share) * rng.normal(size=t.size)
    held = ((w >= -2.0) & (w <= -0.5)) | ((w >= 0.8) & (w <= 1.1)) | (w >= 2.0)
    drawn = np.mean(np.abs(t[held]) >= abs(statistic))
    low, high = p_value_bounds(Randomised(sd, share, statistic), inside, NOTHING, 0.0)
    assert high - low < 1e-9 and abs(low - drawn) < 4 * math.sqrt(drawn / held.sum())


@pytest.mark.parametrize("kind", [normal, student])
def test_intervals_cover_in_random_sets(kind):
    """800 sets, each with a statistic drawn from its truncated law: .95 within sampling error."""
    rng, draws, level, covered = np.random.default_rng(11), 800, 0.95, 0
    for _ in range(draws):
        ends = np.sort(rng.normal(scale=1.5, size=2 * int(rng.choice([1, 2, 4])))).reshape(-1, 2)
        mean = float(rng.normal())
        inside, statistic, se = Intervals(ends), math.nan, SD
        while not inside.contains(statistic):
            t = mean + SD * rng.normal(size=20000)
            held = ((ends[:, :1] <= t) & (t <= ends[:, 1:])).any(axis=0)
            if held.any():
                statistic = float(t[held][0])
        if kind is student:
            se = SD * math.sqrt(rng.chisquare(DF) / DF)
            lower, upper = scaled_bounds(inside, NOTHING, statistic, se, DF, level)[1:]
        else:
            lower, upper = interval_bounds(inside, NOTHING, statistic, SD, level)
        covered += lower[0] <= mean <= upper[1]
    low, high = stats.binom.interval(0.999, draws, level)
    assert low <= covered <= high


@pytest.mark.parametrize("alternative", ["two-sided-abs", "two-sided"])
def test_likely_ends_are_near_the_proven_ones(alternative):
    """S goes on without a gap, as far as it is known and beyond: one root each, which is the hull's end."""
    rng = np.random.default_rng(3)
    for _ in range(40):
        low, high = np.sort(rng.normal(scale=2, size=2))
        statistic = float(rng.uniform(low, high))
        around = Intervals.of([(low - rng.exponential(), low), (high, high + rng.exponential())])
        known = Intervals.of([(low, high)]), around, statistic, SD, 0.9
        how = {"absolute": alternative == "two-sided-abs", "tolerance": 1e-4}
        near_low, near_high = likely_ends(*known, **how)
        far_low, far_high = likely_ends(*known, farthest=True, **how)
        proven = interval_bounds(*known, alternative)
        for found, wanted in zip(
            (far_low, near_low, near_high, far_high), (*proven[0], *proven[1]), strict=True
        ):
            assert found == pytest.approx(wanted, abs=1e-3 * (1 + abs(wanted - statistic)))
        assert far_low <= near_low <= near_high <= far_high


def test_a_likely_end_is_not_missed_where_p_rises_for_a_moment():
    """What is open from 24.786 on makes means of half of that acceptable again, and no others near."""
    inside, undecided = Intervals.of([(-0.2823, 0.1328)]), Intervals.of([(-INF, -24.786)])
    known = inside, undecided, 0.0, 1.0, 0.95
    low, _ = likely_ends(*known, absolute=True, tolerance=1e-3, farthest=True)
    assert low == pytest.approx(interval_bounds(*known)[0][0], rel=1e-3) and low < -12.393


def test_where_the_accepted_differences_lie_on_both_sides_of_a_rejected_0_there_is_no_interval():
    """Interval and p-value never contradict each other: the document says why there is none."""
    estimated = Estimate(
        value=0.3, value_bounds=(0.3, 0.3), interval=(-2.0, 1.0), interval_bounds=((-2.0, -2.0), (1.0, 1.0))
    )
    answer = Answer(
        guarantee="exact",
        p_value=0.01,
        p_value_bounds=(0.01, 0.01),
        inside=Intervals.line(),
        undecided=NOTHING,
        complete=True,
        costs=Spent(engine="exact", seconds=0.0, forward_passes=0.0, complete=True),
    )
    settings = settle(Options(), {}, has_reference=False)
    kept = _without_contradiction(answer, estimated, settings)
    assert kept.interval is None and "no interval" in kept.interval_reason and kept.value == 0.3
    stopped = dataclasses.replace(estimated, interval=(-2.0, 9.0), interval_bounds=((-2.0, 0.5), (7.0, 9.0)))
    unknown = _without_contradiction(answer, stopped, settings)
    assert unknown.interval is None and unknown.interval_bounds == stopped.interval_bounds
    assert "which side of 0" in unknown.interval_reason and "-2 to 9" in unknown.interval_reason
    assert "no interval" not in unknown.interval_reason
    for other in (
        dataclasses.replace(answer, p_value_bounds=(0.2, 0.2)),
        dataclasses.replace(answer, p_value_bounds=(0.04, 0.06)),
    ):
        assert _without_contradiction(other, estimated, settings) is estimated
    result = onnx_si.test(
        nets.map_net(seed=1, size=8),
        np.random.default_rng(3).normal(size=(8, 8)),
        sigma=1.0,
        threshold="minmax:0.5",
    )
    document = dataclasses.replace(result, estimated=kept).to_dict()
    assert document["confidence_interval"] == [None, None]
    assert document["reasons"]["confidence_interval.*"] == kept.interval_reason
    assert kept.interval_reason in " ".join(dataclasses.replace(result, estimated=kept).summary().split())


@pytest.mark.parametrize("beyond", [6e-8, 1e-9, 1e-12])
@pytest.mark.parametrize("undecided", [NOTHING, Intervals.of([(-INF, -60.0), (90.0, INF)])])
def test_a_statistic_beside_the_end_of_its_set_has_an_interval(beyond, undecided):
    """Means of 1e8 standard errors are accepted, whose logarithms of masses have lost their digits."""
    statistic = 3.5
    low = statistic - beyond
    lower, upper = interval_bounds(Intervals.of([(low, 70.0)]), undecided, statistic, 0.3, 0.95)
    end = statistic - 0.3**2 * math.log(20) / (statistic - low)  # the law is exponential, from the end on
    assert lower[0] <= end * (1 - 1e-6)
    assert undecided or lower[0] > 100 * end  # where nothing is open the end is close
    assert lower[0] <= lower[1] <= upper[0] <= upper[1]
