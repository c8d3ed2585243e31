"""`evaluate`: several inputs, integers, several outputs, and inputs that don't fit."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from support import nets

import onnx_si
from onnx_si.graph import model_from_proto
from onnx_si.program.program import bind


def embedding_net():
    """Token ids, their mask and a signal in; states, their largest component and a score out."""
    net = nets.Net(0, (1, 5, 4))
    states = net.add("Gather", net.normal(10, 4), "ids")
    states = net.add("Add", states, "x")
    net.add("Mul", states, net.add("Cast", "mask", to=TensorProto.FLOAT), out="states")
    net.add("ArgMax", "states", out="largest", axis=-1, keepdims=0)
    net.add("Tanh", net.add("ReduceMean", "states", axes=[1]), out="score")
    proto = net.proto("states", "score")
    proto.graph.output.append(helper.make_tensor_value_info("largest", TensorProto.INT64, None))
    proto.graph.output[-1].type.tensor_type.shape.SetInParent()
    for name, shape in (("ids", [1, 5]), ("mask", [1, 5, 1])):
        proto.graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, shape))
    return model_from_proto(proto)


FEEDS = {
    "x": np.random.default_rng(1).normal(size=(1, 5, 4)),
    "ids": np.array([[3, 1, 4, 1, 5]]),
    "mask": np.array([[1, 1, 0, 1, 1]]).reshape(1, 5, 1),
}


def test_several_inputs_and_outputs():
    model = embedding_net()
    made = onnx_si.evaluate(model, FEEDS)
    table = next(iter(model.initializers.values()))
    states = (table[FEEDS["ids"]] + FEEDS["x"]) * FEEDS["mask"]
    np.testing.assert_allclose(made["states"], states, rtol=1e-12)
    np.testing.assert_array_equal(made["largest"], states.argmax(-1))
    np.testing.assert_allclose(made["score"], np.tanh(states.mean(1, keepdims=True)), rtol=1e-12)
    assert list(made) == ["states", "score", "largest"]
    assert all(value.dtype == np.float64 for value in made.values())


def test_integers_alone():
    """A language model takes no floating-point number at all."""
    net = nets.Net(0, (1, 3))
    table = net.normal(6, 2)
    net.add("Tanh", net.add("MatMul", net.add("Gather", table, "x"), net.normal(2, 2)), out="y")
    proto = net.proto("y")
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    model = model_from_proto(proto)
    got = onnx_si.evaluate(model, {"x": np.array([[5, 0, 2]])})["y"]
    weights = list(model.initializers.values())
    np.testing.assert_allclose(got, np.tanh(weights[0].astype(float)[[[5, 0, 2]]] @ weights[1]), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mask": None}, r"without a value: \['mask'\]"),
        ({"other": np.ones(1)}, r"without an input: \['other'\]"),
        ({"ids": np.ones((1, 5))}, "'ids' takes int64, its value is float64; convert it"),
        ({"x": np.full((1, 5, 4), "a")}, "only real numbers"),
        ({"x": np.full((1, 5, 4), 1j)}, "only real numbers"),
    ],
)
def test_inputs_that_do_not_fit(change, words):
    feeds = {name: value for name, value in {**FEEDS, **change}.items() if value is not None}
    with pytest.raises(onnx_si.InputError, match=words):
        onnx_si.evaluate(embedding_net(), feeds)


def with_changing(op, position, constants, **attributes):
    """A node whose input at a position comes from the image too, in the shape of a constant."""
    net = nets.Net(0, (1, 2, 5, 5), opset=17)
    value = constants[position]
    flat = net.add("Reshape", "x", net.ints(-1))
    part = net.add("Slice", flat, net.ints(0), net.ints(value.size))
    made = net.add("Reshape", part, net.ints(*value.shape))
    if value.dtype.kind == "i":
        whole = net.add(
            "Cast", net.add("Clip", made, net.const(np.float32(1)), net.const(np.float32(1.5))), to=7
        )
        made = net.add("Mul", whole, net.const(value))
    names = [made if i == position else net.const(constant) for i, constant in enumerate(constants) if i]
    net.nodes.append(helper.make_node(op, ["x", *names], ["y"], **attributes))
    return net.finish("y")


ONES = np.ones((2, 2, 2, 2), np.float32)
MIXED = [
    ("Conv", 1, (None, ONES), {}),
    ("Conv", 2, (None, ONES, np.ones(2, np.float32)), {"pads": [1, 0, 0, 1]}),
    ("ConvTranspose", 1, (None, ONES), {"strides": [2, 2]}),
    ("PRelu", 1, (None, np.ones((2, 1, 1), np.float32)), {}),
    ("Slice", 1, (None, np.array([1]), np.array([4]), np.array([3])), {}),
    ("Slice", 2, (None, np.array([1]), np.array([4]), np.array([3])), {}),
    ("Pad", 1, (None, np.array([0, 0, 1, 0, 0, 0, 2, 1])), {}),
    ("Tile", 1, (None, np.array([1, 2, 1, 1])), {}),
    ("BatchNormalization", 4, (None, *(np.ones(2, np.float32),) * 4), {}),
    ("Clip", 1, (None, np.array(0.5, np.float32)), {}),
    ("ReduceSum", 1, (None, np.array([2])), {}),
]


@pytest.mark.parametrize(("op", "position", "constants", "attributes"), MIXED)
def test_what_should_be_constant_comes_from_the_image(op, position, constants, attributes):
    """Computed at the image, as onnxruntime does; there is no p-value."""
    model = with_changing(op, position, constants, **attributes)
    session = onnxruntime.InferenceSession(
        model.proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for seed in (1, 2):
        x = np.random.default_rng(seed).uniform(0.1, 2, size=(1, 2, 5, 5)).astype(np.float32)
        (expected,) = session.run(["y"], {"x": x})
        np.testing.assert_allclose(onnx_si.evaluate(model, {"x": x})["y"], expected, rtol=1e-5, atol=1e-5)
    program = bind(model, x, ("y",))
    assert [finding.op for finding in program.findings] == [op] and not program.gaps
    assert "depends on the image" in program.findings[0].reason


def test_text_alone():
    """Text does not change with an image: it is a constant."""
    labels = helper.make_node(
        "LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_strings=["cat", "dog"], values_int64s=[7, 9]
    )
    inputs = [helper.make_tensor_value_info("x", TensorProto.STRING, [2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT64, [2])]
    graph = helper.make_graph([labels], "text", inputs, outputs)
    model = model_from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 2)], ir_version=8)
    )
    assert onnx_si.evaluate(model, {"x": np.array(["dog", "cat"])})["y"].tolist() == [9, 7]
    with pytest.raises(onnx_si.InputError, match=r"only real numbers \(or text\) fit"):
        onnx_si.evaluate(model, {"x": np.array([1, 2])})


def test_inputs_that_are_no_tensors():
    value = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [2])
    graph = helper.make_graph(
        [helper.make_node("SequenceLength", ["x"], ["y"])],
        "sequence",
        [value],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [])],
    )
    model = model_from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    with pytest.raises(onnx_si.InputError, match="the value of 'x' is no array"):
        onnx_si.evaluate(model, {"x": [np.zeros(2), np.zeros(3)]})
    with pytest.raises(onnx_si.UnsupportedModel, match="SequenceLength makes no tensor but a sequence"):
        onnx_si.evaluate(model, {"x": [np.zeros(2), np.zeros(2)]})
    with pytest.raises(onnx_si.InputError, match="the value of 'mask' is no array"):
        onnx_si.evaluate(embedding_net(), {**FEEDS, "mask": [[1, 2], [3]]})


def test_outputs_of_text_are_refused():
    back = helper.make_node(
        "LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_strings=["cat"], values_strings=["dog"]
    )
    inputs, outputs = ([helper.make_tensor_value_info(name, TensorProto.STRING, [1])] for name in "xy")
    model = model_from_proto(
        helper.make_model(
            helper.make_graph([back], "text", inputs, outputs),
            opset_imports=[helper.make_opsetid("ai.onnx.ml", 2)],
            ir_version=8,
        )
    )
    with pytest.raises(onnx_si.InputError, match="'y' hold text, not numbers"):
        onnx_si.evaluate(model, {"x": np.array(["cat"])})


def test_a_model_evaluated_again():
    """Each image has its own values, and what the caller does with them stays with the caller."""
    net = nets.Net(0, (1, 1, 4, 4))
    net.add("Relu", net.conv("x", 1, 2), out="map")
    net.add("Add", net.const(np.array([1.0])), net.const(np.array([2.0])), out="three")
    model = net.finish("map", "three")
    images = np.random.default_rng(5).normal(size=(3, 1, 1, 4, 4))
    for image in images:
        made = onnx_si.evaluate(model, {"x": image})
        fresh = onnx_si.evaluate(model_from_proto(model.proto), {"x": image})
        for name in ("map", "three"):
            np.testing.assert_array_equal(made[name], fresh[name])
            made[name][...] = np.nan
    counted = onnx_si.evaluate(model, {"x": np.ones((1, 1, 4, 4), np.int64)})
    fresh = onnx_si.evaluate(model_from_proto(model.proto), {"x": np.ones((1, 1, 4, 4), np.int64)})
    np.testing.assert_array_equal(counted["map"], fresh["map"])


def test_rules_that_an_image_decides_are_not_kept():
    net = nets.Net(0, (1, 4))
    net.add("NonZero", net.add("Relu", "x"), out="places")
    model = net.finish("places")
    for image in ([[1, 0, 2, 0]], [[0, 0, 0, 3.0]], [[1, 1, 1, 1]]):
        made = onnx_si.evaluate(model, {"x": np.array(image)})
        np.testing.assert_array_equal(made["places"], np.nonzero(np.array(image)))
