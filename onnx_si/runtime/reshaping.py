"""A map that a tensor of the file is already, but for its type and shape: taken without a second session."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

View = Callable[[NDArray[Any]], NDArray[Any]]
FLOATS = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE})


def view_of(
    nodes: Sequence[onnx.NodeProto], constants: Mapping[str, onnx.TensorProto], start: str, end: str
) -> View | None:
    """What one tensor becomes on its way through nodes that change nothing but its type and shape.

    Parameters
    ----------
    nodes : sequence of NodeProto
        In their order.
    constants : dict
    start, end : str

    Returns
    -------
    callable or None
        None where a node does more, or asks for a part of another shape.
    """
    steps = list[View]()
    name = start
    for node in nodes:
        step = _step(node, constants) if node.domain in ("", "ai.onnx") and node.input[0] == name else None
        if step is None:
            return None
        steps.append(step)
        name = node.output[0]
    if name != end:
        return None

    def through(value: NDArray[Any]) -> NDArray[Any]:
        for step in steps:
            value = step(value)
        return value

    return through


def _step(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> View | None:
    match node.op_type:
        case "Identity":
            return lambda value: value
        case "Cast":
            return _cast(node)
        case "Reshape" if node.input[1] in constants:
            shape = tuple(numpy_helper.to_array(constants[node.input[1]]).tolist())
            if min(shape, default=1) > 0:  # 0 and -1 ask for parts of the other shape
                return lambda value: value.reshape(shape)
    return None


def _cast(node: onnx.NodeProto) -> View | None:
    """To single or double precision: there every runtime rounds alike."""
    to = next((int(a.i) for a in node.attribute if a.name == "to"), None)
    if to not in FLOATS:
        return None
    kind = helper.tensor_dtype_to_np_dtype(to)

    def cast(value: NDArray[Any]) -> NDArray[Any]:
        if value.dtype == kind:
            return value
        with np.errstate(over="ignore"):  # infinite then, as in the runtime
            return np.asarray(value, kind)

    return cast
