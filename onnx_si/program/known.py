"""What the walk over the nodes knows so far of each tensor, and of what it can't bind."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import Finding, Refusal
from onnx_si.graph import Model, Turn, read_by
from onnx_si.graph.constants import declared_shapes
from onnx_si.graph.turns import foreseen
from onnx_si.ground.terminal import shown
from onnx_si.program.forms import Form
from onnx_si.program.instruction import Instruction
from onnx_si.program.node import domain_of
from onnx_si.rules.registry import Input, Variable
from onnx_si.rules.rules import KINDS


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


class Known:
    """What is known of each tensor.

    `sources` tells for every tensor that changes with the image which tensors its value is computed from,
    `findings` and `gaps` the reasons by the tensor that they spoil, `kinds` the class of each node's outputs.
    `particular` tells whether a rule, or that there is none, was decided by this image's values, `words` what
    the numbers of a tensor of text stand for. `unknown` are tensors of which nothing is known, `loose` those
    whose shape may depend on the image, `decided` outputs of an If or a Loop, with what decides them, and
    `remaining` counts who will still read a tensor. `forms` tells of tensors that are more than affine
    between knots what they are, `curves` which products and smooth functions they are made of. `untyped` are
    tensors whose element type is a guess, `summed` are floating-point sums that no step has rounded yet.
    `written_out` counts the nodes of turns of loops; `nodes` are those that are walked over.
    """

    def __init__(self, model: Model, image_name: str, image: NDArray[Any], given: Mapping[str, NDArray[Any]]):
        self.opsets = model.opsets
        self.constants: dict[str, NDArray[Any]] = {**model.initializers, **given}
        self.values = {image_name: np.asarray(image, dtype=np.float64)[None]}
        self.stepwise = {image_name} if np.asarray(image).dtype.kind in "iub" else set()
        self.instructions: list[Instruction] = []
        self.sources: dict[str, tuple[str, ...]] = {}
        self.findings: dict[str, Finding] = {}
        self.gaps: set[str] = set()
        self.kinds: dict[str, str] = {}
        self.words: dict[str, tuple[str, ...]] = {}
        self.particular = False
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

    @functools.cached_property
    def foreseen(self) -> int:
        """Nodes of turns that there will be for certain; asked for at the first loop."""
        return foreseen(self.nodes, self.constants)

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
        """A node is of the least tractable class of its parts."""
        for output in work.top.output:
            self.kinds[output] = max(kind, self.kinds.get(output, "affine"), key=KINDS.index)

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
