"""What breaks the specification is refused before anything runs, with the node and what is wrong."""

import re

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

import onnx_si
from onnx_si.errors import UnsupportedModel, UnsupportedOp
from onnx_si.graph import model_from_proto
from onnx_si.graph.constants import inferred_shapes
from onnx_si.graph.loops import MOST_TURNS, Turn, length_of, one_number, one_turn, require_few
from onnx_si.graph.schema import shape_problem, type_problem
from onnx_si.graph.survivable import MOST_AXES
from onnx_si.program.program import bind

FLOAT, DOUBLE, INT, BOOL, TEXT = (
    getattr(TensorProto, n) for n in ("FLOAT", "DOUBLE", "INT64", "BOOL", "STRING")
)


def proto(*nodes, stored=(), outputs=("y",), opset=17, shape=(1, 4), kind=FLOAT, functions=()):
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        list(stored),
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("f", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, functions=list(functions))


def node(op, inputs=("x",), outputs=("y",), **attributes):
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def with_attribute(made, **fields):
    made.attribute.add(**fields)
    return made


def stored(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.array(values, dtype), name)


def branch(*nodes, outputs=("b",), **more):
    return helper.make_graph(
        list(nodes), "inside", [], [helper.make_tensor_value_info(n, FLOAT, None) for n in outputs], **more
    )


def short(dims):
    tensor = stored("t", [1.0, 2.0])
    del tensor.dims[:]
    tensor.dims.extend(dims)
    return tensor


def function(inner, attributes=()):
    return helper.make_function(
        "f", "f0", ["a"], ["b"], [inner], [helper.make_opsetid("", 17)], list(attributes)
    )


YES = stored("yes", True, np.bool_)
FINE = branch(node("Relu", outputs=["b"]))
REFERENCE = {"name": "alpha", "type": AttributeProto.FLOAT, "ref_attr_name": "alpha"}
BROKEN = {
    "too few inputs": (proto(node("Add")), "1 inputs where it has 2"),
    "too many inputs": (proto(node("Relu", ["x", "x"])), "2 inputs where it has 1"),
    "an input left out": (proto(node("Add", ["x", ""])), r"its input 2 \('B'\) is left out"),
    "too many outputs": (proto(node("Relu", outputs=["y", "z"])), "2 outputs where it has 1"),
    "a kind": (proto(node("LeakyRelu", alpha="x")), "'alpha' is STRING, and must be FLOAT"),
    "a list": (proto(node("LeakyRelu", alpha=[1.0])), "'alpha' is FLOATS, and must be FLOAT"),
    "no such attribute": (proto(node("Relu", alpha=1.0)), "it has no attribute 'alpha'"),
    "an attribute missing": (proto(node("Cast")), "its attribute 'to' is missing"),
    "an element type": (proto(node("Cast", to=99)), "'to' is 99, which is no element type"),
    "twice": (
        proto(with_attribute(node("LeakyRelu", alpha=1.0), name="alpha", type=AttributeProto.FLOAT)),
        "'alpha' is there twice",
    ),
    "a reference outside": (
        proto(with_attribute(node("LeakyRelu"), **REFERENCE)),
        "refers to one of a function",
    ),
    "a reference to nothing": (
        proto(
            node("f0", domain="f"),
            functions=[function(with_attribute(node("LeakyRelu", ["a"], ["b"]), **REFERENCE))],
        ),
        "refers to one of a function",
    ),
    "more actual than formal": (
        proto(node("f0", ["x", "x"], domain="f"), functions=[function(node("Relu", ["a"], ["b"]))]),
        "2 inputs where it has 0 to 1",
    ),
    "a name in a function": (
        proto(node("f0", domain="f"), functions=[function(node("Add", ["a", "x"], ["b"]))]),
        "it reads 'x', which nothing makes",
    ),
    "attribute data": (
        proto(node("Constant", [], ["y"], value=short([3]))),
        r"shape \[3\] does not hold the values",
    ),
    "attribute dims": (proto(node("Constant", [], ["y"], value=short([-2]))), "does not hold the values"),
    "initialiser data": (
        proto(node("Add", ["x", "t"]), stored=[short([2**40])]),
        "does not hold the values|too small for the declared shape",
    ),
    "an input's type": (proto(node("Relu"), kind=99), "'x' has elements of type 99"),
    "axes": (proto(node("Relu"), shape=[1] * (MOST_AXES + 1)), f"has 33 axes, at most {MOST_AXES}"),
    "an output": (proto(node("Relu"), outputs=["z"]), "the graph has the output 'z', which nothing makes"),
    "an input": (proto(node("Add", ["x", "z"])), "it reads 'z', which nothing makes"),
    "a capture": (
        proto(
            node("If", ["yes"], then_branch=branch(node("Add", ["x", "z"], ["b"])), else_branch=FINE),
            stored=[YES],
        ),
        "it reads 'z', which nothing makes",
    ),
    "a branch's output": (
        proto(
            node(
                "If",
                ["yes"],
                then_branch=branch(node("Relu", outputs=["b"]), outputs=["z"]),
                else_branch=FINE,
            ),
            stored=[YES],
        ),
        "the output 'z', which nothing makes",
    ),
    "Split": (proto(node("Split", outputs=["y", "b"], split=[4]), opset=11), "1 sizes for 2 parts"),
    "GatherND": (
        proto(node("GatherND", ["x", "i"], batch_dims=-2), stored=[stored("i", [[0]], np.int64)]),
        "batch_dims is below 0",
    ),
    "Scan": (proto(node("Scan", body=FINE, num_scan_inputs=2)), "it scans 2 of 1 inputs"),
    "Scan's way": (
        proto(node("Scan", body=FINE, num_scan_inputs=1, scan_input_directions=[2])),
        "neither 0 nor 1",
    ),
    "a gap among many": (proto(node("Min", ["x", ""])), r"its input 2 \('data_0'\) is left out"),
    "a gap among many letters": (
        proto(node("Einsum", ["x", ""], equation="ij,ij->ij")),
        r"its input 2 \('Inputs'\) is left out",
    ),
    "a gap where a tensor must be": (proto(node("MatMul", ["", "x"])), r"its input 1 \('A'\) is left out"),
    "samples without number": (
        proto(
            node("RoiAlign", ["x", "r", "i"], sampling_ratio=2**63 - 1),
            stored=[stored("r", [[0.0, 0, 1, 1]]), stored("i", [0], np.int64)],
            shape=(1, 1, 4, 4),
        ),
        "sampling_ratio 9223372036854775807",
    ),
    "between no number and one": (proto(node("RandomUniformLike", low=np.nan)), "is not finite"),
    "up to infinity": (proto(node("RandomUniform", [], shape=[4], high=np.inf)), "is not finite"),
    "from above": (proto(node("RandomUniformLike", low=2.0)), "it draws between 2 and 1"),
    "no deviation": (
        proto(node("RandomNormal", [], shape=[4], scale=0.0)),
        "a standard deviation of 0",
    ),
    "a negative deviation": (proto(node("RandomNormalLike", scale=-1.0)), "a standard deviation of -1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_refused_on_loading(name):
    model, words = BROKEN[name]
    with pytest.raises(UnsupportedModel, match=words) as caught:
        model_from_proto(model)
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)


def test_what_is_fine():
    inner = with_attribute(node("LeakyRelu", ["a"], ["b"]), **REFERENCE)
    fine = [
        proto(node("f0", domain="f", alpha=0.5), functions=[function(inner, ["alpha"])]),
        proto(node("If", ["yes"], then_branch=FINE, else_branch=FINE), stored=[YES]),
        proto(node("Clip", ["x", "", "t"]), stored=[stored("t", 1.0)]),
        proto(node("Add", ["z", "x"]), node("Relu", outputs=["z"])),
        proto(node("Relu"), outputs=["y", "x"]),
        proto(node("NoSuchOp", ["x", "x", "x"], domain="f")),
        proto(node("RandomUniformLike", low=2.0, high=2.0)),
        proto(node("RandomNormalLike", scale=1e-30, mean=-1.0)),
    ]
    for model in fine:
        model_from_proto(model)


@pytest.mark.parametrize(
    ("op", "kinds", "words"),
    [
        ("Add", (FLOAT, INT), r"its input 2 \('B'\) is tensor\(int64\), unlike another"),
        ("Conv", (INT, INT), r"its input 1 \('X'\) is tensor\(int64\), which it does not take"),
        ("Concat", (FLOAT, DOUBLE), "unlike another"),
        ("Gather", (FLOAT, FLOAT), "its input 2"),
        ("Relu", (TEXT,), r"tensor\(string\), which it does not take"),
        ("Add", (FLOAT, FLOAT), None),
        ("Add", (FLOAT, None), None),
        ("Gather", (FLOAT, INT), None),
        ("Where", (BOOL, FLOAT, FLOAT), None),
        ("Loop", (INT, BOOL, FLOAT, INT), None),
        ("NoSuchOp", (FLOAT, INT), None),
    ],
)
def test_element_types(op, kinds, words):
    found = type_problem(op, "", 17, kinds)
    assert (found is None) if words is None else re.search(words, found or "")


def test_a_node_of_wrong_types_is_named():
    model = model_from_proto(proto(node("Add", ["x", "t"]), stored=[stored("t", 1, np.int64)]))
    with pytest.raises(
        UnsupportedOp, match=r"writes y\)' \(Add, opset 17\): its input 2 \('B'\) is tensor\(int64\)"
    ):
        onnx_si.evaluate(model, {"x": np.zeros((1, 4), np.float32)})
    with pytest.raises(UnsupportedOp, match="its input 2"):
        bind(model, np.zeros((1, 4)), ("y",)).require_exact()


def test_native_inference_is_not_asked_what_kills_it():
    parts = node("Split", ["x", "s"], ["a", "b", "c"])
    values = {"x": np.zeros(4, np.float32), "s": np.array([4], np.int64)}
    assert inferred_shapes(parts, values, {"": 13}) == {}
    pairs = node("GatherND", ["x", "i"], batch_dims=-3)
    assert inferred_shapes(pairs, {"x": np.zeros((2, 3)), "i": np.zeros((4, 1, 1), np.int64)}, {"": 13}) == {}
    parts = node("Split", ["x"], ["a", "b", "c"], num_outputs=2)
    assert inferred_shapes(parts, {"x": np.zeros(3)}, {"": 18}) == {}
    norm = node("LayerNormalization", ["x", "s"], ["y"], axis=2**63 - 1)
    assert inferred_shapes(norm, {"x": np.zeros((2, 3)), "s": np.zeros(3)}, {"": 17}) == {}


def test_whatever_native_inference_raises_tells_no_shape():
    """Of a loop with more outputs than its body gives it is a RuntimeError."""
    body = branch(node("Neg", ["i"], ["b"]), outputs=["b", "b"])
    body.input.append(helper.make_tensor_value_info("i", INT, []))
    loop = node("Loop", ["n", "x", "a", "b", "c", "d"], ["y", "z"], body=body)
    values = {name: np.zeros(3, np.float32) for name in "xabcd"} | {"n": np.array([1], np.int8)}
    assert inferred_shapes(loop, values, {"": 21}) == {}


@pytest.mark.parametrize(
    "value", [np.array(np.nan), np.array(np.inf), np.array([]), np.array([1, 2]), np.array("many", object)]
)
def test_no_number_of_turns(value):
    with pytest.raises(UnsupportedModel, match="where one finite number is needed"):
        one_number(value, "n")
    assert one_number(np.array([[3]]), "n") == 3.0


def test_axes_that_are_scanned():
    assert length_of((2, 3), -1) == 3 and length_of((2, 3), 0) == 2
    for axis in (2, -3, 2**62):
        with pytest.raises(UnsupportedModel, match="there is no such axis"):
            length_of((2, 3), axis)


def looping(condition):
    """A loop of two nodes, whose condition is what was given, or computed."""
    first = node(condition, ["k"], ["more"])
    values = [helper.make_tensor_value_info(n, k, []) for n, k in (("i", INT), ("k", BOOL), ("s", FLOAT))]
    body = branch(first, node("Relu", ["s"], ["t"]), outputs=["more", "t"])
    body.input.extend(values)
    return node("Loop", ["n", "", "x"], ["y"], body=body)


def test_without_a_trip_count_every_turn_is_counted():
    endless = looping("Identity")
    endless.input[0] = ""
    counted = 0
    for done in range(5):
        counted = require_few(endless, Turn(done=done, condition="", state=("x",)), done + 1, counted)
    assert counted == 15
    at = Turn(done=MOST_TURNS, condition="", state=("x",))
    with pytest.raises(UnsupportedModel, match="a loop that goes on after 5000 turns"):
        one_turn(endless, at, MOST_TURNS + 1)


def test_turns_are_counted_before_they_are_made():
    start = Turn(done=0, condition="", state=("x",))
    assert require_few(looping("Identity"), start, 5_000, 5) == 15_005
    assert require_few(looping("Identity"), Turn(done=7, condition="", state=("x",)), 5_000, 15_005) == 15_005
    with pytest.raises(UnsupportedModel, match="a loop of 1000000000000 turns of 2 nodes"):
        require_few(looping("Identity"), start, 10**12, 0)
    with pytest.raises(UnsupportedModel, match="loops stand for 21000 nodes"):
        require_few(looping("Identity"), start, 5_000, 6_000)
    assert require_few(looping("Not"), start, 10**12, 5) == 8  # it may end at any turn
    assert require_few(looping("Not"), Turn(done=3, condition="more", state=("x",)), 10**12, 11) == 14


@pytest.mark.parametrize(
    ("made", "shapes", "said"),
    [
        (
            node("Range", ["a", "b", "c"]),
            {"a": (), "b": (2,), "c": (1,)},
            "limit 'b' of shape .2,. is not one",
        ),
        (node("Range", ["a", "b", "c"]), {"a": (0,), "b": (), "c": ()}, "start 'a' of shape .0,. is not one"),
        (node("Range", ["a", "b", "c"]), {"a": (), "b": (1,), "c": (1, 1)}, None),
        (node("Compress", ["x", "c"]), {"x": (4,), "c": (2, 2)}, "condition 'c' of shape .2, 2. has not one"),
        (node("Compress", ["x", "c"]), {"x": (4,), "c": ()}, "condition 'c' of shape .. has not one"),
        (node("Compress", ["x", "c"]), {"x": (2, 2), "c": (2,)}, None),
        (node("Add", ["x", "c"]), {"x": (2, 2), "c": (2,)}, None),
    ],
)
def test_shapes_of_inputs(made, shapes, said):
    found = shape_problem(made, shapes)
    assert found is None if said is None else re.search(said, found)


def test_a_condition_of_two_axes_is_told_with_node_and_input():
    kept = node("Compress", ["x", "c"], name="keep", axis=1)
    made = proto(kept, stored=[stored("c", np.ones((2, 2), bool), np.bool_)])
    with pytest.raises(UnsupportedOp, match=r"node 'keep' \(Compress, opset 17\): condition 'c' of shape"):
        bind(model_from_proto(made), np.ones((1, 4)), ("y",)).require_exact()
