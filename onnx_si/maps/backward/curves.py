"""Smooth functions of one element: the gradient times the slope at the element.

At a bend (HardSwish, Elu) the slope is that of the flatter piece, as for the gates.
"""

import math

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.maps.backward.formula import Slope, Term, given, operand, result
from onnx_si.maps.backward.site import OTHER_LAYER, Site, backwards

SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875  # defaults of the standard


def _sigmoid_slope(at: Site) -> Term:
    y = result(at)
    return y * (1.0 - y)


def _mish(at: Site) -> Term:
    x = operand(at)
    t = x.apply("Softplus").apply("Tanh")
    return t + x * x.apply("Sigmoid") * (1.0 - t * t)


def _hyperbolic(at: Site, sign: float) -> Term:
    """(exp(x) + sign exp(-x)) / 2."""
    x = operand(at)
    return 0.5 * x.apply("Exp") + (0.5 * sign) * (-x).apply("Exp")


def _softsign(at: Site) -> Term:
    below = 1.0 + operand(at).apply("Abs")
    return 1.0 / (below * below)


def _squared(at: Site) -> Term:
    x = operand(at)
    return x * x


SLOPES: dict[str, Slope] = {
    "Acos": lambda at: -1.0 / (1.0 - _squared(at)).apply("Sqrt"),
    "Acosh": lambda at: 1.0 / (_squared(at) - 1.0).apply("Sqrt"),
    "Asin": lambda at: 1.0 / (1.0 - _squared(at)).apply("Sqrt"),
    "Asinh": lambda at: 1.0 / (1.0 + _squared(at)).apply("Sqrt"),
    "Atan": lambda at: 1.0 / (1.0 + _squared(at)),
    "Atanh": lambda at: 1.0 / (1.0 - _squared(at)),
    "Cos": lambda at: -operand(at).apply("Sin"),
    "Cosh": lambda at: _hyperbolic(at, -1.0),
    "Erf": lambda at: (2 / math.sqrt(math.pi)) * (-_squared(at)).apply("Exp"),
    "Exp": result,
    "Log": lambda at: 1.0 / operand(at),
    "Mish": _mish,
    "Reciprocal": lambda at: -(result(at) * result(at)),
    "Sigmoid": _sigmoid_slope,
    "Sin": lambda at: operand(at).apply("Cos"),
    "Sinh": lambda at: _hyperbolic(at, 1.0),
    "Softplus": lambda at: operand(at).apply("Sigmoid"),
    "Softsign": _softsign,
    "Sqrt": lambda at: 0.5 / result(at),
    "Tan": lambda at: 1.0 + result(at) * result(at),
    "Tanh": lambda at: 1.0 - result(at) * result(at),
}
"""The slope of functions without attributes."""


@backwards(*SLOPES)
def plain(at: Site) -> str:
    return (given(at) * SLOPES[at.node.op_type](at)).tensor


def _two_sided(at: Site, above: float, below: Term) -> str:
    """One slope above zero, another one at zero and below."""
    positive = operand(at).above()
    return (given(at) * (above * positive + (1.0 - positive) * below)).tensor


@backwards("Elu")
def elu(at: Site) -> str:
    alpha = float(at.attributes.get("alpha", 1.0))
    return _two_sided(at, 1.0, alpha * operand(at).at_most_zero().apply("Exp"))


@backwards("Selu")
def selu(at: Site) -> str:
    alpha, gamma = (
        float(at.attributes.get(name, default))
        for name, default in (("alpha", SELU_ALPHA), ("gamma", SELU_GAMMA))
    )
    return _two_sided(at, gamma, alpha * gamma * operand(at).at_most_zero().apply("Exp"))


@backwards("Celu")
def celu(at: Site) -> str:
    alpha = float(at.attributes.get("alpha", 1.0))
    return _two_sided(at, 1.0, (operand(at).at_most_zero() / alpha).apply("Exp"))


@backwards("HardSwish")
def hard_swish(at: Site) -> str:
    x = operand(at)
    inside = x.above(-3.0) * x.below(3.0)
    return (given(at) * (inside * (x / 3.0 + 0.5) + (1.0 - x.below(3.0)))).tensor


@backwards("Swish")
def swish(at: Site) -> str:
    x, alpha = operand(at), float(at.attributes.get("alpha", 1.0))
    s = (alpha * x).apply("Sigmoid")
    return (given(at) * (s + alpha * x * s * (1.0 - s))).tensor


@backwards("Gelu")
def gelu(at: Site) -> str:
    x = operand(at)
    if at.attributes.get("approximate", "none") == "none":
        below = 0.5 * (1.0 + (math.sqrt(0.5) * x).apply("Erf"))  # share of the normal density below x
        return (given(at) * (below + x * (math.sqrt(0.5 / math.pi) * (-0.5 * (x * x)).apply("Exp")))).tensor
    root = math.sqrt(2 / math.pi)
    t = (root * (x + 0.044715 * (x * x * x))).apply("Tanh")
    bend = 0.5 * x * (1.0 - t * t) * (root * (1.0 + 3 * 0.044715 * (x * x)))
    return (given(at) * (0.5 * (1.0 + t) + bend)).tensor


@backwards("Shrink")
def shrink(at: Site) -> str:
    """1 outside the band that is set to zero; at its edges 0."""
    x, width = operand(at), float(at.attributes.get("lambd", 0.5))
    return (given(at) * (x.above(width) + x.below(-width))).tensor


@backwards("Pow")
def power(at: Site) -> str:
    if at.position == 0:
        return _base(at)
    x, y = operand(at, 0), result(at)
    return (given(at) * y * x.never_zero().apply("Log")).summed(at.given, at.wanted).tensor


def _base(at: Site) -> str:
    """p x^(p - 1); a constant exponent 0 gives 0, whatever the base."""
    if at.is_fixed(1):
        exponent = at.value(1)
        slope = operand(at) ** np.where(exponent == 0, 1.0, exponent - 1) * exponent
    else:
        exponents = operand(at, 1)
        slope = exponents * operand(at) ** (exponents - 1.0)
    return (given(at) * slope).summed(at.given, at.wanted).tensor


@backwards("Mod")
def modulo(at: Site) -> str:
    """The remainder moves with what is divided, and jumps where the quotient does."""
    if at.position == 1:
        raise Refusal("its divisor depends on the image", OTHER_LAYER)
    return given(at).summed(at.given, at.wanted).tensor
