"""Maps and images of another size: resized by the graph itself; region, noise and boxes in the image's
pixels.
"""

import numpy as np
import onnx
import onnxruntime
import pytest
from matplotlib.figure import Figure
from onnx import TensorProto, helper
from support import nets

import onnx_si
from onnx_si.maps import resize_matrix


def deployed_resize(values, size, mode):
    """ONNX's Resize in onnxruntime, with its own default of half-pixel centres."""
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode=mode)
    graph = helper.make_graph(
        [node],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, *values.shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.array([1, 1, *size], np.int64), "sizes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": values[None, None].astype(np.float32)})[0][0, 0]


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize(("inside", "outside"), [((3, 4), (6, 8)), ((4, 4), (7, 9)), ((8, 6), (3, 4))])
def test_the_matrices_are_those_of_the_runtime(mode, inside, outside):
    values = np.random.default_rng(0).normal(size=inside)
    rows, columns = (resize_matrix(a, b, mode) for a, b in zip(inside, outside, strict=True))
    np.testing.assert_allclose(rows @ values @ columns.T, deployed_resize(values, outside, mode), atol=1e-6)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_a_coarse_map_is_brought_to_the_image(mode):
    model = nets.cam_nchw(seed=3, size=6)
    image = np.random.default_rng(1).normal(size=(1, 1, 6, 6))
    result = onnx_si.test(model, image, sigma=1.0, saliency="cam", threshold="minmax:0.6", resize=mode)
    small = onnx_si.test(model, image, sigma=1.0, saliency="cam", threshold="minmax:0.6", resize="nearest")
    coarse = small.saliency_map[::2, ::2]
    np.testing.assert_allclose(result.saliency_map, deployed_resize(coarse, (6, 6), mode), atol=1e-5)
    assert result.parity.pixels == () and result.region.shape == (6, 6)
    if mode == "nearest":
        blocks = result.region.reshape(3, 2, 3, 2)
        assert (blocks == blocks[:, :1, :, :1]).all()


def resizing_net(raw, size, mode):
    """The same network with the resize written into the model by its author."""
    net = nets.Net(4, (1, 1, *raw))
    rows, columns = (resize_matrix(a, size, mode) for a in raw)
    x = net.add("MatMul", net.add("MatMul", net.const(rows), "x"), net.const(columns.T))
    return net, x


def mapping(net, x):
    net.rng = np.random.default_rng(9)
    y = net.add("Relu", net.conv(x, 1, 2))
    net.conv(y, 2, 1)
    net.nodes[-1].output[0] = "map"
    return net.finish("map")


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_an_image_of_another_size_is_tested_in_its_own_pixels(mode):
    """As with the resize inside the model, and its map brought back: the same region, line and p-value."""
    raw, size = (9, 7), 5
    rng = np.random.default_rng(2)
    image, reference = rng.normal(size=(2, *raw))
    plain = mapping(nets.Net(4, (1, 1, size, size)), "x")
    options = {"sigma": 0.8, "threshold": "max:0.5", "precision": 1e-8}
    resized = onnx_si.test(plain, image, reference, resize_input=mode, **options)
    inside = onnx_si.test(mapping(*resizing_net(raw, size, mode)), image, reference, **options)
    assert resized.region.shape == raw and np.array_equal(resized.region, inside.region)
    assert resized.p_value == pytest.approx(inside.p_value, abs=1e-6)
    assert resized.statistic == pytest.approx((image - reference)[resized.region].mean())
    assert resized.standard_error == pytest.approx(0.8 * np.sqrt(2 / resized.region.sum()))
    box = resized.to_dict()["region"]["bbox"]
    assert all(0 <= low < high <= n for (low, high), n in zip(box, raw, strict=True))
    assert resized.to_dict()["image"]["shape"] == [1, 1, *raw] and resized.parity.pixels == ()


@pytest.mark.parametrize(("mode", "options"), [("linear", {}), ("nearest", {"components": True})])
def test_the_picture_and_every_box_are_in_the_image_s_own_pixels(monkeypatch, mode, options):
    """What is drawn is the image as given, with the region's outline on its pixels."""
    raw, drawn = (9, 7), []
    image, reference = np.random.default_rng(2).normal(size=(2, *raw))
    model = mapping(nets.Net(4, (1, 1, 5, 5)), "x")
    result = onnx_si.test(
        model, image, reference, sigma=0.8, threshold="max:0.5", resize_input=mode, **options
    )
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    result.plot("picture.png")
    left, right = (axes for axes in drawn[0].axes if axes.images)
    np.testing.assert_array_equal(left.images[0].get_array(), image)
    np.testing.assert_array_equal(right.images[0].get_array(), result.saliency_map.reshape(raw))
    for axes in (left, right):
        assert axes.images[0].get_extent() == [-0.5, 6.5, 8.5, -0.5]
        ends = np.concatenate([lines.get_segments() for lines in axes.collections]).reshape(-1, 2)
        columns, rows = np.nonzero(result.region)[::-1]
        box = [[columns.min() - 0.5, rows.min() - 0.5], [columns.max() + 0.5, rows.max() + 0.5]]
        np.testing.assert_array_equal([ends.min(axis=0), ends.max(axis=0)], box)
    for part in result.to_dict()["region"]["components"]:
        (top, bottom), (left_end, right_end) = part["bbox"]
        assert result.region[top:bottom, left_end:right_end].sum() >= part["pixels"]


def test_an_image_of_another_size_is_refused_unless_asked_for():
    model = mapping(nets.Net(4, (1, 1, 5, 5)), "x")
    with pytest.raises(onnx_si.InputError, match="shape"):
        onnx_si.test(model, np.ones((9, 7)), sigma=1.0)
    with pytest.raises(onnx_si.UsageError, match="resize_input"):
        onnx_si.test(model, np.ones((9, 7)), sigma=1.0, resize_input="cubic")


def test_channels_and_other_preprocessing_go_with_it(tmp_path):
    """A colour image, channels first, scaled: resized first, then scaled."""
    net = nets.Net(4, (1, 3, 4, 4))
    net.conv("x", 3, 1)
    net.nodes[-1].output[0] = "map"
    model, rng = net.finish("map"), np.random.default_rng(5)
    image = rng.normal(size=(3, 8, 8))
    result = onnx_si.test(
        model, image, sigma=1.0, resize_input="linear", scale=0.5, mean=(0.1, 0.2, 0.3), threshold="max:0.5"
    )
    small = np.stack([resize_matrix(8, 4, "linear") @ c @ resize_matrix(8, 4, "linear").T for c in image])
    shifted = (0.5 * small - np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1))[None]
    coarse = nets.value_of(model, shifted, "map")[0, 0]
    back = resize_matrix(4, 8, "linear")
    np.testing.assert_allclose(result.saliency_map, back @ coarse @ back.T, atol=1e-5)


def test_a_resized_probability_keeps_its_threshold():
    """A Sigmoid's map says yes above 0.5, whatever the size of the image."""
    model = nets.map_net(seed=3, size=6, last="Sigmoid")
    image = np.random.default_rng(2).normal(size=(12, 12))
    found = onnx_si.prepare(model, sigma=1.0, resize_input="linear").test(image)
    assert found.saliency.threshold == "0.5" and (found.saliency_map[found.region] > 0.5).all()
    scores = nets.map_net(seed=3, size=6)
    half = onnx_si.test(scores, image, sigma=1.0, resize_input="linear")
    assert half.saliency.threshold == "max:0.5"
    (why,) = (text for text in half.to_dict()["defaults"] if text.startswith("threshold"))
    assert "scores that a Sigmoid would follow: --threshold 0" in why


def test_scores_below_zero_are_told_for_what_they_are():
    net = nets.Net(3, (1, 1, 6, 6))
    below = net.add("Sub", net.add("Neg", net.add("Abs", "x")), net.const(1.0), out="map")
    with pytest.raises(onnx_si.NothingToTest, match="marks nothing here: --threshold 0"):
        onnx_si.test(net.finish(below), np.random.default_rng(2).normal(size=(6, 6)), sigma=1.0)
