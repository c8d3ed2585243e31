"""What smooth ops of several elements are made of: sums, products, and smooth functions of one element.

For whoever follows smooth rules; values themselves are computed in one go.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from onnx_si.kernels import series
from onnx_si.kernels.arrays import Applied, broadcast_shape, operands
from onnx_si.kernels.pointwise import Divided, Scaled
from onnx_si.kernels.pools import LessMean, MeanByAxis, WindowSum
from onnx_si.kernels.series import Coefficients
from onnx_si.kernels.windows import Window
from onnx_si.ops.elementwise import opaque, scale, smooth, weighted_sum
from onnx_si.ops.reduction import length_of
from onnx_si.rules.registry import Variable
from onnx_si.rules.rules import (
    Affine,
    Array,
    Bilinear,
    Composition,
    Kinked,
    Quotient,
    Rule,
    Smooth,
    Stage,
)

MOST_PAIRS = 64  # of a softmax's elements, whose differences are all computed: what they share cancels


@dataclass
class Sketch:
    """An op in the making: tensors by number, its changing inputs first."""

    shapes: list[tuple[int, ...]]
    inputs: int = field(init=False)
    stages: list[Stage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inputs = len(self.shapes)

    def finish(self) -> Composition:
        """The last tensor is the op's output."""
        return Composition(tuple(self.stages))

    def of(self, tensor: int) -> Variable:
        """A tensor as an input of rules."""
        return Variable(self.shapes[tensor])

    def add(self, rule: Rule, reads: tuple[int, ...], shape: tuple[int, ...]) -> int:
        """A tensor by a rule."""
        self.stages.append(Stage(rule, reads))
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def each(self, rule: Smooth | Kinked, x: int) -> int:
        """A function of one element."""
        return self.add(rule, (x,), self.shapes[x])

    def moved(self, move: Callable[[Array], Array], x: int) -> int:
        """A view, or a copy, of the elements; `move` keeps the axis of points in front."""
        shape = move(np.empty((1, *self.shapes[x]))).shape[1:]
        return self.add(Affine(linear=move), (x,), shape)

    def mean(self, x: int, axes: tuple[int, ...], divided: bool = True) -> int:
        """The mean over axes that stay, or the sum."""
        count = length_of(self.of(x), axes) if divided else 1
        shape = tuple(1 if axis in axes else n for axis, n in enumerate(self.shapes[x]))
        linear = MeanByAxis(tuple(axis + 1 for axis in axes))
        rule = Affine(linear=linear, weights=(np.asarray(float(count)),), terms=self._terms(x, axes))
        return self.add(rule, (x,), shape)

    def centred(self, x: int, axes: tuple[int, ...]) -> int:
        """x less its mean."""
        divisor = np.asarray(-float(length_of(self.of(x), axes)))
        linear = LessMean(tuple(axis + 1 for axis in axes))
        rule = Affine(linear=linear, weights=(np.ones(()), divisor), terms=self._terms(x, axes))
        return self.add(rule, (x,), self.shapes[x])

    def _terms(self, x: int, axes: tuple[int, ...]) -> int:
        """Roundings of a sum axis by axis, of its quotient, and of what it is added to."""
        return sum(self.shapes[x][axis] for axis in axes) + 2

    def combined(self, a: int, b: int, factors: tuple[float, float]) -> int:
        """A weighted sum."""
        pair = (self.of(a), self.of(b))
        return self.add(weighted_sum(pair, factors), (a, b), broadcast_shape(*pair))

    def shifted(self, x: int, constant: Array, factor: float = 1.0) -> int:
        """factor * x plus a constant."""
        pair = (self.of(x), constant)
        return self.add(weighted_sum(pair, (factor, 1.0)), (x,), broadcast_shape(*pair))

    def scaled(self, x: int, factor: Array) -> int:
        """A constant times x."""
        return self.add(scale(self.of(x), factor), (x,), broadcast_shape(self.of(x), factor))

    def divided(self, x: int, divisor: float) -> int:
        """x divided by a number."""
        linear = Divided(len(self.shapes[x]))
        return self.add(Affine(linear=linear, weights=(np.asarray(divisor),)), (x,), self.shapes[x])

    def product(self, a: int, b: int) -> int:
        """The product, element by element."""
        pair = (self.of(a), self.of(b))
        rule = Bilinear(product=Applied(np.multiply, operands(*pair)), elementwise=True)
        return self.add(rule, (a, b), broadcast_shape(*pair))

    def square(self, x: int) -> int:
        """x * x."""
        return self.add(Bilinear(product=np.multiply, elementwise=True), (x,), self.shapes[x])


def powers(exponent: float, shift: float = 0.0) -> Smooth:
    """(x + shift) ** exponent."""
    of_powers = series.of_powers(exponent)

    def taylor(x: Any, order: int) -> Coefficients:
        return of_powers(x + shift if shift else x, order)

    return smooth(lambda x: np.power(x + shift, exponent), taylor)


RECIPROCAL = smooth(np.reciprocal, series.of_powers(-1.0))
EXPONENTIAL = smooth(np.exp, series.of_cycle(np.exp))
LOGARITHM = smooth(np.log, series.of_integral(np.log, series.of_powers(-1.0)))
ROOT = powers(0.5)
SHIFTED_EXPONENTIAL = smooth(np.expm1, series.of_integral(np.expm1, series.of_cycle(np.exp)))
ABSOLUTE = Kinked(np.abs, (np.zeros(()),))


@dataclass(frozen=True)
class _Product:
    """The product of tensors that are lined up."""

    line_up: Callable[..., Sequence[Array]]

    def __call__(self, *xs: Array) -> Array:
        return np.asarray(np.multiply(*self.line_up(*xs)))


def by_reciprocal(rule: Quotient, divisor: tuple[int, ...]) -> Composition:
    """A quotient as the product of its dividend and the reciprocal of its divisor, which has a shape."""
    last = int(rule.divides_changing)
    inverse = Stage(RECIPROCAL, (last,))
    if rule.divides_changing:
        return Composition(
            (inverse, Stage(Bilinear(product=_Product(rule.line_up), elementwise=True), (0, 2)))
        )
    dividend, lined_up = rule.line_up(np.ones((1, *divisor)))
    factor = np.broadcast_to(dividend[0], np.broadcast_shapes(dividend.shape, lined_up.shape)[1:])
    return Composition((inverse, Stage(Affine(linear=Scaled(factor.ndim), weights=(factor,)), (1,))))


def swish(alpha: float) -> Smooth:
    """x / (1 + exp(-alpha x))."""

    def taylor(x: Any, order: int) -> Coefficients:
        t = series.variable(x, order)
        return series.times(t, series.logistic(series.scaled(alpha, t)))

    return smooth(lambda x: x * special.expit(alpha * x), taylor, everywhere=abs(alpha) <= 4.0)


def standardised(sketch: Sketch, x: int, axes: tuple[int, ...], epsilon: float) -> int:
    """(x - mean) / sqrt(variance + epsilon)."""
    return over_size(sketch, sketch.centred(x, axes), axes, epsilon)


def over_size(sketch: Sketch, x: int, axes: tuple[int, ...], epsilon: float) -> int:
    """x / sqrt(mean of squares + epsilon). Its derivative is (1 - y y' / n) over that root: no error of x
    becomes larger than the inverse of the root.
    """
    shape = sketch.shapes[x]
    inner, behind_batch = Sketch([shape]), tuple(axis + 1 for axis in axes)
    squares = inner.mean(inner.square(0), axes)
    inner.product(0, inner.each(powers(-0.5, epsilon), squares))

    def evaluate(x: Array) -> Array:
        return np.asarray(x / np.sqrt(np.mean(x * x, axis=behind_batch, keepdims=True) + epsilon))

    def steepness(least: Array) -> Array:
        smallest = np.mean(least * least, axis=behind_batch, keepdims=True).reshape(len(least), -1)
        return np.asarray((smallest.min(axis=1) * (1 - 1e-9) + epsilon) ** -0.5 * (1 + 1e-9))

    rule = opaque(evaluate, parts=inner.finish(), steepness=steepness)
    return sketch.add(rule, (x,), shape)


def with_constants(sketch: Sketch, x: int, factor: Array, constant: Array | None) -> Composition:
    """Times a constant, plus another."""
    x = sketch.scaled(x, factor)
    if constant is not None:
        sketch.shifted(x, constant)
    return sketch.finish()


def softmax_of_rows(
    shape: tuple[int, ...],
    to_rows: Callable[[Array], Array],
    back: Callable[[Array], Array],
    log: bool = False,
) -> Composition:
    """Of the last axis behind a move: 1 / sum of exp(x_j - x_i), or minus its logarithm."""
    sketch = Sketch([shape])
    rows = sketch.moved(to_rows, 0)
    last = len(sketch.shapes[rows]) - 1
    count = sketch.shapes[rows][last]
    if count <= MOST_PAIRS:
        others = sketch.moved(lambda x: x[..., None, :], rows)
        own = sketch.moved(lambda x: x[..., :, None], rows)
        apart = sketch.combined(others, own, (1.0, -1.0))
        total = sketch.mean(sketch.each(EXPONENTIAL, apart), (last + 1,), divided=False)
        total = sketch.moved(lambda x: x[..., 0], total)
        if log:
            made = sketch.scaled(sketch.each(LOGARITHM, total), np.asarray(-1.0))
        else:
            made = sketch.each(RECIPROCAL, total)
    else:
        sizes = sketch.each(EXPONENTIAL, rows)
        total = sketch.mean(sizes, (last,), divided=False)
        if log:
            made = sketch.combined(rows, sketch.each(LOGARITHM, total), (1.0, -1.0))
        else:
            made = sketch.product(sizes, sketch.each(RECIPROCAL, total))
    sketch.moved(back, made)
    return sketch.finish()


def reduced(x: Variable, axes: tuple[int, ...], keepdims: bool, before: str, after: Smooth) -> Composition:
    """A function of a sum of exponentials, or of the numbers themselves."""
    sketch = Sketch([x.shape])
    terms = sketch.each(EXPONENTIAL, 0) if before else 0
    total = sketch.mean(terms, axes, divided=False)
    if not keepdims:
        rest = tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
        total = sketch.moved(lambda y: y.reshape(len(y), *rest), total)
    sketch.each(after, total)
    return sketch.finish()


def bent_below_zero(x: Variable, bend: Smooth, factor: float, slope: float) -> Composition:
    """slope * x above zero, factor * bend(x) below, where bend(0) is 0."""
    sketch, zero = Sketch([x.shape]), (np.zeros(()),)
    above = sketch.each(Kinked(lambda x: np.maximum(x, 0.0), zero), 0)
    below = sketch.each(bend, sketch.each(Kinked(lambda x: np.minimum(x, 0.0), zero), 0))
    sketch.combined(above, below, (slope, factor))
    return sketch.finish()


def scaled_below_zero(x: Variable, alpha: float) -> Composition:
    """x above zero, alpha * (exp(x / alpha) - 1) below."""
    sketch, zero = Sketch([x.shape]), (np.zeros(()),)
    above = sketch.each(Kinked(lambda x: np.maximum(x, 0.0), zero), 0)
    below = sketch.each(Kinked(lambda x: np.minimum(x, 0.0), zero), 0)
    below = sketch.each(SHIFTED_EXPONENTIAL, sketch.divided(below, alpha))
    sketch.combined(above, below, (1.0, alpha))
    return sketch.finish()


def multiplied(x: Variable, axes: tuple[int, ...], keepdims: bool) -> Composition:
    """The product of all elements along axes, one after the other."""
    sketch, rest = Sketch([x.shape]), tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
    count = length_of(x, axes)
    behind = tuple(axis + 1 for axis in axes)
    last = tuple(range(-len(axes), 0))
    rows = sketch.moved(lambda y: np.moveaxis(y, behind, last).reshape(len(y), *rest, count), 0)
    made = sketch.moved(partial(_element, place=0), rows)
    for place in range(1, count):
        made = sketch.product(made, sketch.moved(partial(_element, place=place), rows))
    kept = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
    if keepdims:
        sketch.moved(lambda y: y.reshape(len(y), *kept), made)
    return sketch.finish()


def _element(rows: Array, place: int) -> Array:
    return rows[..., place]


def norm_of_windows(x: Variable, win: Window, p: int, shape: tuple[int, ...]) -> Composition:
    """The root of the sums of the p-th powers, without signs."""
    sketch = Sketch([x.shape])
    terms = sketch.each(powers(float(p)), sketch.each(ABSOLUTE, 0))
    total = sketch.add(Affine(linear=WindowSum(win), terms=win.taps), (terms,), shape)
    sketch.each(powers(1.0 / p), total)
    return sketch.finish()


def times_bent(x: Variable, gate: Kinked) -> Composition:
    """x times a function of it with bends."""
    sketch = Sketch([x.shape])
    sketch.product(0, sketch.each(gate, 0))
    return sketch.finish()


def softsign(x: Variable) -> Composition:
    """x / (1 + |x|)."""
    sketch = Sketch([x.shape])
    sketch.product(0, sketch.each(powers(-1.0, 1.0), sketch.each(ABSOLUTE, 0)))
    return sketch.finish()
