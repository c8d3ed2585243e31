"""Polynomials on [0, 1] by their Bernstein coefficients: arrays (degree + 1, ...).

The first and the last coefficient are the values at the ends, all values lie between the smallest and the
largest one, and what is constant stays so to the last bit.

Source
------
Farouki, "The Bernstein polynomial basis: a centennial retrospective", Computer Aided Geometric Design 29
(2012), 379-419.
"""

from collections.abc import Callable
from math import comb

import numpy as np

from onnx_si.rules.rules import Array


def elevated(c: Array, degree: int) -> Array:
    """The same polynomials written as ones of a higher degree."""
    for n in range(len(c), degree + 1):
        share = (np.arange(1, n) / n).reshape(-1, *(1,) * (c.ndim - 1))
        c = np.concatenate([c[:1], c[1:] + share * (c[:-1] - c[1:]), c[-1:]])
    return c


def product(of: Callable[[Array, Array], Array], a: Array, b: Array) -> Array:
    """What a function that is linear in each of two polynomials makes of them."""
    n, m = len(a) - 1, len(b) - 1
    made = []
    for k in range(n + m + 1):
        pairs = [(i, k - i) for i in range(max(0, k - m), min(n, k) + 1)]
        made.append(sum(comb(n, i) * comb(m, j) / comb(n + m, k) * of(a[i], b[j]) for i, j in pairs))
    return np.stack(made)


def derivative(c: Array) -> Array:
    """That of polynomials; a constant one keeps one coefficient."""
    return np.zeros_like(c) if len(c) == 1 else (len(c) - 1) * np.diff(c, axis=0)


def halved(c: Array, at: Array | float) -> tuple[Array, Array]:
    """Polynomials on [0, at] and on [at, 1], by de Casteljau's corner cutting."""
    left, right = [c[0]], [c[-1]]
    while len(c) > 1:
        c = c[:-1] + at * (c[1:] - c[:-1])
        left.append(c[0])
        right.append(c[-1])
    return np.stack(left), np.stack(right[::-1])


def restricted(c: Array, low: Array, high: Array) -> Array:
    """Polynomials on [low, high], shares that broadcast against one coefficient, low < 1."""
    _, c = halved(c, low)
    c, _ = halved(c, (high - low) / (1 - low))
    return c


def value(c: Array, at: Array | float) -> Array:
    """Polynomials at shares that broadcast against one coefficient."""
    if isinstance(at, float) and at in (0.0, 1.0):
        return np.asarray(c[int(at) * (len(c) - 1)])
    while len(c) > 1:
        c = c[:-1] + at * (c[1:] - c[:-1])
    return np.asarray(c[0])
