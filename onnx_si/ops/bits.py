"""Bits of integers: shifts, logic bit by bit, and the same bits read as another type."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from onnx_si.kernels.arrays import Applied, malformed, operands
from onnx_si.ops.casting import name_of
from onnx_si.ops.elementwise import opaque
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Input, Variable, handles, variable
from onnx_si.rules.rules import Array, Gated, Rule


def _of_integers(inputs: tuple[Input, ...], function: Callable[..., NDArray[Any]]) -> Rule:
    """A function of integers of one type, computed in that type."""
    changing = [value for value in inputs if isinstance(value, Variable)]
    if not all(value.integer for value in changing):
        raise malformed("bits of a tensor that holds no integers")
    dtype = helper.tensor_dtype_to_np_dtype(changing[0].element)
    evaluate = Applied(_InType(function, dtype), operands(*inputs))
    return Gated(evaluate=evaluate, gates=tuple(range(len(changing))))


@dataclass(frozen=True)
class _InType:
    """A function of whole numbers, computed in their own type."""

    function: Callable[..., NDArray[Any]]
    dtype: np.dtype[Any]

    def __call__(self, *xs: Array) -> Array:
        wide = np.uint64 if self.dtype == np.uint64 else np.int64
        return self.function(*(x.astype(wide).astype(self.dtype) for x in xs)).astype(np.float64)


@handles("BitwiseAnd", since=(18,), axes=axis_rules.elementwise)
def bitwise_and(a: Input, b: Input) -> Rule:
    return _of_integers((a, b), np.bitwise_and)


@handles("BitwiseOr", since=(18,), axes=axis_rules.elementwise)
def bitwise_or(a: Input, b: Input) -> Rule:
    return _of_integers((a, b), np.bitwise_or)


@handles("BitwiseXor", since=(18,), axes=axis_rules.elementwise)
def bitwise_xor(a: Input, b: Input) -> Rule:
    return _of_integers((a, b), np.bitwise_xor)


@handles("BitwiseNot", since=(18,), axes=axis_rules.elementwise)
def bitwise_not(x: Input) -> Rule:
    return _of_integers((x,), np.bitwise_not)


@handles("BitShift", since=(11, 28), axes=axis_rules.elementwise)
def bit_shift(x: Input, places: Input, *, direction: str) -> Rule:
    match direction:
        case "LEFT":
            return _of_integers((x, places), np.left_shift)
        case "RIGHT":
            return _of_integers((x, places), np.right_shift)
    raise malformed(f"direction '{direction}' is not in the specification")


@handles("BitCast", since=(26,))
def bit_cast(x: Input, *, to: int) -> Rule:
    x = variable(x, "input")
    before, after = (helper.tensor_dtype_to_np_dtype(kind) for kind in (x.element, to))
    if before.itemsize != after.itemsize:
        raise malformed(f"{name_of(x.element)} and {name_of(to)} have different sizes")
    return opaque(lambda x: x.astype(before).view(after).astype(np.float64), "discrete")
