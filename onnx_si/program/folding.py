"""Evaluate a node whose inputs are all constant."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

import onnx_si.ops  # noqa: F401 - registers every handler
from onnx_si.errors import Mixed, Refusal
from onnx_si.graph import fold, refuse_by_name
from onnx_si.program.node import attributes_of, domain_of, element_of, output_elements, schema_version
from onnx_si.rules.registry import WHOLE_NUMBERS, Context, Input, Variable, Worded, find, traits_of
from onnx_si.rules.rules import (
    Array,
    Composition,
    Disputed,
    Maximum,
    Opaque,
    Rule,
    Stage,
    Winner,
    comparable,
    loosely,
)
from onnx_si.rules.traits import ALL_VALUES

FLOATING = frozenset(
    kind
    for name, kind in onnx.TensorProto.DataType.items()
    if name in ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16")
)
NUMBERS = FLOATING | WHOLE_NUMBERS
LARGEST_WHOLE = 2.0**53  # below it float64 holds every whole number

Constants = Sequence[NDArray[Any] | None]


def _value(made: Rule | Composition | NDArray[Any], x: Array) -> NDArray[Any]:
    """What a handler's answer gives at one point."""
    if isinstance(made, np.ndarray):
        return made
    stages = made.stages if isinstance(made, Composition) else (Stage(made, (0,)),)
    known = [x]
    for stage in stages:
        known.append(loosely(stage.rule, *(known[i] for i in stage.inputs)))
    point: NDArray[Any] = known[-1][0]
    return point


def folded(
    node: onnx.NodeProto, inputs: Constants, opsets: Mapping[str, int], wanted: Collection[str]
) -> dict[str, NDArray[Any]]:
    """The wanted outputs of a node: by its handler where that reads floating-point numbers, else by the
    reference evaluator.

    Raises
    ------
    Refusal
        If neither can evaluate it, or the handler refuses it: what is refused of an image is of a constant.
    """
    refuse_by_name(node)
    made = _by_handler(node, inputs, opsets, FLOATING, wanted)
    if made is not None:
        return made
    try:
        found = fold(_ending(node, inputs), tuple(inputs), dict(opsets), _is_no_larger(node))
    except Refusal:
        try:
            made = _by_handler(node, inputs, opsets, NUMBERS, wanted)
        except Refusal:
            made = None
        if made is None:
            raise
        return made
    pairs = zip(node.output, found, strict=True)
    return {name: value for name, value in pairs if name and value is not None}


def _ending(node: onnx.NodeProto, inputs: Constants) -> onnx.NodeProto:
    """The node, or one that means the same of these inputs and that the evaluator ends on."""
    bounded = traits_of(node).bounded
    sizes = [value.size for value in inputs if value is not None]
    return node if bounded is None or not sizes else bounded(node, max(sizes))


def _is_no_larger(node: onnx.NodeProto) -> bool:
    """Whether its output is surely no larger than its inputs."""
    traits = traits_of(node)
    return traits.no_larger or traits.moves in ALL_VALUES


def at_one_image(
    node: onnx.NodeProto,
    position: int,
    changing: Mapping[str, int],
    fixed: Mapping[str, NDArray[Any]],
    opsets: Mapping[str, int],
    refusal: Mixed,
) -> Opaque:
    """One output of a node by its handler, which takes all inputs for constants, in float64.

    Parameters
    ----------
    node : NodeProto
    position : int
        Of the output.
    changing : mapping of str to int
        Element type of each input that changes with the image.
    fixed : mapping of str to array
        Value of every other input.
    opsets : mapping of str to int
        Version of each op set by domain.
    refusal : Mixed
        Why there is no rule for the line; raised where the handler can't take the values either.
    """
    read = [name for name in node.input if name in changing]
    output = node.output[position]
    evaluate = _AtOneImage(
        node=node, read=read, output=output, changing=changing, fixed=fixed, opsets=opsets, refusal=refusal
    )
    return Opaque(evaluate=evaluate, reason=refusal.reason)


@dataclass(frozen=True, kw_only=True, eq=False)
class _AtOneImage:
    node: onnx.NodeProto
    read: Sequence[str]
    output: str
    changing: Mapping[str, int]
    fixed: Mapping[str, NDArray[Any]]
    opsets: Mapping[str, int]
    refusal: Mixed

    def __call__(self, *xs: Array) -> Array:
        values = {name: _typed(x[0], self.changing[name]) for name, x in zip(self.read, xs, strict=True)}
        known = dict(self.fixed) | values
        doubled = [_doubled(known[name]) if name else None for name in self.node.input]
        try:
            made = _by_handler(self.node, doubled, self.opsets, NUMBERS, (self.output,))
        except Refusal as other:
            raise self.refusal from other
        if made is None:
            raise self.refusal
        return np.asarray(made[self.output], dtype=np.float64)[None]


def _typed(value: Array, kind: int) -> NDArray[Any]:
    """Whole numbers in their own type, all others as they are."""
    return value.astype(helper.tensor_dtype_to_np_dtype(kind)) if kind in WHOLE_NUMBERS else value


def _doubled(value: NDArray[Any]) -> NDArray[Any]:
    """Floating-point numbers in double precision."""
    return value.astype(np.float64) if element_of(value) in FLOATING else value


def _by_handler(
    node: onnx.NodeProto,
    inputs: Constants,
    opsets: Mapping[str, int],
    read: frozenset[int],
    wanted: Collection[str],
) -> dict[str, NDArray[Any]] | None:
    """The wanted outputs in float64, each rounded to its type.

    None unless an input is of a type to be read, all its values are finite, a handler takes the node with
    that one changing, and float64 holds what comes out.
    """
    elements = {
        name: element_of(value) for name, value in zip(node.input, inputs, strict=True) if value is not None
    }
    place = next((i for i, name in enumerate(node.input) if elements.get(name) in read), None)
    if place is None:
        return None
    domain = domain_of(node)
    version = schema_version(node.op_type, domain, opsets.get(domain, 1))
    kinds = output_elements(node, elements, version)
    if any(kinds[name] not in NUMBERS for name in wanted):
        return None
    try:
        handler = find(node.op_type, domain, version)
    except Refusal:
        return None
    value, given = np.asarray(inputs[place]), list[Input](inputs)
    given[place] = Variable(value.shape, stepwise=True, element=elements[node.input[place]])
    attributes, made = attributes_of(node), dict[str, NDArray[Any]]()
    for position, name in enumerate(node.output):
        if name in wanted:
            try:
                rule = handler.build(tuple(given), attributes, Context(position, len(node.output), version))
            except Mixed:
                return None
            if isinstance(rule, Worded):
                return None
            if isinstance(rule, Disputed):
                raise Refusal(rule.reason, "export with constants folded")
            if not np.isfinite(value).all():
                _require_comparable(rule, value)
                return None  # zero times infinity is no number, where an op only picks values
            made[name] = _value(rule, value.astype(np.float64)[None])
    typed = {name: value.astype(helper.tensor_dtype_to_np_dtype(kinds[name])) for name, value in made.items()}
    return typed if all(_held(typed[name], value, kinds[name]) for name, value in made.items()) else None


def _require_comparable(rule: Rule | Composition | NDArray[Any], value: NDArray[Any]) -> None:
    """Refuse a choice among numbers of which one is none."""
    stages = rule.stages if isinstance(rule, Composition) else () if isinstance(rule, np.ndarray) else (rule,)
    rules = [stage.rule if isinstance(stage, Stage) else stage for stage in stages]
    if any(isinstance(r, Winner) or (isinstance(r, Maximum) and not r.passes_nan) for r in rules):
        comparable(np.asarray(value, np.float64))


def _held(typed: NDArray[Any], value: NDArray[Any], kind: int) -> bool:
    """Whether a value was only rounded when it got its type."""
    if kind in FLOATING:
        return True
    return bool(np.array_equal(typed, value) and np.abs(value).max(initial=0) < LARGEST_WHOLE)
