"""The comparison methods, as the paper defines them, and their behaviour under the null."""

import math

import numpy as np
import pytest
from scipy import stats
from support import nets

import onnx_si
from onnx_si.analysis.baselines import PERMUTATIONS
from onnx_si.runtime.session import Deployed, DeployedBatch

ALL = ("selective", "over-conditioning", "naive", "bonferroni", "permutation")
CENTRE = np.pad([[1.0]], 1).reshape(1, 1, 3, 3)


def identity(size, rows=None):
    """The image is the map."""
    net = nets.Net(0, (1, 1, rows or size, size))
    net.add("Conv", "x", net.const(CENTRE), pads=[1, 1, 1, 1], out="map")
    return net.finish("map")


def test_naive_and_bonferroni_by_hand():
    rng = np.random.default_rng(0)
    image, first, second = rng.normal(size=(3, 1, 1, 3, 3))
    image[0, 0, 1, 1] = 9.0
    result = onnx_si.test(identity(3), image, [first, second], sigma=0.8, threshold=4.0, methods=ALL)
    assert result.region.sum() == 1
    t = 9.0 - 0.5 * (first + second)[0, 0, 1, 1]
    naive = 2 * stats.norm.sf(t / (0.8 * np.sqrt(1.5)))  # the references' own variance counts
    assert result.comparison.naive == pytest.approx(naive, rel=1e-9)
    assert result.comparison.bonferroni == pytest.approx(min(1.0, 2**9 * naive), rel=1e-9)


def test_bonferroni_is_computed_by_logarithms():
    """The naive p-value underflows, and 2^n overflows; their product does neither."""
    image, reference = np.zeros((2, 1, 1, 40, 40))
    image[0, 0, 3, 4], image[0, 0, 0, 0] = 49.0, 0.1
    result = onnx_si.test(identity(40), image, reference, sigma=1.0, threshold=30.0, methods=("bonferroni",))
    truth = stats.norm.logsf(49 / np.sqrt(2)) + math.log(2) + 1600 * math.log(2)
    assert result.comparison.bonferroni == min(1.0, math.exp(min(truth, 0)))
    image[0, 0, 3, 4] = 80.0
    result = onnx_si.test(identity(40), image, reference, sigma=1.0, threshold=30.0, methods=("bonferroni",))
    truth = stats.norm.logsf(80 / np.sqrt(2)) + math.log(2) + 1600 * math.log(2)
    assert result.comparison.bonferroni == pytest.approx(math.exp(truth), rel=1e-9)
    assert 0 < result.comparison.bonferroni < 1


def test_bonferroni_counts_the_pixels_that_may_count():
    image, reference = np.random.default_rng(1).normal(size=(2, 1, 1, 4, 4))
    image[0, 0, 1, 1] = 6.0
    mask = np.zeros((4, 4))
    mask[1] = 1
    options = {"sigma": 1.0, "threshold": 4.0, "methods": ("naive", "bonferroni")}
    result = onnx_si.test(identity(4), image, reference, mask=mask, **options)
    assert result.comparison.bonferroni == pytest.approx(2**4 * result.comparison.naive, rel=1e-9)


@pytest.mark.parametrize("alternative", ["two-sided", "two-sided-abs", "greater", "less"])
def test_pixels_are_permuted_with_their_reference(alternative):
    """The image is the map: any permutation moves the region along and leaves the statistic as it is."""
    rng = np.random.default_rng(2)
    image, reference = rng.normal(size=(2, 1, 1, 12, 12))
    result = onnx_si.test(
        identity(12), image, reference, sigma=1.0, threshold=0.2, alternative=alternative, methods=ALL
    )
    assert result.comparison.permutation == 1.0


def smoothing_net(size=5):
    """A map of local sums: permuted images have other regions."""
    net = nets.Net(0, (1, 1, size, size))
    net.add("Conv", "x", net.const(np.ones((1, 1, 3, 3)) + 2 * CENTRE), pads=[1, 1, 1, 1], out="map")
    return net.finish("map")


def test_permutation_is_the_share_of_a_loop_of_its_own():
    """The same question answered without the package: permute, filter, compare means."""
    rng = np.random.default_rng(3)
    image, reference = rng.normal(size=(2, 5, 5))
    image[1:3, 1:3] += 1.2
    result = onnx_si.test(
        smoothing_net(), image, reference, sigma=1.0, threshold=5.0, alternative="greater", methods=ALL
    )

    def statistic(x, r):
        wide = np.pad(x, 1)
        scores = 2 * x + sum(wide[i : i + 5, j : j + 5] for i in range(3) for j in range(3))
        return (x - r)[scores > 5].mean() if 0 < (scores > 5).sum() < 25 else None

    observed, own = statistic(image, reference), []
    assert observed == pytest.approx(result.statistic)
    for _ in range(4000):
        order = rng.permutation(25)
        own.append(statistic(*(a.ravel()[order].reshape(5, 5) for a in (image, reference))))
    own = np.array([t for t in own if t is not None])
    share = np.mean(own >= observed)
    error = math.sqrt(share * (1 - share) * (1 / PERMUTATIONS + 1 / len(own))) + 1 / PERMUTATIONS
    assert 0.02 < share < 0.98
    assert abs(result.comparison.permutation - share) < 4 * error


def test_permutation_is_uniform_under_the_null(monkeypatch):
    monkeypatch.setattr("onnx_si.analysis.baselines.PERMUTATIONS", 199)
    rng, found = np.random.default_rng(4), []
    for seed in range(150):
        image, reference = rng.normal(size=(2, 5, 5))
        try:
            result = onnx_si.test(
                smoothing_net(),
                image,
                reference,
                sigma=1.0,
                threshold=4.0,
                alternative="greater",
                methods=("permutation",),
                precision=0.5,
                decide=True,
                seed=seed,
            )
        except onnx_si.NothingToTest:
            continue
        if result.comparison.permutation is not None:
            found.append(result.comparison.permutation)
    low, high = stats.binom.interval(0.999, len(found), 0.05)
    assert len(found) > 100 and stats.kstest(found, "uniform").pvalue > 0.01
    assert low <= np.sum(np.array(found) <= 0.05) <= high


def test_the_seed_decides_the_permutations():
    image, reference = np.random.default_rng(5).normal(size=(2, 5, 5))
    image[2, 2] += 3

    def p_value(seed):
        options = {"sigma": 1.0, "threshold": 4.0, "methods": ("permutation",), "seed": seed}
        return onnx_si.test(smoothing_net(), image, reference, **options).comparison.permutation

    assert p_value(1) == p_value(1) != p_value(2)


def test_permutation_needs_exchangeable_pixels():
    image, reference = np.random.default_rng(6).normal(size=(2, 5, 5))
    image[2, 2] += 3
    variances = np.linspace(1, 2, 25).reshape(5, 5)
    result = onnx_si.test(
        smoothing_net(), image, reference, covariance=variances, threshold=4.0, methods=("permutation",)
    )
    assert result.comparison.permutation is None
    assert "exchanged" in result.to_dict()["reasons"]["comparison.permutation"]


def test_permuted_images_that_hardly_ever_have_a_region_give_no_p_value():
    image = np.zeros((5, 5))
    image[1:4, 1:4] = 1.0
    result = onnx_si.test(smoothing_net(), image, sigma=1.0, threshold=10.5, methods=("permutation",))
    assert result.comparison.permutation is None
    assert "permuted images" in result.to_dict()["reasons"]["comparison.permutation"]


def test_permuted_images_with_an_empty_ring_are_left_out():
    """The region of each image is its one large pixel; some that may count have no neighbour."""
    image = np.zeros((6, 6))
    image[0, 0], image[0, 1] = 5.0, 1.0
    mask = np.zeros((6, 6))
    mask[0, :2] = mask[3, 3] = mask[5, 0] = mask[5, 5] = 1
    result = onnx_si.test(
        identity(6),
        image,
        sigma=1.0,
        threshold=4.0,
        hypothesis="neighborhood",
        mask=mask,
        alternative="greater",
        methods=("permutation",),
    )
    # the 5 lies on one of the two neighbours; the other is the 1 (a difference of 4) in 1 of 4 cases, else 0
    assert result.comparison.permutation > 0.99
    image[0, 1], image[3, 3] = -1.0, 1.0
    options = {"hypothesis": "neighborhood", "mask": mask, "alternative": "greater", "threshold": 4.0}
    seldom = onnx_si.test(identity(6), image, sigma=1.0, methods=("permutation",), **options)
    assert seldom.comparison.permutation == pytest.approx(0.25, abs=0.08)


def test_the_deployed_runtime_is_loaded_once():
    model = smoothing_net()
    deployed = Deployed(model, "x", ("map",))
    for seed in range(3):
        image = np.random.default_rng(seed).normal(size=(1, 1, 5, 5))
        np.testing.assert_allclose(deployed.run(image)[0], nets.value_of(model, image, "map"), atol=1e-5)
    with pytest.raises(onnx_si.UnsupportedModel, match="onnxruntime"):
        deployed.run(np.zeros((1, 1, 4, 4)))


@pytest.mark.parametrize(
    ("make", "tensor"),
    [
        (smoothing_net, "map"),
        (nets.cam_nhwc, None),
        (nets.extremes_net, "map"),
        (nets.gated_net, "map"),
        (nets.quantised_net, "map"),
        (nets.trees_net, "map"),
    ],
)
def test_many_images_in_one_call_give_what_each_gives_alone(make, tensor):
    """To the last bit, for models of a fixed batch of one; inner tensors as well as outputs."""
    model = make(1) if make is nets.trees_net else make()
    names = [tensor or model.outputs[0].name, model.proto.graph.node[0].output[0]]
    shape = model.inputs[0].shape
    images = np.random.default_rng(8).normal(size=(7, *shape))
    for name in names:
        alone = Deployed(model, "x", (name,))
        many = DeployedBatch(model, "x", name, shape).run(images)
        np.testing.assert_array_equal(many, np.stack([alone.run(image)[0] for image in images]))


@pytest.mark.parametrize("threshold", ["4.0", "max:0.6", "top:0.2"])
def test_the_p_value_does_not_depend_on_how_many_images_go_in_one_call(monkeypatch, threshold):
    image, reference = np.random.default_rng(9).normal(size=(2, 5, 5))
    image[2, 2] += 3
    mask = np.ones((5, 5))
    mask[0] = 0
    options = {"sigma": 1.0, "threshold": threshold, "methods": ("permutation",), "mask": mask}
    found = []
    for batch in (100, 1, 999):
        monkeypatch.setattr("onnx_si.analysis.baselines.BATCH", batch)
        result = onnx_si.test(smoothing_net(), image, reference, **options)
        assert not result.warnings
        found.append(result.comparison.permutation)
    assert 0 < found[0] < 1 and found[1:] == found[:1] * 2


def old_net():
    """Of an opset in which a Scan has another meaning."""
    net = nets.Net(0, (1, 1, 5, 5), opset=8)
    net.add("Conv", "x", net.const(np.ones((1, 1, 3, 3)) + 2 * CENTRE), pads=[1, 1, 1, 1], out="map")
    return net.finish("map")


def test_a_model_that_can_t_be_run_in_batches_is_run_one_by_one_and_the_result_says_so():
    image, reference = np.random.default_rng(5).normal(size=(2, 5, 5))
    image[2, 2] += 3
    options = {"sigma": 1.0, "threshold": 4.0, "methods": ("permutation",)}
    old, new = (onnx_si.test(net(), image, reference, **options) for net in (old_net, smoothing_net))
    assert old.comparison.permutation == new.comparison.permutation
    assert not new.warnings
    (warning,) = old.to_dict()["warnings"]
    assert "one by one" in warning and "opset 8" in warning


def test_all_methods_are_shown():
    image, reference = np.random.default_rng(7).normal(size=(2, 5, 5))
    image[2, 2] += 3
    result = onnx_si.test(smoothing_net(), image, reference, sigma=1.0, threshold=4.0, methods=ALL)
    content = result.to_dict()["comparison"]
    assert set(content) == {"naive", "over_conditioning", "bonferroni", "permutation", "monte_carlo"}
    assert content.pop("monte_carlo") is None  # not asked for
    assert all(0 <= value <= 1 for value in content.values())
    for method in ("over-conditioning", "bonferroni", "permutation"):
        assert method in result.summary()
