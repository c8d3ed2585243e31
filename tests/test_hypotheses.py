"""Hypotheses: the statistic, its variance, and the line that conditioning on the rest of the data leaves."""

import dataclasses

import numpy as np
import pytest

import onnx_si
from onnx_si.hypotheses import HYPOTHESES, background, mean
from onnx_si.hypotheses.contrast import Data, contrast_line
from onnx_si.noise import Noise
from onnx_si.truncated import Normal

SHAPE = (1, 2, 3, 4)


def known(std):
    return Noise(std, "given", known=True)


def region_of(rng, shape=SHAPE):
    """A region of space, on every channel."""
    mask = rng.random(shape[2:]) < 0.4
    mask[0, 0], mask[-1, -1] = True, False
    return np.broadcast_to(mask, shape)


def drawn(seed, references, std=1.0):
    rng = np.random.default_rng(seed)
    image, others = rng.normal(size=SHAPE), rng.normal(size=(references, *SHAPE))
    reference = others.mean(axis=0) if references else None
    return Data(image, reference, references, known(std)), region_of(rng), others


def stacked(eta_image, eta_reference, std, references):
    """Ingredients of the textbook formula on the image stacked on the mean reference: eta, Sigma."""
    eta = np.concatenate([eta_image.ravel(), eta_reference.ravel()])
    size = eta_image.size
    variances = np.concatenate([np.full(size, std**2), np.full(size, std**2 / references)])
    return eta, np.diag(variances)


@pytest.mark.parametrize("references", [1, 3])
@pytest.mark.parametrize("std", [0.25, 1.0, 7.0])
def test_the_mean_line_is_the_textbook_formula(std, references):
    data, region, _ = drawn(1, references, std)
    line = mean(data, region)
    weights = region / region.sum()
    eta, sigma = stacked(weights, -weights, std, references)
    x = np.concatenate([data.image.ravel(), data.reference.ravel()])
    direction = sigma @ eta / (eta @ sigma @ eta)
    nuisance = x - direction * (eta @ x)
    size = data.image.size
    assert line.statistic == pytest.approx(eta @ x)
    assert line.statistic == pytest.approx(data.image[region].mean() - data.reference[region].mean())
    assert line.standard_error == pytest.approx(np.sqrt(eta @ sigma @ eta))
    assert line.standard_error == pytest.approx(std * np.sqrt((1 + 1 / references) / region.sum()))
    np.testing.assert_allclose(line.direction.ravel(), direction[:size], atol=1e-14)
    np.testing.assert_allclose(line.start.ravel(), nuisance[:size], atol=1e-14)
    # what is held fixed is independent of the statistic
    np.testing.assert_allclose((np.eye(len(eta)) - np.outer(direction, eta)) @ sigma @ eta, 0, atol=1e-12)


@pytest.mark.parametrize("std", [0.25, 1.0, 7.0])
def test_the_background_line_is_the_textbook_formula(std):
    data, region, _ = drawn(2, 0, std)
    line = background(data, region)
    eta = np.where(region, 1 / region.sum(), -1 / (~region).sum()).ravel()
    direction = eta / (eta @ eta)
    assert line.statistic == pytest.approx(data.image[region].mean() - data.image[~region].mean())
    assert line.standard_error == pytest.approx(std * np.sqrt(1 / region.sum() + 1 / (~region).sum()))
    np.testing.assert_allclose(line.direction.ravel(), direction, atol=1e-14)
    np.testing.assert_allclose(
        line.start.ravel(), data.image.ravel() - direction * line.statistic, atol=1e-14
    )


@pytest.mark.parametrize("name", HYPOTHESES)
def test_the_line_goes_through_the_image_at_the_statistic(name):
    data, region, _ = drawn(3, 2, 0.5)
    line = HYPOTHESES[name](data, region)
    np.testing.assert_allclose(line.start + line.direction * line.statistic, data.image, atol=1e-14)
    assert line.distribution == Normal(0.0, line.standard_error)


def test_along_the_background_line_the_statistic_is_z():
    data, region, _ = drawn(4, 0)
    line = background(data, region)
    for z in (-3.0, 0.0, 2.5):
        image = line.start + line.direction * z
        assert image[region].mean() - image[~region].mean() == pytest.approx(z)


@pytest.mark.parametrize("references", [1, 4])
def test_image_and_reference_share_the_way(references):
    """The image moves by K / (K + 1) of a step and the mean of K references by the rest, the other way."""
    data, region, _ = drawn(5, references)
    line = mean(data, region)
    assert line.direction[region] == pytest.approx(references / (1 + references))
    assert np.all(line.direction[~region] == 0)


def test_the_line_does_not_depend_on_the_noises_size():
    """Sigma cancels in the direction and scales the standard error."""
    for name, hypothesis in HYPOTHESES.items():
        one, many = (hypothesis(*drawn(6, 2, std)[:2]) for std in (1.0, 9.0))
        np.testing.assert_allclose(many.direction, one.direction, atol=1e-14, err_msg=name)
        assert many.statistic == one.statistic and many.standard_error == pytest.approx(
            9 * one.standard_error
        )


@dataclasses.dataclass(frozen=True)
class Uneven:
    """Independent noise of another size in every pixel: what `contrast_line` must take from the noise."""

    variances: np.ndarray

    def times(self, direction):
        return self.variances * direction


@pytest.mark.parametrize("references", [0, 1, 3])
def test_the_direction_follows_the_covariance(references):
    rng = np.random.default_rng(7)
    variances = rng.uniform(0.1, 4.0, size=SHAPE)
    image, reference = rng.normal(size=(2, *SHAPE))
    on_image, on_reference = rng.normal(size=(2, *SHAPE))
    data = Data(image, reference if references else None, references, Uneven(variances))
    line = contrast_line(data, on_image, on_reference if references else None)
    eta, sigma = on_image.ravel(), np.diag(variances.ravel())
    variance = eta @ sigma @ eta
    if references:
        variance += on_reference.ravel() @ sigma @ on_reference.ravel() / references
    assert line.standard_error == pytest.approx(np.sqrt(variance))
    np.testing.assert_allclose(line.direction.ravel(), sigma @ eta / variance, atol=1e-14)


@pytest.mark.parametrize("references", [0, 1, 3])
def test_the_standard_error_is_that_of_simulated_data(references):
    """The references' own noise counts."""
    rng = np.random.default_rng(8)
    region = region_of(rng)
    name = "mean" if references else "background"
    statistics = []
    for _ in range(4000):
        image, *others = 0.7 * rng.normal(size=(1 + references, *SHAPE))
        reference = np.mean(others, axis=0) if others else None
        line = HYPOTHESES[name](Data(image, reference, references, known(0.7)), region)
        statistics.append(line.statistic)
    assert np.std(statistics) == pytest.approx(line.standard_error, rel=0.05)
    assert abs(np.mean(statistics)) < 4 * line.standard_error / np.sqrt(len(statistics))


def test_a_reference_is_needed_for_the_mean():
    data, region, _ = drawn(9, 0)
    with pytest.raises(onnx_si.UsageError, match="--reference"):
        mean(data, region)
