"""The scores of a classifier: one number for each class, in front of Sigmoid and Softmax."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import Refusal, SaliencyUnavailable, UsageError
from onnx_si.graph import Editor, Model, nodes_between, read_by
from onnx_si.ground.terminal import shown
from onnx_si.ground.words import did_you_mean
from onnx_si.maps.appended import one_hot, reshaped
from onnx_si.maps.map import View, single_precision
from onnx_si.program.program import Program, bind
from onnx_si.rules.registry import traits_of
from onnx_si.rules.traits import IN_ORDER, ROOTS, Decision, Increasing, Traits

SCORE_WORDS = frozenset(
    {"class", "classes", "classification", "classifier", "cls", "label", "labels", "logit", "logits", "pred"}
    | {"prediction", "predictions", "prob", "probs", "probability", "probabilities", "score", "scores"}
    | {"softmax"}
)


ALONG_AN_AXIS = frozenset({Increasing.SOFTMAX, Increasing.LOG_SOFTMAX})


class Undecided(SaliencyUnavailable):
    """The user has to say something before there can be a map of any method."""


class SeveralScores(Undecided):
    """More than one output could be the class scores."""


class ManyClasses(Undecided):
    """The predicted class is one of too many."""


def back(makers: dict[str, onnx.NodeProto], tensor: str, through: Callable[[Traits], bool]) -> str:
    """The tensor in front of a chain of ops."""
    while tensor in makers and through(traits_of(makers[tensor])):
        tensor = makers[tensor].input[0]
    return tensor


def behind_scores(traits: Traits) -> bool:
    """Whether an op may stand between scores and an output: it tells as much, or a part of it."""
    increasing = traits.increasing is not None and traits.increasing not in ROOTS
    return increasing or traits.decides is Decision.LARGEST or traits.moves in IN_ORDER


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A tensor of class scores, and the graph in front of it bound to an image, with all its values; `notes`
    say why it is this one where there are several.
    """

    tensor: str
    classes: int
    program: Program
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.program.values[self.tensor].shape


def find_scores(model: Model, image: NDArray[np.float64], view: View) -> Scores:
    """Find the scores: one number for each class, in front of an output.

    Raises
    ------
    SaliencyUnavailable
        If there are none, or several could be; the message says what was found.
    UnsupportedOp
        If a node in front of them can't be evaluated.
    """
    names = (view.scores,) if view.scores else tuple(info.name for info in model.outputs)
    makers = {name: node for node in model.proto.graph.node for name in node.output}
    notes: tuple[str, ...] = ()
    tensors = dict.fromkeys(back(makers, name, behind_scores) for name in names)
    if len(tensors) > 1:
        chosen = choose_scores(model, image, view)
        tensors, notes = {chosen.tensor: None}, chosen.notes
    (tensor,) = tensors
    if view.scores and tensor not in makers:
        raise unnamed(view.scores, makers)
    program = _bound(model, image, tensor)
    program.require_values()
    problem = _problem(names[0], tensor, program, view)
    if problem:
        raise SaliencyUnavailable(f"no class scores: {problem}")
    return Scores(
        tensor=tensor, classes=max(program.values[tensor].shape, default=1), program=program, notes=notes
    )


def unnamed(name: str, makers: Iterable[str]) -> SaliencyUnavailable:
    """What to raise where no node has an output of a name."""
    near = did_you_mean(name, makers)
    return SaliencyUnavailable(
        f"the model has no tensor '{shown(name)}' that nodes compute from the image{near}"
    )


def _problem(output: str, tensor: str, program: Program, view: View) -> str:
    """Why a tensor can't be class scores; empty where it can."""
    shape = program.values[tensor].shape
    if not _one_per_class(shape, view):
        return f"'{output}' comes from a tensor of shape {shape}, not from one score per class"
    if tensor in program.folded or tensor == program.input:
        return f"'{output}' is not computed from the image"
    return ""


@dataclass(frozen=True)
class ChosenScores:
    """The tensor of the scores among several outputs, the outputs that come from it, and why."""

    tensor: str
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()


def choose_scores(model: Model, image: NDArray[np.float64], view: View) -> ChosenScores:
    """The scores where several outputs are vectors: what ends in a Softmax, is called so, or comes last.

    Raises
    ------
    SeveralScores
        If that does not leave one.
    SaliencyUnavailable
        If there are none.
    """
    makers = {name: node for node in model.proto.graph.node for name in node.output}
    sources: dict[str, list[str]] = {}
    for info in model.outputs:
        sources.setdefault(back(makers, info.name, behind_scores), []).append(info.name)
    program = bind(model, image, tuple(sources))
    gaps = {tensor for tensor in sources if tensor not in program.values}
    reasons = [f"'{sources[tensor][0]}' can't be evaluated" for tensor in sources if tensor in gaps]
    found: dict[str, list[str]] = {}
    for tensor, outputs in sources.items():
        problem = "" if tensor in gaps else _problem(outputs[0], tensor, program, view)
        if problem:
            reasons.append(problem)
        elif tensor not in gaps:
            found[tensor] = outputs
    if not found:
        raise SaliencyUnavailable("no class scores: " + "; ".join(reasons))
    if len(found) == 1:
        ((tensor, outputs),) = found.items()
        return ChosenScores(tensor, tuple(outputs))
    return _most_like_scores(model, makers, found)


def _most_like_scores(
    model: Model, makers: dict[str, onnx.NodeProto], found: dict[str, list[str]]
) -> ChosenScores:
    left, why = list(found), ""
    signs: tuple[tuple[str, Callable[[str], bool]], ...] = (
        ("it ends in a choice of class", lambda t: any(_chooses(makers, name) for name in found[t])),
        ("its name", lambda t: any(_named_so(name) for name in (*found[t], t))),
        ("the others are computed on the way to it", lambda t: _is_last(model, t, left)),
    )
    for reason, sign in signs:
        fitting = [tensor for tensor in left if sign(tensor)]
        left = fitting or left
        if len(left) == 1:
            why = reason
            break
    shown = {tensor: found[tensor][0] for tensor in found}
    if len(left) > 1:
        names = ", ".join(f"'{shown[tensor]}'" for tensor in left)
        raise SeveralScores(f"several outputs could be the class scores: {names}; choose with --scores NAME")
    (tensor,) = left
    others = ", ".join(f"'{name}'" for other, name in shown.items() if other != tensor)
    note = f"class scores '{shown[tensor]}': {why}; not {others} (--scores NAME takes another)"
    return ChosenScores(tensor, tuple(found[tensor]), (note,))


def _chooses(makers: dict[str, onnx.NodeProto], tensor: str) -> bool:
    """Whether there is a Softmax or ArgMax between scores and an output."""
    while tensor in makers and behind_scores(traits := traits_of(makers[tensor])):
        if traits.increasing in ALONG_AN_AXIS or traits.decides is Decision.LARGEST:
            return True
        tensor = makers[tensor].input[0]
    return False


def _named_so(name: str) -> bool:
    """Whether a word of a name says that these are scores."""
    return any(word in SCORE_WORDS for word in re.findall("[a-z]+", name.lower()))


def _is_last(model: Model, tensor: str, others: Sequence[str]) -> bool:
    """Whether all the others are computed on the way to a tensor."""
    read = {name for node in nodes_between(model.proto.graph, (tensor,)) for name in read_by(node)}
    return all(other in read for other in others if other != tensor)


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
    ManyClasses
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
            raise ManyClasses(f"give the class with --target K: {refusal}") from refusal
    chosen = target if isinstance(target, int) else 0
    if not 0 <= chosen < scores.classes:
        raise UsageError(f"target {target}: the model has {scores.classes} classes, numbered from 0")
    ones = (np.arange(scores.classes) == chosen).astype(np.float32)
    return editor.constant(ones.reshape(scores.shape))
