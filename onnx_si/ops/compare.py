"""Comparisons and logic: constant on pieces of the line, with jumps."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.kernels.arrays import Applied, LinedUp, operands
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
    tie = min(value.tie for value in (a, b) if isinstance(value, Variable))
    related = _Related(relation, operands(a, b), tie)
    return Step(switches=related.difference, evaluate=related, loosely=related.loosely if tie else None)


@dataclass(frozen=True, eq=False)
class _Related:
    """A relation as numbers; `loosely` takes what differs by the share `tie` for equal."""

    relation: Callable[[Array, Array], Array]
    inputs: LinedUp
    tie: float

    def __call__(self, *xs: Array) -> Array:
        return self.relation(*self.inputs(*xs)).astype(np.float64)

    def difference(self, *xs: Array) -> tuple[Array, ...]:
        left, right = self.inputs(*xs)
        return (left - right,)

    def loosely(self, *xs: Array) -> Array:
        left, right = self.inputs(*xs)
        size, among_equals = np.abs(left) + np.abs(right), self.relation(np.zeros(1), np.zeros(1))
        with np.errstate(invalid="ignore"):  # infinities
            equals = (np.abs(left - right) <= self.tie * size) & np.isfinite(size)
        return np.where(equals, among_equals, self.relation(left, right)).astype(np.float64)


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
    evaluate = Applied(_OfTruths(function), operands(*inputs))
    return Gated(evaluate=evaluate, gates=tuple(range(len(changing))))


@dataclass(frozen=True)
class _OfTruths:
    """A truth function of numbers, of which zero is false."""

    function: Callable[..., Array]

    def __call__(self, *xs: Array) -> Array:
        return self.function(*(x != 0 for x in xs)).astype(np.float64)


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
