"""Smooth functions of polynomials: interpolated at the points, with what that is off by between them."""

import numpy as np

from onnx_si.domains.polynomial.derivatives import bounds, reach, value
from onnx_si.domains.polynomial.gains import norm as norm_of
from onnx_si.domains.polynomial.value import Polynomial, bounded
from onnx_si.kernels.balls import TINY, UP
from onnx_si.rules.rules import Array, Smooth

POOR = 0.25  # share of a function's swing from which a remainder is compared with its range


def curved(rule: Smooth, x: Polynomial) -> Polynomial:
    """The function at the points.

    Between them the polynomial p of degree K that goes through f(q) is off by at most G / 2^K, where G bounds
    the Taylor coefficient of power K + 1 of f(q(t)) at all t; and f(x) is off f(q) by the largest slope of f
    times the argument's remainder. Neither is more than the range of f allows.
    """
    basis, low, high = x.basis, *x.bounds
    sizes = bounds(rule, low, high, basis.count)
    values, off = value(rule, x.values)
    off = basis.lebesgue * off.reshape(x.stack.shape).max(axis=0)
    cut = composed(sizes, (np.tensordot(basis.derivatives, _sizes_of(x), axes=1) * UP)[1:])
    cut = cut * 2.0**-basis.order * UP
    remainder = np.nan_to_num(cut + sizes[1] * x.radius * UP, nan=np.inf, posinf=np.inf)
    steepest = sizes[1].reshape(x.cells, -1).max(axis=1)
    norm = (steepest * x.norm + norm_of(cut + off)) * UP
    poor = remainder > POOR * sizes[1] * (x.swing + x.radius)
    if poor.any():
        most = (1 + basis.lebesgue) * reach(rule, low[poor], high[poor])
        remainder[poor] = np.minimum(remainder[poor], most * UP)
    return bounded(basis, values, (remainder + off) * UP + TINY, norm)


def _sizes_of(x: Polynomial) -> Array:
    return np.concatenate([np.abs(x.coefficients[:1]), x.bends])


def composed(outer: Array, inner: Array) -> Array:
    """A bound of the coefficient of power n of f(q(t)), by bounds of those of f, from power 0 to n, and of
    those of q, from power 1 to n - 1.
    """
    order = len(outer) - 1
    of_power: dict[int, Array] = {j + 1: b for j, b in enumerate(inner)}
    total = np.zeros_like(outer[0])
    for k in range(2, order + 1):
        following = dict[int, Array]()
        for m in range(k, order + 1):
            terms = [
                inner[j - 1] * of_power[m - j] for j in range(1, m) if j <= len(inner) and m - j in of_power
            ]
            following[m] = np.add.reduce(terms)
        of_power = following
        total = total + outer[k] * of_power[order]
    return np.asarray(total * (1 + 1e-13))
