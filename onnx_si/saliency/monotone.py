"""A strictly increasing last op (Sigmoid, Softmax over two classes) is removed by moving the threshold to
the logit.
"""

from dataclasses import dataclass

import numpy as np
import onnx

from onnx_si.graph import Editor, Model

MOVES = frozenset(
    {
        "Identity",
        "Cast",
        "Transpose",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Slice",
        "Gather",
        "Split",
        "Dropout",
    }
)


@dataclass(frozen=True)
class Tail:
    """The op to be removed, and the nodes behind it that only move values."""

    op: onnx.NodeProto
    moves: tuple[onnx.NodeProto, ...]


def find_tail(model: Model, tensor: str) -> Tail | None:
    """Walk back from a tensor over moves of values to a Sigmoid or Softmax."""
    makers = {name: node for node in model.proto.graph.node for name in node.output}
    moves: list[onnx.NodeProto] = []
    node = makers.get(tensor)
    while node is not None and node.op_type in MOVES and node.domain in ("", "ai.onnx"):
        moves.append(node)
        node = makers.get(node.input[0])
    if node is None or node.op_type not in ("Sigmoid", "Softmax") or node.domain not in ("", "ai.onnx"):
        return None
    return Tail(node, tuple(reversed(moves)))


def softmax_axis(node: onnx.NodeProto, shape: tuple[int, ...], opset: int) -> int | None:
    """The axis of two classes that a Softmax runs over; None where it runs over more or fewer."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), -1 if opset >= 13 else 1) % len(shape)
    length = shape[axis] if opset >= 13 else int(np.prod(shape[axis:]))
    return axis if length == 2 and shape[axis] == 2 else None


def logit_tensor(editor: Editor, tail: Tail, axis: int | None) -> str:
    """Append the logit of what the tail computes; gives its name.

    softmax(l)_k over two classes is sigmoid(l_k - l_other), element by element.
    """
    logit = tail.op.input[0]
    if axis is not None:
        swapped = editor.add("Gather", [logit, editor.constant(np.array([1, 0], np.int64))], axis=axis)
        logit = editor.add("Sub", [logit, swapped])
    renamed: dict[str, str] = {tail.op.output[0]: logit}
    for move in tail.moves:
        copy = onnx.NodeProto()
        copy.CopyFrom(move)
        copy.name = editor.fresh(move.op_type)
        copy.input[0] = renamed[move.input[0]]
        for position, output in enumerate(move.output):
            if output:
                renamed[output] = editor.fresh("logit")
                copy.output[position] = renamed[output]
        editor.proto.graph.node.append(copy)
    return renamed[tail.moves[-1].output[0]] if tail.moves else logit
