"""The noise: what may be given, and the robust estimate from the image itself."""

import numpy as np
import pytest

import onnx_si
from onnx_si.noise import Noise, estimate_from_image


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan"), float("inf"), 1e-200, 1e200])
def test_a_standard_deviation_is_a_positive_number(std):
    with pytest.raises(onnx_si.UsageError, match="positive"):
        Noise.scalar(std, "given", known=True)


def test_the_covariance_of_independent_noise():
    direction = np.array([1.0, -2.0, 0.0])
    np.testing.assert_array_equal(Noise.scalar(3.0, "given", known=True).times(direction), 9 * direction)


@pytest.mark.parametrize("std", [1e-3, 1.0, 250.0])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((1, 1, 16, 16), (2, 3)), ((1, 15, 17, 3), (1, 2)), ((1, 200), (1,)), ((1, 1, 6, 6, 6), (2, 3, 4))],
)
def test_the_estimate_is_unbiased_on_white_noise(shape, axes, std):
    rng = np.random.default_rng(0)
    found = [estimate_from_image(5 * std + std * rng.normal(size=shape), axes).std for _ in range(200)]
    assert np.mean(found) == pytest.approx(std, rel=0.05)
    assert np.std(found) < 0.3 * std


def test_the_estimate_says_what_it_is():
    noise = estimate_from_image(np.random.default_rng(0).normal(size=(1, 1, 8, 8)), (2, 3))
    assert not noise.known and "estimated" in noise.source and "Haar" in noise.source


def test_smooth_content_and_a_bright_spot_hardly_change_it():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:64, :64] / 64
    noise = 0.1 * rng.normal(size=(1, 1, 64, 64))
    plain = estimate_from_image(noise, (2, 3)).std
    ramp = estimate_from_image(noise + 20 * x + 10 * y * y, (2, 3)).std
    assert ramp == pytest.approx(plain, rel=0.1)
    spot = noise.copy()
    spot[..., 20:30, 20:30] += 50 * rng.random(size=(10, 10))
    assert estimate_from_image(spot, (2, 3)).std == pytest.approx(plain, rel=0.1)


def test_channels_are_not_differenced():
    """Two equal channels say nothing about the noise between them."""
    grey = np.random.default_rng(2).normal(size=(1, 1, 32, 32))
    both = np.concatenate([grey, grey], axis=1)
    assert estimate_from_image(both, (2, 3)).std == estimate_from_image(grey, (2, 3)).std


@pytest.mark.parametrize(
    "image",
    [np.zeros((1, 1, 8, 8)), np.ones((1, 1, 1, 1)), np.random.default_rng(3).normal(size=(1, 1, 1, 9))],
)
def test_flat_or_tiny_images_are_refused(image):
    with pytest.raises(onnx_si.InputError, match="--sigma"):
        estimate_from_image(image, (2, 3))


def test_mostly_flat_images_are_refused():
    image = np.zeros((1, 1, 16, 16))
    image[0, 0, :4] = np.random.default_rng(4).normal(size=(4, 16))
    with pytest.raises(onnx_si.InputError, match="half of it is flat"):
        estimate_from_image(image, (2, 3))
