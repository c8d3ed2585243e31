"""Smooth functions of one element: evaluated in float64, never analysed exactly."""

from collections.abc import Callable

import numpy as np
from scipy import special

from onnx_si.kernels.arrays import broadcast_shape, double, malformed, operands, shape_of
from onnx_si.ops import crops
from onnx_si.ops.elementwise import computed, curved, holds_integers, identity, scale, squared
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Input, Variable, constant, handles, variable
from onnx_si.rules.rules import Array, Rule
from onnx_si.rules.traits import Increasing

PLAIN: dict[str, tuple[tuple[int, ...], Callable[[Array], Array]]] = {
    "Acos": ((7, 22), np.arccos),
    "Acosh": ((9, 22), np.arccosh),
    "Asin": ((7, 22), np.arcsin),
    "Asinh": ((9, 22), np.arcsinh),
    "Atan": ((7, 22), np.arctan),
    "Atanh": ((9, 22), np.arctanh),
    "Cos": ((7, 22), np.cos),
    "Cosh": ((9, 22), np.cosh),
    "Erf": ((9, 13), special.erf),
    "Exp": ((6, 13), np.exp),
    "Log": ((6, 13), np.log),
    "Mish": ((18, 22), lambda x: x * np.tanh(np.logaddexp(x, 0.0))),
    "Reciprocal": ((6, 13), np.reciprocal),
    "Sin": ((7, 22), np.sin),
    "Sinh": ((9, 22), np.sinh),
    "Softplus": ((1, 22), lambda x: np.logaddexp(x, 0.0)),
    "Softsign": ((1, 22), lambda x: x / (1 + np.abs(x))),
    "Tan": ((7, 22), np.tan),
    "Tanh": ((6, 13), np.tanh),
}
"""Functions without attributes: schema versions and the function."""


def _register(op: str, versions: tuple[int, ...], function: Callable[[Array], Array]) -> None:
    @handles(op, since=versions, axes=axis_rules.elementwise)
    def plain(x: Input) -> Rule:
        return curved(function)


for _op, (_versions, _function) in PLAIN.items():
    _register(_op, _versions, _function)


@handles("Sigmoid", since=(6, 13), axes=axis_rules.elementwise, increasing=Increasing.SIGMOID)
def sigmoid(x: Input) -> Rule:
    return curved(special.expit)


@handles("Sqrt", since=(6, 13), axes=axis_rules.elementwise, increasing=Increasing.ROOT)
def root(x: Input) -> Rule:
    return curved(np.sqrt)


def _below_zero(x: Array, bend: Callable[[Array], Array], slope: float = 1.0) -> Array:
    return np.where(x < 0, bend(np.minimum(x, 0.0)), slope * x)


@handles("Elu", since=(6, 22), axes=axis_rules.elementwise)
def elu(x: Input, *, alpha: float = 1.0) -> Rule:
    return curved(lambda x: _below_zero(x, lambda x: alpha * np.expm1(x)))


@handles("Celu", since=(12, 28), axes=axis_rules.elementwise)
def celu(x: Input, *, alpha: float = 1.0) -> Rule:
    if not alpha:
        raise malformed("Celu with alpha 0 divides by zero")
    return curved(lambda x: np.maximum(x, 0.0) + np.minimum(alpha * np.expm1(x / alpha), 0.0))


@handles("Selu", since=(6, 22), axes=axis_rules.elementwise)
def selu(
    x: Input, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> Rule:
    return curved(lambda x: _below_zero(x, lambda x: gamma * alpha * np.expm1(x), gamma))


@handles("HardSwish", since=(14, 22), axes=axis_rules.elementwise)
def hard_swish(x: Input) -> Rule:
    return curved(lambda x: x * np.clip(x / 6 + 0.5, 0.0, 1.0))


@handles("Gelu", since=(20,), axes=axis_rules.elementwise)
def gelu(x: Input, *, approximate: str = "none") -> Rule:
    match approximate:
        case "none":
            return curved(lambda x: x * special.ndtr(x))
        case "tanh":
            return curved(lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))
    raise malformed(f"approximate '{approximate}' is not in the specification")


@handles("Swish", since=(24,), axes=axis_rules.elementwise)
def swish(x: Input, *, alpha: float = 1.0) -> Rule:
    return curved(lambda x: x * special.expit(alpha * x))


@handles("SwiGLU", since=(28,))
def swiglu(gate: Input, x: Input, *, alpha: float = 1.0) -> Rule:
    if shape_of(gate) != shape_of(x):
        raise malformed(f"SwiGLU of shapes {shape_of(gate)} and {shape_of(x)}")
    if not isinstance(gate, Variable):  # the gate is a constant factor
        factor = double(constant(gate, "A"))
        return scale(variable(x, "B"), factor * special.expit(alpha * factor))
    return computed(lambda a, b: a * special.expit(alpha * a) * b, gate, x)


@handles("Pow", since=(7, 12, 13, 15), axes=axis_rules.elementwise, crop=crops.elementwise)
def power(x: Input, exponent: Input) -> Rule:
    """An integer base gives an integer, cut towards zero."""
    if isinstance(x, Variable) and isinstance(exponent, np.ndarray):
        if np.all(exponent == 1) and broadcast_shape(x, exponent) == x.shape:
            return identity(x)
        if np.all(exponent == 2) and broadcast_shape(x, exponent) == x.shape:
            return squared(x)
    line_up = operands(x, exponent)
    cut = np.trunc if holds_integers(x) else np.positive
    return curved(lambda *xs: cut(np.power(*line_up(*xs))))
