"""A Loop whose number of turns is no number: what runs it is a process of its own."""

import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnx_si.runtime.single import with_single_counts

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
