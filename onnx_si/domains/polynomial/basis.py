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
from onnx_si.rules.rules import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Basis:
    """The points of one order, and what follows from them.

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
    """

    order: int
    points: Array
    analysis: Array
    derivatives: Array
    lebesgue: float

    @property
    def count(self) -> int:
        """How many points there are."""
        return self.order + 1


@functools.lru_cache(maxsize=32)
def basis(order: int) -> Basis:
    """The basis of an order."""
    count = order + 1
    angles = (np.arange(count) + 0.5) * math.pi / count
    analysis = 2.0 / count * np.cos(np.outer(np.arange(count), angles))
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
    )


def coefficients(of: Basis, stack: Array) -> tuple[Array, Array]:
    """Coefficients (order + 1, ...) of values at the points, and a bound of their rounding."""
    flat = stack.reshape(of.count, -1)
    found = (of.analysis @ flat).reshape(stack.shape)
    off = UNIT * (8 * of.count + 16) * np.abs(stack).max(axis=0)
    return found, off
