"""Taylor series of smooth functions, element by element: arrays (order + 1, ...) of coefficients.

Every function of a variable is a recurrence over its coefficients, found from a differential equation that it
solves (Moore, "Methods and Applications of Interval Analysis", 1979, section 3.4).
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
Series = Callable[[Array, int], Array]


def variable(x: Array, order: int) -> Array:
    """x + t."""
    coefficients = np.zeros((order + 1, *np.shape(x)))
    coefficients[0] = x
    coefficients[1:2] = 1.0
    return coefficients


def times(a: Array, b: Array) -> Array:
    """The product of two series."""
    return np.array([sum(a[j] * b[k - j] for j in range(k + 1)) for k in range(len(a))])


def integral(of: Array, start: Array) -> Array:
    """The series whose derivative is given, with its first coefficient."""
    steps = np.arange(1, len(of)).reshape(-1, *(1,) * (of.ndim - 1))
    return np.concatenate([np.asarray(start)[None], of[:-1] / steps])


def exponential(a: Array) -> Array:
    """exp of a series: its derivative is a' times itself."""
    return _solved(a, np.exp(a[0]), lambda c, k: c[k])


def hyperbolic_tangent(a: Array) -> Array:
    """tanh of a series: its derivative is a' (1 - tanh * tanh)."""
    return _solved(a, np.tanh(a[0]), lambda c, k: (k == 0) - sum(c[i] * c[k - i] for i in range(k + 1)))


def logistic(a: Array) -> Array:
    """1 / (1 + exp(-a)): its derivative is a' s (1 - s)."""
    return _solved(a, special.expit(a[0]), lambda c, k: c[k] - sum(c[i] * c[k - i] for i in range(k + 1)))


def power(a: Array, exponent: Array | float) -> Array:
    """A power of a series whose first coefficient is no zero (J. C. P. Miller's recurrence)."""
    c = np.zeros_like(a)
    c[0] = a[0] ** exponent
    for k in range(1, len(a)):
        c[k] = sum((exponent * j - (k - j)) * a[j] * c[k - j] for j in range(1, k + 1)) / (k * a[0])
    return c


def _solved(a: Array, start: Array, slope: Callable[[Array, int], Array]) -> Array:
    """The c with c' = a' * slope(c), coefficient by coefficient; `slope` reads those of c up to the k-th."""
    c, slopes = np.zeros_like(a), np.zeros_like(a)
    c[0] = start
    for k in range(1, len(a)):
        slopes[k - 1] = slope(c, k - 1)
        c[k] = sum(j * a[j] * slopes[k - j] for j in range(1, k + 1)) / k
    return c


def of_powers(exponent: Array | float) -> Series:
    """x ** exponent."""
    return partial(_power_of, exponent=exponent)


def _power_of(x: Array, order: int, exponent: Array | float) -> Array:
    return power(variable(x, order), exponent)


def of_integral(function: Callable[[Array], Array], slope: Series) -> Series:
    """A function whose derivative has a series."""
    return lambda x, order: integral(slope(x, order), function(x))


def of_cycle(*functions: Callable[[Array], Array]) -> Series:
    """A function, its derivatives, and these again from the start."""

    def series(x: Array, order: int) -> Array:
        return np.array([functions[k % len(functions)](x) / special.factorial(k) for k in range(order + 1)])

    return series


def bell(scale: float, width: float) -> Series:
    """scale * exp(-width * x * x)."""

    def series(x: Array, order: int) -> Array:
        t = variable(x, order)
        return scale * exponential(-width * times(t, t))

    return series


def root_of_square(constant: float, factor: float, exponent: float) -> Series:
    """(constant + factor * x * x) ** exponent."""

    def series(x: Array, order: int) -> Array:
        t = variable(x, order)
        inside = factor * times(t, t)
        inside[0] += constant
        return power(inside, exponent)

    return series
