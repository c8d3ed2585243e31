"""Sums of products in long numbers, by products in double precision that are exact.

A product of long numbers has no fast library, and a sum of n of them is still bounded by n roundings. Both
factors are cut instead (Ozaki and others, "Error-free transformations of matrix multiplication", Numerical
Algorithms 59, 2012): their leading bits are so few that whatever is summed of their products is a whole
number of one quantum and fits into 53 bits, so that it is exact in any order. What is left of the factors is
a millionth of them, and so is its rounding.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from onnx_si.domains.enclosure.value import wide
from onnx_si.domains.polynomial.value import Polynomial
from onnx_si.kernels.balls import UNIT
from onnx_si.kernels.correlation import Correlation, Spreading
from onnx_si.kernels.long import narrowed
from onnx_si.kernels.pools import LessMean, MeanByAxis
from onnx_si.kernels.products import TimesLeft, TimesRight
from onnx_si.rules.rules import Affine, Array

MANTISSA = 53
LINEAR_IN_ITS_WEIGHT = (Correlation, Spreading, TimesRight, TimesLeft)


@dataclass(frozen=True, eq=False)
class InParts:
    """Values at the points of an affine rule of one input; they are off by what the rule makes of `rounding`,
    and by `of_weights`.
    """

    values: Array
    rounding: Array
    of_weights: Array


def in_parts(rule: Affine, xs: Sequence[Polynomial]) -> InParts | None:
    """The values of a rule whose factors are cut; None of one that is not known to be linear in weights."""
    linear, (x, *others) = rule.linear, xs
    if others:
        return None
    if isinstance(linear, LessMean | MeanByAxis):
        *one, divisor = rule.weights
        total = _cut(partial(_total, axes=linear.axes), np.ones(()), rule.terms, x)
        mean = total.values / divisor
        return replace(total, values=x.values * one[0] + mean if one else mean)
    if not isinstance(linear, LINEAR_IN_ITS_WEIGHT):
        return None
    found = _cut(linear, rule.weights[0], rule.terms, x)
    if rule.offset is None:
        return found
    return InParts(found.values + rule.offset, found.rounding, found.of_weights)


def _total(x: Array, weight: Array, axes: tuple[int, ...]) -> Array:
    return MeanByAxis(axes)(x, np.ones(())) * weight


def _cut(linear: Callable[..., Any], weight: Array, terms: int, x: Polynomial) -> InParts:
    basis, gamma = x.basis, 0.5 * UNIT * (terms + 8)
    bits = (MANTISSA - math.ceil(math.log2(terms + 1))) // 2
    quantum = _quanta(x.largest.reshape(x.cells, -1).max(axis=1), bits)
    leading = np.rint(x.stack / wide(quantum, x.radius)) * wide(quantum, x.radius)
    rest = narrowed(x.stack - leading).reshape(x.values.shape)
    leading = narrowed(leading).reshape(x.values.shape)
    step = _quanta(np.abs(weight).max(initial=0.0), bits)
    large = np.rint(weight / step) * step
    small = weight - large
    values = linear(leading, large).astype(x.values.dtype) + (linear(leading, small) + linear(rest, weight))
    sizes = x.largest + wide(quantum, x.radius)
    of_weights = gamma * (1 + 4 * gamma) * linear(sizes, np.abs(small)) * (1 + 1e-3)
    rounding = 2 * basis.unit * (sizes + x.radius) + gamma * wide(quantum, x.radius)
    return InParts(values, rounding, np.asarray(of_weights))


def _quanta(largest: Any, bits: int) -> Array:
    """Powers of two: numbers up to these are that many bits of them, none is 0."""
    _, exponents = np.frexp(largest)
    return np.asarray(np.ldexp(1.0, np.maximum(exponents - bits, -900)))
