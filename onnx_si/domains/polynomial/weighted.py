"""Affine rules and products of polynomials, evaluated at the points."""

from collections.abc import Sequence

import numpy as np

from onnx_si.domains.enclosure.spreading import above_underflow
from onnx_si.domains.enclosure.value import LEAST, wide
from onnx_si.domains.polynomial.gains import ENOUGH, Gain, Gains
from onnx_si.domains.polynomial.gains import norm as norm_of
from onnx_si.domains.polynomial.longer import in_parts
from onnx_si.domains.polynomial.value import Polynomial, bounded
from onnx_si.kernels.arrays import align
from onnx_si.kernels.balls import TINY, UNIT, UP
from onnx_si.rules.rules import Affine, Array, Bilinear, Gated


def affine(rule: Affine, xs: Sequence[Polynomial], gains: Gains) -> Polynomial:
    """The rule at every point; remainder and rounding spread through the absolute weights.

    A sum of n products is off by at most n roundings of the sum of absolute products (Higham, "Accuracy and
    Stability of Numerical Algorithms", section 3.1).
    """
    basis, gamma = xs[0].basis, UNIT * (rule.terms + 4)
    gain = gains.of(rule, [x.radius.shape[1:] for x in xs])
    if only_moves(rule):
        values = rule.evaluate(*(x.values for x in xs))
        return bounded(basis, values, rule.spread(*(x.radius for x in xs)), _normed(gain, xs))
    apart = in_parts(rule, xs) if basis.is_long else None
    values = rule.evaluate(*(x.values for x in xs)) if apart is None else apart.values
    pairs = []
    for x in xs:
        if apart is None:
            rounding = 0.5 * basis.unit * (rule.terms + 4) * (basis.lebesgue * x.largest + x.radius)
        else:
            rounding = basis.lebesgue * apart.rounding
        rounding = rounding * (1 + 1e-3) * (1 + 2 * gamma)
        np.maximum(rounding, LEAST, out=rounding, where=(x.largest > 0) | (x.radius > 0))
        pairs.append(np.concatenate([x.radius * (1 + 2 * gamma), rounding]))
    radius, rounding = above_underflow(rule, rule.spread(*pairs)).reshape(2, xs[0].cells, *values.shape[1:])
    if apart is not None:
        rounding = rounding + basis.lebesgue * apart.of_weights
    if rule.offset is not None:
        rounding = rounding + 4 * basis.lebesgue * basis.unit * np.abs(rule.offset)
    whole = sum(x.norm for x in xs)
    by_rows = gain.rows.reshape(gain.rows.shape if gain.rows.ndim > 1 else (1,) * radius.ndim)
    radius = np.fmin(radius, by_rows * wide(np.asarray(whole), radius)) + rounding
    norm = _normed(gain, xs)
    return bounded(basis, values, radius, None if norm is None else (norm + norm_of(rounding)) * UP)


def _normed(gain: Gain, xs: Sequence[Polynomial]) -> Array | None:
    """What the norms of errors become."""
    if gain.norms is None:
        return None
    return np.asarray(sum(factor * x.norm for factor, x in zip(gain.norms, xs, strict=True)) * UP)


def only_moves(rule: Affine) -> bool:
    """Whether every output is one element of one input, or zero: nothing is rounded."""
    return rule.terms == 1 and not rule.weights and rule.offset is None


def bilinear(rule: Bilinear, xs: Sequence[Polynomial]) -> Polynomial:
    """The product at every point.

    The product of two polynomials of degree K has degree 2 K. Its part T_m with m > K is taken for one of a
    lower degree, or for nothing where m = K + 1: it is off by twice its size at most, or once.
    """
    a, b = xs[0], xs[-1]
    basis, gamma = a.basis, a.basis.unit * (rule.terms + len(rule.weights) + 8)
    values = rule.evaluate(a.values, b.values)
    carried = rule.spread(a.radius, b.size) + rule.spread(a.size, b.radius)
    radius = np.zeros_like(carried)
    for i, bend in enumerate(a.bends, start=1):
        first = basis.count - i  # of the coefficients of b whose product with this is cut
        rest = 0.5 * b.bends[first - 1]  # half of T_i T_j is T_(i + j)
        if first < basis.order:
            rest = rest + b.bends[first:].sum(axis=0)
        radius = radius + rule.spread(bend, rest)
    rounding = rule.spread(_largest(a), _largest(b))
    of_bounds = 8 * UNIT * (rule.terms + len(rule.weights) + 8)
    radius = radius * (1 + of_bounds) + 8 * gamma * basis.lebesgue * rounding * (1 + of_bounds)
    there = rule.spread(*(((x.largest > 0) | (x.radius > 0)).astype(np.float64) for x in (a, b)))
    radius = np.where(there == 0, radius, radius + TINY)  # NaN stays
    if rule.offset is not None:
        radius = radius + 4 * basis.lebesgue * basis.unit * np.abs(rule.offset)
    norm = (_of_factors(a, b, radius.shape) + norm_of(radius)) * UP if rule.elementwise else None
    return bounded(basis, values, (carried * (1 + of_bounds) + radius) * UP, norm)


def _of_factors(a: Polynomial, b: Polynomial, shape: tuple[int, ...]) -> Array:
    """A bound of the norm of what the errors of factors become in their product, element by element."""
    found = np.zeros(a.cells)
    for x, other in ((a, b), (b, a)):  # the larger of the factors' sizes: an error times an error is in both
        found = found + _factor(other.size, x.radius.shape, shape) * x.norm
    return found * UP


def _factor(size: Array, read: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """The norm (cells,) of a product with numbers of some sizes, by a tensor that is read at each element of
    a shape, as often as that has more of them.
    """
    squares = np.broadcast_to(align(size, len(shape) - 1), shape) ** 2
    lined_up = (*read[:1], *(1,) * (len(shape) - len(read)), *read[1:])
    axes = tuple(axis for axis, n in enumerate(lined_up) if n == 1 and shape[axis] > 1)
    return np.asarray(np.sqrt(squares.sum(axis=axes).reshape(shape[0], -1).max(axis=1)) * ENOUGH)


def _largest(x: Polynomial) -> Array:
    return x.largest * UP


def gated(rule: Gated, xs: Sequence[Polynomial]) -> Polynomial:
    """A product of gates, constant on the cell but for rounding, and at most one other tensor."""
    assert rule.product is not None, "a gate that selects is the domain's own"
    basis, gates = xs[0].basis, set(rule.gates)
    values = rule.evaluate(*(x.values for x in xs))
    sizes = [x.size for x in xs]
    absolute = [np.abs(weight) for weight in rule.weights]
    of_bounds = UNIT * (rule.terms + len(xs) + len(absolute) + 4)
    gamma = basis.unit * (rule.terms + len(xs) + len(absolute) + 4)
    radius = 8 * gamma * (1 + 8 * of_bounds) * basis.lebesgue * rule.product(*sizes, *absolute)
    for i, x in enumerate(xs):
        off = x.radius + 2 * basis.lebesgue * x.spread if i in gates else x.radius
        radius = radius + rule.product(*sizes[:i], off, *sizes[i + 1 :], *absolute) * (1 + 8 * of_bounds)
    there = rule.product(*((size != 0).astype(np.float64) for size in (*sizes, *absolute)))
    radius = np.where(there == 0, radius, radius + TINY)
    if rule.offset is not None:
        radius = radius + 4 * basis.lebesgue * basis.unit * np.abs(rule.offset)
    return bounded(basis, values, radius)
