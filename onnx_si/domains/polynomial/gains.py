"""How much an affine rule makes of an error: bounds in the Euclidean norm, over a whole tensor.

Errors spread through absolute weights as if every one of them had the worst sign, which costs a factor of the
root of the number of terms in every layer. The norm of a matrix does not: a layer's is one to three. So each
value carries the norm of its remainder beside the remainder of each element, and each bounds the other.

Source
------
Sedghi, Gupta, Long, "The Singular Values of Convolutional Layers", ICLR 2019: a convolution is a block of one
without borders, whose norm is the largest one of the kernel's Fourier transform. Between the frequencies of a
grid it is no larger than Riesz' lemma allows (Duffin and Schaeffer, Transactions of the AMS 44, 1938).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnx_si.kernels.correlation import Correlation, Spreading
from onnx_si.kernels.interpolation import AlongAxes
from onnx_si.kernels.pointwise import Divided, Scaled, WeightedSum
from onnx_si.kernels.pools import DividedSum, LessMean, MeanByAxis, WindowMean
from onnx_si.kernels.products import TimesLeft, TimesRight
from onnx_si.ops.made_of import by_reciprocal
from onnx_si.rules.rules import Affine, Array, Composition, Maximum, Quotient

ENOUGH = 1 + 1e-9  # rounding of norms and of singular values
FREQUENCIES = 32  # of a kernel with three taps, along each axis
LARGEST = 1 << 22  # numbers of a Fourier transform, and of a matrix whose singular values are asked for


@dataclass(frozen=True)
class Gain:
    """`norms` bound what each input's error becomes, in the norm of the whole; None where nothing is known.

    `rows` (1, *shape) are the norms of what one element of the output is made of, by all inputs; infinite
    where nothing is known.
    """

    norms: tuple[float, ...] | None
    rows: Array


@dataclass(frozen=True, eq=False)
class Gains:
    """Gains of rules, each found once."""

    known: dict[int, tuple[Affine | Maximum, Gain]] = field(default_factory=dict)
    quotients: dict[int, tuple[Quotient, Composition]] = field(default_factory=dict)

    def parts_of(self, rule: Quotient, divisor: tuple[int, ...]) -> Composition:
        """A quotient as a product, whose rules are the same every time."""
        if id(rule) not in self.quotients:
            self.quotients[id(rule)] = rule, by_reciprocal(rule, divisor)
        return self.quotients[id(rule)][1]

    def of(self, rule: Affine | Maximum, shapes: Sequence[tuple[int, ...]]) -> Gain:
        """The gain of a rule on inputs of some shapes: of a maximum, that of all its candidates."""
        if id(rule) not in self.known:
            made = _gain(rule, shapes) if isinstance(rule, Affine) else _of_candidates(rule, shapes)
            self.known[id(rule)] = rule, made
        return self.known[id(rule)][1]


def norm(errors: Array) -> Array:
    """The norm (cells,) of errors (cells, *shape), rounded up."""
    flat = errors.reshape(len(errors), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.sqrt(np.einsum("ij,ij->i", flat, flat))
    return np.asarray(found * ENOUGH + 1e-150 * math.sqrt(flat.shape[1]))


def _gain(rule: Affine, shapes: Sequence[tuple[int, ...]]) -> Gain:
    ones, known = [np.ones((1, *shape)) for shape in shapes], _NORMS.get(type(rule.linear))
    moves = not rule.weights and rule.terms == 1
    if known is None and not moves:  # one that reads an element twice adds weights, not their squares
        return Gain(None, np.full(1, np.inf))
    squares = [np.square(weight) for weight in rule.weights]
    rows = np.sqrt(rule.linear(*ones, *squares)) * ENOUGH + 1e-150
    if moves:
        found: tuple[float, ...] | None = _how_often(rule.linear, shapes)
    else:
        assert known is not None, "a rule with weights is known here"
        found = known(rule.linear, rule.weights, shapes, rows.shape[1:])
    norms = None if found is None else tuple(value * ENOUGH for value in found)
    return Gain(norms, rows)


def _how_often(move: Callable[..., Any], shapes: Sequence[tuple[int, ...]]) -> tuple[float, ...]:
    """The root of how often an element of each input is read."""
    found = []
    for i, shape in enumerate(shapes):
        xs = [np.zeros((1, *other)) for other in shapes]
        xs[i] = np.arange(1.0, math.prod(shape) + 1).reshape(xs[i].shape)
        with np.errstate(invalid="ignore"):
            numbers = np.asarray(move(*xs)) - np.asarray(move(*(np.zeros_like(x) for x in xs)))
        read = np.rint(numbers[np.isfinite(numbers)]).astype(np.intp)
        found.append(math.sqrt(np.bincount(read[read > 0], minlength=1).max()))
    return tuple(found)


def _of_candidates(rule: Maximum, shapes: Sequence[tuple[int, ...]]) -> Gain:
    return Gain(tuple(value * ENOUGH for value in _how_often(rule.candidates, shapes)), np.zeros(1))


def matrix_norm(matrices: Array) -> float | None:
    """The largest singular value of some matrices (..., rows, columns)."""
    rows, columns = matrices.shape[-2:]
    if rows * columns * min(rows, columns) > 512 * LARGEST:
        return None
    return float(np.linalg.svd(matrices, compute_uv=False).max(initial=0.0))


def _of_kernel(linear: Any, weights: tuple[Array, ...], *_: Any) -> tuple[float, ...] | None:
    (w,), group = weights, linear.group
    rank = linear.win.rank
    sizes = [max(4, math.ceil(FREQUENCIES * max(taps - 1, 1) / 2)) for taps in w.shape[2:]]
    sizes = [1 if taps == 1 else n for taps, n in zip(w.shape[2:], sizes, strict=True)]
    if math.prod(sizes) * w.shape[0] * w.shape[1] > LARGEST:
        return None
    axes = tuple(range(2, 2 + rank))
    waves = np.fft.rfftn(w, sizes, axes=axes)
    waves = waves.reshape(group, len(w) // group, w.shape[1], -1)
    found = float(np.linalg.svd(np.moveaxis(waves, -1, 1), compute_uv=False).max(initial=0.0))
    for taps, n in zip(w.shape[2:], sizes, strict=True):
        degree = 0.5 * (taps - 1)  # of what is left of each axis when its middle frequency is taken out
        found /= math.cos(math.pi * degree / n)
    return (found,)


def _of_matrix(linear: Any, weights: tuple[Array, ...], *_: Any) -> tuple[float, ...] | None:
    found = matrix_norm(weights[0]) if weights[0].ndim >= 2 else None
    if found is None or weights[0].ndim > 2:
        return None
    return (found,)


def _of_scale(
    linear: Any, weights: tuple[Array, ...], shapes: Sequence[tuple[int, ...]], out: tuple[int, ...]
) -> tuple[float, ...]:
    factor = np.abs(weights[0])
    largest = float(factor.max(initial=0.0) if isinstance(linear, Scaled) else 1 / factor.min(initial=np.inf))
    return (largest * _repeats(shapes[0], out),)


def _repeats(shape: tuple[int, ...], out: tuple[int, ...]) -> float:
    """The root of how often broadcasting reads an element."""
    return math.sqrt(math.prod(out) / max(1, math.prod(shape)))


def _of_sum(
    linear: Any, weights: tuple[Array, ...], shapes: Sequence[tuple[int, ...]], out: tuple[int, ...]
) -> tuple[float, ...]:
    return tuple(abs(float(w)) * _repeats(shape, out) for w, shape in zip(weights, shapes, strict=True))


def _of_mean(
    linear: Any, weights: tuple[Array, ...], shapes: Sequence[tuple[int, ...]], out: tuple[int, ...]
) -> tuple[float, ...]:
    count = math.prod(shapes[0]) / max(1, math.prod(out))
    return (math.sqrt(count) / float(np.abs(weights[0]).min()),)


def _of_projection(*_: Any) -> tuple[float, ...]:
    """What is less its mean is a projection, but for the rounding of the weights."""
    return (1.0,)


def _of_windows(
    linear: Any, weights: tuple[Array, ...], shapes: Sequence[tuple[int, ...]], *_: Any
) -> tuple[float, ...]:
    """By the sums of rows and columns (Schur's test): an element is in as many windows as these overlap."""
    rows = float(linear(np.ones((1, *shapes[0])), weights[0]).max())
    least = float(np.abs(weights[0]).min())
    overlap = math.prod(math.ceil(axis.taps / axis.stride) for axis in linear.win.axes)
    if any(axis.dilation != 1 for axis in linear.win.axes):
        overlap = linear.win.taps
    return (math.sqrt(rows * overlap / least),)


def _along_axes(linear: Any, weights: tuple[Array, ...], *_: Any) -> tuple[float, ...] | None:
    found = [matrix_norm(w) for w in weights]
    return None if None in found else (math.prod(value for value in found if value is not None),)


_NORMS: dict[type, Callable[..., tuple[float, ...] | None]] = {
    Correlation: _of_kernel,
    Spreading: _of_kernel,
    TimesRight: _of_matrix,
    TimesLeft: _of_matrix,
    Scaled: _of_scale,
    Divided: _of_scale,
    WeightedSum: _of_sum,
    DividedSum: _of_mean,
    MeanByAxis: _of_mean,
    LessMean: _of_projection,
    WindowMean: _of_windows,
    AlongAxes: _along_axes,
}
