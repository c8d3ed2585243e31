"""Strictly increasing ops (Sigmoid, Softmax, LogSoftmax) between scores and a decision are removed exactly: a
threshold moves to the logit, an ArgMax or a comparison to the scores.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.special import logit

from onnx_si.errors import SaliencyUnavailable
from onnx_si.graph import Editor, Model
from onnx_si.maps.saturation import alike, choice_saturates
from onnx_si.program.program import bind
from onnx_si.rules.registry import traits_of
from onnx_si.rules.traits import ANY_MOVE, IN_PLACE, ROOTS, Decision, Increasing, Moves

FULL_PRECISION = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE})

LINKS = frozenset(Increasing) - ROOTS
LOGISTIC = frozenset({Increasing.SIGMOID, Increasing.SOFTMAX})
ALONG_AXES = IN_PLACE | {Moves.PERMUTES}
CHOICES = frozenset({Decision.LARGEST, Decision.SMALLEST})
LARGEST_SCORE = 1e3  # stands for one whose probability double precision rounds to 0 or 1
Makers = Mapping[str, onnx.NodeProto]


@dataclass(frozen=True)
class Tail:
    """The last op that is no move of values, the moves behind it, and the tensor that they end in: a move may
    have several outputs.
    """

    op: onnx.NodeProto
    moves: tuple[onnx.NodeProto, ...]
    end: str

    @property
    def link(self) -> Increasing | None:
        """Which function of the scores the op is."""
        return traits_of(self.op).increasing


def find_tail(model: Model, tensor: str) -> Tail | None:
    """Walk back from a tensor over moves of values to a Sigmoid, Softmax or LogSoftmax."""
    return _tail(_makers(model), tensor, LINKS, ANY_MOVE)


def find_root(model: Model, tensor: str) -> Tail | None:
    """Walk back from a tensor over moves of values to a Sqrt or ReduceL2."""
    return _tail(_makers(model), tensor, ROOTS, ANY_MOVE)


def squared_tensor(editor: Editor, tail: Tail) -> str:
    """Append the square of what a root gives, by ops that never take it; gives its name."""
    if tail.link is Increasing.ROOT:
        return _moved(editor, tail, tail.op.input[0])
    squares = _copy(tail.op)
    squares.op_type = "ReduceSumSquare"
    squares.name = editor.fresh("squares")
    squares.output[0] = editor.fresh("squares")
    editor.proto.graph.node.append(squares)
    return _moved(editor, tail, squares.output[0])


def find_labels(model: Model, tensor: str) -> onnx.NodeProto | None:
    """Walk back from a tensor over moves of values to the ArgMax that it holds the classes of."""
    makers = _makers(model)
    node = makers.get(tensor)
    while node is not None and (moves := traits_of(node).moves) is not None:
        if moves is Moves.CASTS and _target(node) == onnx.TensorProto.BOOL:
            return None
        node = makers.get(node.input[0])
    return node if node is not None and traits_of(node).decides is Decision.LARGEST else None


def _makers(model: Model) -> Makers:
    return {name: node for node in model.proto.graph.node for name in node.output}


def _tail(
    makers: Makers, tensor: str, links: frozenset[Increasing], through: frozenset[Moves]
) -> Tail | None:
    moves: list[onnx.NodeProto] = []
    node = makers.get(tensor)
    while node is not None and traits_of(node).moves in through and not _rounds(node):
        moves.append(node)
        node = makers.get(node.input[0])
    if node is None or traits_of(node).increasing not in links:
        return None
    return Tail(node, tuple(reversed(moves)), tensor)


def _rounds(node: onnx.NodeProto) -> bool:
    """Whether it is a cast that makes equal what was not: to whole numbers, or to half precision."""
    return traits_of(node).moves is Moves.CASTS and _target(node) not in FULL_PRECISION


def _target(cast: onnx.NodeProto) -> int:
    return next(int(a.i) for a in cast.attribute if a.name == "to")


def _axis(node: onnx.NodeProto, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == "axis"), default)


def softmax_axis(node: onnx.NodeProto, shape: tuple[int, ...], opset: int) -> int | None:
    """The axis of two classes that a Softmax runs over; None where it runs over more or fewer."""
    axis = _axis(node, -1 if opset >= 13 else 1) % len(shape)
    length = shape[axis] if opset >= 13 else int(np.prod(shape[axis:]))
    return axis if length == 2 and shape[axis] == 2 else None


def _keeps_order_along(node: onnx.NodeProto, axis: int, rank: int, opset: int) -> bool:
    """Whether an op is increasing along an axis: a Softmax divides what it runs over by the same number."""
    if traits_of(node).increasing is Increasing.SIGMOID:
        return True
    own = _axis(node, -1 if opset >= 13 else 1) % rank
    return axis == own if opset >= 13 else axis >= own


def logit_tensor(editor: Editor, tail: Tail, axis: int | None) -> str:
    """Append the logit of what the tail computes; gives its name.

    softmax(l)_k over two classes is sigmoid(l_k - l_other), element by element.
    """
    source = tail.op.input[0]
    if axis is not None:
        swapped = editor.add("Gather", [source, editor.constant(np.array([1, 0], np.int64))], axis=axis)
        source = editor.add("Sub", [source, swapped])
    return _moved(editor, tail, source)


def _moved(editor: Editor, tail: Tail, source: str) -> str:
    """Append the tail's moves again, on another tensor; gives the last one's output."""
    renamed: dict[str, str] = {tail.op.output[0]: source}
    for move in tail.moves:
        copy = _copy(move)
        copy.name = editor.fresh(move.op_type)
        copy.input[0] = renamed[move.input[0]]
        for position, output in enumerate(move.output):
            if output:
                renamed[output] = editor.fresh("logit")
                copy.output[position] = renamed[output]
        editor.proto.graph.node.append(copy)
    return renamed[tail.end]


def on_scores(model: Model, image: NDArray[np.float64]) -> Model:
    """The model with every choice and comparison behind Sigmoid, Softmax or LogSoftmax made on the scores.

    argmax(softmax(l)) = argmax(l), and sigmoid(l) > c where l > logit(c); softmax over two classes is the
    sigmoid of a difference.
    """
    makers = _makers(model)
    behind: dict[int, tuple[Tail | None, ...]] = {}
    for position, node in enumerate(model.proto.graph.node):
        decides = traits_of(node).decides
        if decides is None:
            continue
        links, through = (LINKS, ALONG_AXES) if decides in CHOICES else (LOGISTIC, ANY_MOVE)
        tails = tuple(_tail(makers, name, links, through) for name in node.input)
        if any(tails):
            behind[position] = tails
    if not behind:
        return model
    read = {name for position in behind for name in model.proto.graph.node[position].input}
    scores = {tail.op.input[0] for tails in behind.values() for tail in tails if tail is not None}
    known = bind(model, image, tuple(read | scores))
    editor, nodes = Editor(model), list[onnx.NodeProto]()
    for position, node in enumerate(model.proto.graph.node):
        start = len(editor.proto.graph.node)
        if position in behind:
            rewire = _choose if traits_of(node).decides in CHOICES else _compare
            node = rewire(editor, node, behind[position], known.values, known.folded, model.opset) or node
        nodes += [*map(_copy, editor.proto.graph.node[start:]), node]
    del editor.proto.graph.node[:]
    editor.proto.graph.node.extend(nodes)
    return editor.finish()


Values = Mapping[str, NDArray[Any]]


Tails = tuple[Tail | None, ...]


def _choose(
    editor: Editor, node: onnx.NodeProto, tails: Tails, values: Values, folded: frozenset[str], opset: int
) -> onnx.NodeProto | None:
    """The largest score is where the largest probability is.

    Raises
    ------
    SaliencyUnavailable
        If several scores of one choice lie where the deployed Sigmoid gives the same number for all.
    """
    (tail,) = tails
    if tail is None or tail.op.input[0] not in values:
        return None
    rank = values[tail.op.input[0]].ndim
    axis = _axis(node, 0) % rank
    for move in reversed(tail.moves):
        if traits_of(move).moves is Moves.PERMUTES:
            axis = next((list(a.ints) for a in move.attribute if a.name == "perm"), list(range(rank))[::-1])[
                axis
            ]
    if not _keeps_order_along(tail.op, axis, rank, opset):
        return None
    _require_unsaturated(node, tail, values[tail.op.input[0]], axis)
    return _with_input(node, 0, _moved(editor, tail, tail.op.input[0]))


def _require_unsaturated(node: onnx.NodeProto, tail: Tail, scores: NDArray[Any], axis: int) -> None:
    """Where one number stands for several scores, a runtime chooses the first of them, or any."""
    if tail.link is Increasing.LOG_SOFTMAX:
        return
    smallest = traits_of(node).decides is Decision.SMALLEST
    if choice_saturates(scores, axis, softmax=tail.link is Increasing.SOFTMAX, smallest=smallest):
        raise SaliencyUnavailable(
            f"{node.op_type} of '{node.input[0]}' compares probabilities whose scores reach "
            f"{float(np.abs(scores).max()):.4g}: in single precision {tail.op.op_type} may give one number "
            f"for several of them, and the region is that of the ties; export the scores in front of it"
        )


def _compare(
    editor: Editor, node: onnx.NodeProto, tails: Tails, values: Values, folded: frozenset[str], opset: int
) -> onnx.NodeProto | None:
    """A probability above a constant is a logit above the constant's."""
    constants = [i for i, name in enumerate(node.input) if name in folded]
    if len(constants) != 1:
        return None
    (constant,) = constants
    tail = tails[1 - constant]
    if tail is None or tail.op.input[0] not in values:
        return None
    levels = values[node.input[constant]]
    if not np.all((levels > 0) & (levels < 1)):
        return None
    axis = None
    if tail.link is Increasing.SOFTMAX:
        axis = softmax_axis(tail.op, values[tail.op.input[0]].shape, opset)
        if axis is None:
            return None
    _require_told_apart(node, tail, values, levels, axis)
    level = editor.constant(logit(levels))
    score = editor.add("Cast", [logit_tensor(editor, tail, axis)], to=onnx.TensorProto.DOUBLE)
    return _with_input(_with_input(node, constant, level), 1 - constant, score)


def _require_told_apart(
    node: onnx.NodeProto, tail: Tail, values: Values, levels: NDArray[Any], axis: int | None
) -> None:
    """A comparison with a level near 0 or 1 is decided by rounding of the deployed probabilities."""
    probabilities = values[tail.end]
    scores = logit(np.clip(probabilities, 0.0, 1.0))
    if alike(np.where(np.isfinite(scores), scores, np.sign(scores) * LARGEST_SCORE), logit(levels)).any():
        raise SaliencyUnavailable(
            f"{node.op_type} of '{tail.end}' compares a probability with a level that single precision can't "
            f"tell from it; compare the scores in front of {tail.op.op_type}"
        )


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _with_input(node: onnx.NodeProto, position: int, name: str) -> onnx.NodeProto:
    copy = _copy(node)
    copy.input[position] = name
    return copy
