"""The noise: what may be given, and the robust estimate from the image itself."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

import onnx_si
from onnx_si.ground.layout import Layout
from onnx_si.statistics.noise import (
    Diagonal,
    Full,
    Noise,
    Scalar,
    Separable,
    Stationary,
    covariance_of,
    estimate_from_image,
    estimate_from_images,
    read_covariance,
)


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


# --------------------------------------------------------------------------------
# Structured covariances against dense matrices


def ar1(size, rho):
    """Correlations of a first-order autoregression."""
    return rho ** np.abs(np.subtract.outer(np.arange(size), np.arange(size)))


def exponential_kernel(*reach):
    """An autocovariance that is positive definite: a product of triangles."""
    kernel = np.ones(())
    for r in reach:
        kernel = np.multiply.outer(kernel, 1 - np.abs(np.arange(-r, r + 1)) / (r + 1))
    return kernel


def structured(kind, shape):
    """A covariance and the dense matrix that it stands for."""
    rng = np.random.default_rng(5)
    size = int(np.prod(shape))
    if kind == "scalar":
        return Scalar(0.7), 0.49 * np.eye(size)
    if kind == "diagonal":
        variances = rng.uniform(0.1, 2, shape)
        return Diagonal(variances), np.diag(variances.ravel())
    if kind == "full":
        root = rng.normal(size=(size, size + 2))
        return Full(root @ root.T), root @ root.T
    if kind == "separable":
        factors = [None if n == 1 else 1.5 * ar1(n, 0.6) for n in shape]
        dense = np.ones((1, 1))
        for n, factor in zip(shape, factors, strict=True):
            dense = np.kron(dense, np.eye(n) if factor is None else factor)
        return Separable(tuple(factors)), dense
    kernel = exponential_kernel(*(min(2, n - 1) for n in shape))
    places = np.array(np.unravel_index(np.arange(size), shape)).T
    dense = np.zeros((size, size))
    for i, j in np.ndindex(size, size):
        at = places[i] - places[j] + np.array(kernel.shape) // 2
        if ((at >= 0) & (at < kernel.shape)).all():
            dense[i, j] = kernel[tuple(at)]
    return Stationary(kernel, shape), dense


KINDS = ("scalar", "diagonal", "full", "separable", "stationary")
SHAPES = [(1, 2, 4, 5), (1, 7), (1, 3, 2, 2, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_structured_covariance_is_its_dense_matrix(kind, shape):
    covariance, dense = structured(kind, shape)
    rng = np.random.default_rng(6)
    x = rng.normal(size=shape)
    np.testing.assert_allclose(covariance.times(x).ravel(), dense @ x.ravel(), atol=1e-12)
    mask = rng.random(shape) < 0.4
    chosen = np.flatnonzero(mask)
    np.testing.assert_allclose(covariance.block(mask), dense[np.ix_(chosen, chosen)], atol=1e-13)
    assert covariance.fits(shape) and str(covariance)
    assert kind == "scalar" or not covariance.fits((*shape, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_the_covariance(kind):
    shape = (1, 1, 2, 3)
    covariance, dense = structured(kind, shape)
    rng = np.random.default_rng(7)
    drawn = np.array([covariance.sample(rng, shape).ravel() for _ in range(20000)])
    np.testing.assert_allclose(drawn.T @ drawn / len(drawn), dense, atol=0.06 * dense.max())


def test_a_large_separable_covariance_takes_the_memory_of_a_few_images():
    """256 x 256 pixels, AR(1) along both axes: the dense matrix would take 32 GiB."""
    shape = (1, 1, 256, 256)
    image = np.random.default_rng(8).normal(size=shape)
    tracemalloc.start()
    covariance = Separable((None, None, ar1(256, 0.8), ar1(256, 0.5)))
    along = covariance.times(image)
    covariance.sample(np.random.default_rng(9), shape)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * image.nbytes
    assert along[0, 0, 3, 4] == pytest.approx(ar1(256, 0.8)[3] @ image[0, 0] @ ar1(256, 0.5)[4])


# --------------------------------------------------------------------------------
# Covariances from arrays and files

NCHW = Layout("NCHW", "test")


def test_an_array_is_told_apart_by_its_shape():
    shape = (1, 2, 3, 4)
    rng = np.random.default_rng(10)
    assert isinstance(covariance_of(rng.uniform(1, 2, (2, 3, 4)), shape, NCHW), Diagonal)
    assert isinstance(covariance_of(np.eye(24), shape, NCHW), Full)
    separable = covariance_of({"H": ar1(3, 0.5), "W": ar1(4, 0.2), "variance": 4.0}, shape, NCHW)
    assert isinstance(separable, Separable)
    one = np.zeros(shape)
    one[0, 1, 2, 3] = 1
    np.testing.assert_allclose(separable.times(one)[0, 1], 4 * np.outer(ar1(3, 0.5)[2], ar1(4, 0.2)[3]))
    assert not separable.times(one)[0, 0].any()
    stationary = covariance_of({"autocovariance": exponential_kernel(1, 1)}, shape, NCHW)
    assert isinstance(stationary, Stationary)
    assert covariance_of(separable, shape, NCHW) is separable


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.ones(5), "give its variances"),
        (np.zeros((2, 3, 4)), "positive"),
        (np.full((2, 3, 4), np.nan), "finite"),
        (np.full((2, 3, 4), "x"), "finite"),
        (-np.eye(24), "variances from -1"),
        (np.eye(24) + np.triu(np.ones((24, 24)), 1), "symmetric"),
        ({"H": np.eye(4)}, "does not fit"),
        ({"H": np.ones((3, 3))}, "positive definite"),
        ({"X": np.eye(3)}, "allowed are"),
        ({}, "allowed are"),
        ({"autocovariance": np.ones(3)}, "axis for each"),
        ({"autocovariance": np.ones((2, 3))}, "odd sizes"),
        ({"autocovariance": np.arange(9.0).reshape(3, 3)}, "opposite"),
        ({"autocovariance": np.array([[0.0, 0.9, 0.0], [0.9, 1.0, 0.9], [0.0, 0.9, 0.0]])}, "spectrum"),
        ({"variance": np.ones(2)}, "one number"),
    ],
)
def test_what_is_no_covariance_is_refused(given, words):
    with pytest.raises((onnx_si.InputError, onnx_si.UsageError), match=words):
        covariance_of(given, (1, 2, 3, 4), NCHW)


def test_covariances_are_read_from_files(tmp_path):
    np.save(tmp_path / "variances.npy", np.full((3, 4), 2.0))
    np.savez(tmp_path / "axes.npz", H=ar1(3, 0.5), W=ar1(4, 0.2))
    shape = (1, 1, 3, 4)
    assert isinstance(covariance_of(read_covariance(tmp_path / "variances.npy"), shape, NCHW), Diagonal)
    assert isinstance(covariance_of(read_covariance(tmp_path / "axes.npz"), shape, NCHW), Separable)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 nothing")
    for name in ("broken.npz", "missing.npy", "covariance.txt"):
        with pytest.raises(onnx_si.InputError):
            read_covariance(tmp_path / name)


# --------------------------------------------------------------------------------
# The scale from independent images


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_pooled_variance_is_chi_squared_on_its_degrees_of_freedom(count):
    """Several images of one scene with any content, or one of constant channels."""
    rng = np.random.default_rng(count)
    shape = (1, 2, 3, 4)
    scene = 10 * rng.normal(size=shape if count > 1 else (1, 2, 1, 1))
    found = [
        estimate_from_images([scene + 0.3 * rng.normal(size=shape) for _ in range(count)], 1)
        for _ in range(2000)
    ]
    freedom = 24 - 2 if count == 1 else 24 * (count - 1)
    assert {noise.degrees_of_freedom for noise in found} == {freedom}
    assert not found[0].known and found[0].exact and "independent" in found[0].source
    scaled = freedom * np.array([noise.std for noise in found]) ** 2 / 0.09
    assert stats.kstest(scaled, "chi2", args=(freedom,)).pvalue > 0.01


def test_images_without_noise_or_of_several_shapes_are_refused():
    with pytest.raises(onnx_si.InputError, match="constant"):
        estimate_from_images([np.ones((1, 1, 4, 4))], 1)
    with pytest.raises(onnx_si.InputError, match="one shape"):
        estimate_from_images([np.ones((1, 1, 4, 4)), np.ones((1, 1, 4, 5))], 1)
    with pytest.raises(onnx_si.UsageError, match="degrees of freedom"):
        Noise.scalar(1.0, "given", known=False, degrees_of_freedom=0)
