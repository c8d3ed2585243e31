"""Smooth functions of one element, with their Taylor series: evaluated in float64, never analysed exactly."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from onnx_si.kernels import series
from onnx_si.kernels.arrays import Applied, broadcast_shape, double, malformed, operands, shape_of
from onnx_si.kernels.bounded import Logistic, Reciprocal
from onnx_si.kernels.series import Coefficients, Series
from onnx_si.ops import crops, made_of
from onnx_si.ops.elementwise import (
    computed,
    holds_integers,
    identity,
    multiply,
    opaque,
    root,
    scale,
    smooth,
    squared,
)
from onnx_si.ops.recipe import Recipe
from onnx_si.rules import axis_rules
from onnx_si.rules.boxes import Box, Part
from onnx_si.rules.composing import compose
from onnx_si.rules.registry import Input, Variable, constant, handles, variable
from onnx_si.rules.rules import Array, Composition, Kinked, Rule, Smooth
from onnx_si.rules.traits import Increasing

Function = Callable[[Array], Array]
WHOLE = (3, 4, 5, 6, 7, 8)
"""Exponents that are multiplied out: powers of what is affine are polynomials that are followed."""


def _integral(function: Function, constant: float, factor: float, sign: float = 1.0) -> Series:
    """Of sign / sqrt(constant + factor * x * x)."""
    slope = series.root_of_square(constant, factor, -0.5)
    return series.of_integral(function, lambda x, order: series.scaled(sign, slope(x, order)))


def _tanh(x: Any, order: int) -> Coefficients:
    return series.hyperbolic_tangent(series.variable(x, order))


def _logistic(x: Any, order: int) -> Coefficients:
    return series.logistic(series.variable(x, order))


def _tangent(x: Any, order: int) -> Coefficients:
    sine, cosine = (TRIGONOMETRIC[name](x, order) for name in ("sin", "cos"))
    return series.times(sine, series.power(cosine, -1.0))


def _mish(x: Any, order: int) -> Coefficients:
    return series.times(series.variable(x, order), series.hyperbolic_tangent(SOFTPLUS(x, order)))


SOFTPLUS = series.of_integral(lambda x: np.logaddexp(x, 0.0), _logistic)
TRIGONOMETRIC = {
    "sin": series.of_cycle(np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)),
    "cos": series.of_cycle(np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin),
}
PLAIN: dict[str, tuple[tuple[int, ...], Function, Series]] = {
    "Acos": ((7, 22), np.arccos, _integral(np.arccos, 1.0, -1.0, -1.0)),
    "Acosh": ((9, 22), np.arccosh, _integral(np.arccosh, -1.0, 1.0)),
    "Asin": ((7, 22), np.arcsin, _integral(np.arcsin, 1.0, -1.0)),
    "Asinh": ((9, 22), np.arcsinh, _integral(np.arcsinh, 1.0, 1.0)),
    "Atan": ((7, 22), np.arctan, series.of_integral(np.arctan, series.root_of_square(1.0, 1.0, -1.0))),
    "Atanh": ((9, 22), np.arctanh, series.of_integral(np.arctanh, series.root_of_square(1.0, -1.0, -1.0))),
    "Cos": ((7, 22), np.cos, TRIGONOMETRIC["cos"]),
    "Cosh": ((9, 22), np.cosh, series.of_cycle(np.cosh, np.sinh)),
    "Erf": ((9, 13), special.erf, series.of_integral(special.erf, series.bell(2 / np.sqrt(np.pi), 1.0))),
    "Exp": ((6, 13), np.exp, series.of_cycle(np.exp)),
    "Log": ((6, 13), np.log, series.of_integral(np.log, series.of_powers(-1.0))),
    "Mish": ((18, 22), lambda x: x * np.tanh(np.logaddexp(x, 0.0)), _mish),
    "Sin": ((7, 22), np.sin, TRIGONOMETRIC["sin"]),
    "Sinh": ((9, 22), np.sinh, series.of_cycle(np.sinh, np.cosh)),
    "Softplus": ((1, 22), lambda x: np.logaddexp(x, 0.0), SOFTPLUS),
    "Tan": ((7, 22), np.tan, _tangent),
    "Tanh": ((6, 13), np.tanh, _tanh),
}
"""Functions without attributes: schema versions, the function and its Taylor series."""
TANH = smooth(np.tanh, _tanh, everywhere=True)
EVERYWHERE = frozenset({"Atan", "Erf", "Mish", "Softplus", "Tanh"})
"""Those that have no pole and don't outgrow their argument, so that bounds on a grid serve them."""


def _register(op: str, versions: tuple[int, ...], function: Function, taylor: Series) -> None:
    @handles(op, since=versions, axes=axis_rules.elementwise)
    def plain(x: Input) -> Rule:
        return smooth(function, taylor, everywhere=op in EVERYWHERE)


for _op, (_versions, _function, _series) in PLAIN.items():
    _register(_op, _versions, _function, _series)


@handles("Softsign", since=(1, 22), axes=axis_rules.elementwise)
def softsign(x: Input) -> Rule:
    """Its second derivative jumps at zero."""
    return opaque(lambda x: x / (1 + np.abs(x)), parts=made_of.softsign(variable(x, "input")))


@handles("Sigmoid", since=(6, 13), axes=axis_rules.elementwise, increasing=Increasing.SIGMOID)
def sigmoid(x: Input) -> Rule:
    reach = None if variable(x, "X").stepwise else Logistic()
    return smooth(special.expit, _logistic, reach, everywhere=True)


@handles("Sqrt", since=(6, 13), axes=axis_rules.elementwise, increasing=Increasing.ROOT)
def square_root(x: Input) -> Rule:
    return root(variable(x, "X"))


@handles("Reciprocal", since=(6, 13), axes=axis_rules.elementwise)
def reciprocal(x: Input) -> Rule:
    reach = None if variable(x, "X").stepwise else Reciprocal()
    return smooth(np.reciprocal, series.of_powers(-1.0), reach)


def _below_zero(x: Array, bend: Callable[[Array], Array], slope: float = 1.0) -> Array:
    return np.where(x < 0, bend(np.minimum(x, 0.0)), slope * x)


@handles("Elu", since=(6, 22), axes=axis_rules.elementwise)
def elu(x: Input, *, alpha: float = 1.0) -> Rule:
    parts = made_of.bent_below_zero(variable(x, "X"), made_of.SHIFTED_EXPONENTIAL, alpha, 1.0)
    return opaque(lambda x: _below_zero(x, lambda x: alpha * np.expm1(x)), parts=parts)


@handles("Celu", since=(12, 28), axes=axis_rules.elementwise)
def celu(x: Input, *, alpha: float = 1.0) -> Rule:
    if not alpha:
        raise malformed("Celu with alpha 0 divides by zero")
    parts = made_of.scaled_below_zero(variable(x, "X"), alpha) if alpha > 0 else None
    return opaque(lambda x: np.maximum(x, 0.0) + np.minimum(alpha * np.expm1(x / alpha), 0.0), parts=parts)


@handles("Selu", since=(6, 22), axes=axis_rules.elementwise)
def selu(
    x: Input, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> Rule:
    parts = made_of.bent_below_zero(variable(x, "X"), made_of.SHIFTED_EXPONENTIAL, gamma * alpha, gamma)
    return opaque(lambda x: _below_zero(x, lambda x: gamma * alpha * np.expm1(x), gamma), parts=parts)


@handles("HardSwish", since=(14, 22), axes=axis_rules.elementwise)
def hard_swish(x: Input) -> Rule:
    gate = Kinked(lambda x: np.clip(x / 6 + 0.5, 0.0, 1.0), (np.asarray(-3.0), np.asarray(3.0)))
    parts = made_of.times_bent(variable(x, "X"), gate)
    return opaque(lambda x: x * np.clip(x / 6 + 0.5, 0.0, 1.0), parts=parts)


def _gelu(x: Any, order: int) -> Coefficients:
    normal = series.of_integral(special.ndtr, series.bell(float(1 / np.sqrt(2 * np.pi)), 0.5))
    return series.times(series.variable(x, order), normal(x, order))


def _gelu_by_tanh(x: Any, order: int) -> Coefficients:
    t = series.variable(x, order)
    cube = series.times(t, series.times(t, t))
    inside = series.scaled(float(np.sqrt(2 / np.pi)), series.plus(t, series.scaled(0.044715, cube)))
    bent = series.hyperbolic_tangent(inside)
    bent[0] = bent[0] + 1.0
    return series.scaled(0.5, series.times(t, bent))


@handles("Gelu", since=(20,), axes=axis_rules.elementwise)
def gelu(x: Input, *, approximate: str = "none") -> Rule:
    match approximate:
        case "none":
            return smooth(lambda x: x * special.ndtr(x), _gelu, everywhere=True)
        case "tanh":
            return smooth(
                lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
                _gelu_by_tanh,
                everywhere=True,
            )
    raise malformed(f"approximate '{approximate}' is not in the specification")


@handles("Swish", since=(24,), axes=axis_rules.elementwise)
def swish(x: Input, *, alpha: float = 1.0) -> Rule:
    return made_of.swish(alpha)


@handles("SwiGLU", since=(28,))
def swiglu(gate: Input, x: Input, *, alpha: float = 1.0) -> Rule:
    if shape_of(gate) != shape_of(x):
        raise malformed(f"SwiGLU of shapes {shape_of(gate)} and {shape_of(x)}")
    if not isinstance(gate, Variable):  # the gate is a constant factor
        factor = double(constant(gate, "A"))
        return scale(variable(x, "B"), factor * special.expit(alpha * factor))
    parts = None
    if isinstance(x, Variable):
        sketch = made_of.Sketch([gate.shape, x.shape])
        sketch.product(sketch.each(made_of.swish(alpha), 0), 1)
        parts = sketch.finish()
    return computed(lambda a, b: a * special.expit(alpha * a) * b, gate, x, parts=parts)


def whole_power(x: Variable, exponent: int) -> Composition:
    """A power by squares and products of powers before."""
    times = multiply(x, x)
    parts: list[tuple[Rule | Composition, tuple[int, ...]]] = []
    at = 0
    for bit in bin(exponent)[3:]:
        parts.append((squared(x), (at,)))
        at += 1
        if bit == "1":
            parts.append((times, (at, 0)))
            at += 1
    return compose(1, *parts)


def _crop(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """Of exponents that differ a part may be one that is multiplied out."""
    return None if isinstance(rule, Smooth) else crops.elementwise(recipe, rule, shape, box)


@handles("Pow", since=(7, 12, 13, 15), axes=axis_rules.elementwise, crop=_crop)
def power(x: Input, exponent: Input) -> Rule | Composition:
    """An integer base gives an integer, cut towards zero."""
    if isinstance(x, Variable) and isinstance(exponent, np.ndarray):
        if np.all(exponent == 1) and broadcast_shape(x, exponent) == x.shape:
            return identity(x)
        if np.all(exponent == 2) and broadcast_shape(x, exponent) == x.shape:
            return squared(x)
        if not x.stepwise and exponent.size == 1 and float(np.ravel(exponent)[0]) in WHOLE:
            return whole_power(x, int(np.ravel(exponent)[0]))
        if not holds_integers(x) and broadcast_shape(x, exponent) == x.shape:
            fixed = double(exponent)
            return smooth(partial(_raised, exponent=fixed), series.of_powers(fixed))
    return opaque(Applied(_whole_power if holds_integers(x) else np.power, operands(x, exponent)))


def _raised(x: Array, exponent: Array) -> Array:
    return np.asarray(np.power(x, exponent))


def _whole_power(x: Array, exponent: Array) -> Array:
    return np.trunc(np.power(x, exponent))
