"""Hypotheses: the statistic, its variance, and the line that conditioning on the rest of the data leaves."""

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy import stats

import onnx_si
from onnx_si.statistics.hypotheses import HYPOTHESES, Data
from onnx_si.statistics.hypotheses.all_pixels import LARGEST_BLOCK, all_pixels
from onnx_si.statistics.hypotheses.background import background
from onnx_si.statistics.hypotheses.contrast import contrast_line
from onnx_si.statistics.hypotheses.mean import mean
from onnx_si.statistics.hypotheses.neighborhood import neighborhood, ring_around
from onnx_si.statistics.noise import Diagonal, Full, Noise, Separable, Stationary
from onnx_si.statistics.truncated import Chi, Normal, Ratio, Student

SHAPE = (1, 2, 3, 4)
CONTRASTS = [name for name in HYPOTHESES if name != "global"]


def known(std):
    return Noise.scalar(std, "given", known=True)


def random_covariance(rng, size):
    root = rng.normal(size=(size, size + 3))
    return root @ root.T / size


def region_of(rng, shape=SHAPE):
    """A region of space, on every channel."""
    mask = rng.random(shape[2:]) < 0.4
    mask[0, 0], mask[-1, -1] = True, False
    return np.broadcast_to(mask, shape)


def drawn(seed, references, std=1.0):
    rng = np.random.default_rng(seed)
    image, others = rng.normal(size=SHAPE), rng.normal(size=(references, *SHAPE))
    reference = others.mean(axis=0) if references else None
    return (
        Data(image=image, reference=reference, references=references, noise=known(std), spatial_axes=(2, 3)),
        region_of(rng),
        others,
    )


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


@pytest.mark.parametrize("references", [2, 3])
def test_references_averaged_or_stacked_are_the_same_test(references):
    """The textbook formula on the image stacked on every single reference: statistic, variance, line."""
    data, region, others = drawn(21, references, 0.7)
    line = mean(data, region)
    weights = (region / region.sum()).ravel()
    eta = np.concatenate([weights, *(-weights / references for _ in others)])
    x = np.concatenate([data.image.ravel(), *(other.ravel() for other in others)])
    variance = 0.7**2 * eta @ eta
    direction = 0.7**2 * eta / variance
    assert line.statistic == pytest.approx(eta @ x)
    assert line.standard_error == pytest.approx(np.sqrt(variance))
    size = data.image.size
    np.testing.assert_allclose(line.direction.ravel(), direction[:size], atol=1e-14)
    np.testing.assert_allclose(line.start.ravel(), (x - direction * (eta @ x))[:size], atol=1e-13)


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
    line = HYPOTHESES[name].line(data, region)
    np.testing.assert_allclose(line.start + line.direction * line.statistic, data.image, atol=1e-14)
    if name != "global":
        assert line.distribution == Normal(0.0, line.standard_error)


def test_every_hypothesis_says_what_it_is():
    for name, hypothesis in HYPOTHESES.items():
        assert hypothesis.null and hypothesis.if_true, name
    assert HYPOTHESES["mean"].needs_reference and HYPOTHESES["global"].needs_reference
    assert HYPOTHESES["global"].alternatives == ("greater",)


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
    for name in CONTRASTS:
        one, many = (HYPOTHESES[name].line(*drawn(6, 2, std)[:2]) for std in (1.0, 9.0))
        np.testing.assert_allclose(many.direction, one.direction, atol=1e-14, err_msg=name)
        assert many.statistic == one.statistic and many.standard_error == pytest.approx(
            9 * one.standard_error
        )


@pytest.mark.parametrize("references", [0, 1, 3])
def test_the_direction_follows_the_covariance(references):
    rng = np.random.default_rng(7)
    variances = rng.uniform(0.1, 4.0, size=SHAPE)
    image, reference = rng.normal(size=(2, *SHAPE))
    on_image, on_reference = rng.normal(size=(2, *SHAPE))
    noise = Noise(covariance=Diagonal(variances), source="given", known=True)
    data = Data(image=image, reference=reference if references else None, references=references, noise=noise)
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
        line = HYPOTHESES[name].line(
            Data(image=image, reference=reference, references=references, noise=known(0.7)), region
        )
        statistics.append(line.statistic)
    assert np.std(statistics) == pytest.approx(line.standard_error, rel=0.05)
    assert abs(np.mean(statistics)) < 4 * line.standard_error / np.sqrt(len(statistics))


def test_a_reference_is_needed_for_the_mean():
    data, region, _ = drawn(9, 0)
    with pytest.raises(onnx_si.UsageError, match="--reference"):
        mean(data, region)


# --------------------------------------------------------------------------------
# The neighbourhood


@pytest.mark.parametrize("space", [(9,), (5, 7), (4, 5, 3)])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_ring_is_all_pixels_within_reach(space, width):
    """One, two and three dimensions, against the distances of all pairs of pixels."""
    rng = np.random.default_rng([width, len(space)])
    for _ in range(5):
        region = rng.random(space) < 0.1
        pixels = np.array(list(itertools.product(*map(range, space))))
        inside = np.argwhere(region)
        near = [bool(len(inside)) and np.abs(inside - p).max(axis=1).min() <= width for p in pixels]
        expected = np.array(near).reshape(space) & ~region
        axes = tuple(range(len(space)))
        np.testing.assert_array_equal(ring_around(region, width, axes), expected)


def test_the_ring_does_not_mix_channels():
    region = np.zeros((1, 2, 1, 5), np.bool_)
    region[0, 0, 0, 2] = True
    ring = ring_around(region, 1, (2, 3))
    assert ring[0, 0, 0].tolist() == [False, True, False, True, False] and not ring[0, 1].any()


def test_the_neighborhood_line_by_hand():
    image = np.arange(7.0).reshape(1, 7) ** 2
    region = np.zeros((1, 7), np.bool_)
    region[0, 2:4] = True
    line = neighborhood(
        Data(image=image, reference=None, references=0, noise=known(2.0), spatial_axes=(1,)), region
    )
    assert line.statistic == (4 + 9) / 2 - (1 + 16) / 2
    assert line.standard_error == pytest.approx(2 * np.sqrt(1 / 2 + 1 / 2))
    np.testing.assert_allclose(line.direction, [[0, -0.5, 0.5, 0.5, -0.5, 0, 0]])


def test_what_may_not_count_is_in_no_mean():
    image = np.arange(7.0).reshape(1, 7)
    counts = np.array([[1, 0, 1, 1, 1, 0, 0]], np.bool_)
    region = np.zeros((1, 7), np.bool_)
    region[0, 2:4] = True
    data = Data(
        image=image, reference=None, references=0, noise=known(1.0), mask=counts, spatial_axes=(1,), ring=2
    )
    assert neighborhood(data, region).statistic == pytest.approx(2.5 - (0 + 4) / 2)
    assert background(data, region).statistic == pytest.approx(2.5 - (0 + 4) / 2)
    with pytest.raises(onnx_si.NothingToTest, match="ring"):
        neighborhood(
            Data(image=image, reference=None, references=0, noise=known(1.0), mask=region, spatial_axes=(1,)),
            region,
        )


# --------------------------------------------------------------------------------
# Any covariance


@pytest.mark.parametrize("references", [1, 3])
@pytest.mark.parametrize("name", CONTRASTS)
def test_any_covariance_is_the_textbook_formula_on_the_stacked_data(name, references):
    data, region, _ = drawn(12, references)
    size = data.image.size
    matrix = random_covariance(np.random.default_rng(13), size)
    noise = Noise(covariance=Full(matrix), source="given", known=True)
    line = HYPOTHESES[name].line(
        Data(
            image=data.image,
            reference=data.reference,
            references=references,
            noise=noise,
            spatial_axes=(2, 3),
        ),
        region,
    )
    weights = {
        "mean": region / region.sum(),
        "background": np.where(region, 1 / region.sum(), -1 / (~region).sum()),
        "neighborhood": region / region.sum()
        - ring_around(region, 1, (2, 3)) / ring_around(region, 1, (2, 3)).sum(),
    }[name].ravel()
    on_reference = -weights if name == "mean" else 0 * weights
    eta = np.concatenate([weights, on_reference])
    sigma = np.zeros((2 * size, 2 * size))
    sigma[:size, :size], sigma[size:, size:] = matrix, matrix / references
    x = np.concatenate([data.image.ravel(), data.reference.ravel()])
    variance = eta @ sigma @ eta
    direction = sigma @ eta / variance
    assert line.statistic == pytest.approx(eta @ x)
    assert line.standard_error == pytest.approx(np.sqrt(variance))
    np.testing.assert_allclose(line.direction.ravel(), direction[:size], atol=1e-13)
    np.testing.assert_allclose(line.start.ravel(), (x - direction * (eta @ x))[:size], atol=1e-13)


@pytest.mark.parametrize("name", CONTRASTS)
def test_the_line_of_a_large_image_takes_the_memory_of_a_few_images(name):
    """256 x 256 pixels, AR(1) along both axes; the dense matrix would take 32 GiB."""
    shape, rng = (1, 1, 256, 256), np.random.default_rng(19)
    rows, columns = (rho ** np.abs(np.subtract.outer(np.arange(256), np.arange(256))) for rho in (0.8, 0.5))
    image, reference = rng.normal(size=(2, *shape))
    region = np.zeros(shape, np.bool_)
    region[..., 40:90, 100:130] = True
    tracemalloc.start()
    noise = Noise(covariance=Separable((None, None, rows, columns)), source="given", known=True)
    line = HYPOTHESES[name].line(
        Data(image=image, reference=reference, references=1, noise=noise, spatial_axes=(2, 3), ring=3), region
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * image.nbytes
    np.testing.assert_allclose(line.start + line.direction * line.statistic, image, atol=1e-12)
    if name == "mean":
        variance = 2 * rows[40:90, 40:90].sum() * columns[100:130, 100:130].sum() / 1500**2
        assert line.standard_error == pytest.approx(np.sqrt(variance))


# --------------------------------------------------------------------------------
# Every pixel at once


@pytest.mark.parametrize("references", [1, 2, 5])
def test_the_global_line_is_the_published_formula(references):
    data, region, others = drawn(14, references, std=0.7)
    line = all_pixels(data, region)
    difference = (data.image - others.mean(axis=0))[region]
    length, scale = np.linalg.norm(difference), 0.7 * np.sqrt(1 + 1 / references)
    assert line.statistic == pytest.approx(length / scale)
    assert line.distribution == Chi(int(region.sum()), 1.0) and line.degrees_of_freedom == region.sum()
    share = references / (1 + references)
    for z in (0.0, 1.7, 9.0):
        published = data.image.copy()
        published[region] = (data.image + references * data.reference)[region] / (1 + references)
        published[region] += share * z * scale * difference / length
        np.testing.assert_allclose(line.start + line.direction * z, published, atol=1e-13)


@pytest.mark.parametrize("references", [1, 3])
@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_the_global_line_for_any_covariance_leaves_what_is_independent(kind, references):
    """Image and reference along the line: difference of length z, everything uncorrelated with it as
    observed.
    """
    data, region, _ = drawn(15, references)
    size, rng = data.image.size, np.random.default_rng(16)
    variances = rng.uniform(0.2, 3.0, SHAPE)
    matrix = np.diag(variances.ravel()) if kind == "diagonal" else random_covariance(rng, size)
    covariance = Diagonal(variances) if kind == "diagonal" else Full(matrix)
    noise = Noise(covariance=covariance, source="given", known=True)
    line = all_pixels(
        Data(image=data.image, reference=data.reference, references=references, noise=noise), region
    )
    inside = region.ravel()
    within = matrix[np.ix_(inside, inside)] * (1 + 1 / references)
    difference = (data.image - data.reference).ravel()[inside]
    assert line.statistic == pytest.approx(np.sqrt(difference @ np.linalg.solve(within, difference)))
    # regression of the image on the difference: the residual stays, the difference is scaled
    slope = matrix[:, inside] @ np.linalg.inv(within)
    for z in (0.0, 0.5, 4.0):
        expected = data.image.ravel() + slope @ (difference * (z / line.statistic - 1))
        np.testing.assert_allclose((line.start + line.direction * z).ravel(), expected, atol=1e-12)


def test_a_region_too_large_for_a_dense_block_is_refused():
    size = LARGEST_BLOCK + 1
    kernel = np.array([[0.3, 1.0, 0.3]])
    noise = Noise(covariance=Stationary(kernel, (1, size)), source="given", known=True)
    image, reference = np.random.default_rng(0).normal(size=(2, 1, size))
    with pytest.raises(onnx_si.UsageError, match="higher --threshold"):
        all_pixels(
            Data(image=image, reference=reference, references=1, noise=noise), np.ones((1, size), np.bool_)
        )


# --------------------------------------------------------------------------------
# Unknown scale


@pytest.mark.parametrize("freedom", [1, 4, 60])
def test_without_truncation_an_estimated_scale_gives_students_test(freedom):
    data, region, _ = drawn(17, 2)
    noise = Noise.scalar(0.8, "given", known=False, degrees_of_freedom=freedom)
    line = mean(Data(image=data.image, reference=data.reference, references=2, noise=noise), region)
    assert isinstance(line.distribution, Student) and line.degrees_of_freedom == freedom
    tail = line.distribution.log_masses(np.array([[line.statistic, np.inf]]))[0]
    t = line.statistic / line.standard_error
    assert tail == pytest.approx(stats.t.logsf(t, freedom), rel=1e-10)


@pytest.mark.parametrize("freedom", [1, 4, 60])
def test_without_truncation_a_global_test_with_estimated_scale_is_the_f_test(freedom):
    data, region, _ = drawn(18, 3)
    noise = Noise.scalar(0.8, "given", known=False, degrees_of_freedom=freedom)
    line = all_pixels(Data(image=data.image, reference=data.reference, references=3, noise=noise), region)
    assert isinstance(line.distribution, Ratio)
    tail = line.distribution.log_masses(np.array([[line.statistic, np.inf]]))[0]
    df = int(region.sum())
    assert tail == pytest.approx(stats.f.logsf(line.statistic**2 / df, df, freedom), rel=1e-10)
