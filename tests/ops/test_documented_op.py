"""The op of docs/adding-an-op.md works as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import onnx_si
from onnx_si.graph import model_from_proto
from onnx_si.maps.trace import trace
from onnx_si.program.program import bind
from onnx_si.rules import registry
from onnx_si.rules.axes import Part, follows

from .line import assert_exact

GUIDE = Path(__file__).parents[2] / "docs" / "adding-an-op.md"


@pytest.fixture
def documented(monkeypatch):
    """The first code block of the guide, run; what it registers is forgotten afterwards."""
    monkeypatch.setattr(registry, "_HANDLERS", dict(registry._HANDLERS))
    code = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)[0]
    exec(compile(code, str(GUIDE), "exec"), {})  # noqa: S102 - our own documentation
    node = helper.make_node("HardShrink", ["x"], ["y"], domain="com.example", name="tested", lambd=0.75)
    graph = helper.make_graph(
        [node],
        "documented",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    return model_from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=8))


def test_the_documented_op(documented):
    x = np.array([[-2.0, 0.5, 0.8]])
    assert onnx_si.evaluate(documented, {"x": x})["y"].tolist() == [[-2.0, 0.0, 0.8]]
    program = bind(documented, x, ("y",))
    program.require_exact()
    (part,) = assert_exact(program, np.array([[0.0, 1.0, 0.1]]), np.array([[1.0, -0.5, 0.0]]))["y"]
    np.testing.assert_allclose(part.knots, [-3, -0.75, -0.75, 0.5, 0.5, 0.75, 0.75, 3])


def test_what_the_documented_op_states_is_asked_for(documented):
    """Elsewhere nothing was added, and the axes behind it are told."""
    x = np.array([[-2.0, 0.5, 0.8]])
    axes = trace(documented, x, ("y",))["y"]
    assert [follows(axis) for axis in axes] == [Part(source=0, size=1), Part(source=1, size=3)]


@pytest.mark.parametrize(("place", "file"), [(1, "ops/rounding.py"), (2, "maps/backward/gating.py")])
def test_the_other_blocks_are_the_package_s_own(place, file):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3
    assert blocks[place].strip() in (Path(onnx_si.__file__).parent / file).read_text(encoding="utf-8")


def test_the_documented_op_takes_ten_lines():
    block = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)[1]
    assert block.split("\n\n\n")[1].strip().count("\n") < 10
