"""`--target all`: one test for each class that is there, judged by a dense scan with onnxruntime."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import scipy
from support import nets
from test_class_maps import CLASSES, SHAPE, images, labels, segmenter

import onnx_si
from onnx_si.analysis.components import holm
from onnx_si.cli import main as cli


def labelled(seed=0):
    """The same ending in ArgMax: one label for each pixel."""
    net = segmenter("logits", seed)
    labels_ = net.add("ArgMax", "map", axis=1, keepdims=0)
    net.add("Cast", labels_, out="labels", to=onnx.TensorProto.FLOAT)
    return net.finish("labels")


def scanned(model, image, region, events, points=1501):
    """P(|T| >= |t|) given each event, by asking onnxruntime at a grid of the line."""
    weights = (region / region.sum() - ~region / (~region).sum()).reshape(SHAPE)
    error = np.sqrt((weights**2).sum())
    observed, direction = (weights * image).sum(), weights / (weights**2).sum()
    grid = np.linspace(-6 * error, 6 * error, points)
    session = onnxruntime.InferenceSession(model.file.SerializeToString())
    moved = [(image + (z - observed) * direction).astype(np.float32) for z in grid]
    seen = np.array([session.run(None, {"x": one})[0].argmax(axis=1)[0] for one in moved])
    density = scipy.stats.norm.pdf(grid, scale=error)
    held = [density * np.array([holds(one) for one in seen]) for holds in events]
    return [found[np.abs(grid) >= abs(observed)].sum() / found.sum() for found in held]


@pytest.mark.parametrize("ending", ["Softmax", "labels"])
def test_every_class_that_is_there_has_a_test_and_holm_conditions_on_all_labels(ending):
    logits = segmenter("Softmax" if ending == "Softmax" else "logits").finish("map")
    model = logits if ending == "Softmax" else labelled()
    image = images(1)[0]
    truth = labels(logits, image)
    result = onnx_si.test(model, image, sigma=1.0, target="all")
    found = result.to_dict()["classes"]
    assert [(one["target"], one["pixels"]) for one in found] == [
        (k, int((truth == k).sum())) for k in range(CLASSES) if (truth == k).any()
    ]
    assert len(found) > 2
    strict = []
    for one in found:
        region = truth == one["target"]
        events = (
            lambda at, k=one["target"], own=region: np.array_equal(at == k, own),
            lambda at: np.array_equal(at, truth),
        )
        own, given_all = scanned(logits, image, region, events)
        assert one["p_value"] == pytest.approx(own, abs=0.02)
        strict.append(given_all)
    assert [one["p_value_adjusted"] for one in found] == pytest.approx(holm(strict), abs=0.05)
    assert abs(strict[0] - found[0]["p_value"]) > 0.01  # the two events differ


def test_the_whole_test_stays_that_of_the_plain_command():
    model, image = segmenter("Softmax").finish("map"), images(1)[1]
    plain, every = (onnx_si.test(model, image, sigma=1.0, **how) for how in ({}, {"target": "all"}))
    assert plain.p_value == every.p_value and np.array_equal(plain.region, every.region)
    assert plain.to_dict()["classes"] is None and "--target all" in plain.to_dict()["reasons"]["classes"]
    lines = [line for line in every.summary().splitlines() if line.startswith("class ")]
    assert len(lines) == len(every.class_tests) > 2 and "Holm-adjusted" in lines[0]


def test_a_mask_leaves_out_classes_that_it_covers():
    model, image = segmenter("Softmax").finish("map"), images(1)[0]
    truth = labels(model, image)
    mask = truth != 3
    found = onnx_si.test(model, image, sigma=1.0, target="all", mask=mask, precision=0.5).class_tests
    assert [one.target for one in found] == sorted(set(truth[mask]))
    assert all(one.p_value_adjusted is not None for one in found)


def test_a_class_that_holds_background_has_a_reason_and_leaves_the_family():
    """Class 0 nearly always does. The others are tested as if they were all that there is."""
    model, image = segmenter("Softmax").finish("map"), images(1)[0]
    truth = labels(model, image)
    whole = onnx_si.test(model, image, sigma=1.0, precision=0.5)
    other = next(k for k in np.unique(truth) if k != truth[whole.region][0])
    background = truth == other
    result = onnx_si.test(model, image, sigma_from=background, target="all", precision=0.5)
    found = {one.target: one for one in result.class_tests}
    assert "which takes them for no background" in found.pop(other).reason
    assert len(found) > 1 and all(one.p_value is not None for one in found.values())
    assert result.to_dict()["classes"] and max(one.p_value_adjusted for one in found.values()) <= 1


def test_models_that_are_not_followed_have_their_classes_tested_by_chains():
    net = segmenter("logits", 3)
    smooth = net.add("Tanh", "map")
    net.add("Conv", smooth, net.const(np.eye(4).reshape(4, 4, 1, 1)), out="end")
    model = net.finish("end")
    for image in images(1):
        try:
            result = onnx_si.test(model, image, sigma=1.0, target="all", engine="monte-carlo", draws=19)
        except onnx_si.NothingToTest:
            continue
        assert result.guarantee == "monte-carlo" and len(result.class_tests) > 1
        assert all(0 < one.p_value_adjusted <= 1 for one in result.class_tests)
        return
    raise AssertionError("no image had two classes")


@pytest.mark.parametrize("options", [{"threshold": 0.1, "saliency": "output:map"}])
def test_a_map_without_classes_is_refused(options):
    model = segmenter("Softmax").finish("map")
    with pytest.raises(onnx_si.OnnxSIError, match="target all is one test for each class"):
        onnx_si.test(model, images(1)[0], sigma=1.0, target="all", **options)


def test_other_verbs_follow_one_class(tmp_path, capsys):
    onnx.save(segmenter("Softmax").finish("map").proto, tmp_path / "m.onnx")
    np.save(tmp_path / "image.npy", images(1)[0])
    name = str(tmp_path / "m.onnx")
    assert cli.main(["saliency", name, "--target", "all", "--output", str(tmp_path / "o.onnx")]) == 2
    assert cli.main(["simulate", name, "--target", "all", "--trials", "2", "--sigma", "1"]) == 2
    assert "one class" in capsys.readouterr().err
    arguments = [name, str(tmp_path / "image.npy"), "--sigma", "1", "--target", "all", "--json", "--quiet"]
    assert cli.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["classes"]) > 2 and found["config"]["target"] == "all"


def test_under_a_mask_every_class_is_tested_given_the_class_of_every_pixel():
    """The class that the model was asked for has the most pixels of all: where it has none under the mask
    there is no test, so that a class' own region says nothing of the images that are tested.

    The pixel on the right, which may not count, holds the difference of the other two, z. Below 1 it is of
    class 1, which then has as many pixels as class 2 and comes first.
    """
    net = nets.Net(0, (1, 1, 1, 3))
    rise = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
    scores = net.add("MatMul", "x", net.const(rise))
    factors = np.array([[0.0], [1.0], [2.0]]).reshape(1, 3, 1, 1)
    offsets = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1.0]]).reshape(1, 3, 1, 3)
    net.add("Add", net.add("Mul", scores, net.const(factors)), net.const(offsets), out="map")
    image = np.array([1.4, -0.8, 0.0]).reshape(net.shape)
    options = {"saliency": "output:map", "threshold": "argmax", "target": "all", "layout": "NCHW"}
    result = onnx_si.test(net.finish("map"), image, mask=[[1, 1, 0]], sigma=1.0, verify=0, **options)
    right = scipy.stats.norm.sf(2.2 / np.sqrt(2)) / scipy.stats.norm.sf(1 / np.sqrt(2))
    assert [one.target for one in result.class_tests] == [0, 2]
    for one in result.class_tests:
        assert one.p_value == pytest.approx(right, abs=2e-4)
        assert one.p_value_adjusted == pytest.approx(2 * right, abs=4e-4)
