"""Arithmetic element by element: the linear parts of rules, and functions with bends."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.kernels.arrays import align, expand
from onnx_si.rules.reversible import folded
from onnx_si.rules.rules import Array


@dataclass(frozen=True)
class WeightedSum:
    """Sum of weight * x over xs that broadcast to a shape; the weights are numbers, as many as xs."""

    shape: tuple[int, ...]

    def __call__(self, *xs_and_weights: Array) -> Array:
        count = len(xs_and_weights) // 2
        xs, ws = xs_and_weights[:count], xs_and_weights[count:]
        result = expand(xs[0] if ws[0] == 1 else ws[0] * xs[0], self.shape)
        for x, w in zip(xs[1:], ws[1:], strict=True):
            result = result + align(x if w == 1 else w * x, len(self.shape))
        return result

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]], *weights: Array) -> tuple[Array, ...]:
        return tuple(folded(y if w == 1 else w * y, shape) for shape, w in zip(shapes, weights, strict=True))


@dataclass(frozen=True)
class Scaled:
    """w * x in so many dimensions, the batch axis not counted."""

    ndim: int

    def __call__(self, x: Array, w: Array) -> Array:
        return align(x, self.ndim) * w

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]], w: Array) -> tuple[Array, ...]:
        return (folded(y * w, shapes[0]),)


@dataclass(frozen=True)
class Divided:
    """x / w in so many dimensions, the batch axis not counted."""

    ndim: int

    def __call__(self, x: Array, w: Array) -> Array:
        return align(x, self.ndim) / w

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]], w: Array) -> tuple[Array, ...]:
        return (folded(y / w, shapes[0]),)


def rectified(x: Array, out: Array | None = None) -> Array:
    """The larger one of x and 0."""
    return np.maximum(x, 0.0, out=out)


@dataclass(frozen=True, eq=False)
class Leaky:
    """slope * x below zero, x above."""

    slope: Array | float

    def __call__(self, x: Array) -> Array:
        return np.where(x < 0, self.slope * x, x)


@dataclass(frozen=True, eq=False)
class Clipped:
    """x between two numbers, the nearer one of them outside."""

    low: Array
    high: Array

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        return np.clip(x, self.low, self.high, out=out)


@dataclass(frozen=True, eq=False)
class Bounded:
    """The larger (sign +1) or smaller one of x and a bound."""

    bound: Array
    sign: int

    def __call__(self, x: Array) -> Array:
        return np.maximum(x, self.bound) if self.sign > 0 else np.minimum(x, self.bound)


@dataclass(frozen=True, eq=False)
class AllOf:
    """xs that broadcast to a shape, and constants."""

    shape: tuple[int, ...]
    fixed: tuple[Array, ...]

    def __call__(self, *xs: Array) -> list[Array]:
        whole = (xs[0].shape[0], *self.shape)
        return [expand(x, self.shape) for x in xs] + [np.broadcast_to(v, whole) for v in self.fixed]


def whole_quotient(a: Array, b: Array) -> Array:
    """a / b cut towards zero."""
    return np.trunc(np.divide(a, b))


def chosen_of(condition: Array, if_true: Array, if_false: Array) -> Array:
    """Either, as numbers say that are zero or not."""
    return np.where(condition != 0, if_true, if_false)


@dataclass(frozen=True, eq=False)
class Selected:
    """x where a mask is true, y elsewhere, both broadcast to a shape."""

    mask: NDArray[np.bool_]
    shape: tuple[int, ...]

    def __call__(self, x: Array, y: Array) -> Array:
        return np.where(self.mask, expand(x, self.shape), expand(y, self.shape))


def thinned(x: Array, kept: Array, share: float) -> Array:
    """What is kept of x, made larger by the share that is not."""
    return kept * x / (1 - share)


def repeated(x: Array, values: Array) -> Array:
    """The same values at every point."""
    return values + np.zeros_like(x)


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """factor * x + shift between two places, constants outside, which are hit exactly, without rounding."""

    places: tuple[float, float]
    levels: tuple[float, float]
    factor: float
    shift: float

    def __call__(self, x: Array) -> Array:
        (low, high), (at_low, at_high) = self.places, self.levels
        return np.where(x <= low, at_low, np.where(x >= high, at_high, self.factor * x + self.shift))
