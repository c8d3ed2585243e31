"""Local functions, branches and nested bodies: the graph that is analysed is the one that a runtime runs."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, parser

import onnx_si
from onnx_si.graph import model_from_proto

IMAGE = np.random.default_rng(3).normal(size=(1, 1, 5, 5)).astype(np.float32)
HEADER = '<ir_version: 9, opset_import: ["" : 17, "local" : 1]>\n'
GRAPH = "g (float[1, 1, 5, 5] x) => (float[1, 1, 5, 5] y)"
FUNCTION = '<domain: "local", opset_import: ["" : 17{also}]>\n'


def function(text, also=""):
    return FUNCTION.replace("{also}", also) + text


LEAKY = function("leaky <alpha: float = 0.9> (x) => (y) { y = LeakyRelu <alpha: float = @alpha> (x) }")
ADDED = function(
    "added <amount: float = 2.5> (x) => (y) { c = Constant <value_float: float = @amount> () y = Add (x, c) }"
)
OUTER = function("outer (x) => (y) { t = local.leaky (x) y = Mul (t, x) }", also=', "local" : 1')
PASSED = function(
    "passed <alpha, beta: float = 0.4> (x) => (y) {"
    " a = local.leaky <alpha: float = @alpha> (x) b = local.leaky <alpha: float = @beta> (x)"
    " y = Add (a, b) }",
    also=', "local" : 1',
)
BRANCHES = function(
    "branches <alpha: float = 0.9, way: int = 0> (x) => (y) {"
    " w = Constant <value_int: int = @way> () c = Cast <to: int = 9> (w)"
    " y = If (c) <then_branch = t () => (o) { o = Neg (x) },"
    " else_branch = e () => (o) { o = LeakyRelu <alpha: float = @alpha> (x) }> }"
)
CLIPPED = function("clipped (x, low, high) => (y) { y = Clip (x, low, high) }")
HIGH = "h = Constant <value_float: float = 0.2> ()"
HANDED = function("handed (x) => (x, z) { z = Neg (x) }")

MODELS = {
    "default": HEADER + GRAPH + " { y = local.leaky (x) }\n" + LEAKY,
    "given": HEADER + GRAPH + " { y = local.leaky <alpha = 0.25> (x) }\n" + LEAKY,
    "default_in_a_constant": HEADER + GRAPH + " { y = local.added (x) }\n" + ADDED,
    "given_in_a_constant": HEADER + GRAPH + " { y = local.added <amount = -1.5> (x) }\n" + ADDED,
    "function_in_a_function": HEADER + GRAPH + " { y = local.outer (x) }\n" + OUTER + "\n" + LEAKY,
    "no_value_passed_to_a_default": HEADER + GRAPH + " { y = local.passed (x) }\n" + PASSED + "\n" + LEAKY,
    "called_twice": HEADER
    + GRAPH
    + " { t = local.passed <alpha: float = 0.1> (x) y = local.passed <beta: float = 0.2> (t) }\n"
    + PASSED
    + "\n"
    + LEAKY,
    "inside_branches": HEADER + GRAPH + " { y = local.branches (x) }\n" + BRANCHES,
    "other_branch": HEADER + GRAPH + " { y = local.branches <way: int = 1> (x) }\n" + BRANCHES,
    "optional_left_out": HEADER + GRAPH + " { y = local.clipped (x) }\n" + CLIPPED,
    "optional_empty": HEADER + GRAPH + " { " + HIGH + ' y = local.clipped (x, "", h) }\n' + CLIPPED,
}


def deployed(proto, image=IMAGE):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})[0]


@pytest.mark.parametrize("name", MODELS)
def test_functions_are_what_the_runtime_runs(name):
    proto = parser.parse_model(MODELS[name])
    found = onnx_si.evaluate(model_from_proto(proto), {"x": IMAGE})["y"]
    np.testing.assert_allclose(found, deployed(proto), rtol=1e-6)


def test_a_function_that_hands_its_input_on():
    proto = parser.parse_model(HEADER + GRAPH + " { a, b = local.handed (x) y = Sub (a, b) }\n" + HANDED)
    found = onnx_si.evaluate(model_from_proto(proto), {"x": IMAGE})["y"]
    np.testing.assert_allclose(found, 2 * IMAGE, rtol=1e-6)


def test_a_function_without_a_node_swaps():
    text = " { r = Relu (x) a, b = local.swapped (x, r) y = Sub (a, b) }\n"
    proto = parser.parse_model(HEADER + GRAPH + text + function("swapped (a, b) => (b, a) { }"))
    found = onnx_si.evaluate(model_from_proto(proto), {"x": IMAGE})["y"]
    np.testing.assert_allclose(found, np.maximum(IMAGE, 0) - IMAGE, rtol=1e-6)


def info(name, kind=TensorProto.FLOAT, shape=(1, 1, 5, 5)):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, initializers=()):
    graph = helper.make_graph(nodes, "g", [info("x")], [info("y")], list(initializers))
    return helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])


def test_a_branch_reads_the_preprocessed_image():
    then = helper.make_graph([helper.make_node("Relu", ["x"], ["t"])], "then", [], [info("t")])
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["e"])], "else", [], [info("e")])
    always = onnx.numpy_helper.from_array(np.array(True), "always")
    node = helper.make_node("If", ["always"], ["y"], then_branch=then, else_branch=other)
    result = onnx_si.test(
        model_from_proto(model([node], [always])),
        IMAGE,
        sigma=1.0,
        mean=[0.7],
        saliency="output:y",
        threshold=0.5,
        verify=0,
    )
    np.testing.assert_array_equal(result.region, IMAGE[0, 0] > np.float32(1.2))


def loop(body_nodes, inputs, outputs, carried, output):
    """One turn over one tensor that is carried."""
    body = helper.make_graph(
        body_nodes,
        "body",
        [info(inputs[0], TensorProto.INT64, ()), info(inputs[1], TensorProto.BOOL, ()), info(inputs[2])],
        [info(outputs[0], TensorProto.BOOL, ()), info(outputs[1])],
    )
    return helper.make_node("Loop", ["turns", "", carried], [output], body=body)


def test_names_of_nested_bodies_are_their_own():
    """The inner body's input has the name of the outer one's, whose value is another."""
    inner = loop(
        [
            helper.make_node("Mul", ["state", "half"], ["next"]),
            helper.make_node("Identity", ["going"], ["on"]),
        ],
        ("i", "going", "state"),
        ("on", "next"),
        "doubled",
        "halved",
    )
    outer = loop(
        [
            helper.make_node("Add", ["state", "state"], ["doubled"]),
            inner,
            helper.make_node("Sub", ["halved", "half"], ["left"]),
            helper.make_node("Identity", ["going"], ["still"]),
        ],
        ("i", "going", "state"),
        ("still", "left"),
        "x",
        "y",
    )
    stored = [
        onnx.numpy_helper.from_array(np.array(3, np.int64), "turns"),
        onnx.numpy_helper.from_array(np.float32(0.5), "half"),
    ]
    proto = model([outer], stored)
    found = onnx_si.evaluate(model_from_proto(proto), {"x": IMAGE})["y"]
    np.testing.assert_allclose(found, deployed(proto), rtol=1e-6)
