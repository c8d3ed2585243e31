"""What the file itself says of its loops is summed over the model before any turn is written out."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnx_si.errors import UnsupportedOp
from onnx_si.graph import model_from_proto
from onnx_si.graph.turns import MOST_NODES, foreseen, nodes_of
from onnx_si.program.program import bind

INT, BOOL, FLOAT = TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT


def constant(name, value):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value)))


def loop(count="n", condition="", state="x", output="y", inner=(), going_on="k"):
    """A loop of two nodes, or with others inside."""
    values = [helper.make_tensor_value_info(n, k, []) for n, k in (("i", INT), ("k", BOOL), ("s", FLOAT))]
    nodes = [helper.make_node("Identity", [going_on], ["more"]), *(inner or [relu("s", "t")])]
    made = [helper.make_tensor_value_info(n, k, None) for n, k in (("more", BOOL), ("t", FLOAT))]
    body = helper.make_graph(nodes, "body", values, made)
    return helper.make_node("Loop", [count, condition, state], [output], body=body)


def relu(source, made):
    return helper.make_node("Relu", [source], [made])


NUMBERS = {"n": np.array(100), "i": np.array(50), "never": np.array(False), "some": np.array([1, 2])}


@pytest.mark.parametrize(
    ("nodes", "count"),
    [
        ([loop()], 300),
        ([loop(), loop(state="y", output="z")], 600),
        ([constant("m", 7), loop("m")], 21),
        ([constant("m", [7]), helper.make_node("Identity", ["m"], ["c"]), loop("c")], 21),
        ([loop(inner=[constant("m", 30), loop("m", state="s", output="t")])], 100 * (4 + 90)),
        ([loop(inner=[loop("n", state="s", output="t")])], 100 * (3 + 300)),  # captured
        ([loop(inner=[loop("i", state="s", output="t")])], 300),  # the turn's own number, not the one outside
        ([loop(condition="never")], 0),
        ([loop("some")], 0),
        ([loop("")], 0),
        ([loop(going_on="s")], 300),
        ([helper.make_node("Abs", ["n"], ["m"]), loop("m")], 0),  # computed: counted when its turn comes
        ([loop("x")], 0),
        ([constant("m", -5), loop("m")], 0),
    ],
)
def test_foreseen(nodes, count):
    assert foreseen(nodes, NUMBERS) == count


def test_a_name_inside_is_not_the_one_outside():
    hidden = loop(inner=[helper.make_node("Abs", ["i"], ["n"]), loop("n", state="s", output="t")])
    assert foreseen([hidden], NUMBERS) == 400


def test_slices_of_a_scan_are_counted():
    body = helper.make_graph([relu("a", "b")], "body", [], [helper.make_tensor_value_info("b", FLOAT, None)])
    scan = helper.make_node("Scan", list("pqrs"), ["y"], body=body, num_scan_inputs=4)
    assert nodes_of(scan, 10) == 90


def test_no_turn_is_written_out_where_the_sum_is_too_large(monkeypatch):
    def never(*_):
        raise AssertionError("a turn was written out")

    monkeypatch.setattr("onnx_si.program.unrolling.one_turn", never)
    nodes = [loop("n", state="x" if i == 0 else f"y{i}", output=f"y{i + 1}") for i in range(3)]
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", FLOAT, [1, 4])],
            [helper.make_tensor_value_info("y3", FLOAT, None)],
            [numpy_helper.from_array(np.array(MOST_NODES // 5), "n")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    assert isinstance(proto, onnx.ModelProto)
    with pytest.raises(UnsupportedOp, match=f"stand for {3 * 3 * (MOST_NODES // 5)} nodes .at most 20000"):
        bind(model_from_proto(proto), np.ones((1, 4)), ("y3",)).require_exact()
