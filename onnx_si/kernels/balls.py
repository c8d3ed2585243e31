"""Numbers that are known up to a radius, in arrays: what is computed with them holds with all rounding.

A `Ball` takes part in arithmetic and in numpy's functions, so that a formula written for arrays bounds itself
when it is given balls. Middles may be of numpy's long double, and are then off by that much less.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from onnx_si.kernels.long import error_function, normal_distribution, unit_of

Array = NDArray[np.float64]
UNIT = float(np.finfo(np.float64).eps)  # twice the rounding of one operation
TINY = 1e-300  # covers underflow
UP = 1 + 8 * UNIT  # covers the rounding of a radius


class Ball(np.lib.mixins.NDArrayOperatorsMixin):
    """Every number within `rad` of `mid`; a radius of 0.0 is a point."""

    def __init__(self, mid: Any, rad: Any = 0.0):
        self.mid, self.rad = mid, rad

    @classmethod
    def between(cls, low: Any, high: Any) -> "Ball":
        """Every number from low to high."""
        mid = 0.5 * low + 0.5 * high
        return cls(mid, np.maximum(high - mid, mid - low) * UP + unit_of(mid) * np.abs(mid) + TINY)

    @property
    def is_point(self) -> bool:
        return isinstance(self.rad, float) and self.rad == 0.0

    @property
    def low(self) -> Any:
        return self.mid if self.is_point else self.mid - self.rad * UP - unit_of(self.mid) * np.abs(self.mid)

    @property
    def high(self) -> Any:
        return self.mid if self.is_point else self.mid + self.rad * UP + unit_of(self.mid) * np.abs(self.mid)

    @property
    def size(self) -> Any:
        """A bound of the absolute value."""
        return (np.abs(self.mid) + self.rad) * UP

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        known = _FUNCTIONS.get(ufunc)
        if method != "__call__" or kwargs or known is None:
            return NotImplemented
        return known(*inputs)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]


def _ball(x: Any) -> Ball:
    return x if isinstance(x, Ball) else Ball(x)


def _rounded(mid: Any, rad: Any, ulps: float = 1.0) -> Ball:
    return Ball(mid, rad * UP + ulps * unit_of(mid) * np.abs(mid) + TINY)


def _sum(x: Any, y: Any, sign: float = 1.0) -> Ball:
    a, b = _ball(x), _ball(y)
    return _rounded(a.mid + sign * b.mid, a.rad + b.rad)


def _product(x: Any, y: Any) -> Ball:
    a, b = _ball(x), _ball(y)
    if a.is_point and b.is_point:
        return _rounded(a.mid * b.mid, 0.0)
    return _rounded(a.mid * b.mid, np.abs(a.mid) * b.rad + a.rad * (np.abs(b.mid) + b.rad))


def _quotient(x: Any, y: Any) -> Ball:
    a, b = _ball(x), _ball(y)
    if b.is_point:
        return _rounded(a.mid / b.mid, a.rad / np.abs(b.mid))
    return _product(a, _monotone(_Known(np.reciprocal, 1.0, sign=-1.0), b, np.asarray(b.low * b.high > 0)))


def _negative(x: Ball) -> Ball:
    return Ball(-x.mid, x.rad)


class _Known:
    """A monotone function, and how many units in the last place its value may be off."""

    def __init__(self, function: Callable[[Any], Any], ulps: float, sign: float = 1.0):
        self.function, self.ulps, self.sign = function, ulps, sign

    def __call__(self, x: Ball) -> Ball:
        return _monotone(self, x)


def _monotone(known: _Known, x: Ball, defined: Any = True) -> Ball:
    """By the values at the ends; no number where it is not defined on the whole of the ball."""
    if x.is_point:
        return _rounded(known.function(x.mid), 0.0, known.ulps)
    ends = [known.function(end) for end in (x.low, x.high)][:: int(known.sign)]
    slack = known.ulps * unit_of(ends[0]) * np.maximum(np.abs(ends[0]), np.abs(ends[1])) + TINY
    found = Ball.between(ends[0] - slack, ends[1] + slack)
    return Ball(np.where(defined, found.mid, np.nan), found.rad)


def _wave(function: Callable[[Any], Any]) -> Callable[[Ball], Ball]:
    """Sine or cosine: their slope is at most one, and so is their size."""

    def wave(x: Ball) -> Ball:
        return Ball(function(x.mid), np.minimum(x.rad, 2.0) * UP + 8 * unit_of(x.mid))

    return wave


def _cosh(x: Ball) -> Ball:
    slack = 8 * unit_of(x.mid)
    largest = np.cosh(np.maximum(np.abs(x.low), np.abs(x.high))) * (1 + slack)
    nearest = np.maximum(np.maximum(x.low, -x.high), 0.0)
    return Ball.between(np.cosh(nearest) * (1 - slack), largest)


def _power(x: Any, exponent: Any) -> Ball:
    """Of numbers above zero; of any number, where the exponent is a whole one from zero on."""
    base, p = _ball(x), np.asarray(exponent, dtype=np.float64)
    if base.is_point:
        return _rounded(np.power(base.mid, p), 0.0, 8.0)
    at = [np.power(end, p) for end in (base.low, base.high)]
    least, most = np.minimum(*at), np.maximum(*at)
    whole = (p >= 0) & (p == np.rint(p))
    crosses = (base.low < 0) & (base.high > 0)
    least = np.where(crosses & (p > 0) & (p % 2 == 0), 0.0, least)
    allowed = (base.low > 0) | ((base.low >= 0) & (p >= 0)) | whole
    slack = 8 * unit_of(least) * np.maximum(np.abs(least), np.abs(most)) + TINY
    found = Ball.between(least - slack, most + slack)
    return Ball(np.where(allowed, found.mid, np.nan), found.rad)


def _softplus(x: Any, zero: Any) -> Any:
    if isinstance(x, Ball) and np.ndim(zero) == 0 and zero == 0.0:
        return _monotone(_Known(lambda end: np.logaddexp(end, 0.0), 8.0), x)
    return NotImplemented


def _extreme(pick: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Ball]:
    def extreme(x: Any, y: Any) -> Ball:
        a, b = _ball(x), _ball(y)
        return Ball.between(pick(a.low, b.low), pick(a.high, b.high))

    return extreme


_FUNCTIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: _sum,
    np.subtract: lambda x, y: _sum(x, y, -1.0),
    np.multiply: _product,
    np.true_divide: _quotient,
    np.negative: _negative,
    np.positive: lambda x: x,
    np.square: lambda x: _power(x, 2.0),
    np.power: _power,
    np.sqrt: _Known(np.sqrt, 1.0),
    np.exp: _Known(np.exp, 8.0),
    np.expm1: _Known(np.expm1, 8.0),
    np.log: _Known(np.log, 8.0),
    np.tanh: _Known(np.tanh, 8.0),
    np.sinh: _Known(np.sinh, 8.0),
    np.arctan: _Known(np.arctan, 8.0),
    np.arcsinh: _Known(np.arcsinh, 8.0),
    np.arccosh: _Known(np.arccosh, 8.0),
    np.arcsin: _Known(np.arcsin, 8.0),
    np.arccos: _Known(np.arccos, 8.0, sign=-1.0),
    np.arctanh: _Known(np.arctanh, 8.0),
    np.reciprocal: lambda x: _quotient(1.0, x),
    np.logaddexp: _softplus,
    np.sin: _wave(np.sin),
    np.cos: _wave(np.cos),
    np.cosh: _cosh,
    np.maximum: _extreme(np.maximum),
    np.minimum: _extreme(np.minimum),
    special.expit: _Known(special.expit, 16.0),
    special.erf: _Known(error_function, 16.0),
    special.ndtr: _Known(normal_distribution, 2.0**13),  # Cephes' erfc is off by up to 6e-14 far out
}
"""What a ball can be given to. Units in the last place: numpy and Cephes state fewer."""
