"""Covariances estimated from independent images: consistent, refused where too few, and named approximate."""

import json

import numpy as np
import pytest
from scipy import stats
from support import nets

import onnx_si
from onnx_si.cli.main import main
from onnx_si.ground.layout import Layout
from onnx_si.statistics.noise import MODELS, Diagonal, Full, Separable, Stationary, estimate_covariance

NCHW = Layout("NCHW", "test")
SHAPE = (1, 1, 5, 6)
SCENE = np.random.default_rng(0).normal(size=SHAPE) * 10


def ar1(size, rho):
    return rho ** np.abs(np.subtract.outer(np.arange(size), np.arange(size)))


def triangle(size):
    """Reaches one pixel, a fourth of the side."""
    return np.clip(1 - np.abs(np.subtract.outer(np.arange(size), np.arange(size))) / 2, 0, None)


ROWS, COLUMNS = 2.0 * ar1(5, 0.6), ar1(6, -0.4)
TRUTHS = {
    "diagonal": np.diag(np.linspace(0.2, 3.0, 30)),
    "separable": np.kron(ROWS, COLUMNS),
    "stationary": 1.7 * np.kron(triangle(5), triangle(6)),
    "full": np.kron(ROWS, COLUMNS) + np.diag(np.linspace(0, 2, 30)),
}
CLASSES = {"diagonal": Diagonal, "separable": Separable, "stationary": Stationary, "full": Full}


def images(model, count, seed=1):
    root = np.linalg.cholesky(TRUTHS[model])
    white = np.random.default_rng(seed).normal(size=(count, 30))
    return [SCENE + (root @ one).reshape(SHAPE) for one in white]


def dense(covariance):
    return covariance.block(np.ones(SHAPE, np.bool_))


@pytest.mark.parametrize("model", MODELS)
def test_it_comes_to_the_truth_with_many_images(model):
    noise = estimate_covariance(images(model, 4000), NCHW, model)
    assert isinstance(noise.covariance, CLASSES[model])
    scale = TRUTHS[model].max()
    np.testing.assert_allclose(dense(noise.covariance), TRUTHS[model], atol=0.1 * scale)
    assert not noise.known and not noise.exact and "4000 independent images" in noise.source


@pytest.mark.parametrize("model", ["diagonal", "separable", "stationary"])
def test_few_images_give_a_covariance_of_the_right_size(model):
    """The mean over many estimates; the moments of the diagonal are unbiased, the others nearly so."""
    found = [
        np.diag(dense(estimate_covariance(images(model, 4, seed), NCHW, model).covariance))
        for seed in range(400)
    ]
    np.testing.assert_allclose(np.mean(found, axis=0), np.diag(TRUTHS[model]), rtol=0.25)


def test_the_autocovariance_before_its_spectrum_is_cut_is_that_of_all_pairs():
    """White noise with many images cuts nothing away: every shift is the mean product over its pairs."""
    drawn = [np.random.default_rng(k).normal(size=(1, 1, 8)) for k in range(3000)]
    noise = estimate_covariance(drawn, Layout("NCW", "test"), "stationary")
    residuals = np.array(drawn)[:, 0, 0] - np.mean(drawn, axis=0)[0, 0]
    kernel = noise.covariance.autocovariance[0, 0]
    assert kernel.shape == (15,)
    for shift in range(8):
        pairs = (residuals[:, shift:] * residuals[:, : 8 - shift]).sum() / (8 - shift) / 2999
        assert kernel[7 + shift] == pytest.approx(pairs if shift <= 2 else 0.0, abs=1e-12)


def test_colour_channels_are_part_of_what_is_separable():
    channels = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.2], [0.1, 0.2, 0.5]])
    root = np.linalg.cholesky(channels)
    drawn = np.einsum("cd,mdhw->mchw", root, np.random.default_rng(3).normal(size=(600, 3, 4, 4)))
    noise = estimate_covariance([one[None] for one in drawn], NCHW, "separable")
    one = np.zeros((1, 3, 4, 4))
    one[0, :, 2, 2] = [1, 0, 0]
    np.testing.assert_allclose(noise.times(one)[0, :, 2, 2], channels[:, 0], atol=0.05)


@pytest.mark.parametrize(
    ("model", "count", "words"),
    [
        ("stationary", 1, "at least two"),
        ("full", 30, "31 noise images"),
        ("separable", 2, "axis W"),
    ],
)
def test_too_few_images_are_refused(model, count, words):
    shape = (1, 1, 2, 30) if model == "separable" else SHAPE
    drawn = list(np.random.default_rng(2).normal(size=(count, *shape)))
    with pytest.raises(onnx_si.InputError, match=words):
        estimate_covariance(drawn, NCHW, model)


def test_images_that_differ_in_shape_or_not_at_all_are_refused():
    for drawn, words in (
        ([np.ones(SHAPE), np.ones((1, 1, 5, 5))], "one shape"),
        ([np.ones(SHAPE)] * 3, "same"),
    ):
        with pytest.raises(onnx_si.InputError, match=words):
            estimate_covariance(drawn, NCHW, "separable")


def spots():
    """A map that follows the image's bright spots."""
    net = nets.Net(3, (1, 1, 4, 4))
    weight = np.abs(net.rng.normal(size=(1, 1, 3, 3))) * 0.4
    weight[0, 0, 1, 1] = 2
    net.add("Conv", "x", net.const(weight), pads=[1, 1, 1, 1], out="map")
    return net.finish("map")


def test_the_level_is_nearly_kept_where_independent_noise_loses_it():
    """Correlated noise and 20 noise images: 160 p-values by the estimated shape, and by one variance."""
    rng, model = np.random.default_rng(8), spots()
    root = np.linalg.cholesky(np.kron(ar1(4, 0.9), ar1(4, 0.8)))
    found = {"separable": [], "independent": []}
    for _ in range(160):
        image, reference, *background = (root @ rng.normal(size=(16, 22))).T.reshape(-1, 4, 4)
        for name, p_values in found.items():
            result = onnx_si.test(
                model,
                image,
                reference,
                noise_from=background,
                noise_model=name,
                threshold="minmax:0.7",
                precision=1e-3,
                p_value_only=True,
            )
            p_values.append(result.p_value)
    low, high = stats.binom.interval(0.999, 160, 0.05)
    rejected = {name: int(np.sum(np.array(p_values) <= 0.05)) for name, p_values in found.items()}
    assert low <= rejected["separable"] <= high < rejected["independent"], rejected


def test_the_result_says_that_the_level_is_approximate():
    rng = np.random.default_rng(4)
    image, *background = rng.normal(size=(9, 4, 4))
    result = onnx_si.test(
        spots(), image, noise_from=background, noise_model="stationary", threshold="minmax:0.7"
    )
    content = result.to_dict()
    assert content["noise"]["level"] == "approximate" and content["noise"]["known"] is False
    assert "stationary" in content["noise"]["model"] and "8 independent images" in content["noise"]["source"]
    assert any("approximate" in warning and "--covariance" in warning for warning in result.warnings)
    assert "approximately" in result.summary()
    assert content["config"]["noise_model"] == "stationary"


def test_the_command_line_takes_it(tmp_path, capsys):
    model, drawn = spots(), np.random.default_rng(4).normal(size=(9, 4, 4))
    (tmp_path / "model.onnx").write_bytes(model.proto.SerializeToString())
    files = [str(tmp_path / f"{number}.npy") for number in range(9)]
    for file, image in zip(files, drawn, strict=True):
        np.save(file, image)
    told = ["--noise-from", *files[1:], "--noise-model", "separable"]
    code = main([str(tmp_path / "model.onnx"), files[0], "--threshold", "minmax:0.7", "--json", *told])
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert code == 0 and content["noise"]["level"] == "approximate" and "approximate" in err
    assert "separable" in content["noise"]["model"] and content["config"]["noise_model"] == "separable"


@pytest.mark.parametrize(
    "options", [{"noise_model": "stationary"}, {"noise_model": "own", "noise_from": [np.eye(4)] * 2}]
)
def test_a_noise_model_without_images_or_of_another_name_is_refused(options):
    with pytest.raises(onnx_si.UsageError, match="noise"):
        onnx_si.test(spots(), np.eye(4), **options)
