"""Numbers without rounding: a program at one point of the line in rational arithmetic."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.rules.rules import (
    Affine,
    Array,
    Bilinear,
    Gated,
    Kinked,
    Maximum,
    Opaque,
    Quotient,
    Rule,
    Smooth,
    Step,
    Winner,
)

Objects = NDArray[np.object_]


class Inexact(Exception):
    """A rule that can't be evaluated without rounding."""


class Exact:
    """A rational number that stays one in arithmetic with floating-point numbers.

    It has no conversion to a floating-point number: a rule that writes into an array of those fails, instead
    of rounding without a word.
    """

    __slots__ = ("value",)

    def __init__(self, value: Fraction):
        self.value = value

    def __add__(self, other: Any) -> "Exact":
        return Exact(self.value + _fraction(other))

    def __sub__(self, other: Any) -> "Exact":
        return Exact(self.value - _fraction(other))

    def __rsub__(self, other: Any) -> "Exact":
        return Exact(_fraction(other) - self.value)

    def __mul__(self, other: Any) -> "Exact":
        return Exact(self.value * _fraction(other))

    def __truediv__(self, other: Any) -> "Exact":
        return Exact(self.value / _fraction(other))

    def __rtruediv__(self, other: Any) -> "Exact":
        return Exact(_fraction(other) / self.value)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Exact":
        return Exact(-self.value)

    def __pos__(self) -> "Exact":
        return self

    def __abs__(self) -> "Exact":
        return Exact(abs(self.value))

    def __eq__(self, other: object) -> bool:
        return bool(self.value == _plain(other))

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < _plain(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= _plain(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > _plain(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= _plain(other))

    __hash__ = None  # type: ignore[assignment]


def _plain(number: Any) -> Any:
    return number.value if isinstance(number, Exact) else number


def _fraction(number: Any) -> Fraction:
    """Raises `Inexact` for infinities and what is no number."""
    if isinstance(number, Exact):
        return number.value
    try:
        return Fraction(number)
    except (TypeError, ValueError, OverflowError) as error:
        raise Inexact(f"no rational number: {number!r}") from error


def exact(values: NDArray[Any]) -> Objects:
    """The same numbers as rational ones; infinities stay."""
    result = np.empty(values.size, object)
    for i, number in enumerate(values.ravel().tolist()):
        infinite = isinstance(number, float) and not np.isfinite(number)
        result[i] = number if isinstance(number, Exact) or infinite else Exact(Fraction(number))
    return result.reshape(values.shape)


def rounded(values: Objects) -> Array:
    """The nearest floating-point numbers."""
    numbers = [float(_plain(number)) for number in values.ravel().tolist()]
    return np.array(numbers, np.float64).reshape(values.shape)


def apply(rule: Rule, inputs: Sequence[Objects]) -> Objects:
    """The rule's output, without rounding.

    Raises
    ------
    Inexact
        If the rule is smooth, or computes in floating-point numbers whatever it is given.
    """
    match rule:
        case Step() | Winner():  # of correctly rounded values: equal ones stay equal
            return exact(rule.evaluate(*(rounded(x) for x in inputs)))
        case Gated():
            gated = [rounded(x) if i in rule.gates else x for i, x in enumerate(inputs)]
            return _unrounded(rule.evaluate, gated, all(i in rule.gates for i in range(len(inputs))))
        case Affine() | Kinked() | Maximum() | Bilinear() | Quotient():
            return _unrounded(rule.evaluate, inputs, False)
        case Smooth() | Opaque():
            raise Inexact(rule.reason or rule.kind)


def unrounded(function: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    """What a function makes of rational numbers; `Inexact` where it can't."""
    try:
        return function(*inputs)
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise Inexact(str(error)) from error


def _unrounded(evaluate: Callable[..., Any], inputs: Sequence[Any], steady: bool) -> Objects:
    made = np.asarray(unrounded(evaluate, inputs))
    if made.dtype != object and not steady:
        raise Inexact("computed in floating-point numbers")
    return exact(made)
