"""A map that is a tensor of the file but for type and shape is what the runtime makes of it."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnx_si.runtime.reshaping import view_of


def nodes_of(*steps):
    """Nodes from `x` to `map`, with their constants: (op, shape or type)."""
    nodes, constants = [], {}
    for number, (op, told) in enumerate(steps):
        given, made = f"t{number}" if number else "x", f"t{number + 1}"
        if op == "Reshape":
            constants["s" + made] = numpy_helper.from_array(np.array(told, np.int64), "s" + made)
            nodes.append(helper.make_node(op, [given, "s" + made], [made]))
        elif op == "Cast":
            nodes.append(helper.make_node(op, [given], [made], to=told))
        else:
            nodes.append(helper.make_node(op, [given], [made]))
    nodes[-1].output[0] = "map"
    return nodes, constants


def run(nodes, constants, value):
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, value.shape)],
        [helper.make_tensor_value_info("map", TensorProto.UNDEFINED, None)],
        list(constants.values()),
    )
    graph.output[0].ClearField("type")
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": value})[0]


@pytest.mark.parametrize(
    "steps",
    [
        [("Cast", TensorProto.FLOAT), ("Reshape", (3, 4)), ("Identity", None)],
        [("Reshape", (2, 1, 6)), ("Cast", TensorProto.DOUBLE)],
        [("Identity", None)],
    ],
)
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.uint8, np.bool_])
def test_as_the_runtime(steps, kind):
    value = (1000 * np.random.default_rng(0).normal(size=(1, 12))).astype(kind)
    nodes, constants = nodes_of(*steps)
    wanted, found = run(nodes, constants, value), view_of(nodes, constants, "x", "map")(value)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "steps",
    [
        [("Reshape", (0, -1))],  # asks for parts of the other shape
        [("Cast", TensorProto.FLOAT16)],  # rounds
        [("Cast", TensorProto.UINT8)],
        [("Cast", TensorProto.FLOAT), ("Relu", None)],
    ],
)
def test_what_does_more_is_none(steps):
    nodes, constants = nodes_of(*steps)
    assert view_of(nodes, constants, "x", "map") is None


def test_what_does_not_fit_is_infinite():
    nodes, constants = nodes_of(("Cast", TensorProto.FLOAT))
    value = np.array([[1e300, -1e300]])
    np.testing.assert_array_equal(view_of(nodes, constants, "x", "map")(value), run(nodes, constants, value))


def test_another_way_is_none():
    nodes, constants = nodes_of(("Identity", None))
    assert view_of(nodes, constants, "y", "map") is None
    assert view_of(nodes, constants, "x", "other") is None
    nodes, constants = nodes_of(("Reshape", (3, 4)))
    assert view_of(nodes, {}, "x", "map") is None
    nodes[0].domain = "com.example"
    assert view_of(nodes, constants, "x", "map") is None
