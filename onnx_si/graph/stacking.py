"""Tensors stacked along a new axis, as nodes."""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper


def constant_node(name: str, value: ArrayLike) -> onnx.NodeProto:
    """A node that holds a value."""
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))


def stacked(parts: Sequence[str], output: str, axis: int, opset: int, name: str) -> list[onnx.NodeProto]:
    """Tensors of one shape along a new axis."""
    rows = [f"{output}:row_{i}" for i in range(len(parts))]
    nodes = [
        made for part, row in zip(parts, rows, strict=True) for made in _unsqueezed(part, row, axis, opset)
    ]
    return [*nodes, helper.make_node("Concat", rows, [output], name=name, axis=axis)]


def _unsqueezed(tensor: str, made: str, axis: int, opset: int) -> list[onnx.NodeProto]:
    if opset < 13:
        return [helper.make_node("Unsqueeze", [tensor], [made], axes=[axis])]
    axes = f"{made}:axes"
    return [
        constant_node(axes, np.array([axis], np.int64)),
        helper.make_node("Unsqueeze", [tensor, axes], [made]),
    ]
