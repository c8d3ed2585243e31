"""Values in another order: the linear parts of rules that only move."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.rules.rules import Array


@dataclass(frozen=True)
class Reshaped:
    """The same values in row-major order in another shape, the batch axis not counted."""

    shape: tuple[int, ...]

    def __call__(self, x: Array) -> Array:
        return x.reshape(x.shape[0], *self.shape)


@dataclass(frozen=True)
class Permuted:
    """The axes in another order, the batch axis counted."""

    order: tuple[int, ...]

    def __call__(self, x: Array) -> Array:
        return x.transpose(self.order)


@dataclass(frozen=True, eq=False)
class Picked:
    """Elements at places that are counted in row-major order, the batch axis not counted."""

    places: NDArray[np.intp]

    def __call__(self, x: Array) -> Array:
        return x.reshape(len(x), -1)[:, self.places]


@dataclass(frozen=True, eq=False)
class PickedAlong:
    """Slices along an axis, the batch axis counted."""

    places: NDArray[np.intp]
    axis: int

    def __call__(self, x: Array) -> Array:
        return np.take(x, self.places, axis=self.axis)


@dataclass(frozen=True, eq=False)
class Masked:
    """Zero wherever the mask is false."""

    kept: NDArray[np.bool_]

    def __call__(self, x: Array) -> Array:
        return np.where(self.kept, x, 0.0)


@dataclass(frozen=True, eq=False)
class Sliced:
    """A slice of every axis, the batch axis counted."""

    cuts: tuple[slice, ...]

    def __call__(self, x: Array) -> Array:
        return x[self.cuts]


@dataclass(frozen=True)
class Repeated:
    """So many copies along each axis, the batch axis not counted."""

    times: tuple[int, ...]

    def __call__(self, x: Array) -> Array:
        return np.tile(x, (1, *self.times))
