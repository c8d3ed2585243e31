"""P-values under noise of other kinds: uniform where the noise is told right, not where it is taken for
simpler.
"""

import numpy as np
import pytest
from scipy import stats
from support import nets
from support.scenes import make_case

import onnx_si
from onnx_si.statistics.noise import Diagonal, Full, Noise, Separable, Stationary
from onnx_si.statistics.truncated import p_value_bounds

SHAPE, LEVEL, PRECISION = (1, 1, 4, 4), 0.05, 1e-3


def spots():
    """A map that follows the image's bright spots."""
    net = nets.Net(3, SHAPE)
    weight = np.abs(net.rng.normal(size=(1, 1, 3, 3))) * 0.4
    weight[0, 0, 1, 1] = 2
    net.add("Conv", "x", net.const(weight), pads=[1, 1, 1, 1], out="map")
    return net.finish("map")


MODEL = spots()


def p_value(image, references, noise, hypothesis):
    """One selective p-value, or None without a region."""
    case = make_case(MODEL, image, references, noise=noise, hypothesis=hypothesis, threshold="max:0.6")
    if case is None:
        return None
    alternative = "greater" if hypothesis == "global" else "two-sided-abs"
    found = case.search(PRECISION, alternative=alternative)
    line = case.line
    return np.mean(
        p_value_bounds(line.distribution, found.inside, found.undecided, line.statistic, alternative)
    )


def assert_uniform(p_values):
    count = len(p_values)
    low, high = stats.binom.interval(0.999, count, LEVEL)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert low <= np.sum(np.array(p_values) <= LEVEL) <= high


@pytest.mark.parametrize(
    ("hypothesis", "freedom", "references"), [("mean", 1, 1), ("background", 3, 0), ("global", 4, 2)]
)
def test_an_independent_estimate_of_the_scale_keeps_the_level(hypothesis, freedom, references):
    """Student's t and F truncated; the same estimate taken for the truth rejects too often."""
    rng, right, wrong = np.random.default_rng([freedom, 6]), [], []
    for _ in range(200):
        image, *others = 3.0 * rng.normal(size=(1 + references, *SHAPE))
        estimate = float(3.0 * np.sqrt(rng.chisquare(freedom) / freedom))
        told = Noise.scalar(estimate, "independent", known=False, degrees_of_freedom=freedom)
        taken = Noise.scalar(estimate, "taken for known", known=True)
        for noise, p_values in ((told, right), (taken, wrong)):
            p_values.append(p_value(image, tuple(others), noise, hypothesis))
    assert_uniform([p for p in right if p is not None])
    wrong = np.array([p for p in wrong if p is not None])
    assert stats.kstest(wrong, "uniform").pvalue < 1e-3 or np.mean(wrong <= LEVEL) > 2 * LEVEL


def ar1(size, rho):
    return rho ** np.abs(np.subtract.outer(np.arange(size), np.arange(size)))


ROWS, COLUMNS = ar1(4, 0.7), ar1(4, 0.5)
TRIANGLE = np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1]) / 9
COVARIANCES = {
    "diagonal": Diagonal(np.linspace(0.1, 3.0, 16).reshape(SHAPE)),
    "full": Full(np.kron(ROWS, COLUMNS)),
    "separable": Separable((None, None, ROWS, COLUMNS)),
    "stationary": Stationary(TRIANGLE[None, None], SHAPE),
}


def dense_root(kind):
    """A square root of the covariance by linear algebra that the package has no part in."""
    shifts = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    line = np.clip(1 - shifts / 3, 0, None)
    dense = {
        "diagonal": np.diag(np.linspace(0.1, 3.0, 16)),
        "full": np.kron(ROWS, COLUMNS),
        "separable": np.kron(ROWS, COLUMNS),
        "stationary": np.kron(line, line),
    }[kind]
    return np.linalg.cholesky(dense)


@pytest.mark.parametrize(
    ("kind", "hypothesis", "references"),
    [
        ("diagonal", "mean", 1),
        ("full", "background", 0),
        ("separable", "global", 1),
        ("stationary", "neighborhood", 0),
    ],
)
def test_a_covariance_that_is_told_keeps_the_level(kind, hypothesis, references):
    root, rng, p_values = dense_root(kind), np.random.default_rng(7), []
    noise = Noise(covariance=COVARIANCES[kind], source="given", known=True)
    for _ in range(160):
        image, *others = (root @ rng.normal(size=(16, 1 + references))).T.reshape(-1, *SHAPE)
        p_values.append(p_value(image, tuple(others), noise, hypothesis))
    assert_uniform([p for p in p_values if p is not None])


def test_correlated_noise_taken_for_independent_rejects_too_often():
    root, rng, p_values = dense_root("full"), np.random.default_rng(8), []
    independent = Noise.scalar(1.0, "given", known=True)
    for _ in range(160):
        image, reference = (root @ rng.normal(size=(16, 2))).T.reshape(-1, *SHAPE)
        p_values.append(p_value(image, (reference,), independent, "mean"))
    assert np.mean(np.array([p for p in p_values if p is not None]) <= LEVEL) > 1.5 * LEVEL


def test_the_program_takes_noise_in_every_form():
    rng = np.random.default_rng(9)
    image, reference, *background = rng.normal(size=(5, 4, 4))
    options = {"threshold": "max:0.6", "precision": 1e-6}
    axes = {"H": ROWS, "W": COLUMNS}
    separable = onnx_si.test(MODEL, image, reference, covariance=axes, **options)
    full = onnx_si.test(MODEL, image, reference, covariance=np.kron(ROWS, COLUMNS), **options)
    assert separable.p_value == pytest.approx(full.p_value, abs=1e-5)
    assert separable.noise["std"] is None and separable.noise["known"]
    from_images = onnx_si.test(MODEL, image, reference, noise_from=background, **options)
    stated = onnx_si.test(MODEL, image, reference, sigma=from_images.noise["std"], sigma_df=32, **options)
    assert from_images.degrees_of_freedom == 32 and from_images.p_value == pytest.approx(stated.p_value)
    assert from_images.noise["level"] == "exact" and not from_images.noise["known"]
    assert from_images.confidence_interval == stated.confidence_interval
    assert not any("approximate" in warning for warning in from_images.warnings)
    assert "Student" in from_images.summary() and "approximately" not in from_images.summary()


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": 1.0, "covariance": np.ones(SHAPE)},
        {"sigma": 1.0, "noise_from": [np.eye(4)]},
        {"sigma_df": 3},
        {"noise_from": [np.eye(4)], "sigma_df": 3},
    ],
)
def test_two_sources_of_the_noise_are_refused(options):
    with pytest.raises(onnx_si.UsageError, match="give"):
        onnx_si.test(MODEL, np.random.default_rng(0).normal(size=(4, 4)), **options)


def test_a_covariance_beats_the_model_s_own_noise():
    net = nets.Net(3, SHAPE)
    net.metadata = {"onnx_si.noise_std": "5"}
    net.conv("x", 1, 1)
    net.nodes[-1].output[0] = "map"
    image = np.random.default_rng(1).normal(size=(4, 4))
    result = onnx_si.test(net.finish("map"), image, covariance=np.full((4, 4), 4.0))
    assert "std 2" in result.noise["model"]
