"""Chebyshev points of a cell, and the polynomial through the values there.

A cell is t in [-1, 1]. The polynomial of degree K through values at the K + 1 zeros of T_(K+1) is given by
these values alone, so that a rule is followed by its plain evaluation at the points; its coefficients in the
T_k bound it between them.

Source
------
Trefethen, "Approximation Theory and Approximation Practice", 2013: chapter 3 (coefficients), theorem 15.2
(the Lebesgue constant), equation 11.4 (what interpolation is off by).
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from onnx_si.kernels.balls import UNIT, UP
from onnx_si.kernels.long import narrowed, unit_of
from onnx_si.rules.rules import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Basis:
    """The points of one order, and what follows from them, in double or in longer precision.

    Parameters
    ----------
    order : int
        Degree of the polynomial.
    points : array (order + 1,)
    analysis : array (order + 1, order + 1)
        Values at the points times this are coefficients.
    derivatives : array (order + 1, order + 1)
        Bounds of the Taylor coefficients of each T_k on [-1, 1]: those of power j are in row j.
    lebesgue : float
        A polynomial is at most so many times as large as its values at the points.
    unit : float
        Twice the rounding of one operation on values at the points.
    """

    order: int
    points: Array
    analysis: Array
    derivatives: Array
    lebesgue: float
    unit: float = UNIT

    @property
    def count(self) -> int:
        """How many points there are."""
        return self.order + 1

    @property
    def is_long(self) -> bool:
        """Whether values are in more than double precision."""
        return self.unit < UNIT


@functools.lru_cache(maxsize=32)
def basis(order: int, longer: bool = False) -> Basis:
    """The basis of an order."""
    count = order + 1
    numbers: Array = np.arange(count).astype(np.longdouble if longer else np.float64)
    angles = (numbers + 0.5) * np.arccos(-np.ones_like(numbers)) / count
    analysis = 2 * np.cos(np.outer(numbers, angles)) / count
    analysis[0] *= 0.5
    derivatives = np.zeros((count, count))
    for k in range(count):
        row = np.polynomial.chebyshev.cheb2poly(np.eye(count)[k])
        for j in range(k + 1):  # every derivative of T_k is largest at 1
            derivatives[j, k] = sum(c * math.comb(p, j) for p, c in enumerate(row) if p >= j)
    return Basis(
        order=order,
        points=np.cos(angles),
        analysis=analysis,
        derivatives=np.abs(derivatives) * UP,
        lebesgue=2 / math.pi * math.log(count) + 1,
        unit=unit_of(angles),
    )


def coefficients(of: Basis, stack: Array) -> tuple[Array, Array]:
    """Coefficients (order + 1, ...) of values at the points, in double precision, and a bound of the rounding
    that went into them: what is left is no more than that of a coefficient itself.
    """
    if of.is_long:  # what all points share does not bend
        first = stack[0]
        apart = narrowed(stack - first)
        found, off = _transformed(of, apart)
        found[0] += narrowed(first)
        return found, (off + 4 * of.unit * narrowed(np.abs(first)) * of.count) * UP
    return _transformed(of, stack)


def _transformed(of: Basis, stack: Array) -> tuple[Array, Array]:
    found = (narrowed(of.analysis) @ stack.reshape(of.count, -1)).reshape(stack.shape)
    return found, UNIT * (8 * of.count + 16) * np.abs(stack).max(axis=0)
