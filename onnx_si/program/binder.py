"""One walk over the nodes: constants evaluated, a rule for every tensor that changes with the image, and the
reasons where there is none.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnx_si.errors import Mixed, Refusal
from onnx_si.graph import PREFIX, function_body, refuse_by_name
from onnx_si.graph.constants import affordable, inferred_shapes
from onnx_si.graph.schema import called, shape_problem, type_problem
from onnx_si.ground.budget import budget
from onnx_si.ground.wall import ceiling
from onnx_si.kernels.arrays import Constant
from onnx_si.ops.recipe import Recipe
from onnx_si.program.folding import at_one_image, folded
from onnx_si.program.forms import STEADY, STRAIGHT, followed
from onnx_si.program.gate import as_refusal
from onnx_si.program.instruction import Instruction, cost_of
from onnx_si.program.known import Known, Work
from onnx_si.program.node import attributes_of, domain_of, element_of, output_elements, schema_version
from onnx_si.program.ranges import limits_of, require_held
from onnx_si.program.unrolling import expands
from onnx_si.rules.registry import WHOLE_NUMBERS, Context, Worded, find
from onnx_si.rules.rules import (
    Affine,
    Bilinear,
    Composition,
    Counted,
    Disputed,
    Gated,
    Opaque,
    Quotient,
    Rule,
    Smooth,
    Step,
    Winner,
    kind_of,
    loosely,
)
from onnx_si.rules.traits import SAME_VALUES

_ADVICE = {
    "smooth": "choose a map in front of it, or train with a piecewise-linear function",
    "bilinear": "choose a map in front of it",
    "discrete": "choose a map in front of it, or compare in its place",
    "unsupported": "choose a map in front of it",
}
HALVES = (
    "sums of whole levels lie half way between two others here, and the order in which a runtime adds "
    "decides which they become"
)


class Binder(Known):
    """Walks the nodes once."""

    def run(self, nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> None:
        """Bind nodes in their order; only the outputs' values are kept, and what is spare."""
        with budget(), ceiling():
            self._run(nodes, outputs)

    def _run(self, nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> None:
        self.nodes = tuple(nodes)
        pending = [Work(node=node, named=node, top=node) for node in reversed(self.nodes)]
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
                    self.drop(name)

    def _will_read(self, works: Iterable[Work]) -> None:
        for work in works:
            self.remaining.update(work.reads)

    def _visit(self, work: Work) -> list[Work]:
        """Bind one node, or give the nodes that it stands for."""
        node = work.node
        self.looks_at(work)
        named = [name for name in node.input if name]
        if any(name in self.unknown for name in named):
            self.lose(node)  # its reason is on record already
            return []
        try:
            if (expansion := expands(node)) is not None:
                return expansion(self, work)
            self._require_types(node)
            if not any(name in self.values for name in work.reads):
                self._fold(node)
                return []
            refuse_by_name(node)
            return self._translate(work)
        except MemoryError as error:
            words = f": {error}" if str(error) else ""
            raise MemoryError(f"node {called(work.named)}{words}") from error
        except Exception as error:
            self.find(work, as_refusal(error), "unsupported")
            self.gaps.update(node.output)
            self.particular.add(self.at)
            self._substitute(node)
            return []

    def _require_types(self, node: onnx.NodeProto) -> None:
        """Shapes and element types that the op takes, as far as they are certain."""
        advice = "the model breaks the ONNX specification; export it again"
        if not domain_of(node) and (why := shape_problem(node, self.shapes(node))) is not None:
            raise Refusal(why, advice)
        if not self.untyped.isdisjoint(node.input):
            self.untyped.update(node.output)
            return
        elements = self.elements(node)
        kinds = tuple(elements.get(name) for name in node.input)
        problem = type_problem(node.op_type, domain_of(node), self.opsets.get(domain_of(node), 1), kinds)
        if problem is not None:
            raise Refusal(problem, advice)

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

    def _translate(self, work: Work) -> list[Work]:
        """Record a rule for every output that is read; an op without handler gives way to its definition."""
        node = work.node
        domain = domain_of(node)
        version = schema_version(node.op_type, domain, self.opsets.get(domain, 1))
        self.types.update(output_elements(node, self.elements(node), version))
        if version < 0:
            self.untyped.update(node.output)
        try:
            handler = find(node.op_type, domain, version)
        except Refusal:
            nodes = function_body(node, self.type_protos(node), self.opsets)
            if not nodes:
                raise
            return [Work(node=inner, named=work.named, top=work.top) for inner in nodes]
        inputs = tuple(self.input(name) for name in node.input)
        attributes = attributes_of(node)
        read = [name for name in node.input if name in self.words]
        if read and handler.traits.moves not in SAME_VALUES:
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
                    self._record(
                        work,
                        output,
                        made,
                        Recipe(handler=handler, inputs=inputs, attributes=attributes, context=context),
                    )
        return []

    @staticmethod
    def _at_this_image(made: NDArray[Any]) -> Counted:
        """What is computed from a shape that depends on the image is no constant: it holds at this image."""
        return Counted(evaluate=Constant(np.asarray(made, dtype=np.float64)[None]))

    def _record(self, work: Work, output: str, made: Rule | Composition, recipe: Recipe) -> None:
        """One instruction for each rule of the op; the inner ones write tensors that only this op reads."""
        names = [name for name in work.node.input if name in self.values]
        rules = (made,) if not isinstance(made, Composition) else tuple(s.rule for s in made.stages)
        if not isinstance(made, Composition):
            self._apply(work, output, made, tuple(names), recipe)
        else:
            inner = [f"{output}/stage_{i}" for i in range(1, len(made.stages))]
            self.own(inner)
            taken = set(inner) & (self.values.keys() | self.constants.keys())
            if taken:
                raise Refusal(f"the tensor name {min(taken)!r} is used twice", "rename that tensor")
            names += inner
            for written, stage in zip([*inner, output], made.stages, strict=True):
                self._apply(work, written, stage.rule, tuple(names[i] for i in stage.inputs))
            for name in inner:
                del self.values[name]
        self._check_range(output, rules[-1])
        self.classify(work, kind_of(rules, steady=output in self.stepwise))

    def _apply(
        self, work: Work, output: str, rule: Rule, inputs: tuple[str, ...], recipe: Recipe | None = None
    ) -> None:
        """Record one rule and its value at the image."""
        node, steady = work.node, all(name in self.stepwise for name in inputs)
        if isinstance(rule, Gated) and not all(inputs[gate] in self.stepwise for gate in rule.gates):
            why = f"{node.op_type} of whole numbers that the line moves"
            rule = Opaque(evaluate=rule.evaluate, kind="discrete", reason=why, steady=True)
        value = loosely(rule, *(self.values[name] for name in inputs))
        shape = affordable(value.shape[1:])
        alone = isinstance(rule, Opaque) and not rule.steady
        self.particular.update([self.at] if alone else ())
        if not steady:
            self._bend(work, output, rule, inputs)
        followed_on = steady or output in self.forms
        if isinstance(rule, Smooth | Quotient | Opaque) and (alone or not followed_on):
            why = rule.reason or f"{node.op_type} is {rule.kind}, not piecewise linear"
            self.find(work, Refusal(why, _ADVICE[rule.kind]), rule.kind, output)
        self._blame(work, output, rule, inputs)
        self._add_up(work, output, rule, inputs)
        if steady or isinstance(rule, Step | Winner):
            self.stepwise.add(output)
        if not self.loose.isdisjoint(inputs) or (alone and not isinstance(rule, Disputed | Counted)):
            self.loose.add(output)
        self.values[output] = value
        self.sources[output] = inputs
        cost = cost_of(rule, shape)
        self.instructions.append(
            Instruction(
                output=output,
                rule=rule,
                inputs=inputs,
                shape=shape,
                node=node.name,
                op=node.op_type,
                cost=cost,
                recipe=recipe,
            )
        )

    def _add_up(self, work: Work, output: str, rule: Rule, inputs: tuple[str, ...]) -> None:
        """Whether the output is a sum, whose last digits a runtime's order of adding decides, and a finding
        where a step of whole levels rounds one that is a half.
        """
        if not isinstance(rule, Step | Winner):
            adds = isinstance(rule, Affine | Bilinear | Gated) and rule.terms > 1
            floating = any(self.types.get(name) not in WHOLE_NUMBERS for name in inputs)
            if (adds and floating) or not self.summed.isdisjoint(inputs):
                self.summed.add(output)
        elif isinstance(rule, Step) and rule.halves is not None:
            if self.summed.isdisjoint(inputs) or not all(name in self.stepwise for name in inputs):
                return
            self.particular.add(self.at)  # another image has other halves
            if rule.halves(*(self.values[name] for name in inputs)).any():
                self.find(work, Refusal(HALVES, _ADVICE["discrete"]), "discrete", output)

    def _bend(self, work: Work, output: str, rule: Rule, inputs: tuple[str, ...]) -> None:
        """Note what the output is along the line, where that is more than affine and followed."""
        forms = [self.forms.get(name, STEADY if name in self.stepwise else STRAIGHT) for name in inputs]
        bends = isinstance(rule, Bilinear | Quotient) or (isinstance(rule, Smooth) and rule.reach is not None)
        if not bends and not any(form.curved for form in forms):
            return
        made = followed(rule, forms, [self.values[name].shape[1:] for name in inputs])
        if made is not None and not (made.flat and not self._appended(work)):
            self.forms[output] = made

    @staticmethod
    def _appended(work: Work) -> bool:
        """Whether a node is not the model's own, whose Sigmoids may be saturated: a threshold on these is one
        on the scores, or on a Sigmoid of scores that is appended.
        """
        return bool(work.node.name.startswith(f"{PREFIX}/"))

    def _blame(self, work: Work, output: str, rule: Rule, inputs: tuple[str, ...]) -> None:
        """Keep what bends a tensor, and a finding for the last of it, smooth functions before products, where
        that is followed no further.
        """
        made = {name: by for read in inputs for name, by in self.curves.get(read, {}).items()}
        if isinstance(rule, Step | Winner) and output in self.forms:
            return
        if output in self.forms:
            bends = isinstance(rule, Bilinear | Quotient | Smooth)
            self.curves[output] = made | ({output: (work, rule.kind)} if bends else {})
        elif made and output not in self.findings:
            by, kind = max(reversed(made.values()), key=lambda one: one[1] != "bilinear")
            why = f"{by.node.op_type} is {kind}, not piecewise linear, and {work.node.op_type} reads it"
            self.find(by, Refusal(why, _ADVICE[kind]), kind, output)

    def _check_range(self, output: str, rule: Rule) -> None:
        """What a type can't hold is refused at the image; integers, which wrap, are watched on the line."""
        require_held(self.values[output], self.types[output])
        if limits := limits_of(helper.tensor_dtype_to_np_dtype(self.types[output]), rule):
            self.instructions[-1] = dataclasses.replace(self.instructions[-1], limits=limits)

    def _substitute(self, node: onnx.NodeProto) -> None:
        """Zeros of the right shape for a node without a rule, so that the nodes behind it can be examined
        too.
        """
        blank = {name: self.blank(name) for name in node.input if name in self.values}
        known = {name: self.constants[name] for name in node.input if name in self.constants}
        shapes = inferred_shapes(node, known | blank, self.opsets, unknown=blank) if blank else {}
        if not shapes and domain_of(node):  # no schema tells: what the model declares
            told = {name: self.declared[name] for name in node.output if name in self.declared}
            self.types.update({name: element for name, (element, _) in told.items()})
            shapes = {name: shape for name, (_, shape) in told.items()}
        self.lose(node)
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
