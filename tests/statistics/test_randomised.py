"""Randomised selection: its masses against quadrature at 30 digits, its line, its p-values and intervals."""

import math

import mpmath as mp
import numpy as np
import pytest
from scipy import stats
from support import nets

import onnx_si
from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.hypotheses import HYPOTHESES, Data, randomised_line
from onnx_si.statistics.noise import Full, Noise
from onnx_si.statistics.truncated import Randomised, p_value_bounds, randomised_bounds
from onnx_si.statistics.truncated.smoothed import Smoothed

SHARES = (0.01, 0.05, 0.3, 1.0, 4.0, 30.0)


def true_mass(lo, hi, mean, share):
    """P(T <= 0, W in [lo, hi]) for T ~ N(mean, 1), W = T + N(0, share), integrated over T instead of W."""
    with mp.workdps(30):
        m, root = mp.mpf(mean), mp.sqrt(mp.mpf(share))

        def density(t):
            a, b = (mp.mpf(lo) - t) / root, (mp.mpf(hi) - t) / root
            between = mp.ncdf(b) - mp.ncdf(a) if a + b < 0 else mp.ncdf(-a) - mp.ncdf(-b)
            return mp.npdf(t - m) * between

        # the peak lies between mean and interval; pieces around it, and towards the end at zero
        at = min(0.0, (mean * share + min(max(0.0, lo), hi)) / (1 + share))
        places = {at + s * 2.0**k for k in range(-10, 6) for s in (-1, 1)} | {
            -(2.0**k) for k in range(-14, 6)
        }
        cuts = sorted(p for p in places if at - 45 < p < 0)
        return mp.quad(density, [at - 45, *cuts, 0])


@pytest.mark.parametrize("share", SHARES)
def test_masses_against_many_digits(share):
    rng = np.random.default_rng(int(100 * share))
    for mean in (-6.0, 0.5, 4.0):
        lo = rng.normal(size=1) * 3
        hi = lo + 10.0 ** rng.uniform(-9, 1, 1)
        for a, b in zip(lo.tolist(), hi.tolist(), strict=True):
            sides = Smoothed.of(Intervals.of([(a, b)]), 0.0, 1.0, share)
            with mp.workdps(30):
                assert sides.log_below(mean) == pytest.approx(
                    float(mp.log(true_mass(a, b, mean, share))), rel=1e-10, abs=1e-9
                )
                assert sides.log_above(mean) == pytest.approx(
                    float(mp.log(true_mass(-b, -a, -mean, share))), rel=1e-10, abs=1e-9
                )


@pytest.mark.parametrize("share", [0.05, 1.0, 4.0])
@pytest.mark.parametrize("place", [0.5, 8.0, 20.0, 40.0])
def test_slivers_far_out(share, place):
    """Intervals 1e-12 wide, up to 40 standard errors from the statistic: density times width.

    The density of W times P(T <= 0 | W = w), which hardly changes over so short an interval.
    """
    mean = 0.7
    with mp.workdps(40):
        root = mp.sqrt(mp.mpf(share) * (1 + mp.mpf(share)))
        for sign in (-1, 1):
            lo = sign * place
            hi = lo + 1e-12
            middle = (mp.mpf(lo) + mp.mpf(hi)) / 2
            density = mp.npdf((middle - mean) / mp.sqrt(1 + mp.mpf(share))) / mp.sqrt(1 + mp.mpf(share))
            bend = (middle + mp.mpf(share) * mp.mpf(mean)) / root
            for side, log_mass in ((1, "log_below"), (-1, "log_above")):
                truth = mp.log(density * mp.erfc(side * bend / mp.sqrt(2)) / 2 * (mp.mpf(hi) - mp.mpf(lo)))
                sides = Smoothed.of(Intervals.of([(lo, hi)]), 0.0, 1.0, share)
                assert abs(getattr(sides, log_mass)(mean) - float(truth)) < 1e-9


@pytest.mark.parametrize("share", SHARES)
def test_on_the_whole_line_it_is_the_plain_normal_distribution(share):
    """Forty standard errors out as well; and thousands of pieces add up to it."""
    ends = np.concatenate([[-np.inf], np.sort(np.random.default_rng(0).normal(size=3000) * 10), [np.inf]])
    pieces = np.stack([ends[:-1], ends[1:]], axis=1)
    for statistic in (-40.0, -15.0, -1.0, 0.0, 3.0, 40.0):
        whole = Randomised(2.0, share, 2 * statistic).below_and_above(Intervals.line())
        assert whole[0] == pytest.approx(stats.norm.logcdf(statistic), rel=1e-12, abs=1e-13)
        assert whole[1] == pytest.approx(stats.norm.logsf(statistic), rel=1e-12, abs=1e-13)
        sides = Smoothed(pieces - statistic, pieces[:, 1] - pieces[:, 0], share)
        assert sides.log_below(-statistic) == pytest.approx(whole[0], rel=1e-11, abs=1e-11)


def test_bounds_hold_for_every_subset():
    rng = np.random.default_rng(1)
    for _ in range(20):
        ends = np.sort(rng.normal(size=12) * 2).reshape(-1, 2)
        inside, undecided = Intervals(ends[::2]), Intervals(ends[1::2])
        distribution = Randomised(1.0, float(rng.choice(SHARES)), float(rng.normal()))
        for alternative in ("two-sided-abs", "two-sided", "greater", "less"):
            bounds = p_value_bounds(distribution, inside, undecided, 0.0, alternative)
            for chosen in (
                undecided.bounds[:1],
                undecided.bounds[1:],
                undecided.bounds[:0],
                undecided.bounds,
            ):
                total = inside.union(Intervals(chosen))
                low, high = p_value_bounds(distribution, total, Intervals.empty(), 0.0, alternative)
                assert bounds[0] <= high and low <= bounds[1] and high - low < 1e-9
        median, lower, upper = randomised_bounds(inside, undecided, distribution, 0.9)
        exact = randomised_bounds(inside.union(undecided), Intervals.empty(), distribution, 0.9)
        for found, known in zip((median, lower, upper), exact, strict=True):
            assert found[0] <= known[1] and known[0] <= found[1] and known[1] - known[0] < 1e-6
    with pytest.raises(ValueError, match="share"):
        Randomised(1.0, 0.001, 0.0)


@pytest.mark.parametrize("references", [0, 1, 3])
def test_what_is_held_fixed_is_independent_of_statistic_and_noise(references):
    """Any covariance, by simulation: T, U and the start of the line are uncorrelated, with the variances
    said.
    """
    rng, shape, share = np.random.default_rng(2), (1, 1, 2, 3), 0.4
    root = rng.normal(size=(6, 8)) / 3
    noise = Noise(covariance=Full(root @ root.T), source="given", known=True)
    region = np.array([[1, 1, 0], [0, 1, 0]], np.bool_).reshape(shape)
    hypothesis = HYPOTHESES["mean" if references else "background"]
    rows = []
    for _ in range(6000):
        image, extra = (noise.covariance.sample(rng, shape) for _ in range(2))
        others = [noise.covariance.sample(rng, shape) for _ in range(references)]
        reference = np.mean(others, axis=0) if references else None
        data = Data(image=image, reference=reference, references=references, noise=noise)
        line = randomised_line(hypothesis, data, region, math.sqrt(share) * extra, share)
        np.testing.assert_allclose(
            line.start + line.direction * line.statistic, image + math.sqrt(share) * extra, atol=1e-12
        )
        rows.append([line.observed, line.statistic - line.observed, *line.start.ravel()])
    table = np.array(rows)
    assert table[:, 0].std() == pytest.approx(line.error, rel=0.05)
    added = line.error * math.sqrt(line.distribution.share)
    assert table[:, 1].std() == pytest.approx(added, rel=0.05)
    correlations = np.corrcoef(table.T)
    assert np.abs(correlations[0, 1:]).max() < 0.06 and np.abs(correlations[1, 2:]).max() < 0.06


def spots(size=4):
    """A map that follows the image."""
    net = nets.Net(3, (1, 1, size, size))
    weight = np.abs(net.rng.normal(size=(1, 1, 3, 3))) * 0.3
    weight[0, 0, 1, 1] = 2
    net.add("Relu", net.add("Conv", "x", net.const(weight), pads=[1, 1, 1, 1]), out="map")
    return net.finish("map")


def test_uniform_under_the_null_and_covering_with_shorter_intervals():
    model, rng, size = spots(), np.random.default_rng(4), 80
    found = {0.0: [], 0.5: []}
    for number in range(size):
        image, reference = rng.normal(size=(2, 1, 1, 4, 4))
        for share, results in found.items():
            options = {"randomise": share or None, "seed": number, "threshold": "max:0.6", "precision": 1e-3}
            results.append(onnx_si.test(model, image, reference, sigma=1.0, **options))
    p_values = [result.p_value for result in found[0.5]]
    covered = [result.confidence_interval[0] <= 0 <= result.confidence_interval[1] for result in found[0.5]]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    low, high = stats.binom.interval(0.999, size, 0.05)
    assert low <= np.sum(np.array(p_values) <= 0.05) <= high and low <= size - sum(covered) <= high
    lengths = [
        np.median([np.subtract(*r.confidence_interval[::-1]) for r in found[share]]) for share in found
    ]
    assert lengths[1] < 0.8 * lengths[0]
    assert all(result.estimate is not None for result in found[0.5])


def test_the_seed_decides_the_noise_and_the_region_is_that_of_the_noisy_image():
    model = spots()
    image, reference = np.random.default_rng(5).normal(size=(2, 1, 1, 4, 4))
    options = {"sigma": 1.0, "randomise": 2.0, "threshold": "max:0.6"}
    one, same, other = (onnx_si.test(model, image, reference, seed=s, **options) for s in (1, 1, 2))
    assert one.p_value == same.p_value and one.p_value != other.p_value
    assert one.statistic == pytest.approx((image - reference)[0, 0][one.region].mean())
    plain = onnx_si.test(model, image, reference, sigma=1.0, threshold="max:0.6")
    assert not np.array_equal(one.region, plain.region)


@pytest.mark.parametrize(
    "options",
    [
        {"hypothesis": "global"},
        {"sigma_df": 5},
        {"randomise": 0.0},
        {"randomise": 1e9},
    ],
)
def test_what_can_t_be_randomised_is_refused(options):
    image, reference = np.random.default_rng(6).normal(size=(2, 1, 1, 4, 4))
    with pytest.raises(onnx_si.UsageError):
        onnx_si.test(spots(), image, reference, sigma=1.0, **{"randomise": 0.5, **options})
