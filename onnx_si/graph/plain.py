"""What exporters compute from shapes: moves of a few whole numbers, as the reference evaluator does them.

Loading that evaluator takes as long as a small test, and most models need it for nothing else.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = tuple[Array | None, ...]

PLAIN_TYPES = {
    onnx.TensorProto.INT32: np.int32,
    onnx.TensorProto.INT64: np.int64,
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.DOUBLE: np.float64,
    onnx.TensorProto.BOOL: np.bool_,
}


def plainly(node: onnx.NodeProto, inputs: Arrays) -> Array | None:
    """The output of a node on rows of numbers; None where it is anything but such a move."""
    move = MOVES.get(node.op_type) if node.domain in ("", "ai.onnx") and len(node.output) == 1 else None
    return None if move is None else move(inputs, {each.name: each for each in node.attribute})


def _cast(inputs: Arrays, given: dict[str, onnx.AttributeProto]) -> Array | None:
    (x,) = inputs
    kind = PLAIN_TYPES.get(given["to"].i) if "to" in given else None
    return None if x is None or kind is None or x.dtype.kind not in "ib" else x.astype(kind)


def _gather(inputs: Arrays, given: dict[str, onnx.AttributeProto]) -> Array | None:
    x, places = inputs
    axis = given["axis"].i if "axis" in given else 0
    if x is None or places is None or x.ndim != 1 or axis not in (0, -1) or places.dtype.kind != "i":
        return None
    if not ((-len(x) <= places) & (places < len(x))).all():
        return None
    return np.asarray(x[places])


def _slice(inputs: Arrays, given: dict[str, onnx.AttributeProto]) -> Array | None:
    if given or len(inputs) < 3:
        return None  # before opset 10
    x, start, stop, axes, step = (*inputs, None, None)[:5]
    rows = (start, stop, *(each for each in (axes, step) if each is not None))
    if x is None or x.ndim != 1 or any(row is None or row.shape != (1,) for row in rows):
        return None
    at, until, by = (None if row is None else int(row[0]) for row in (start, stop, step))
    if by == 0 or (axes is not None and int(axes[0]) not in (0, -1)):
        return None
    return x[at:until:by]


def _concat(inputs: Arrays, given: dict[str, onnx.AttributeProto]) -> Array | None:
    rows = [each for each in inputs if each is not None and each.ndim == 1]
    same = len(rows) == len(inputs) and len({row.dtype for row in rows}) == 1
    return np.concatenate(rows) if same and "axis" in given and given["axis"].i in (0, -1) else None


def _unsqueeze(inputs: Arrays, given: dict[str, onnx.AttributeProto]) -> Array | None:
    if given or len(inputs) != 2:
        return None  # before opset 13
    x, axes = inputs
    return (
        x.reshape(1) if x is not None and axes is not None and x.ndim == 0 and axes.tolist() == [0] else None
    )


MOVES: dict[str, Callable[[Arrays, dict[str, onnx.AttributeProto]], Array | None]] = {
    "Cast": _cast,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
}
