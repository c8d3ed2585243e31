"""Bind a graph to an image: shapes fixed, constants evaluated, one rule for every tensor that changes with
the image.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

import onnx_si.ops  # noqa: F401 - registers every handler
from onnx_si.errors import Finding, InputError, Refusal, UnsupportedOp
from onnx_si.graph import Model, fold, nodes_between
from onnx_si.graph.constants import NOT_INFERRED, affordable, inferred_shapes
from onnx_si.ops.registry import WHOLE_NUMBERS, Context, Input, Variable, find
from onnx_si.ops.rules import (
    Affine,
    Composition,
    Curved,
    Gated,
    Opaque,
    Rule,
    Stage,
    Step,
    Winner,
    kind_of,
)


@dataclass(frozen=True)
class Instruction:
    """Compute one tensor from others by a rule.

    `shape` is the tensor's (no batch axis), `cost` its multiply-adds at one point, `kind` the op's kind of
    function, `dead` what nobody reads afterwards.
    """

    output: str
    rule: Rule
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    node: str
    op: str
    cost: int
    kind: str
    dead: tuple[str, ...] = ()


@dataclass(frozen=True)
class Program:
    """A bound graph: what to compute along the line, and every wanted output's value at the image itself.

    `stepwise` tensors are constant on pieces of the line, `folded` ones do not depend on the image. `gaps`
    are the findings of nodes that have no rule here: the values behind them are zeros of the right shape.
    """

    input: str
    shape: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]
    findings: tuple[Finding, ...]
    stepwise: frozenset[str]
    folded: frozenset[str] = frozenset()
    gaps: tuple[Finding, ...] = ()

    @cached_property
    def cost(self) -> int:
        """Multiply-adds of one forward pass."""
        return sum(instruction.cost for instruction in self.instructions)

    def require_exact(self) -> None:
        """Raise one `UnsupportedOp` with every node that stands in the way of an exact analysis."""
        if self.findings:
            raise UnsupportedOp(self.findings)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode()
        return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value

    return {a.name: plain(helper.get_attribute_value(a)) for a in node.attribute}


def _schema_version(node: onnx.NodeProto, opsets: Mapping[str, int]) -> int:
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        return int(onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), domain).since_version)
    except onnx.defs.SchemaError:
        return -1


def _float(value: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(value, dtype=np.float64)


class _Binder:
    """Walks the nodes once; holds what is known of each tensor so far."""

    def __init__(self, model: Model, image_name: str, image: NDArray[Any], given: Mapping[str, NDArray[Any]]):
        self.opsets = model.opsets
        self.constants: dict[str, NDArray[Any]] = {
            t.name: numpy_helper.to_array(t) for t in model.proto.graph.initializer
        }
        self.constants.update(given)
        self.values = {image_name: _float(image)[None]}
        self.stepwise = {image_name} if np.asarray(image).dtype.kind in "iub" else set()
        self.instructions: list[Instruction] = []
        self.findings: list[Finding] = []
        self.gaps: list[Finding] = []
        declared = {value.name: value.type.tensor_type.elem_type for value in model.proto.graph.input}
        self.types = {image_name: declared.get(image_name, onnx.TensorProto.FLOAT)}
        self.unknown: set[str] = set()

    def visit(self, node: onnx.NodeProto, remaining: Counter[str]) -> None:
        """Bind one node; free what no later node reads."""
        named = [name for name in node.input if name]
        if any(name in self.unknown for name in named):
            self.unknown.update(node.output)  # its reason is on record already
        elif not any(name in self.values for name in named):
            self._fold(node)
        else:
            self._translate(node, remaining)
        remaining.subtract(set(named))
        for name in set(named):
            if not remaining[name]:
                self.values.pop(name, None)

    def _find(self, node: onnx.NodeProto, refusal: Refusal) -> None:
        opset = self.opsets.get("" if node.domain == "ai.onnx" else node.domain, 0)
        name = node.name or f"(unnamed, writes {next(iter(node.output), '?')})"
        finding = Finding(name, node.op_type, opset, refusal.reason, refusal.advice)
        if finding not in self.findings:  # an op of several rules or outputs gives one reason once
            self.findings.append(finding)

    def _fold(self, node: onnx.NodeProto) -> None:
        try:
            inputs = tuple(self.constants[name] if name else None for name in node.input)
            made = fold(node, inputs, self.opsets)
        except Refusal as refusal:
            self._find(node, refusal)
            self.unknown.update(node.output)
            return
        self.constants.update(
            (name, value) for name, value in zip(node.output, made, strict=True) if name and value is not None
        )

    def _input(self, name: str) -> Input:
        if not name:
            return None
        if name in self.values:
            return Variable(self.values[name].shape[1:], name in self.stepwise, self.types[name])
        return self.constants[name]

    def _translate(self, node: onnx.NodeProto, remaining: Counter[str]) -> None:
        domain = "" if node.domain == "ai.onnx" else node.domain
        version = _schema_version(node, self.opsets)
        self.types.update(self._output_types(node, domain, version))
        for position, output in enumerate(node.output):
            if not output or not remaining[output]:
                continue
            try:
                handler = find(node.op_type, domain, version)
                inputs = tuple(self._input(name) for name in node.input)
                made = handler.build(inputs, _attributes(node), Context(position, len(node.output), version))
                if isinstance(made, np.ndarray):
                    self.constants[output] = made
                else:
                    self._record(node, output, made)
            except Refusal as refusal:
                self._find(node, refusal)
                self.gaps.append(self.findings[-1])
                self._substitute(node)
                return

    def _output_types(self, node: onnx.NodeProto, domain: str, version: int) -> dict[str, int]:
        """Element type of each output: integers divide, round and overflow unlike floating-point numbers."""
        types = dict.fromkeys(node.output, onnx.TensorProto.FLOAT)
        try:
            known = {
                name: self.types[name]
                if name in self.values
                else helper.np_dtype_to_tensor_dtype(self.constants[name].dtype)
                for name in node.input
                if name
            }
            inferred = onnx.shape_inference.infer_node_outputs(
                onnx.defs.get_schema(node.op_type, version, domain),
                node,
                {name: helper.make_tensor_type_proto(kind, None) for name, kind in known.items()},
            )
        except NOT_INFERRED:
            return types  # an unknown op or a broken node: the handler, or the lack of one, gives the reason
        return types | {name: kind.tensor_type.elem_type for name, kind in inferred.items()}

    def _record(self, node: onnx.NodeProto, output: str, made: Rule | Composition) -> None:
        """One instruction for each rule of the op; the inner ones write tensors that only this op reads."""
        names = [name for name in node.input if name in self.values]
        stages = made.stages if isinstance(made, Composition) else (Stage(made, tuple(range(len(names)))),)
        inner = [f"{output}/stage_{i}" for i in range(1, len(stages))]
        taken = set(inner) & (self.values.keys() | self.constants.keys())
        if taken:
            raise Refusal(f"the tensor name {min(taken)!r} is used twice", "rename that tensor")
        names += inner
        rules = tuple(stage.rule for stage in stages)
        for written, stage in zip([*inner, output], stages, strict=True):
            self._apply(node, written, stage.rule, tuple(names[i] for i in stage.inputs), rules)
        self._check_range(output, self.values[output])
        for name in inner:
            del self.values[name]

    def _apply(
        self, node: onnx.NodeProto, output: str, rule: Rule, inputs: tuple[str, ...], whole: tuple[Rule, ...]
    ) -> None:
        steady = all(name in self.stepwise for name in inputs)
        if isinstance(rule, Opaque) or (isinstance(rule, Curved) and not steady):
            reason = rule.reason or f"{node.op_type} is {rule.kind}, not piecewise linear"
            self._find(node, Refusal(reason, _ADVICE[rule.kind]))
        value = rule.evaluate(*(self.values[name] for name in inputs))
        shape = affordable(value.shape[1:])
        if steady or isinstance(rule, Step | Winner):
            self.stepwise.add(output)
        kind = kind_of(whole, steady=output in self.stepwise)
        terms = rule.terms if isinstance(rule, Affine | Gated) else 1
        self.values[output] = value
        self.instructions.append(
            Instruction(
                output, rule, inputs, shape, node.name, node.op_type, terms * max(1, value.size), kind
            )
        )

    def _check_range(self, output: str, value: NDArray[np.float64]) -> None:
        """Integers that leave their type's range wrap around: refused."""
        dtype = helper.tensor_dtype_to_np_dtype(self.types[output])
        if dtype.kind in "iu" and value.size:
            limits = np.iinfo(dtype)
            if value.min() < limits.min or value.max() > limits.max:
                raise Refusal(
                    f"values from {value.min():g} to {value.max():g} overflow {dtype}", "use a wider type"
                )

    def _substitute(self, node: onnx.NodeProto) -> None:
        """Zeros of the right shape for a node without a rule, so that the nodes behind it can be examined
        too.
        """
        blank = {
            name: np.broadcast_to(
                np.zeros((), helper.tensor_dtype_to_np_dtype(self.types[name])), self.values[name].shape[1:]
            )
            for name in node.input
            if name in self.values
        }
        known = {name: self.constants[name] for name in node.input if name in self.constants}
        shapes = inferred_shapes(node, known | blank, self.opsets, unknown=blank)
        for name in node.output:
            try:
                self.values[name] = np.zeros((1, *affordable(shapes[name])))
            except (KeyError, Refusal):
                self.unknown.add(name)
            if self.types.get(name) in WHOLE_NUMBERS:
                self.stepwise.add(name)


_ADVICE = {
    "smooth": "choose a map in front of it, or train with a piecewise-linear function",
    "bilinear": "choose a map in front of it",
    "discrete": "choose a map in front of it, or compare in its place",
    "unsupported": "choose a map in front of it",
}


def bind(
    model: Model,
    image: NDArray[Any],
    outputs: tuple[str, ...],
    *,
    input_name: str | None = None,
    given: Mapping[str, NDArray[Any]] | None = None,
) -> Program:
    """Bind a model to one image, evaluating it there in float64.

    Parameters
    ----------
    model : Model
    image : array
        In the shape of the model's input, batch axis included.
    outputs : tuple of str
        Tensors wanted; everything they don't need is pruned.
    input_name : str, optional
        The input that takes the image; default the only one.
    given : mapping of str to array, optional
        Values of the other inputs: constants of the analysis.

    Returns
    -------
    Program
        Its `findings` list the nodes that can't be analysed exactly; `require_exact` raises them.

    Raises
    ------
    InputError
        If an output does not exist or can't be evaluated, or an input has no value.
    """
    given = dict(given or {})
    name = input_name or next(info.name for info in model.inputs if info.name not in given)
    missing = [info.name for info in model.inputs if info.name != name and info.name not in given]
    nodes = nodes_between(model.proto.graph, outputs)
    needed = {tensor for node in nodes for tensor in node.input}
    if needed & set(missing):
        raise InputError(
            f"the model's inputs {sorted(needed & set(missing))} have no value; one input takes the image"
        )
    remaining = Counter(tensor for node in nodes for tensor in set(node.input) if tensor) + Counter(outputs)
    binder = _Binder(model, name, image, given)
    for node in nodes:
        binder.visit(node, remaining)
    known = {**{k: _float(v) for k, v in binder.constants.items() if k in outputs}}
    known.update({output: binder.values[output][0] for output in outputs if output in binder.values})
    lost = [output for output in outputs if output not in known]
    if lost and not binder.findings:
        raise InputError(f"the model has no tensor {', '.join(map(repr, lost))}")
    return Program(
        name,
        tuple(np.shape(image)),
        _with_deaths(binder.instructions, outputs),
        outputs,
        known,
        tuple(binder.findings),
        frozenset(binder.stepwise),
        frozenset(binder.constants),
        tuple(binder.gaps),
    )


def _with_deaths(instructions: list[Instruction], outputs: tuple[str, ...]) -> tuple[Instruction, ...]:
    """Mark after which instruction each tensor is no longer needed."""
    seen, result = set(outputs), []
    for step in reversed(instructions):
        dead = tuple(name for name in dict.fromkeys((*step.inputs, step.output)) if name not in seen)
        seen.update(dead)
        result.append(replace(step, dead=dead))
    return tuple(reversed(result))
