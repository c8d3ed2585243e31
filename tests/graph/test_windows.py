"""Sliding windows: as MONAI's loop blends them, by a loop written here, along the whole line."""

import itertools
import json
import math

import numpy as np
import onnx
import onnxruntime
import pytest
from support import nets

import onnx_si
from onnx_si.cli import main as cli
from onnx_si.errors import InputError, UsageError
from onnx_si.graph.window_copies import Windows


def segmenter(space=(8, 8), channels=1, seed=4):
    net = nets.Net(seed, (1, channels, *space))
    net.conv(net.add("Relu", net.conv("x", channels, 2)), 2, 1)
    net.nodes[-1].output[0] = "map"
    return net


def importance(size):
    """MONAI's compute_importance_map with mode gaussian, sigma_scale 0.125."""
    made = 1.0
    for axis, n in enumerate(size):
        x = np.arange(-(n - 1) / 2.0, (n - 1) / 2.0 + 1)
        line = np.exp(x**2 / (-2 * (0.125 * n) ** 2))
        made = made * line.reshape([-1 if a == axis else 1 for a in range(len(size))])
    return np.clip(made, max(made.min(), 1e-3), None)


def starts_of(full, side, overlap):
    """MONAI's scan interval and dense_patch_slices."""
    interval = side if side == full else max(1, int(side * (1 - overlap)))
    number = next(d for d in range(math.ceil(full / interval)) if d * interval + side >= full) + 1
    return [i * interval - max(i * interval + side - full, 0) for i in range(number)]


def slid(proto, image, size, overlap=0.25, out="map"):
    """The blended map (1, C, *space) of an image (1, C, *space)."""
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    weights, space = importance(size), image.shape[2:]
    total, sums = 0.0, np.zeros(space)
    for place in itertools.product(*(starts_of(f, s, overlap) for f, s in zip(space, size, strict=True))):
        box = tuple(slice(a, a + n) for a, n in zip(place, size, strict=True))
        (shown,) = session.run([out], {"x": image[(..., *box)].astype(np.float32)})
        part = np.zeros((*shown.shape[:2], *space))
        part[(..., *box)] = shown * weights
        total = total + part
        sums[box] += weights
    return total / sums


def above(shown):
    return shown > shown.min() + 0.6 * (shown.max() - shown.min())


@pytest.mark.parametrize("size", [(8,), (5, 7), (4, 6, 5)])
def test_weights_are_a_normal_density_with_a_least_value(size):
    np.testing.assert_allclose(Windows(size, size, ()).weights, importance(size), rtol=1e-12)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize(("full", "side"), [(8, 8), (9, 8), (14, 8), (16, 8), (31, 8), (7, 1), (23, 5)])
def test_windows_start_where_they_do_there(full, side, overlap):
    assert list(Windows.over((full,), (side,), overlap).starts[0]) == starts_of(full, side, overlap)


@pytest.mark.parametrize(
    ("space", "size", "overlap"),
    [((8, 8), (8, 8), 0.25), (("H", "W"), (6, 8), 0.5), (("H", "W"), (9, 4), 0.0)],
)
def test_the_map_is_the_blended_one_and_the_set_holds_along_the_line(space, size, overlap):
    net = segmenter(space)
    proto = net.proto("map")
    image = np.random.default_rng(2).normal(size=(1, 1, 14, 11))
    result = onnx_si.test(
        net.finish("map"), image, sigma=1.0, window_size=size, overlap=overlap, threshold="minmax:0.6"
    )
    shown = slid(proto, image, size, overlap)[0, 0]
    np.testing.assert_allclose(result.saliency_map, shown, atol=1e-5)
    assert np.array_equal(result.region, above(shown)) and result.guarantee == "exact"
    weights = result.region / result.region.sum() - ~result.region / (~result.region).sum()
    direction = weights / (weights**2).sum()
    rng, asked = np.random.default_rng(0), 0
    for z in rng.normal(result.statistic, 0.02, 60):
        if min(abs(z - end) for part in result.truncation for end in part) < 1e-4:
            continue
        moved = above(slid(proto, image + (z - result.statistic) * direction, size, overlap)[0, 0])
        inside = any(low < z < high for low, high in result.truncation)
        assert np.array_equal(moved, result.region) == inside
        asked += 1
    assert asked > 20
    assert result.parity.pixels == () and result.parity.points > 0


def test_channels_last_and_classes_are_blended_too():
    net = nets.Net(1, (1, 6, 6, 1))
    x = net.conv(net.add("Transpose", "x", perm=[0, 3, 1, 2]), 1, 3)
    net.add("Transpose", x, out="map", perm=[0, 2, 3, 1])
    image = np.random.default_rng(5).normal(size=(1, 9, 10, 1))
    result = onnx_si.test(net.finish("map"), image, sigma=1.0, window_size=6, target=1)
    inner = nets.Net(1, (1, 1, 6, 6))
    inner.nodes = [node for node in net.nodes if node.op_type == "Conv"]
    inner.nodes[0].input[0], inner.initializers = "x", net.initializers
    wanted = slid(inner.proto(x), image.transpose(0, 3, 1, 2), (6, 6), out=x)
    assert np.array_equal(result.region, wanted[0].argmax(axis=0) == 1)


def test_volumes_and_probabilities(tmp_path):
    """What ends in a Sigmoid is blended behind it, as there: then the runtime alone is asked."""
    net = nets.Net(3, (1, 1, 4, 6, 5))
    weight = net.normal(1, 1, 3, 3, 3, scale=0.2)
    net.add("Sigmoid", net.add("Conv", "x", weight, pads=[1] * 6), out="map")
    image = np.random.default_rng(1).normal(size=(1, 1, 6, 9, 5))
    result = onnx_si.test(net.finish("map"), image, sigma=1.0, window_size=(4, 6, 5), draws=19, threshold=0.6)
    assert result.guarantee == "monte-carlo"
    np.testing.assert_allclose(result.saliency_map, slid(net.proto("map"), image, (4, 6, 5))[0, 0], atol=1e-6)


def test_scores_in_front_of_a_sigmoid_are_blended_where_they_are_named():
    net = segmenter()
    scores = net.nodes[-1].output[0] = "scores"
    net.add("Sigmoid", scores, out="probability")
    image = np.random.default_rng(2).normal(size=(1, 1, 14, 11))
    result = onnx_si.test(
        net.finish("probability"), image, sigma=1.0, window_size=8, saliency="output:scores", threshold=-0.2
    )
    assert result.guarantee == "exact" and result.parity.pixels == () and result.parity.agreeing > 30
    wanted = slid(net.proto("scores"), image, (8, 8), out="scores")[0, 0]
    np.testing.assert_allclose(result.saliency_map, wanted, atol=1e-5)
    assert np.array_equal(result.region, wanted > -0.2)


@pytest.mark.parametrize(
    ("space", "options", "error", "words"),
    [
        ((8, 8), {"window_size": 6}, InputError, "the model takes images of"),
        (("H", "W"), {"window_size": 20}, InputError, "larger than the image's"),
        (("H", "W"), {"window_size": (4, 4, 4)}, UsageError, "one for each of 2 axes"),
        (("H", "W"), {"window_size": 4.5}, UsageError, "whole numbers"),
        (("H", "W"), {"window_size": 8, "overlap": 1.0}, UsageError, "below 1"),
        (("H", "W"), {"overlap": 0.5}, UsageError, "needs --window-size"),
        (("H", "W"), {"window_size": 8, "pad": 0.0}, UsageError, "neither --resize-input nor --pad"),
    ],
)
def test_what_does_not_fit_is_told(space, options, error, words):
    model, image = segmenter(space).finish("map"), np.random.default_rng(0).normal(size=(14, 11))
    with pytest.raises(error, match=words):
        onnx_si.test(model, image, sigma=1.0, threshold="top:0.1", **options)


def test_too_many_windows_and_no_map_are_refused():
    big = np.random.default_rng(0).normal(size=(200, 200))
    with pytest.raises(UsageError, match="larger --window-size"):
        onnx_si.test(segmenter(("H", "W")).finish("map"), big, sigma=1.0, window_size=2, overlap=0.5)
    with pytest.raises(UsageError, match="no output of the model is a map of numbers"):
        onnx_si.test(nets.cam_nchw(size=6), np.ones((8, 8)), sigma=1.0, window_size=6)


def test_on_the_command_line_with_preprocessing(tmp_path, capsys):
    onnx.save(segmenter().proto("map"), tmp_path / "m.onnx")
    image = np.random.default_rng(2).normal(5, 2, size=(14, 11))
    np.save(tmp_path / "i.npy", image)
    base = [str(tmp_path / "m.onnx"), str(tmp_path / "i.npy"), "--sigma", "2", "--threshold", "minmax:0.6"]
    how = ["--window-size", "8,8", "--mean", "5", "--std", "2", "--output", str(tmp_path / "r.json")]
    assert cli.main([*base, *how, "--quiet"]) == 0
    document = json.loads((tmp_path / "r.json").read_text())
    shown = slid(segmenter().proto("map"), ((image - 5) / 2)[None, None], (8, 8))[0, 0]
    assert document["region"]["pixels"] == above(shown).sum()
    assert cli.main(["replay", str(tmp_path / "r.json")]) == 0


@pytest.mark.parametrize("batch", ["N", None, 1])
def test_a_free_batch_axis_is_of_one_image(batch, capfd):
    """The runtime is not asked for batches, of which it would complain; the same comes of any declaration."""
    net = segmenter()
    image = np.random.default_rng(2).normal(size=(1, 1, 14, 11))
    model = net.proto("map", input_shape=(batch, 1, 8, 8)).SerializeToString()
    result = onnx_si.test(model, image, sigma=1.0, window_size=8, threshold="minmax:0.6")
    shown = slid(net.proto("map"), image, (8, 8))[0, 0]
    assert np.array_equal(result.region, above(shown)) and result.parity.points > 0
    assert capfd.readouterr().err == ""
