"""Exceptions that no one raised on purpose: refusals of the node for a user, themselves for a developer."""

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.nets import Net

import onnx_si
from onnx_si.domains.points.value import Points, evaluate
from onnx_si.domains.walker import Tally, walk
from onnx_si.errors import UnsupportedModel, UnsupportedOp
from onnx_si.program.gate import DEBUG
from onnx_si.program.program import bind
from onnx_si.rules import registry
from onnx_si.rules.registry import Handler
from onnx_si.rules.rules import Affine

FAULTS = [
    ValueError("bad\nvalue"),
    TypeError("x"),
    IndexError("x"),
    OverflowError("x"),
    ZeroDivisionError("x"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
    KeyError("x"),
    AssertionError("x"),
    RecursionError("x"),
]


@pytest.fixture
def for_users(monkeypatch):
    monkeypatch.delenv(DEBUG)


@pytest.fixture
def faulty(monkeypatch):
    """Make Relu's handler, or its rule, raise."""

    def make(error, at_once=True, folded=False):
        def fail(*_):
            raise error

        def build(x):
            return fail() if at_once else Affine(linear=fail)

        monkeypatch.setitem(
            registry._HANDLERS,
            ("", "Relu"),
            Handler(op="Relu", versions=(14,), domain="", function=build, wants_context=False),
        )
        n = Net(0, (1, 4))
        read = n.const(np.ones((1, 4), np.float32)) if folded else "x"
        return n.finish(n.add("Add", "x", n.add("Relu", read)))

    return make


def image():
    return {"x": np.zeros((1, 4))}


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("at_once", [True, False], ids=["bound", "evaluated"])
@pytest.mark.parametrize("folded", [True, False], ids=["constant", "changing"])
def test_a_fault_names_the_node(for_users, faulty, error, at_once, folded):
    with pytest.raises(UnsupportedOp) as caught:
        onnx_si.evaluate(faulty(error, at_once, folded), image())
    (found,) = caught.value.findings
    assert (found.op, found.opset) == ("Relu", 17) and found.node.startswith("node_Relu")
    assert found.reason.startswith("malformed, or a case that is not handled (")
    assert type(error).__name__ in found.reason and "\n" not in found.reason
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("at_once", [True, False])
def test_a_developer_sees_it_as_it_is(faulty, at_once):
    with pytest.raises(ValueError, match="mine"):
        onnx_si.evaluate(faulty(ValueError("mine"), at_once), image())


def test_memory_is_no_fault_of_a_node(for_users, faulty):
    with pytest.raises(MemoryError):
        onnx_si.evaluate(faulty(MemoryError()), image())


def test_a_long_story_is_cut(for_users, faulty):
    with pytest.raises(UnsupportedOp) as caught:
        onnx_si.evaluate(faulty(ValueError("long " * 10_000)), image())
    assert len(str(caught.value)) < 600


def late_fault():
    """A program whose Relu fails away from the image."""

    def relu(x):
        if np.any(x > 1):
            raise ZeroDivisionError("far away")
        return np.maximum(x, 0.0)

    n = Net(0, (1, 4))
    program = bind(n.finish(n.add("Relu", "x", out="y")), np.zeros((1, 4)), ("y",))
    step = program.instructions[0]
    broken = type(step)(**{**vars(step), "rule": Affine(linear=relu)})
    return type(program)(**{**vars(program), "instructions": (broken,)})


def test_a_fault_on_the_line_names_the_node(for_users):
    with pytest.raises(UnsupportedModel, match=r"node 'node_Relu.*\(Relu\): malformed, or .*far away"):
        list(walk(late_fault(), evaluate, Points(np.full((1, 1, 4), 2.0)), Tally()))


def test_a_fault_on_the_line_is_seen_by_a_developer():
    with pytest.raises(ZeroDivisionError):
        list(walk(late_fault(), evaluate, Points(np.full((1, 1, 4), 2.0)), Tally()))


@pytest.mark.parametrize(("debug", "code"), [("0", 3), ("1", 70)])
def test_exit_code(tmp_path, debug, code):
    """A node without an attribute that it must have."""
    node = helper.make_node("Cast", ["x"], ["y"], to=1)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["x", "i"], ["g"], axis=0), node],
        "bad",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 4, 4])],
        [numpy_helper.from_array(np.array([[0, 1]]), "nothing")],
    )
    graph.node[0].input[1] = "missing"
    graph.node[0].CopyFrom(helper.make_node("Trilu", ["x", "nothing"], ["g"]))
    graph.node[1].input[0] = "g"
    model, picture = tmp_path / "m.onnx", tmp_path / "x.npy"
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, model)
    np.save(picture, np.random.default_rng(0).normal(size=(4, 4)))
    call = [sys.executable, "-m", "onnx_si", model, picture, "--saliency", "output:y", "--std", "1"]
    call += ["--engine", "exact"]
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, DEBUG: debug})
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert debug == "1" or "node '(unnamed, writes g)' (Trilu, opset 17): malformed, or" in done.stderr
