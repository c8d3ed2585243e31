"""Taylor series of smooth functions, element by element: lists of order + 1 coefficients.

Every function of a variable is a recurrence over its coefficients, found from a differential equation that it
solves (Moore, "Methods and Applications of Interval Analysis", 1979, section 3.4). Numbers are arrays, or
balls (`balls.py`): of a ball the coefficients enclose those at every number in it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
Coefficients = list[Any]
Series = Callable[[Any, int], Coefficients]


def variable(x: Any, order: int) -> Coefficients:
    """x + t."""
    return [x, 1.0, *[0.0] * (order - 1)][: order + 1]


def _is_zero(x: Any) -> bool:
    return isinstance(x, float) and x == 0.0


def _sum_of_products(pairs: Sequence[tuple[Any, Any]]) -> Any:
    total: Any = 0.0
    for a, b in pairs:
        if not (_is_zero(a) or _is_zero(b)):
            total = a * b if _is_zero(total) else total + a * b
    return total


def times(a: Coefficients, b: Coefficients) -> Coefficients:
    """The product of two series."""
    return [_sum_of_products([(a[j], b[k - j]) for j in range(k + 1)]) for k in range(len(a))]


def scaled(factor: Any, a: Coefficients) -> Coefficients:
    """A number times a series."""
    return [0.0 if _is_zero(c) else factor * c for c in a]


def plus(a: Coefficients, b: Coefficients) -> Coefficients:
    """The sum of two series."""
    return [y if _is_zero(x) else x if _is_zero(y) else x + y for x, y in zip(a, b, strict=True)]


def integral(of: Coefficients, start: Any) -> Coefficients:
    """The series whose derivative is given, with its first coefficient."""
    return [start, *(c / (k + 1) for k, c in enumerate(of[:-1]))]


def exponential(a: Coefficients) -> Coefficients:
    """exp of a series: its derivative is a' times itself."""
    return _solved(a, np.exp(a[0]), lambda c, k: c[k])


def hyperbolic_tangent(a: Coefficients) -> Coefficients:
    """tanh of a series: its derivative is a' (1 - tanh * tanh)."""
    return _solved(
        a,
        np.tanh(a[0]),
        lambda c, k: float(k == 0) - _sum_of_products([(c[i], c[k - i]) for i in range(k + 1)]),
    )


def logistic(a: Coefficients) -> Coefficients:
    """1 / (1 + exp(-a)): its derivative is a' s (1 - s)."""
    return _solved(
        a,
        special.expit(a[0]),
        lambda c, k: c[k] - _sum_of_products([(c[i], c[k - i]) for i in range(k + 1)]),
    )


def power(a: Coefficients, exponent: Any) -> Coefficients:
    """A power of a series whose first coefficient is no zero (J. C. P. Miller's recurrence)."""
    c = [np.power(a[0], exponent)]
    for k in range(1, len(a)):
        terms = [((exponent * j - (k - j)) * a[j], c[k - j]) for j in range(1, k + 1) if not _is_zero(a[j])]
        c.append(_sum_of_products(terms) / (k * a[0]))
    return c


def _solved(a: Coefficients, start: Any, slope: Callable[[Coefficients, int], Any]) -> Coefficients:
    """The c with c' = a' * slope(c), coefficient by coefficient; `slope` reads those of c up to the k-th."""
    c, slopes = [start], list[Any]()
    for k in range(1, len(a)):
        slopes.append(slope(c, k - 1))
        terms = [(j * a[j], slopes[k - j]) for j in range(1, k + 1) if not _is_zero(a[j])]
        c.append(_sum_of_products(terms) / k)
    return c


def of_powers(exponent: Array | float) -> Series:
    """x ** exponent."""
    return partial(_power_of, exponent=exponent)


def _power_of(x: Any, order: int, exponent: Array | float) -> Coefficients:
    coefficients, share = list[Any](), np.ones(np.shape(exponent))
    for k in range(order + 1):
        coefficients.append(share * np.power(x, np.where(share == 0, 0.0, exponent - k)))
        share = share * (exponent - k) / (k + 1)
    return coefficients


def of_integral(function: Callable[[Any], Any], slope: Series) -> Series:
    """A function whose derivative has a series."""
    return lambda x, order: integral(slope(x, order), function(x))


def of_cycle(*functions: Callable[[Any], Any]) -> Series:
    """A function, its derivatives, and these again from the start."""

    def series(x: Any, order: int) -> Coefficients:
        return [functions[k % len(functions)](x) / float(special.factorial(k)) for k in range(order + 1)]

    return series


def bell(scale: float, width: float) -> Series:
    """scale * exp(-width * x * x)."""

    def series(x: Any, order: int) -> Coefficients:
        t = variable(x, order)
        return scaled(scale, exponential(scaled(-width, times(t, t))))

    return series


def root_of_square(constant: float, factor: float, exponent: float) -> Series:
    """(constant + factor * x * x) ** exponent."""

    def series(x: Any, order: int) -> Coefficients:
        t = variable(x, order)
        inside = scaled(factor, times(t, t))
        inside[0] = inside[0] + constant
        return power(inside, exponent)

    return series
