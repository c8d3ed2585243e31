"""Networks quantised by onnxruntime's own tools give its numbers, and halves go where it has them."""

import logging

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.nets import Net

import onnx_si
from onnx_si.cli.main import main
from onnx_si.ops.quantization import rounded

quantization = pytest.importorskip("onnxruntime.quantization")

SIDE = 8
SHAPE = (1, 1, SIDE, SIDE)


def small_cnn():
    """Two convolutions and a linear head."""
    net = Net(3, SHAPE)
    inner = net.add("Relu", net.conv("x", 1, 4))
    inner = net.add("MaxPool", inner, kernel_shape=[2, 2], strides=[2, 2])
    inner = net.add("Relu", net.conv(inner, 4, 6))
    flat = net.add("Flatten", net.add("GlobalAveragePool", inner))
    head = net.const(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
    return net.finish(net.add("Gemm", flat, head, out="y")).proto


def unet(coordinates):
    """A map at the image's size behind a pooling and a linear resize."""
    net = Net(3, SHAPE)
    first = net.add("Relu", net.conv("x", 1, 4))
    inner = net.add("MaxPool", first, kernel_shape=[2, 2], strides=[2, 2])
    inner = net.add("Relu", net.conv(inner, 4, 6))
    scales = net.const(np.array([1, 1, 2, 2], np.float32))
    how = {"mode": "linear", "coordinate_transformation_mode": coordinates}
    wide = net.add("Resize", inner, net.const(np.array([], np.float32)), scales, **how)
    joined = net.add("Concat", wide, first, axis=1)
    return net.finish(net.add("Identity", net.conv(joined, 10, 1), out="y")).proto


class Images(quantization.CalibrationDataReader):
    """What the ranges of the activations are measured on."""

    def __init__(self):
        rng = np.random.default_rng(9)
        self._left = iter([{"x": rng.normal(size=SHAPE).astype(np.float32)} for _ in range(8)])

    def get_next(self):
        return next(self._left, None)


def quantised(kind, folder, network=None):
    plain, made = folder / "plain.onnx", folder / f"{kind}.onnx"
    onnx.save(network or small_cnn(), plain)
    logging.disable(logging.WARNING)
    try:
        if kind == "dynamic":
            quantization.quantize_dynamic(plain, made)
        else:
            form, each = quantization.QuantFormat.QDQ, kind == "per channel"
            quantization.quantize_static(plain, made, Images(), quant_format=form, per_channel=each)
    finally:
        logging.disable(logging.NOTSET)
    return made


@pytest.mark.parametrize("kind", ["whole tensors", "per channel", "dynamic"])
def test_numbers_and_classes_are_the_runtime_s(kind, tmp_path):
    path = quantised(kind, tmp_path)
    session = onnxruntime.InferenceSession(path)
    rng = np.random.default_rng(5)
    for _ in range(5):
        x = rng.normal(size=SHAPE).astype(np.float32)
        (expected,) = session.run(None, {"x": x})
        got = onnx_si.evaluate(str(path), {"x": x})["y"]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3 * np.abs(expected).max())
        assert got.argmax() == expected.argmax()


@pytest.mark.parametrize("kind", ["whole tensors", "dynamic"])
def test_the_plain_command_has_an_answer(kind, tmp_path, capsys):
    """By whatever engine fits, with the runtime's own region."""
    path, image = str(quantised(kind, tmp_path)), str(tmp_path / "x.npy")
    np.save(image, np.random.default_rng(1).normal(size=(SIDE, SIDE)))
    code = main([path, image, "--sigma", "1", "--quiet", "--json", "--saliency", "occlusion:6"])
    assert code == 0
    assert '"pixels": []' in "".join(capsys.readouterr().out.split("\n")).replace("  ", "")


def behind_resize(path):
    """A quantised file that shows what its Resize makes and the levels that this becomes; their scale."""
    proto = onnx.load(path)
    resize = next(node for node in proto.graph.node if node.op_type == "Resize")
    step = next(
        n for n in proto.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == resize.output[0]
    )
    del proto.graph.output[:]
    for name, kind in ((resize.output[0], TensorProto.FLOAT), (step.output[0], TensorProto.INT8)):
        proto.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    zero = next(value for value in proto.graph.output if value.name == step.output[0])
    zero.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(stored[step.input[2]].dtype)
    return proto, resize.output[0], step.output[0], float(stored[step.input[1]])


@pytest.mark.parametrize("kind", ["whole tensors", "per channel"])
def test_levels_behind_a_linear_resize_differ_at_halves_only(kind, tmp_path):
    """Weights of 1/16: of levels many halves, which onnxruntime's own order of adding floats decides."""
    proto, sums, found, scale = behind_resize(quantised(kind, tmp_path, unet("half_pixel")))
    session, rng, differ = (
        onnxruntime.InferenceSession(proto.SerializeToString()),
        np.random.default_rng(5),
        0,
    )
    for _ in range(5):
        x = rng.normal(size=SHAPE).astype(np.float32)
        expected = dict(zip((sums, found), session.run(None, {"x": x}), strict=True))
        got = onnx_si.evaluate(proto, {"x": x})
        off = got[found] != expected[found]
        ratio = got[sums][off] / scale
        np.testing.assert_allclose(ratio - np.floor(ratio), 0.5, atol=1e-9)
        np.testing.assert_array_equal(np.abs(got[found] - expected[found])[off], 1)
        differ += np.count_nonzero(off)
    assert differ > 0


@pytest.mark.parametrize("kind", ["whole tensors", "per channel"])
def test_such_halves_are_left_to_the_runtime(kind, tmp_path):
    path, image = (
        str(quantised(kind, tmp_path, unet("half_pixel"))),
        np.random.default_rng(5).normal(size=(8, 8)),
    )
    asked = {"sigma": 1.0, "threshold": "max:0.5", "saliency": "output:y"}
    result = onnx_si.test(path, image, p_value_only=True, **asked)
    assert result.guarantee == "monte-carlo" and result.parity.pixels == ()
    (shown,) = onnxruntime.InferenceSession(path).run(None, {"x": image[None, None].astype(np.float32)})
    np.testing.assert_array_equal(result.region, shown[0, 0] > shown.max() / 2)
    with pytest.raises(onnx_si.UnsupportedOp, match=r"QuantizeLinear, .*sums of whole levels lie half way"):
        onnx_si.test(path, image, engine="exact", **asked)


@pytest.mark.parametrize(
    ("kind", "coordinates"), [("dynamic", "half_pixel"), ("whole tensors", "align_corners")]
)
def test_a_resize_without_halves_gives_the_runtime_s_numbers(kind, coordinates, tmp_path):
    path = quantised(kind, tmp_path, unet(coordinates))
    session, rng = onnxruntime.InferenceSession(path), np.random.default_rng(5)
    for _ in range(5):
        x = rng.normal(size=SHAPE).astype(np.float32)
        (expected,) = session.run(None, {"x": x})
        got = onnx_si.evaluate(str(path), {"x": x})["y"]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("kernel", [None, [2, 2]])
def test_halves_of_a_single_product_are_decided_by_its_type(kernel):
    """Levels of one scale in levels of twice that are no sums: they are analysed. Means of four are sums."""
    net = Net(0, SHAPE)
    scale, zero = np.array(0.05, np.float32), net.const(np.array(0, np.int8))
    level = net.add("QuantizeLinear", "x", net.const(scale), zero)
    inner = net.add("DequantizeLinear", level, net.const(scale), zero)
    if kernel:
        inner = net.add("AveragePool", inner, kernel_shape=kernel, pads=[0, 0, 1, 1])
    twice = net.const(2 * scale)
    last = net.add("QuantizeLinear", inner, twice, zero)
    model = net.finish(net.add("DequantizeLinear", last, twice, zero, out="y"))
    image = np.random.default_rng(2).normal(size=(SIDE, SIDE))
    result = onnx_si.test(model, image, sigma=1.0, threshold=0.55, p_value_only=True, time_limit=1)
    assert result.guarantee == ("exact" if kernel is None else "monte-carlo")
    x = image[None, None].astype(np.float32)
    how = onnxruntime.SessionOptions()
    how.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )  # else it joins the pairs
    (shown,) = onnxruntime.InferenceSession(model.proto.SerializeToString(), how).run(None, {"x": x})
    np.testing.assert_array_equal(result.region, shown[0, 0] > 0.55)


@pytest.mark.parametrize("element", [np.uint8, np.int8])
def test_halves_are_those_of_the_stated_type(element):
    """k + 1/2 levels: in float32 the quotient is that, or a neighbour; double precision may not have its own
    way.
    """
    scale, zero = np.float32(0.0123), np.array(3, element)
    x = ((np.arange(-60, 60) + 0.5) * scale.astype(np.float64)).astype(np.float32)[None]
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="quantise")
    stored = [numpy_helper.from_array(np.asarray(scale), "s"), numpy_helper.from_array(zero, "z")]
    values = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    kind = helper.np_dtype_to_tensor_dtype(zero.dtype)
    graph = helper.make_graph(
        [node], "g", [values], [helper.make_tensor_value_info("q", kind, x.shape)], stored
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (expected,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    np.testing.assert_array_equal(onnx_si.evaluate(proto, {"x": x})["q"], expected)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_double_precision_makes_of_a_half_decides_nothing(kind):
    """On the line: the half of a level, give or take a rounding, is one level; more is not a half."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    width, ends, zero = np.array([[0.25]]), (-128.0, 127.0), np.zeros((1, 1))
    around = 0.625 * (1 + np.array([[-1.0, 0.0, 1.0]]) * np.finfo(float).eps)
    levels = rounded(around, width, zero, ends, element)
    assert levels.tolist() == ([[2, 2, 2]] if kind is np.float32 else [[2, 2, 3]])
    assert rounded(np.array([[0.625 + 1e-12]]), width, zero, ends, element) == 3
