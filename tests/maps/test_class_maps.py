"""Class maps: the region is where a class wins, as onnxruntime's own ArgMax says, along the whole line."""

import json

import numpy as np
import onnx
import pytest
from support import nets
from support.maps import run_onnx

import onnx_si
from onnx_si.cli import main as cli
from onnx_si.graph import model_from_proto

SHAPE = (1, 1, 6, 7)
CLASSES = 4
ENDS = {
    "logits": lambda n, x: x,
    "Softmax": lambda n, x: n.add("Softmax", x, axis=1),
    "LogSoftmax": lambda n, x: n.add("LogSoftmax", x, axis=1),
    "Softmax, channels last": lambda n, x: n.add(
        "Softmax", n.add("Transpose", x, perm=[0, 2, 3, 1]), axis=-1
    ),
    "Relu: ties at zero": lambda n, x: n.add("Relu", x),
}


def segmenter(end, seed=0, classes=CLASSES):
    net = nets.Net(seed, SHAPE)
    x = net.conv(net.add("Relu", net.conv("x", 1, 3)), 3, classes)
    net.add("Identity", ENDS[end](net, x), out="map")
    return net


def labels(model, image):
    """The class of each pixel by onnxruntime, of equal channels the first."""
    (values,) = run_onnx(model, image, "map")
    return values.argmax(axis=3 if values.shape[3] == CLASSES else 1)[0]


def images(seed, count=6):
    return 1.5 * np.random.default_rng(seed).normal(size=(count, *SHAPE))


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("saliency", ["auto", "output:map"])
def test_the_region_is_where_a_class_wins(end, saliency):
    model = segmenter(end).finish("map")
    tested = 0
    for image in images(1):
        truth = labels(model, image)
        for target in range(CLASSES):
            wanted = truth == target
            try:
                result = onnx_si.test(
                    model, image, sigma=1.0, saliency=saliency, target=target, precision=0.5, alpha=0.05
                )
            except onnx_si.NothingToTest:
                assert wanted.sum() in (0, wanted.size)
                continue
            assert np.array_equal(result.region, wanted)
            assert result.guarantee == "exact" and result.saliency["threshold"] == "argmax"
            assert result.saliency["method"] == "output:map" and not result.parity.pixels
            tested += 1
    assert tested > 5


@pytest.mark.parametrize("end", ENDS)
def test_the_class_with_most_pixels_is_chosen_by_the_graph(end):
    model = segmenter(end, seed=2).finish("map")
    seen = set()
    for image in images(4, 12):
        truth = labels(model, image)
        counts = np.bincount(truth.ravel(), minlength=CLASSES)
        chosen = 1 + int(counts[1:].argmax())
        if counts[chosen] in (0, truth.size):
            continue
        result = onnx_si.test(model, image, sigma=1.0, precision=0.5)
        assert np.array_equal(result.region, truth == chosen)
        seen.add(chosen)
    assert len(seen) > 1
    assert any("most pixels" in text for text in result.defaults)


@pytest.mark.parametrize("end", ["Softmax", "Relu: ties at zero"])
@pytest.mark.parametrize("target", [1, "predicted"])
def test_the_truncation_set_is_what_a_dense_scan_finds(end, target):
    """S by onnxruntime: the same region at every point of the line inside, another outside."""
    model = segmenter(end, seed=5).finish("map")
    rng = np.random.default_rng(0)
    done = 0
    for image in images(6, 12):
        try:
            result = onnx_si.test(model, image, sigma=1.0, target=target, hypothesis="background")
        except onnx_si.NothingToTest:
            continue
        region = result.region
        weights = (region / region.sum() - ~region / (~region).sum()).reshape(SHAPE)
        direction = weights / (weights**2).sum()
        points = rng.uniform(result.statistic - 2, result.statistic + 2, 60)
        for z in points:
            if min(abs(z - end_) for part in result.truncation for end_ in part) < 1e-4:
                continue
            moved = labels(model, image + (z - (weights * image).sum()) * direction)
            counts = np.bincount(moved.ravel(), minlength=CLASSES)
            chosen = target if target == 1 else 1 + int(counts[1:].argmax())
            inside = any(low < z < high for low, high in result.truncation)
            assert np.array_equal(moved == chosen, region) == inside
        done += 1
        if done == 3:
            break
    assert done == 3


def test_other_thresholds_of_class_maps_stay_what_they_are():
    model = segmenter("logits").finish("map")
    image = images(1)[0]
    values = nets.value_of(model, image, "map")[0]
    result = onnx_si.test(
        model, image, sigma=1.0, saliency="output:map", target=2, threshold=0.1, precision=0.5
    )
    assert np.array_equal(result.region, values[2] > 0.1)
    with pytest.raises(onnx_si.SaliencyUnavailable, match="'map' has 4 channels"):
        onnx_si.test(model, image, sigma=1.0, threshold=0.1)


def test_two_classes_behind_softmax_keep_their_probability():
    model = segmenter("Softmax", classes=2).finish("map")
    result = onnx_si.test(model, images(1)[0], sigma=1.0, precision=0.5)
    assert result.saliency["threshold"] == "0.5"
    again = onnx_si.test(model, images(1)[0], sigma=1.0, precision=0.5, threshold="argmax", target=1)
    assert again.saliency["threshold"] == "argmax" and np.array_equal(result.region, again.region)


def test_argmax_without_classes_is_refused():
    one = nets.map_net(1)
    image = np.random.default_rng(4).normal(size=(1, 1, 5, 5))
    for saliency, words in (
        ("output:map", "one channel"),
        ("auto", "no output has a channel"),
        ("gradient", "is no map of classes"),
    ):
        with pytest.raises(onnx_si.UsageError, match=words):
            onnx_si.test(one, image, sigma=1.0, saliency=saliency, threshold="argmax")
    model = segmenter("logits").finish("map")
    with pytest.raises(onnx_si.UsageError, match="4 channels, numbered from 0"):
        onnx_si.test(model, images(1)[0], sigma=1.0, target=4)


def test_coarse_classes_are_not_resized():
    net = nets.Net(0, (1, 1, 8, 8))
    net.add("MaxPool", net.conv("x", 1, 3), kernel_shape=[2, 2], strides=[2, 2], out="map")
    with pytest.raises(onnx_si.SaliencyUnavailable, match="classes can't be resized"):
        onnx_si.test(
            net.finish("map"),
            np.random.default_rng(0).normal(size=(1, 1, 8, 8)),
            sigma=1.0,
            saliency="output:map",
            threshold="argmax",
        )


def test_on_the_command_line_and_as_a_model_of_its_own(tmp_path, capsys):
    onnx.save(segmenter("Softmax").proto("map"), tmp_path / "m.onnx")
    model = model_from_proto(onnx.load(tmp_path / "m.onnx"))
    image = images(1)[0]
    np.save(tmp_path / "image.npy", image)
    target = int(np.bincount(labels(model, image).ravel()).argmax())
    where = ["--sigma", "1", "--target", str(target), "--verbose"]
    assert cli.main([str(tmp_path / "m.onnx"), str(tmp_path / "image.npy"), *where]) == 0
    out, err = capsys.readouterr()
    assert "is largest in the channel of class" in " ".join(out.split())
    assert "threshold argmax: the map has a channel for each class" in err
    saved = str(tmp_path / "with_map.onnx")
    assert cli.main(["saliency", str(tmp_path / "m.onnx"), "--target", str(target), "--output", saved]) == 0
    capsys.readouterr()
    assert cli.main([saved, str(tmp_path / "image.npy"), "--sigma", "1", "--json", "--quiet"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["region"]["pixels"] == (labels(model, image) == target).sum()
    assert again["saliency"]["threshold"] == "0.5"
