"""Moves of a few whole numbers are those of the reference evaluator, or left to it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from onnx_si.graph import constants
from onnx_si.graph.plain import plainly

ROW, MORE = np.arange(5, 12, dtype=np.int64), np.array([-3, 4], np.int64)


def row(*values):
    return np.array(values, np.int64)


def made(op, *inputs, **attributes):
    names = [f"i{number}" if value is not None else "" for number, value in enumerate(inputs)]
    return helper.make_node(op, names, ["out"], **attributes)


def by_reference(node, inputs):
    given = {name: value for name, value in zip(node.input, inputs, strict=True) if name}
    graph = helper.make_graph(
        [node], "one", [onnx.ValueInfoProto(name=name) for name in given], [onnx.ValueInfoProto(name="out")]
    )
    (found,) = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])).run(
        None, given
    )
    return found


TYPES = [getattr(TensorProto, name) for name in ("INT32", "INT64", "FLOAT", "DOUBLE", "BOOL")]
PLAIN = [
    *(("Cast", (ROW.astype(kind),), {"to": to}) for kind in (np.int32, np.int64, np.bool_) for to in TYPES),
    ("Cast", (np.array(2**40 + 7),), {"to": TensorProto.INT32}),
    ("Gather", (ROW, np.array(-2)), {}),
    ("Gather", (ROW, row(0, 6, -7)), {"axis": 0}),
    ("Gather", (ROW, np.array([[1, 2], [-1, 0]], np.int32)), {"axis": -1}),
    *(("Slice", (ROW, row(start), row(stop), *rest), {})
      for start, stop in ((0, 2), (1, -1), (-3, 2**62), (4, 2), (-99, 3))
      for rest in ((), (row(0),), (row(-1), row(2)), (None, row(3)))),
    ("Slice", (ROW, row(-1), row(-(2**63)), row(0), row(-2)), {}),
    ("Slice", (ROW.astype(np.float32), row(2), row(4)), {}),
    ("Concat", (ROW, MORE, ROW), {"axis": 0}),
    ("Concat", (MORE,), {"axis": -1}),
    ("Unsqueeze", (np.array(4), row(0)), {}),
]  # fmt: skip


@pytest.mark.parametrize(("op", "inputs", "attributes"), PLAIN)
def test_it_is_the_reference(op, inputs, attributes):
    node = made(op, *inputs, **attributes)
    found, wanted = plainly(node, inputs), by_reference(node, inputs)
    assert found is not None
    assert found.dtype == wanted.dtype and found.shape == wanted.shape and np.array_equal(found, wanted)


OTHERS = [
    ("Cast", (np.array([1.5, np.nan]),), {"to": TensorProto.INT64}),
    ("Cast", (ROW,), {"to": TensorProto.FLOAT16}),
    ("Cast", (ROW,), {"to": TensorProto.STRING}),
    ("Gather", (ROW, row(7)), {}),
    ("Gather", (ROW, row(-8)), {}),
    ("Gather", (ROW.reshape(1, 7), row(0)), {}),
    ("Gather", (ROW, row(0)), {"axis": 1}),
    ("Slice", (ROW,), {"starts": [0], "ends": [2]}),
    ("Slice", (ROW, row(0), row(2), row(0), row(0)), {}),
    ("Slice", (ROW, row(0), row(2), row(1)), {}),
    ("Slice", (ROW.reshape(7, 1), row(0), row(2)), {}),
    ("Slice", (ROW, row(0, 0), row(2, 1)), {}),
    ("Concat", (ROW, MORE.astype(np.int32)), {"axis": 0}),
    ("Concat", (ROW, np.array(1)), {"axis": 0}),
    ("Concat", (ROW, MORE), {"axis": 1}),
    ("Concat", (ROW, MORE), {}),
    ("Unsqueeze", (ROW, row(0)), {}),
    ("Unsqueeze", (np.array(4),), {"axes": [0]}),
    ("Neg", (ROW,), {}),
]


@pytest.mark.parametrize(("op", "inputs", "attributes"), OTHERS)
def test_anything_else_is_left_to_it(op, inputs, attributes):
    assert plainly(made(op, *inputs, **attributes), inputs) is None


def test_an_op_of_that_name_elsewhere_is_none_of_them():
    assert plainly(made("Concat", ROW, MORE, axis=0, domain="someone"), (ROW, MORE)) is None


def test_folding_takes_it(monkeypatch):
    monkeypatch.setattr(constants, "inferred_shapes", None)  # what comes before the evaluator
    (found,) = constants.fold(made("Concat", ROW, MORE, axis=0), (ROW, MORE), {"": 17})
    assert found.tolist() == [*ROW, *MORE]
