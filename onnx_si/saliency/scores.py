"""The scores of a classifier: one number for each class, in front of Sigmoid and Softmax."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import Refusal, SaliencyUnavailable, UsageError
from onnx_si.graph import Editor, Model, nodes_between
from onnx_si.line.program import Program, bind
from onnx_si.saliency.backward.nodes import one_hot, reshaped
from onnx_si.saliency.maps import View, single_precision

SCORE_TAIL = frozenset(
    {"Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "Identity", "Reshape", "Flatten", "Squeeze", "Cast"}
)


def back(makers: dict[str, onnx.NodeProto], tensor: str, through: Iterable[str]) -> str:
    """The tensor in front of a chain of ops."""
    while tensor in makers and makers[tensor].op_type in through:
        tensor = makers[tensor].input[0]
    return tensor


@dataclass(frozen=True)
class Scores:
    """A tensor of class scores, and the graph in front of it bound to an image, with all its values."""

    tensor: str
    classes: int
    program: Program

    @property
    def shape(self) -> tuple[int, ...]:
        return self.program.values[self.tensor].shape


def find_scores(model: Model, image: NDArray[np.float64], view: View) -> Scores:
    """Find the scores of the first output that comes from one number for each class.

    Raises
    ------
    SaliencyUnavailable
        If there is none; the message says what was found.
    UnsupportedOp
        If a node in front of it can't be evaluated.
    """
    makers = {name: node for node in model.proto.graph.node for name in node.output}
    reasons = []
    for output in model.outputs:
        tensor = back(makers, output.name, SCORE_TAIL)
        program = _bound(model, image, tensor)
        program.require_values()
        shape = program.values[tensor].shape
        if not _one_per_class(shape, view):
            reasons.append(
                f"'{output.name}' comes from a tensor of shape {shape}, not from one score per class"
            )
        elif tensor in program.folded or tensor == program.input:
            reasons.append(f"'{output.name}' is not computed from the image")
        else:
            return Scores(tensor, max(shape, default=1), program)
    raise SaliencyUnavailable("no class scores: " + "; ".join(reasons))


def _bound(model: Model, image: NDArray[np.float64], tensor: str) -> Program:
    """The graph in front of a tensor, with the values of everything that its nodes read and write."""
    nodes = nodes_between(model.proto.graph, (tensor,))
    names = [name for node in nodes for name in (*node.input, *node.output) if name]
    return bind(model, image, (tensor,), shown=tuple(dict.fromkeys(names)))


def _one_per_class(shape: tuple[int, ...], view: View) -> bool:
    """Whether at most one axis has a length, and that one is no axis of space."""
    long = [axis for axis, length in enumerate(shape) if length > 1]
    last = len(shape) - 1
    allowed = (0, 1, last) if view.layout.axes.endswith("C") or len(shape) < 3 else (0, 1)
    return len(long) <= 1 and all(axis in allowed for axis in long)


def seed(editor: Editor, scores: Scores, target: int | str) -> str:
    """Append the derivative of the class's score with respect to all scores: a one at the class.

    Parameters
    ----------
    editor : Editor
    scores : Scores
    target : int or "predicted"
        The predicted class is recomputed by the graph itself: the choice is part of the selection.

    Raises
    ------
    UsageError
        If there is no such class.
    SaliencyUnavailable
        If there are too many classes to follow the predicted one.
    """
    if np.prod(scores.shape) != scores.classes:
        raise SaliencyUnavailable(f"the scores '{scores.tensor}' of shape {scores.shape} hold no number")
    if scores.classes > 1 and target == "predicted":
        row = reshaped(editor, single_precision(editor, scores.tensor), (1, scores.classes))
        index = editor.add("ArgMax", [row], axis=1, keepdims=0)
        try:
            return reshaped(editor, one_hot(editor, index, scores.classes), scores.shape)
        except Refusal as refusal:
            raise SaliencyUnavailable(f"{refusal}; give the class with --target K") from refusal
    chosen = target if isinstance(target, int) else 0
    if not 0 <= chosen < scores.classes:
        raise UsageError(f"target {target}: the model has {scores.classes} classes, numbered from 0")
    ones = (np.arange(scores.classes) == chosen).astype(np.float32)
    return editor.constant(ones.reshape(scores.shape))
