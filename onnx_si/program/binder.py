"""One walk over the nodes: constants evaluated, a rule for every tensor that changes with the image, and the
reasons where there is none.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnx_si.errors import Finding, Mixed, Refusal
from onnx_si.graph import (
    BATCHED,
    Model,
    Turn,
    after_last_turn,
    chosen_branch,
    each_image,
    first_turn,
    function_body,
    one_turn,
    read_by,
    refuse_by_name,
    scanned_axes,
)
from onnx_si.graph.constants import affordable, inferred_shapes
from onnx_si.graph.loops import length_of, one_number, require_few
from onnx_si.graph.schema import type_problem
from onnx_si.ground.budget import budget, ceiling
from onnx_si.ground.words import shown
from onnx_si.ops.recipe import Recipe
from onnx_si.program.folding import at_one_image, folded
from onnx_si.program.gate import as_refusal
from onnx_si.program.instruction import Instruction, cost_of
from onnx_si.program.node import attributes_of, domain_of, element_of, output_elements, schema_version
from onnx_si.program.ranges import limits_of, require_held
from onnx_si.rules.registry import PASS_TEXT, WHOLE_NUMBERS, Context, Input, Variable, Worded, find
from onnx_si.rules.rules import (
    KINDS,
    Composition,
    Counted,
    Curved,
    Disputed,
    Gated,
    Opaque,
    Rule,
    Step,
    Winner,
    kind_of,
)

_ADVICE = {
    "smooth": "choose a map in front of it, or train with a piecewise-linear function",
    "bilinear": "choose a map in front of it",
    "discrete": "choose a map in front of it, or compare in its place",
    "unsupported": "choose a map in front of it",
}


@dataclass(frozen=True)
class _Work:
    """A node to be bound, the one that is named if it can't be, and the model's node that it is a part of;
    of a loop, how far it is unrolled.
    """

    node: onnx.NodeProto
    named: onnx.NodeProto
    top: onnx.NodeProto
    turn: Turn | None = None

    @functools.cached_property
    def reads(self) -> frozenset[str]:
        """Every tensor that the node needs, what its subgraphs capture included."""
        own = frozenset(read_by(self.node))
        return own if self.turn is None else own | self.turn.reads

    def parts(self, nodes: Iterable[onnx.NodeProto]) -> list["_Work"]:
        """The nodes that this one stands for; each is named by itself."""
        return [_Work(inner, inner if self.named is self.node else self.named, self.top) for inner in nodes]


class Binder:
    """Walks the nodes once; holds what is known of each tensor so far.

    `sources` tells for every tensor that changes with the image which tensors its value is computed from,
    `findings` and `gaps` the reasons by the tensor that they spoil, `kinds` the class of each node's outputs.
    `particular` tells whether a rule, or that there is none, was decided by this image's values, `words` what
    the numbers of a tensor of text stand for.
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
        self.unknown: set[str] = set()
        self.loose: set[str] = set()  # tensors whose shape may depend on the image
        self.decided: dict[str, str] = {}  # outputs of an If or a Loop, and what decides them at the image
        self.untyped: set[str] = set()  # tensors whose element type is a guess
        self.written_out = 0  # nodes of turns of loops so far
        self.remaining: Counter[str] = Counter()

    def run(self, nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> None:
        """Bind nodes in their order; only the outputs' values are kept."""
        with budget(), ceiling():
            self._run(nodes, outputs)

    def _run(self, nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> None:
        pending = [_Work(node, node, node) for node in nodes][::-1]
        self.remaining.update(outputs)
        self._will_read(pending)
        while pending:
            work = pending.pop()
            parts = self._visit(work)
            self._will_read(parts)
            pending.extend(reversed(parts))
            for name in work.reads:
                self.remaining[name] -= 1
                if not self.remaining[name]:
                    self.values.pop(name, None)

    def _will_read(self, works: Iterable[_Work]) -> None:
        for work in works:
            self.remaining.update(work.reads)

    def _visit(self, work: _Work) -> list[_Work]:
        """Bind one node, or give the nodes that it stands for."""
        node = work.node
        named = [name for name in node.input if name]
        if any(name in self.unknown for name in named):
            self._lose(node)  # its reason is on record already
            return []
        try:
            if node.op_type in ("If", "Loop", "Scan") and not domain_of(node):
                return self._branch(work) if node.op_type == "If" else self._unroll(work)
            self._require_types(node)
            if not any(name in self.values for name in work.reads):
                self._fold(node)
                return []
            refuse_by_name(node)
            return self._translate(work)
        except Exception as error:
            self._find(work, as_refusal(error), "unsupported")
            self.gaps.update(node.output)
            self.particular = True
            self._substitute(node)
            return []

    def _find(self, work: _Work, refusal: Refusal, kind: str, *outputs: str) -> None:
        """Keep the reason why the values of a node's outputs (by default all) are not exact."""
        node = work.named
        name = shown(node.name) or f"(unnamed, writes {shown(next(iter(node.output), '?'))})"
        opset = self.opsets.get(domain_of(node), 0)
        finding = Finding(name, shown(node.op_type), opset, refusal.reason, refusal.advice)
        self.findings.update(dict.fromkeys(outputs or work.node.output, finding))
        self._classify(work, kind)

    def _classify(self, work: _Work, kind: str) -> None:
        """A node is of the least tractable class of its parts."""
        for output in work.top.output:
            self.kinds[output] = max(kind, self.kinds.get(output, "affine"), key=KINDS.index)

    def _lose(self, node: onnx.NodeProto) -> None:
        self.unknown.update(node.output)
        self.sources.update((name, tuple(read_by(node))) for name in node.output)

    def _branch(self, work: _Work) -> list[_Work]:
        """An `If` is the branch that it takes at the image; exact only where it always takes that one."""
        why = "the condition depends on the image, and branches are not compared"
        condition = self._decided(
            work, work.node.input[0], why, "export with a fixed condition, or with Where"
        )
        return work.parts(chosen_branch(work.node, bool(condition)))

    def _decided(self, work: _Work, name: str, why: str, advice: str) -> float:
        """The number that a tensor holds, at the image if it changes; a finding then."""
        value = self.constants.get(name)
        if value is None:
            self._decide(work, name, why, advice)
            value = self.values[name][0]
        return one_number(value, name)

    def _decide(self, work: _Work, name: str, why: str, advice: str) -> None:
        """Note that a node has its outputs, constant or not, and their shapes by this image only."""
        self.decided.update(dict.fromkeys(filter(None, work.node.output), name))
        self.loose.update(work.node.output)
        self.particular = True
        self._find(work, Refusal(why, advice), "discrete")

    def _unroll(self, work: _Work) -> list[_Work]:
        """One more turn of a loop and the rest of it, or its outputs after the last one."""
        node = work.node
        version = schema_version(node.op_type, "", self.opsets[""])
        if node.op_type == "Scan" and version == BATCHED and work.turn is None:
            return self._unbatch(work)
        at = work.turn or first_turn(node, version)
        if at.condition in self.unknown:
            self._lose(node)  # its reason is on record already
            return []
        turns = self._turns(work, at)
        self.written_out = require_few(node, at, turns, self.written_out)
        if at.done >= turns:
            return work.parts(after_last_turn(node, at, self.opsets[""]))
        nodes, following = one_turn(node, at, turns)
        self.remaining.update(following.made)  # kept until the last turn, whose nodes stack them
        made = {name for inner in nodes for name in inner.output if name}
        if any(name in self.values or name in self.constants for name in made):
            raise Refusal("tensors of its turns have names that are taken", "rename the loop's outputs")
        return [*work.parts(nodes), dataclasses.replace(work, turn=following)]

    def _unbatch(self, work: _Work) -> list[_Work]:
        """A Scan for each image of a batch."""
        first = self._input(work.node.input[-1])
        before, scans, after = each_image(work.node, 0 if first is None else first.shape[0], self.opsets[""])
        started = [
            dataclasses.replace(part, turn=first_turn(part.node, BATCHED + 1)) for part in work.parts(scans)
        ]
        return [*work.parts(before), *started, *work.parts(after)]

    def _turns(self, work: _Work, at: Turn) -> int:
        """How many turns a loop makes, as far as it is known before the next one."""
        node = work.node
        why, advice = "the number of its turns depends on the image", "export with a fixed number of turns"
        if node.op_type == "Scan":
            for name in self.loose & {name for name, _ in scanned_axes(node)}:
                self._decide(work, name, why, advice)
            shapes = [(self._input(name), axis) for name, axis in scanned_axes(node)]
            lengths = {length_of(value.shape, axis) for value, axis in shapes if value is not None}
            if len(lengths) != 1:
                raise Refusal(f"scanned axes of lengths {sorted(lengths)}", "export it again")
            return int(lengths.pop())
        if at.condition and not self._decided(work, at.condition, why, advice):
            return at.done
        limit = node.input[0] if node.input else ""
        return int(self._decided(work, limit, why, advice)) if limit else at.done + 1

    def _require_types(self, node: onnx.NodeProto) -> None:
        """Element types that the op takes, as far as they are certain."""
        if not self.untyped.isdisjoint(node.input):
            self.untyped.update(node.output)
            return
        elements = self._elements(node)
        kinds = tuple(elements.get(name) for name in node.input)
        problem = type_problem(node.op_type, domain_of(node), self.opsets.get(domain_of(node), 1), kinds)
        if problem is not None:
            raise Refusal(problem, "the model breaks the ONNX specification; export it again")

    def _blank(self, name: str) -> NDArray[Any]:
        """Zeros of a changing tensor's type and shape, in no memory."""
        dtype = helper.tensor_dtype_to_np_dtype(self.types[name])
        return np.broadcast_to(np.zeros((), dtype), self.values[name].shape[1:])

    def _fold(self, node: onnx.NodeProto) -> None:
        """Evaluate a node once."""
        inputs = [self.constants[name] if name else None for name in node.input]
        wanted = [name for name in node.output if name and self.remaining[name]]
        made = folded(node, inputs, self.opsets, wanted)
        self.constants.update(made)
        for name in self.decided.keys() & made:  # the number of turns or the branch is this image's
            self.types[name] = element_of(self.constants[name])
            self.values[name] = np.asarray(self.constants.pop(name), dtype=np.float64)[None]
            self.sources[name] = (self.decided[name],)

    def _input(self, name: str) -> Input:
        if not name:
            return None
        if name in self.values:
            return Variable(self.values[name].shape[1:], name in self.stepwise, self.types[name])
        return self.constants[name]

    def _translate(self, work: _Work) -> list[_Work]:
        """Record a rule for every output that is read; an op without handler gives way to its definition."""
        node = work.node
        domain = domain_of(node)
        version = schema_version(node.op_type, domain, self.opsets.get(domain, 1))
        self.types.update(output_elements(node, self._elements(node), version))
        if version < 0:
            self.untyped.update(node.output)
        try:
            handler = find(node.op_type, domain, version)
        except Refusal:
            nodes = function_body(node, self._type_protos(node), self.opsets)
            if not nodes:
                raise
            return [_Work(inner, work.named, work.top) for inner in nodes]
        inputs = tuple(self._input(name) for name in node.input)
        attributes = attributes_of(node)
        read = [name for name in node.input if name in self.words]
        if read and node.op_type not in PASS_TEXT:
            raise Refusal(f"{node.op_type} of text", "choose an output that needs no text")
        for position, output in enumerate(node.output):
            if output and self.remaining[output]:
                context = Context(position, len(node.output), version)
                try:
                    made = handler.build(inputs, attributes, context)
                except Mixed as refusal:
                    changing = {name: self.types[name] for name in node.input if name in self.values}
                    fixed = {name: self.constants[name] for name in node.input if name in self.constants}
                    made = at_one_image(node, position, changing, fixed, self.opsets, refusal)
                if isinstance(made, Worded):
                    self.words[output], made = made.words, made.rule
                elif read:
                    self.words[output] = self.words[read[0]]
                if isinstance(made, np.ndarray) and not self.loose.isdisjoint(node.input):
                    made = self._at_this_image(made)
                if isinstance(made, np.ndarray):
                    self.constants[output] = made
                    self.untyped.add(output)  # a handler's array need not have the op's element type
                else:
                    self._record(work, output, made, Recipe(handler, inputs, attributes, context))
        return []

    @staticmethod
    def _at_this_image(made: NDArray[Any]) -> Counted:
        """What is computed from a shape that depends on the image is no constant: it holds at this image."""
        return Counted(lambda *xs: np.asarray(made, dtype=np.float64)[None])

    def _elements(self, node: onnx.NodeProto) -> dict[str, int]:
        """Element type of each input."""
        return {
            name: self.types[name] if name in self.values else element_of(self.constants[name])
            for name in node.input
            if name
        }

    def _type_protos(self, node: onnx.NodeProto) -> dict[str, onnx.TypeProto]:
        shapes = {name: self.values[name].shape[1:] for name in node.input if name in self.values}
        shapes |= {name: self.constants[name].shape for name in node.input if name in self.constants}
        kinds = self._elements(node)
        return {name: helper.make_tensor_type_proto(kinds[name], shape) for name, shape in shapes.items()}

    def _record(self, work: _Work, output: str, made: Rule | Composition, recipe: Recipe) -> None:
        """One instruction for each rule of the op; the inner ones write tensors that only this op reads."""
        names = [name for name in work.node.input if name in self.values]
        rules = (made,) if not isinstance(made, Composition) else tuple(s.rule for s in made.stages)
        if not isinstance(made, Composition):
            self._apply(work, output, made, tuple(names), recipe)
        else:
            inner = [f"{output}/stage_{i}" for i in range(1, len(made.stages))]
            taken = set(inner) & (self.values.keys() | self.constants.keys())
            if taken:
                raise Refusal(f"the tensor name {min(taken)!r} is used twice", "rename that tensor")
            names += inner
            for written, stage in zip([*inner, output], made.stages, strict=True):
                self._apply(work, written, stage.rule, tuple(names[i] for i in stage.inputs))
            for name in inner:
                del self.values[name]
        self._check_range(output, rules[-1])
        self._classify(work, kind_of(rules, steady=output in self.stepwise))

    def _apply(
        self, work: _Work, output: str, rule: Rule, inputs: tuple[str, ...], recipe: Recipe | None = None
    ) -> None:
        """Record one rule and its value at the image."""
        node, steady = work.node, all(name in self.stepwise for name in inputs)
        if isinstance(rule, Gated) and not all(inputs[gate] in self.stepwise for gate in rule.gates):
            rule = Curved(rule.evaluate, "discrete", f"{node.op_type} of whole numbers that the line moves")
        value = rule.evaluate(*(self.values[name] for name in inputs))
        shape = affordable(value.shape[1:])
        self.particular |= isinstance(rule, Opaque)
        if isinstance(rule, Opaque) or (isinstance(rule, Curved) and not steady):
            why = rule.reason or f"{node.op_type} is {rule.kind}, not piecewise linear"
            self._find(work, Refusal(why, _ADVICE[rule.kind]), rule.kind, output)
        if steady or isinstance(rule, Step | Winner):
            self.stepwise.add(output)
        if not self.loose.isdisjoint(inputs) or (
            isinstance(rule, Opaque) and not isinstance(rule, Disputed | Counted)
        ):
            self.loose.add(output)
        self.values[output] = value
        self.sources[output] = inputs
        cost = cost_of(rule, shape)
        self.instructions.append(
            Instruction(output, rule, inputs, shape, node.name, node.op_type, cost, recipe=recipe)
        )

    def _check_range(self, output: str, rule: Rule) -> None:
        """What a type can't hold is refused at the image; integers, which wrap, are watched on the line."""
        require_held(self.values[output], self.types[output])
        if limits := limits_of(helper.tensor_dtype_to_np_dtype(self.types[output]), rule):
            self.instructions[-1] = dataclasses.replace(self.instructions[-1], limits=limits)

    def _substitute(self, node: onnx.NodeProto) -> None:
        """Zeros of the right shape for a node without a rule, so that the nodes behind it can be examined
        too.
        """
        blank = {name: self._blank(name) for name in node.input if name in self.values}
        known = {name: self.constants[name] for name in node.input if name in self.constants}
        shapes = inferred_shapes(node, known | blank, self.opsets, unknown=blank) if blank else {}
        self._lose(node)
        self.untyped.update(node.output)
        if not self.loose.isdisjoint(node.input):
            self.loose.update(node.output)
        for name in node.output:
            try:
                self.values[name] = np.zeros((1, *affordable(shapes[name])))
            except (KeyError, Refusal):
                continue
            self.unknown.discard(name)
            if self.types.setdefault(name, onnx.TensorProto.FLOAT) in WHOLE_NUMBERS:
                self.stepwise.add(name)
