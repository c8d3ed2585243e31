"""Noise that is drawn: mean 0, variance 1, and as far from normal, or as correlated, as it says."""

import itertools

import mpmath
import numpy as np
import pytest
from scipy import stats

from onnx_si.errors import UsageError
from onnx_si.simulation.draws import FAMILIES, Noise, parse_noise

COUNT = 400_000


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("distance", [0.01, 0.04])
def test_samples_have_mean_0_variance_1_and_the_distance(name, distance):
    """The oracle sorts a sample against normal quantiles: it knows no distribution function of the family."""
    sample = Noise(name, distance).sample(np.random.default_rng(4), (COUNT,), (0,))
    assert abs(sample.mean()) < 5 / np.sqrt(COUNT)
    assert abs(sample.var() - 1) < 5 * np.sqrt(stats.moment(sample, 4) / COUNT)
    quantiles = stats.norm.ppf((np.arange(COUNT) + 0.5) / COUNT)
    assert np.abs(np.sort(sample) - quantiles).mean() == pytest.approx(distance, abs=0.003)


def test_the_distance_of_a_t_in_higher_precision():
    """mpmath integrates |F - Phi| of the standardised t by its density, without our grid."""
    df = 1 / Noise("t", 0.04).parameter
    scale = mpmath.sqrt(df / (df - 2))

    def cdf(x):
        half = mpmath.betainc(df / 2, 0.5, 0, df / (df + (x * scale) ** 2), regularized=True) / 2
        return 1 - half if x > 0 else half

    # both halves are alike, and the two laws cross once on each
    cross = mpmath.findroot(lambda x: cdf(x) - mpmath.ncdf(x), 1.7)
    parts = [0, cross, 5, 20, 200, 1e5]
    found = 2 * sum(
        abs(mpmath.quad(lambda x: cdf(x) - mpmath.ncdf(x), [a, b])) for a, b in itertools.pairwise(parts)
    )
    assert float(found) == pytest.approx(0.04, abs=1e-6)


def test_the_skewed_ones_are_skewed_and_the_others_not():
    rng = np.random.default_rng(0)
    skewness = {name: stats.skew(Noise(name, 0.04).sample(rng, (COUNT,), (0,))) for name in FAMILIES}
    assert skewness["skewed"] > 0.1 and skewness["exponential"] > 0.1
    assert abs(skewness["steep"]) < 0.1 and abs(skewness["flat"]) < 0.1


def test_correlated_noise_is_stationary_with_the_stated_correlation():
    """Against the covariance matrix rho^(|i| + |j|), entry by entry."""
    rho, size, count = 0.6, 4, 60_000
    drawn = Noise("correlated", rho).sample(np.random.default_rng(1), (count, 1, size, size), (2, 3))
    found = np.cov(drawn.reshape(count, -1), rowvar=False)
    one = rho ** np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    assert np.abs(found - np.kron(one, one)).max() < 6 * np.sqrt(2 / count)
    assert abs(drawn.mean()) < 0.02


def test_normal_noise_is_the_generators_own():
    drawn = Noise().sample(np.random.default_rng(3), (5, 5), (0, 1))
    assert (drawn == np.random.default_rng(3).normal(size=(5, 5))).all()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("gaussian", "allowed are normal"),
        ("t", "number behind"),
        ("t:x", "number behind"),
        ("t:9", "distance from normal is"),
        ("t:nan", "distance from normal is"),
        ("correlated:1", "in \\(0, 0.99\\]"),
        ("normal:1", "allowed are normal"),
    ],
)
def test_other_names_and_distances_are_refused(text, word):
    with pytest.raises(UsageError, match=word):
        parse_noise(text)


def test_names_are_read_and_shown_alike():
    for text in ("normal", "t:0.04", "correlated:0.3"):
        assert str(parse_noise(text)) == text
