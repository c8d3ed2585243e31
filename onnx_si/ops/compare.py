"""Comparisons and logic: constant on pieces of the line, with jumps."""

from collections.abc import Callable

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.kernels.arrays import operands
from onnx_si.ops import crops
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Input, Variable, handles
from onnx_si.rules.rules import Array, Gated, Rule, Step
from onnx_si.rules.traits import Decision


def compare(a: Input, b: Input, relation: Callable[[Array, Array], Array]) -> Rule:
    """A relation between two tensors; its value jumps where their difference changes sign.

    At an image, numbers that differ by nothing but rounding are equal: so are two that are equal as real
    numbers, but were computed in two ways.
    """
    line_up, tie = operands(a, b), min(value.tie for value in (a, b) if isinstance(value, Variable))
    among_equals = bool(relation(np.zeros(1), np.zeros(1))[0])

    def difference(*xs: Array) -> tuple[Array, ...]:
        left, right = line_up(*xs)
        return (left - right,)

    def evaluate(*xs: Array) -> Array:
        return relation(*line_up(*xs)).astype(np.float64)

    def loosely(*xs: Array) -> Array:
        left, right = line_up(*xs)
        size = np.abs(left) + np.abs(right)
        with np.errstate(invalid="ignore"):  # infinities
            equals = (np.abs(left - right) <= tie * size) & np.isfinite(size)
        return np.where(equals, among_equals, relation(left, right)).astype(np.float64)

    return Step(switches=difference, evaluate=evaluate, loosely=loosely if tie else None)


@handles(
    "Greater", since=(7, 9, 13), axes=axis_rules.elementwise, crop=crops.elementwise, decides=Decision.ORDER
)
def greater(a: Input, b: Input) -> Rule:
    return compare(a, b, np.greater)


@handles(
    "GreaterOrEqual",
    since=(12, 16),
    axes=axis_rules.elementwise,
    crop=crops.elementwise,
    decides=Decision.ORDER,
)
def greater_or_equal(a: Input, b: Input) -> Rule:
    return compare(a, b, np.greater_equal)


@handles(
    "Less", since=(7, 9, 13), axes=axis_rules.elementwise, crop=crops.elementwise, decides=Decision.ORDER
)
def less(a: Input, b: Input) -> Rule:
    return compare(a, b, np.less)


@handles(
    "LessOrEqual", since=(12, 16), axes=axis_rules.elementwise, crop=crops.elementwise, decides=Decision.ORDER
)
def less_or_equal(a: Input, b: Input) -> Rule:
    return compare(a, b, np.less_equal)


@handles("Equal", since=(7, 11, 13, 19), axes=axis_rules.elementwise, crop=crops.elementwise)
def equal(a: Input, b: Input) -> Rule:
    return compare(a, b, np.equal)


def logic(inputs: tuple[Input, ...], function: Callable[..., Array]) -> Rule:
    """A truth function of tensors that are constant on pieces."""
    changing = [value for value in inputs if isinstance(value, Variable)]
    if not all(value.stepwise for value in changing):
        raise Refusal("logic on a tensor that changes continuously", "compare it first")
    line_up = operands(*inputs)

    def evaluate(*xs: Array) -> Array:
        return function(*(value != 0 for value in line_up(*xs))).astype(np.float64)

    return Gated(evaluate=evaluate, gates=tuple(range(len(changing))))


@handles("Not", since=(1,), axes=axis_rules.elementwise, crop=crops.elementwise)
def not_(x: Input) -> Rule:
    return logic((x,), np.logical_not)


@handles("And", since=(7,), axes=axis_rules.elementwise)
def and_(a: Input, b: Input) -> Rule:
    return logic((a, b), np.logical_and)


@handles("Or", since=(7,), axes=axis_rules.elementwise)
def or_(a: Input, b: Input) -> Rule:
    return logic((a, b), np.logical_or)


@handles("Xor", since=(7,), axes=axis_rules.elementwise)
def xor(a: Input, b: Input) -> Rule:
    return logic((a, b), np.logical_xor)
