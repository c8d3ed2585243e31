"""Thinned tests: selection and test on independent parts."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats
from support import nets, smooth_nets

import onnx_si
from onnx_si.ground.seeds import generator
from onnx_si.statistics.hypotheses import HYPOTHESES, Data, thinned_line
from onnx_si.statistics.noise import Noise, covariance_of
from onnx_si.statistics.truncated import Normal, Student

SHAPE = (1, 1, 8, 8)
F = 0.5


def images(seed=0, count=2):
    return np.random.default_rng(seed).normal(size=(count, *SHAPE))


def added_noise(image, *others, seed=0):
    """The noise as the program draws it."""
    rng = generator(seed, image, *others).spawn(3)[0]
    return math.sqrt(F) * rng.standard_normal(image.shape)


def test_a_mean_by_hand():
    """The statistic is that of X - w / F, its standard error that of noise (1 + 1/F) times as large."""
    model, (image, reference) = nets.map_net(seed=2, size=8), images()
    result = onnx_si.test(model, image, reference, sigma=2.0, threshold="max:0.5", thin=F)
    extra = 2.0 * added_noise(image, reference)
    rest = (image - extra / F)[0, 0]
    difference = rest[result.region].mean() - reference[0, 0][result.region].mean()
    pixels = np.count_nonzero(result.region)
    error = math.sqrt((4 * (1 + 1 / F) + 4) / pixels)
    assert result.statistic == pytest.approx(difference)
    assert result.standard_error == pytest.approx(error)
    assert result.p_value == pytest.approx(2 * stats.norm.sf(abs(difference) / error))
    reach = stats.norm.isf(0.025) * error
    assert result.confidence_interval == pytest.approx((difference - reach, difference + reach))
    assert result.estimate == pytest.approx(difference)


@pytest.mark.parametrize("seed", range(4))
def test_the_region_is_that_of_the_randomised_test(seed):
    model, (image, _) = nets.map_net(seed=2, size=8), images(seed)
    options = {"sigma": 1.0, "threshold": "max:0.5", "seed": seed}
    thinned = onnx_si.test(model, image, thin=F, **options)
    randomised = onnx_si.test(model, image, randomise=F, **options)
    assert np.array_equal(thinned.region, randomised.region)
    plain = onnx_si.test(model, image, **options)
    assert not np.array_equal(plain.region, thinned.region)


def test_two_parts_are_independent():
    """X + w and X - w / F have no covariance, whatever the noise's own is."""
    rng = np.random.default_rng(0)
    root = np.linalg.cholesky(0.6 ** np.abs(np.subtract.outer(range(4), range(4))))
    x, w = root @ rng.normal(size=(4, 200_000)), math.sqrt(F) * (root @ rng.normal(size=(4, 200_000)))
    assert np.abs(np.cov(x + w, x - w / F)[:4, 4:]).max() < 0.03


@pytest.mark.parametrize("hypothesis", ["mean", "background", "neighborhood", "global"])
@pytest.mark.parametrize("noise", ["known", "t", "correlated"])
def test_level_of_every_hypothesis(hypothesis, noise):
    """On regions that the noisy image selects, p-values are uniform under the null hypothesis.

    For noise of unknown scale the added noise has the true one here: with an estimated one the independence,
    and so the level, is approximate only.
    """
    matrix = 0.5 ** np.abs(np.subtract.outer(range(6), range(6)))
    root = np.kron(np.linalg.cholesky(matrix), np.linalg.cholesky(matrix))
    values = []
    for trial in range(600):
        rng = np.random.default_rng((trial, 3))
        z = rng.normal(size=(3, 36))
        drawn = (z @ root.T if noise == "correlated" else z).reshape(3, 1, 1, 6, 6)
        x, reference, extra = drawn[0], drawn[1], math.sqrt(F) * drawn[2]
        selected = x + extra
        region = selected > np.quantile(selected, 0.7)
        known = Noise.scalar(1.0, "", known=True)
        if noise == "t":
            scale = math.sqrt(rng.chisquare(5) / 5)
            known = Noise.scalar(scale, "", known=False, degrees_of_freedom=5)
        if noise == "correlated":
            known = dataclasses.replace(known, covariance=covariance_of(root @ root.T, (1, 1, 6, 6), None))
        data = Data(
            image=x, reference=reference, references=1, noise=known, mask=None, spatial_axes=(2, 3), ring=1
        )
        line = thinned_line(HYPOTHESES[hypothesis], data, region, extra, F)
        law = line.distribution
        tail = np.array([[line.statistic, np.inf]])
        values.append(math.exp(law.log_masses(tail)[0]))
    low, high = stats.binom.ppf([0.0005, 0.9995], len(values), [[0.05], [0.2], [0.5]]).T
    counts = [np.count_nonzero(np.array(values) <= level) for level in (0.05, 0.2, 0.5)]
    assert (low <= counts).all() and (counts <= high).all()


def test_laws_keep_their_kind():
    (image, reference) = images()
    region = image > 0.5
    extra = math.sqrt(F) * images(seed=5, count=1)[0]
    plain = Data(image=image, reference=reference, references=2, noise=Noise.scalar(1.0, "", known=True))
    assert isinstance(thinned_line(HYPOTHESES["mean"], plain, region, extra, F).distribution, Normal)
    estimated = dataclasses.replace(plain, noise=Noise.scalar(1.0, "", known=False, degrees_of_freedom=4))
    line = thinned_line(HYPOTHESES["mean"], estimated, region, extra, F)
    assert isinstance(line.distribution, Student) and line.degrees_of_freedom == 4
    t = line.statistic / line.standard_error
    mass = math.exp(line.distribution.log_masses(np.array([[line.statistic, np.inf]]))[0])
    assert mass == pytest.approx(stats.t.sf(t, 4))


def test_components_of_a_thinned_region():
    model, (image, _) = nets.map_net(seed=2, size=8), images(3)
    result = onnx_si.test(model, image, sigma=1.0, threshold="max:0.4", thin=F, components=True)
    assert len(result.component_tests) > 1
    for part in result.component_tests:
        assert 0 < part.p_value <= part.p_value_adjusted <= 1


def test_an_estimated_scale_is_said_to_be_approximate():
    model, (image, _) = nets.map_net(seed=2, size=8), images()
    known = onnx_si.test(model, image, sigma=1.0, threshold="max:0.5", thin=F)
    assert known.to_dict()["noise"]["level"] == "exact"
    for options in ({"sigma": 1.0, "sigma_df": 5}, {}):
        estimated = onnx_si.test(model, image, threshold="max:0.5", thin=F, **options)
        assert estimated.to_dict()["noise"]["level"] == "approximate"
        assert any("approximate" in text for text in estimated.warnings)


def test_the_document():
    result = onnx_si.test(smooth_nets.unet(), np.zeros((16, 16)) + images()[0].max(), sigma=1.0, thin=F)
    document = result.to_dict()
    assert document["guarantee"] == "thinned" and document["search"]["engine"] == "none"
    assert document["truncation"] == [[None, None]] and document["search"]["forward_passes"] <= 3
    assert document["confidence_interval_level"] == "exact"
    assert "independent of the selection" in " ".join(result.summary().split())
