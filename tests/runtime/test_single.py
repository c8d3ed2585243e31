"""A Loop whose number of turns is no number: what runs it is a process of its own."""

import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnx_si.runtime.single import with_single_counts, without_gaps

COUNTS = {"trips": ("none", ""), "condition": ("", "off")}


def looping(trips, condition):
    """A Loop whose count (or condition) is sliced out of a tensor, and holds nothing."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["again"]),
            helper.make_node("Add", ["sum", "sum"], ["double"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("double", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Slice", ["three", "zero", "zero"], ["none"]),
        helper.make_node("Cast", ["none"], ["off"], to=TensorProto.BOOL),
        helper.make_node("Loop", [trips, condition, "x"], ["y"], body=body),
    ]
    stored = {"three": np.arange(3), "zero": np.zeros(1, np.int64)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


RUN = """
import sys, numpy as np
from onnx_si.errors import UnsupportedModel
from onnx_si.runtime.session import as_unsupported, session_of
import onnx
try:
    with as_unsupported():
        session_of(onnx.load(sys.argv[1])).run(None, {"x": np.ones((1, 1, 4, 4), np.float32)})
except UnsupportedModel as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("what", COUNTS)
def test_a_count_of_nothing_is_an_error_in_words(what, tmp_path):
    path = tmp_path / "loop.onnx"
    path.write_bytes(looping(*COUNTS[what]).SerializeToString())
    done = subprocess.run([sys.executable, "-c", RUN, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "refused:" in done.stdout and "Reshape" in done.stdout


def test_a_model_without_loops_is_left_as_it_is():
    proto = looping("none", "")
    del proto.graph.node[-1]
    assert with_single_counts(proto) is proto


def normalised():
    """A LayerNormalization with an empty name in the place of its bias, and all its outputs."""
    outputs = ["y", "mean", "deviation"]
    graph = helper.make_graph(
        [helper.make_node("LayerNormalization", ["x", "scale", ""], outputs)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.ones(4, np.float32), "scale")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_an_empty_name_behind_the_last_input_kills_nothing(tmp_path):
    path = tmp_path / "normalised.onnx"
    path.write_bytes(normalised().SerializeToString())
    done = subprocess.run([sys.executable, "-c", RUN, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stdout


def test_only_empty_names_at_the_end_go():
    proto = normalised()
    assert list(without_gaps(proto).graph.node[0].input) == ["x", "scale"]
    assert list(proto.graph.node[0].input) == ["x", "scale", ""]
    proto.graph.node[0].input.append("bias")
    assert without_gaps(proto) is proto
