"""Evaluate a node whose inputs are all constant."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

import onnx_si.ops  # noqa: F401 - registers every handler
from onnx_si.errors import Refusal
from onnx_si.graph import fold, refuse_by_name
from onnx_si.line.node import attributes_of, domain_of, element_of, output_elements, schema_version
from onnx_si.ops.registry import WHOLE_NUMBERS, Context, Input, Made, Variable, find
from onnx_si.ops.rules import Array, Composition, Disputed, Stage

FLOATING = frozenset(
    kind
    for name, kind in onnx.TensorProto.DataType.items()
    if name in ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16")
)
LARGEST_WHOLE = 2.0**53  # below it float64 holds every whole number

Constants = Sequence[NDArray[Any] | None]


def _value(made: Made, x: Array) -> NDArray[Any]:
    """What a handler's answer gives at one point."""
    if isinstance(made, np.ndarray):
        return made
    stages = made.stages if isinstance(made, Composition) else (Stage(made, (0,)),)
    known = [x]
    for stage in stages:
        known.append(stage.rule.evaluate(*(known[i] for i in stage.inputs)))
    point: NDArray[Any] = known[-1][0]
    return point


def _require_undisputed(rules: Iterable[Made]) -> None:
    """A constant is as exact as what is computed from it: refused where runtimes have another."""
    for rule in rules:
        if isinstance(rule, Disputed):
            raise Refusal(rule.reason, "export with constants folded")


def folded(
    node: onnx.NodeProto, inputs: Constants, opsets: Mapping[str, int]
) -> tuple[NDArray[Any] | None, ...]:
    """Outputs of a node: by its handler where one is right for it, else by the reference evaluator.

    Raises
    ------
    Refusal
        If neither can evaluate it.
    """
    refuse_by_name(node)
    made = _by_handler(node, inputs, opsets, FLOATING)
    if made is not None:
        return made
    try:
        return fold(node, tuple(inputs), dict(opsets))
    except Refusal:
        made = _by_handler(node, inputs, opsets, FLOATING | WHOLE_NUMBERS)
        if made is None:
            raise
        return made


def at_one_image(
    node: onnx.NodeProto, inputs: Constants, opsets: Mapping[str, int]
) -> tuple[NDArray[Any], ...] | None:
    """Outputs of a node at one image by its handler, in float64; None if it has none for these values."""
    doubled = [
        value.astype(np.float64) if value is not None and element_of(value) in FLOATING else value
        for value in inputs
    ]
    return _by_handler(node, doubled, opsets, FLOATING | WHOLE_NUMBERS)


def _by_handler(
    node: onnx.NodeProto, inputs: Constants, opsets: Mapping[str, int], allowed: frozenset[int]
) -> tuple[NDArray[Any], ...] | None:
    """Outputs in float64, each rounded to its type; None unless an input and all outputs are of an allowed
    type, and a handler takes the node.
    """
    elements = {
        name: element_of(value) for name, value in zip(node.input, inputs, strict=True) if value is not None
    }
    place = next((i for i, name in enumerate(node.input) if elements.get(name) in allowed), None)
    if place is None:
        return None
    domain = domain_of(node)
    version = schema_version(node.op_type, domain, opsets.get(domain, 1))
    outputs = output_elements(node, elements, version)
    kinds = [outputs[name] for name in node.output]
    value = np.asarray(inputs[place])
    given: list[Input] = list(inputs)
    given[place] = Variable(value.shape, stepwise=True, element=elements[node.input[place]])
    try:
        handler, attributes = find(node.op_type, domain, version), attributes_of(node)
        contexts = [Context(i, len(node.output), version) for i in range(len(node.output))]
        rules = [handler.build(tuple(given), attributes, context) for context in contexts]
    except Refusal:
        return None
    _require_undisputed(rules)
    if any(kind not in allowed for kind in kinds) or not np.isfinite(value).all():
        return None  # zero times infinity is no number, where an op only picks values
    try:
        made = [_value(rule, np.asarray(value, dtype=np.float64)[None]) for rule in rules]
    except Refusal:
        return None
    typed = tuple(
        value.astype(helper.tensor_dtype_to_np_dtype(kind)) for value, kind in zip(made, kinds, strict=True)
    )
    kept = (
        kind in FLOATING or (np.array_equal(one, value) and np.abs(value).max(initial=0) < LARGEST_WHOLE)
        for one, value, kind in zip(typed, made, kinds, strict=True)
    )
    return typed if all(kept) else None
