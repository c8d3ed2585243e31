"""Numbers longer than double precision: numpy's `longdouble`, where the machine has one of 64 bits or more.

Source
------
Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964: 7.1.6 (the error function's series) and
7.1.14 (the continued fraction of its complement).
"""

from typing import Any

import numpy as np
from scipy import special

DOUBLE_UNIT, LONG_UNIT = float(np.finfo(np.float64).eps), float(np.finfo(np.longdouble).eps)
IS_LONGER = 1e-40 < LONG_UNIT < 1e-18  # elsewhere it is double precision, or a pair of them without a unit
NEAR = 2.0  # where the series ends and the fraction begins
TERMS, LEVELS = 44, 120  # of either, for 64 bits and for 113
if LONG_UNIT < 1e-20:
    TERMS, LEVELS = 70, 400


def unit_of(x: Any) -> float:
    """Twice the rounding of one operation on numbers of this kind."""
    return LONG_UNIT if getattr(x, "dtype", None) == np.longdouble else DOUBLE_UNIT


def is_long(x: Any) -> bool:
    """Whether these numbers are longer than double precision."""
    return IS_LONGER and getattr(x, "dtype", None) == np.longdouble


def narrowed(x: Any) -> Any:
    """In double precision, to the nearest number."""
    return x.astype(np.float64) if getattr(x, "dtype", None) == np.longdouble else x


def error_function(x: Any) -> Any:
    """erf(x), which scipy has in double precision only."""
    if not is_long(x):
        return special.erf(x)
    return np.copysign(1 - _tail(np.abs(x)), x, out=_series(x), where=np.abs(x) >= NEAR)


def normal_distribution(x: Any) -> Any:
    """The normal distribution function."""
    if not is_long(x):
        return special.ndtr(x)
    tail = 0.5 * _tail(np.abs(x) * np.sqrt(np.longdouble(0.5)))
    return np.where(x < 0, tail, 1 - tail)


def _tail(y: Any) -> Any:
    """1 - erf(y), y from zero on."""
    made, far = 1 - _series(y), y >= NEAR
    made[far] = _complement(y[far])
    return made


def _pi() -> Any:
    return np.arccos(np.longdouble(-1.0))


def _series(x: Any) -> Any:
    """2 / sqrt(pi) exp(-x^2) x (1 + 2 x^2 / 3 (1 + 2 x^2 / 5 (...))): no term is negative."""
    x = np.clip(x, -NEAR, NEAR)
    square, total = x * x, np.ones_like(x)
    for n in range(TERMS, 0, -1):
        total = 1 + 2 * square / (2 * n + 1) * total
    return 2 / np.sqrt(_pi()) * np.exp(-square) * x * total


def _complement(y: Any) -> Any:
    """exp(-y^2) / sqrt(pi) / (y + 1/2 / (y + 1 / (y + 3/2 / (...)))), for y from NEAR on."""
    below = y
    for n in range(LEVELS, 0, -1):
        below = y + 0.5 * n / below
    return np.exp(-y * y) / np.sqrt(_pi()) / below
