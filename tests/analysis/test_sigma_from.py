"""`--sigma-from`: the noise from a part of the image that is background, as a t-test."""

import json

import numpy as np
import onnx
import pytest
import scipy
from support import nets

import onnx_si
from onnx_si.cli import main as cli
from onnx_si.errors import InputError, UsageError

SHAPE = (1, 1, 12, 12)
BOX = np.zeros((12, 12), bool)
BOX[:4, :] = True


def segmenter(seed=0, noise_std=None):
    """A map by a small network, of a part of the image that the box does not reach."""
    net = nets.Net(seed, SHAPE)
    if noise_std is not None:
        net.metadata = {"onnx_si.noise_std": noise_std}
    x = net.conv(net.add("Relu", net.conv("x", 1, 3)), 3, 1)
    inside = np.zeros(SHAPE, np.float32)
    inside[..., 5:, :] = 1
    net.add("Mul", x, net.const(inside), out="map")
    return net.finish("map")


def images(seed, count):
    return 2.0 * np.random.default_rng(seed).normal(size=(count, *SHAPE))


def test_the_noise_is_that_of_the_box_with_its_degrees_of_freedom():
    image, reference = images(1, 2)
    values = image[0, 0][BOX]
    result = onnx_si.test(segmenter(), image, reference, sigma_from=BOX, precision=1e-6)
    assert result.noise["std"] == pytest.approx(values.std(ddof=1))
    assert result.noise["degrees_of_freedom"] == values.size - 1 == 47
    assert result.noise["level"] == "approximate" and any("these pixels" in text for text in result.warnings)
    given = onnx_si.test(
        segmenter(), image, reference, sigma=values.std(ddof=1), sigma_df=values.size - 1, precision=1e-6
    )
    assert result.p_value == pytest.approx(given.p_value, abs=2e-6)
    known = onnx_si.test(segmenter(), image, reference, sigma=values.std(ddof=1), precision=1e-6)
    assert abs(known.p_value - result.p_value) > 1e-5


@pytest.mark.parametrize(
    "other", [{"sigma_from": BOX}, {"noise": "poisson:1,2"}, {"covariance": np.ones(SHAPE)}, {}]
)
def test_what_the_model_says_of_sigma_is_no_default_where_it_is_not_taken(other):
    model = segmenter(noise_std="3")
    result = onnx_si.test(model, images(1, 1)[0], precision=0.5, **other)
    assert any(text.startswith("sigma ") for text in result.defaults) == (not other)
    assert result.noise["std"] == 3.0 or other


def test_its_pixels_enter_no_mean():
    image = images(3, 1)[0]
    result = onnx_si.test(segmenter(), image, sigma_from=BOX, hypothesis="background")
    rest = ~result.region & ~BOX
    plane = image[0, 0]
    assert result.statistic == pytest.approx(plane[result.region].mean() - plane[rest].mean())
    error = result.noise["std"] * np.sqrt(1 / result.region.sum() + 1 / rest.sum())
    assert result.standard_error == pytest.approx(error)


def test_each_channel_has_a_mean_of_its_own():
    net = nets.Net(0, (1, 2, 6, 6))
    net.add("Identity", net.conv("x", 2, 1), out="map")
    image = np.random.default_rng(5).normal(size=(1, 2, 6, 6)) + np.array([0.0, 30.0]).reshape(1, 2, 1, 1)
    box = np.zeros((6, 6))
    box[0] = 1
    found = None
    for shift in range(6):
        try:
            found = onnx_si.test(
                net.finish("map"), image, sigma_from=np.roll(box, shift, 0), threshold="top:0.1"
            )
            rows = image[0, :, shift]
            break
        except InputError as error:
            assert "in the region" in str(error)
    assert found.noise["degrees_of_freedom"] == 10
    assert found.noise["std"] == pytest.approx(np.sqrt(rows.var(axis=1).sum() * 6 / 10))


def test_the_level_holds_on_noise():
    """With four degrees of freedom: a z-test with the same estimate rejects far more often."""
    box = np.zeros((12, 12), bool)
    box[0, :5] = True
    analysis = onnx_si.prepare(segmenter(2), hypothesis="mean", p_value_only=True, precision=0.005)
    found, naive = [], []
    for image, reference in zip(images(8, 150), images(9, 150), strict=True):
        result = analysis.test(image, reference, sigma_from=box)
        found.append(result.p_value)
        naive.append(2 * scipy.stats.norm.sf(abs(result.statistic) / result.standard_error))
    assert 0.013 < np.mean(np.array(found) <= 0.05) < 0.09
    assert scipy.stats.kstest(found, "uniform").pvalue > 1e-3
    assert np.mean(np.array(naive) <= 0.05) > 0.12


@pytest.mark.parametrize(
    ("box", "options", "words"),
    [
        (np.ones((12, 12)), {}, "left to test"),
        (~BOX, {}, "in the region"),
        (np.zeros((12, 12)), {}, "too few"),
        (np.ones((3, 3)), {}, "background has shape"),
        (BOX, {"sigma": 1.0}, "--sigma and --sigma-from both"),
        (BOX, {"noise_from": images(2, 2)[0]}, "--noise-from and --sigma-from both"),
    ],
)
def test_what_can_not_be_taken_is_refused(box, options, words):
    with pytest.raises((InputError, UsageError), match=words):
        onnx_si.test(segmenter(), images(1, 1)[0], sigma_from=box, **options)


def test_on_the_command_line_in_an_audit_and_again(tmp_path, capsys):
    onnx.save(segmenter().file, tmp_path / "m.onnx")
    np.save(tmp_path / "box.npy", BOX)
    for number, image in enumerate(images(1, 2)):
        np.save(tmp_path / f"{number}.npy", image)
    base = [str(tmp_path / "m.onnx"), str(tmp_path / "0.npy"), "--sigma-from", str(tmp_path / "box.npy")]
    assert cli.main([*base, "--output", str(tmp_path / "r.json"), "--quiet"]) == 0
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["config"]["sigma_from"] == str(tmp_path / "box.npy")
    assert "Student's t with 47 degrees of freedom" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["replay", str(tmp_path / "r.json")]) == 0
    audit = ["audit", str(tmp_path / "m.onnx"), str(tmp_path / "*.npy"), "--output", str(tmp_path / "folder")]
    audit[2:3] = [str(tmp_path / f"{number}.npy") for number in range(2)]
    assert cli.main([*audit, "--sigma-from", base[3], "--jobs", "0", "--no-isolate", "--quiet"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "folder" / "results.jsonl").read_text().splitlines()]
    assert [row["result"]["noise"]["degrees_of_freedom"] for row in rows] == [47, 47]
    assert rows[0]["result"]["p_value"] == document["p_value"]


@pytest.mark.parametrize("mask", [None, np.array([[1, 1, 1, 1], [0, 0, 0, 1]])])
def test_a_region_of_all_that_is_no_background_has_nothing_to_be_compared_with(mask):
    """The pixels of the estimate enter no mean, so that no other pixel is left."""
    net = nets.Net(0, (1, 1, 2, 4))
    net.add("Identity", "x", out="map")
    image = np.array([[1.0, 1.1, 0.9, 1.0], [-1.0, -1.1, -0.9, -1.2]]).reshape(net.shape)
    box = np.array([[0, 0, 0, 0], [1, 1, 1, 1]])
    options = {"threshold": 0.0, "saliency": "output:map", "layout": "NCHW", "hypothesis": "background"}
    with pytest.raises(onnx_si.NothingToTest, match="no pixel outside of the region"):
        onnx_si.test(net.finish("map"), image, mask=mask, sigma_from=box, **options)
