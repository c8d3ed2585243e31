"""Interpolation along axes: one constant matrix or list of places for each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.kernels.stretch import Positions, to_size
from onnx_si.rules.rules import Array


def kernel_matrix(
    positions: Positions,
    inside: int,
    mode: str,
    cubic: float = -0.75,
    exclude_outside: bool = False,
    shrink: float = 1.0,
) -> Array:
    """Interpolation weights (outside, inside); what lies outside the input repeats its edge.

    With `shrink` below 1 the kernel is wider by its inverse (antialias).
    """
    reach = math.ceil((1 if mode == "linear" else 2) / shrink)
    base, share = positions.parts()
    matrix = np.zeros((positions.count, inside))
    rows = np.arange(positions.count)
    for step in range(1 - reach, reach + 1):
        column, distance = base + step, np.abs(share - step) * shrink
        weight = np.maximum(1 - distance, 0.0) if mode == "linear" else keys_kernel(distance, cubic)
        if exclude_outside:
            weight = np.where((column < 0) | (column >= inside), 0.0, weight)
        np.add.at(matrix, (rows, np.clip(column, 0, inside - 1)), weight)
    return matrix / matrix.sum(axis=1, keepdims=True) if exclude_outside or shrink < 1 else matrix


def linear_matrix(inside: int, outside: int) -> Array:
    """Weights (outside, inside) of a linear resize with half-pixel centres, the specification's default."""
    return kernel_matrix(to_size(inside, outside).positions("half_pixel"), inside, "linear")


def keys_kernel(d: Array, a: float) -> Array:
    """Keys' cubic convolution kernel."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _apply(x: Array, matrix: Array, axis: int) -> Array:
    """Apply an (outside, inside) matrix along one axis."""
    moved = np.moveaxis(x, axis, -1)
    rows = moved.reshape(math.prod(moved.shape[:-1]), moved.shape[-1]) @ matrix.T
    return np.moveaxis(rows.reshape(*moved.shape[:-1], matrix.shape[0]), -1, axis)


@dataclass(frozen=True)
class AlongAxes:
    """The linear part of an interpolation: one matrix (a weight) for each of some axes."""

    axes: tuple[int, ...]

    def __call__(self, x: Array, *matrices: Array) -> Array:
        for axis, matrix in zip(self.axes, matrices, strict=True):
            x = _apply(x, matrix, axis + 1)
        return x

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]], *matrices: Array) -> tuple[Array, ...]:
        for axis, matrix in zip(self.axes, matrices, strict=True):
            y = _apply(y, matrix.T, axis + 1)
        return (y,)


@dataclass(frozen=True)
class Taken:
    """The linear part of picking elements along axes."""

    indices: Mapping[int, NDArray[np.intp]]

    def __call__(self, x: Array) -> Array:
        for axis in sorted(
            self.indices, reverse=True
        ):  # whole rows move fast: those last, when there are more
            x = np.take(x, self.indices[axis], axis=axis + 1)
        return x

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
        for axis, index in self.indices.items():
            y = _apply(y, np.eye(shapes[0][axis])[:, index], axis + 1)
        return (y,)
