"""What the walk over the nodes knows so far of each tensor, and of what it can't bind."""

import copy
import dataclasses
import functools
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnx_si.errors import Finding, Refusal
from onnx_si.graph import Model, Turn, read_by
from onnx_si.graph.constants import declared_shapes
from onnx_si.graph.turns import foreseen
from onnx_si.ground.terminal import shown
from onnx_si.program.forms import Form
from onnx_si.program.instruction import Instruction
from onnx_si.program.node import domain_of, element_of
from onnx_si.rules.registry import Input, Variable
from onnx_si.rules.rules import KINDS

KEPT_BYTES = 64 << 20  # of values that are kept for whoever asks for them again
BY_TENSOR = (
    *("sources", "findings", "words", "types", "forms", "curves", "decided"),
    *("stepwise", "gaps", "unknown", "loose", "untyped", "summed"),
)
"""What is known by a tensor's name, and follows from what the node that makes it reads."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A node to be bound, the one that is named if it can't be, and the model's node that it is a part of;
    of a loop, how far it is unrolled, and the work on it before its first turn.
    """

    node: onnx.NodeProto
    named: onnx.NodeProto
    top: onnx.NodeProto
    turn: Turn | None = None
    before: "Work | None" = None

    @functools.cached_property
    def own(self) -> frozenset[str]:
        """What the node itself reads, which its turns do not change."""
        return frozenset(read_by(self.node)) if self.before is None else self.before.own

    @functools.cached_property
    def reads(self) -> frozenset[str]:
        """Every tensor that the node needs, what its subgraphs capture included."""
        return self.own if self.turn is None else self.own | self.turn.reads

    def after(self, turn: Turn) -> "Work":
        """The rest of a loop behind a turn."""
        first = self if self.before is None else self.before
        return dataclasses.replace(self, turn=turn, before=first)

    def parts(self, nodes: Iterable[onnx.NodeProto]) -> list["Work"]:
        """The nodes that this one stands for; each is named by itself."""
        return [
            Work(node=inner, named=inner if self.named is self.node else self.named, top=self.top)
            for inner in nodes
        ]


def _of(known: Any, names: Set[str]) -> Any:
    """What is known of some tensors."""
    if isinstance(known, set):
        return known & names
    return {name: found for name, found in known.items() if name in names}


def key_of(node: onnx.NodeProto) -> str:
    """What a node goes by: the first tensor that it makes."""
    return next(filter(None, node.output), "")


class Known:
    """What is known of each tensor.

    `sources` tells for every tensor that changes with the image which tensors its value is computed from,
    `findings` and `gaps` the reasons by the tensor that they spoil, `classed` the classes of nodes' outputs.
    `particular` are the model's nodes for which a rule, or that there is none, was decided by this image's
    values, `words` what the numbers of a tensor of text stand for. `unknown` are tensors of which nothing is
    known, `loose` those whose shape may depend on the image, `decided` outputs of an If or a Loop, with what
    decides them, and `remaining` counts who will still read a tensor. `forms` tells of tensors that are more
    than affine between knots what they are, `curves` which products and smooth functions they are made of.
    `untyped` are tensors whose element type is a guess, `summed` are floating-point sums that no step has
    rounded yet. `written_out` counts the nodes of turns of loops; `nodes` are those that are walked over.

    A node of the model goes by its first output (`key_of`). `owner` tells by a tensor's name which of them
    made it (`tangled`: of one name two did), `at` which one is looked at. `spare` has values of `lasting`
    tensors that nobody is left to read, `spared` bytes, as far as these are kept for whoever goes on here.
    """

    def __init__(self, model: Model, image_name: str, image: NDArray[Any], given: Mapping[str, NDArray[Any]]):
        self.image_name = image_name
        self.stored = model.stored
        self.opsets = model.opsets
        self.constants: dict[str, NDArray[Any]] = {**model.initializers, **given}
        self.values = {image_name: np.asarray(image, dtype=np.float64)[None]}
        self.stepwise = {image_name} if np.asarray(image).dtype.kind in "iub" else set()
        self.instructions: list[Instruction] = []
        self.sources: dict[str, tuple[str, ...]] = {}
        self.findings: dict[str, Finding] = {}
        self.gaps: set[str] = set()
        self.classed: list[tuple[str, tuple[str, ...], str]] = []
        self.words: dict[str, tuple[str, ...]] = {}
        self.particular: set[str] = set()
        declared = {value.name: value.type.tensor_type.elem_type for value in model.proto.graph.input}
        self.types = {image_name: declared.get(image_name) or onnx.TensorProto.FLOAT}
        self.declared = declared_shapes(model.proto.graph)
        self.unknown: set[str] = set()
        self.loose: set[str] = set()
        self.forms: dict[str, Form] = {}
        self.curves: dict[str, dict[str, tuple[Work, str]]] = {}
        self.decided: dict[str, str] = {}
        self.untyped: set[str] = set()
        self.summed: set[str] = set()
        self.written_out = 0
        self.nodes: tuple[onnx.NodeProto, ...] = ()
        self.remaining: Counter[str] = Counter()
        self.owner: dict[str, str] = {}
        self.tangled = False
        self.at = ""
        self.lasting: frozenset[str] = frozenset()
        self.spare: dict[str, NDArray[np.float64]] = {}
        self.spared = 0

    @property
    def kinds(self) -> dict[str, str]:
        """The class of each node's outputs: a node is of the least tractable class of its parts."""
        found: dict[str, str] = {}
        for _, outputs, kind in self.classed:
            for output in outputs:
                found[output] = max(kind, found.get(output, "affine"), key=KINDS.index)
        return found

    @functools.cached_property
    def foreseen(self) -> int:
        """Nodes of turns that there will be for certain; asked for at the first loop."""
        return foreseen(self.nodes, self.constants)

    def looks_at(self, work: Work) -> None:
        """The next node: its outputs belong to the model's node that it is a part of."""
        self.at = key_of(work.top)
        self.own(filter(None, work.node.output))

    def own(self, names: Iterable[str]) -> None:
        """The node that is looked at makes tensors of these names."""
        for name in names:
            self.tangled |= self.owner.setdefault(name, self.at) != self.at

    def drop(self, name: str) -> None:
        """Nobody reads a tensor's value any more."""
        value = self.values.pop(name, None)
        if value is None or name not in self.lasting:
            return
        self.spare[name] = value
        self.spared += value.nbytes
        while self.spared > KEPT_BYTES:
            largest = max(self.spare, key=lambda other: self.spare[other].nbytes)
            self.spared -= self.spare.pop(largest).nbytes

    def find(self, work: Work, refusal: Refusal, kind: str, *outputs: str) -> None:
        """Keep the reason why the values of a node's outputs (by default all) are not exact."""
        node = work.named
        name = shown(node.name) or f"(unnamed, writes {shown(next(iter(node.output), '?'))})"
        opset = self.opsets.get(domain_of(node), 0)
        finding = Finding(
            node=name, op=shown(node.op_type), opset=opset, reason=refusal.reason, advice=refusal.advice
        )
        self.findings.update(dict.fromkeys(outputs or work.node.output, finding))
        self.classify(work, kind)

    def classify(self, work: Work, kind: str) -> None:
        """Note a class of a node's part, and at which node it was found."""
        self.classed.append((self.at, tuple(work.top.output), kind))

    def lose(self, node: onnx.NodeProto) -> None:
        """Nothing is known of a node's outputs."""
        self.unknown.update(node.output)
        self.sources.update((name, tuple(read_by(node))) for name in node.output)

    def input(self, name: str) -> Input:
        """What a handler is given for a tensor."""
        if not name:
            return None
        if name in self.values:
            return Variable(self.values[name].shape[1:], name in self.stepwise, self.types[name])
        return self.constants[name]

    def blank(self, name: str) -> NDArray[Any]:
        """Zeros of a changing tensor's type and shape, in no memory."""
        dtype = helper.tensor_dtype_to_np_dtype(self.types[name])
        return np.broadcast_to(np.zeros((), dtype), self.values[name].shape[1:])

    def elements(self, node: onnx.NodeProto) -> dict[str, int]:
        """Element type of each input."""
        return {name: self.element(name) for name in node.input if name}

    def element(self, name: str) -> int:
        """Element type of a tensor."""
        return self.types[name] if name in self.values else element_of(self.constants[name])

    def shapes(self, node: onnx.NodeProto) -> dict[str, tuple[int, ...]]:
        """Shape of each input."""
        shapes = {name: self.values[name].shape[1:] for name in node.input if name in self.values}
        return shapes | {name: self.constants[name].shape for name in node.input if name in self.constants}

    def type_protos(self, node: onnx.NodeProto) -> dict[str, onnx.TypeProto]:
        shapes = self.shapes(node)
        kinds = self.elements(node)
        return {name: helper.make_tensor_type_proto(kinds[name], shape) for name, shape in shapes.items()}

    def all_values(self) -> dict[str, NDArray[np.float64]]:
        """Every value at the image that is still there."""
        return self.spare | self.values

    def forgotten(self, wanted: Iterable[str], keys: Container[str]) -> set[str]:
        """Which of some nodes made a wanted tensor of which nothing is there any more; "" for the image."""
        there = self.constants.keys() | self.unknown | self.spare.keys() | self.values.keys()
        makers = {name: self.owner.get(name, "") for name in wanted if name not in there}
        return {key for name, key in makers.items() if key in keys or name == self.image_name}

    def part(self, model: Model, keys: Container[str], wanted: Container[str]) -> Self:
        """What is known by some of the nodes alone, of a model that has the same ones: to be gone on from, by
        nodes that read some wanted tensors.
        """
        new = copy.copy(self)
        new.__dict__.pop("foreseen", None)
        new.owner = {name: key for name, key in self.owner.items() if key in keys}
        here = new.owner.keys() | {self.image_name}
        for field in BY_TENSOR:
            setattr(new, field, _of(getattr(self, field), here))
        new.constants = {name: self._stored(name, model) for name in model.stored}
        new.constants |= {name: self.constants[name] for name in self.constants.keys() & new.owner.keys()}
        values = {name: value for name, value in self.all_values().items() if name in here}
        new.values = {name: value for name, value in values.items() if name in wanted}
        new.spare = {name: value for name, value in values.items() if name not in wanted}
        new.spared = sum(value.nbytes for value in new.spare.values())
        new.instructions = [step for step in self.instructions if step.output in here]
        new.classed = [one for one in self.classed if one[0] in keys]
        new.particular = {key for key in self.particular if key in keys}
        new.stored, new.declared = model.stored, declared_shapes(model.proto.graph)
        new.remaining = Counter()
        return new

    def _stored(self, name: str, model: Model) -> NDArray[Any]:
        """A stored tensor of a model: the array that is known, if it is the same."""
        tensor = model.stored[name]
        same = self.stored.get(name) == tensor
        return self.constants[name] if same else numpy_helper.to_array(tensor)

    def arrange(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Put everything in the order of the nodes."""
        order = {key_of(node): place for place, node in enumerate(nodes)}
        self.instructions.sort(key=lambda step: order[self.owner[step.output]])
        self.classed.sort(key=lambda one: order[one[0]])
        self.findings = dict(sorted(self.findings.items(), key=lambda one: order[self.owner[one[0]]]))
