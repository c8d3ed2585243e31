"""Files of IR version 3 that do not list their initialisers as inputs, of opsets 3 to 8."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_si

RNG = np.random.default_rng(0)
SIDE = 10
STORED = {
    "w": RNG.normal(size=(4, 1, 3, 3)) / 3,
    "w2": RNG.normal(size=(1, 4, 3, 3)) / 6,
    "b": RNG.normal(size=4) * 0.1,
    "s": RNG.uniform(0.5, 1.5, 4),
    "t": RNG.normal(size=4) * 0.1,
    "mu": RNG.normal(size=4) * 0.1,
    "v": RNG.uniform(0.5, 1.5, 4),
    "f": RNG.normal(size=(3, 4)),
    "fb": RNG.normal(size=3) * 0.1,
}
FLAT, BACK = np.array([1, 4, SIDE * SIDE], np.int64), np.array([1, 4, SIDE, SIDE], np.int64)
IMAGE = RNG.normal(size=(SIDE, SIDE)).astype(np.float32)
IMAGE[2:6, 2:6] += 2


def node(op, *inputs, to, **attributes):
    return helper.make_node(op, list(inputs), [to], **attributes)


CONV = node("Conv", "x", "w", "b", to="a", pads=[1] * 4, kernel_shape=[3, 3])
LAST = node("Conv", "d", "w2", to="y", pads=[1] * 4, kernel_shape=[3, 3])
NORMED = ("a", "s", "t", "mu", "v")
CONSUMED = {"consumed_inputs": [0]}
MODELS = {
    "6: normalised": (
        6,
        [
            CONV,
            node("BatchNormalization", *NORMED, to="n", is_test=1, spatial=1),
            node("Relu", "n", to="r"),
            node("Dropout", "r", to="d", is_test=1, ratio=0.3),
            LAST,
        ],
        [CONV, node("BatchNormalization", *NORMED, to="n"), node("Relu", "n", to="d"), LAST],
    ),
    "7: normalised": (
        7,
        [
            CONV,
            node("BatchNormalization", *NORMED, to="n", spatial=1),
            node("Relu", "n", to="r"),
            node("Dropout", "r", to="d", ratio=0.3),
            LAST,
        ],
        None,
    ),
    "3: written over": (
        3,
        [
            CONV,
            node("BatchNormalization", *NORMED, to="n", is_test=1, consumed_inputs=[0, 0, 0, 1, 1]),
            node("LeakyRelu", "n", to="r", alpha=0.2, **CONSUMED),
            node("Add", "r", "t", to="e", broadcast=1, axis=1, consumed_inputs=[0, 0]),
            node("Clip", "e", to="d", min=-0.5, max=2.0, **CONSUMED),
            LAST,
        ],
        [
            CONV,
            node("BatchNormalization", *NORMED, to="n"),
            node("LeakyRelu", "n", to="r", alpha=0.2),
            node("Add", "r", "t4", to="e"),
            node("Clip", "e", to="d", min=-0.5, max=2.0),
            LAST,
        ],
    ),
    "4: shape as attribute": (
        4,
        [
            CONV,
            node("Relu", "a", to="r", **CONSUMED),
            node("Reshape", "r", to="q", shape=FLAT.tolist()),
            node("Reshape", "q", to="d", shape=BACK.tolist()),
            LAST,
        ],
        [CONV, node("Relu", "a", to="d"), LAST],
    ),
    "5: shape as input": (
        5,
        [
            CONV,
            node("Relu", "a", to="r"),
            node("Reshape", "r", "flat", to="q"),
            node("Reshape", "q", "back", to="d"),
            LAST,
        ],
        [CONV, node("Relu", "a", to="d"), LAST],
    ),
    "7: pooled and upsampled": (
        7,
        [
            CONV,
            node("MaxPool", "a", to="m", kernel_shape=[2, 2], strides=[2, 2]),
            node("Relu", "m", to="r"),
            node("Upsample", "r", to="d", mode="nearest", scales=[1.0, 1.0, 2.0, 2.0]),
            LAST,
        ],
        None,
    ),
    "8: largest of two": (
        8,
        [
            CONV,
            node("MaxPool", "a", to="m", kernel_shape=[3, 3], pads=[1] * 4),
            node("Sum", "a", "m", to="e"),
            node("Max", "e", "m", to="d"),
            LAST,
        ],
        None,
    ),
    "7: local response": (
        7,
        [CONV, node("Relu", "a", to="r"), node("LRN", "r", to="d", size=3), LAST],
        None,
    ),
    "6: classifier": (
        6,
        [
            CONV,
            node("Relu", "a", to="r"),
            node("GlobalAveragePool", "r", to="g"),
            node("Reshape", "g", "row", to="h"),
            node("Gemm", "h", "f", "fb", to="z", transB=1, broadcast=1),
            node("Softmax", "z", to="y"),
        ],
        [
            CONV,
            node("Relu", "a", to="r"),
            node("GlobalAveragePool", "r", to="g"),
            node("Reshape", "g", "row", to="h"),
            node("Gemm", "h", "f", "fb", to="z", transB=1),
            node("Softmax", "z", to="y"),
        ],
    ),
}


def proto(opset, nodes):
    """A file of IR version 3; what is stored is stored only."""
    stored = {name: np.asarray(value, np.float32) for name, value in STORED.items()}
    stored |= {"flat": FLAT, "back": BACK, "row": np.array([1, 4], np.int64)}
    stored["t4"] = stored["t"].reshape(4, 1, 1)
    read = {name for one in nodes for name in one.input}
    shape = [1, 3] if nodes[-1].op_type == "Softmax" else [1, 1, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "old",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in stored.items() if name in read],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3)


@pytest.mark.parametrize("name", MODELS)
def test_an_old_file_is_read_as_what_it_means(name):
    opset, nodes, same = MODELS[name]
    old = proto(opset, nodes)
    now = old if same is None else proto(7, same)  # onnxruntime lacks some ops of before
    session = onnxruntime.InferenceSession(now.SerializeToString(), providers=["CPUExecutionProvider"])
    (want,) = session.run(None, {"x": IMAGE[None, None]})
    model = onnx_si.load(old.SerializeToString())
    found = onnx_si.evaluate(model, {"x": IMAGE[None, None]})["y"]
    np.testing.assert_allclose(found, want, atol=2e-6)
    result = onnx_si.test(model, IMAGE, sigma=1.0, threshold="max:0.5", draws=19)
    assert 0 < result.p_value <= 1
    (listed, *opsets) = result.warnings[: 1 + (opset < 7)]
    assert "of IR version 3, does not list" in listed and "read as onnxruntime reads it" in listed
    assert ["is of opset" in text for text in opsets] == [True] * (opset < 7)
    assert result.model.opset == max(opset, 7)


def test_a_file_that_lists_them_gets_no_warning():
    old = proto(7, MODELS["7: normalised"][1])
    for tensor in old.graph.initializer:
        old.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    result = onnx_si.test(onnx_si.load(old.SerializeToString()), IMAGE, sigma=1.0, threshold="max:0.5")
    assert result.warnings == ()


def test_a_default_that_changed_is_the_file_s():
    """The first Selu had fewer digits."""
    model = onnx_si.load(proto(3, [node("Selu", "x", to="y")]).SerializeToString())
    image = IMAGE[None, None].astype(np.float64)
    alpha, gamma = (float(np.float32(value)) for value in (1.6732, 1.0507))
    want = gamma * np.where(image > 0, image, alpha * np.expm1(image))
    np.testing.assert_allclose(onnx_si.evaluate(model, {"x": image})["y"], want, rtol=1e-14)


def test_the_first_concat_joined_channels_where_no_axis_is_given():
    model = onnx_si.load(proto(3, [node("Concat", "x", "x", to="y")]).SerializeToString())
    image = IMAGE[None, None].astype(np.float64)
    assert onnx_si.evaluate(model, {"x": image})["y"].shape == (1, 2, SIDE, SIDE)


def test_training_mode_of_the_first_versions_is_refused():
    nodes = [CONV, node("Dropout", "a", to="d", ratio=0.3), LAST]
    with pytest.raises(onnx_si.UnsupportedModel, match="training mode"):
        onnx_si.load(proto(3, nodes).SerializeToString())


def test_a_reshape_without_a_shape_is_refused():
    nodes = [CONV, node("Reshape", "a", to="d"), LAST]
    with pytest.raises(onnx_si.UnsupportedModel, match="no shape"):
        onnx_si.load(proto(3, nodes).SerializeToString())
