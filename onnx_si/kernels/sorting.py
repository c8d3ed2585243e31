"""Values in another order: the linear parts of rules that only move; and the nearest of sorted numbers."""

from collections.abc import Sequence
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

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
        return (y.reshape(len(y), *shapes[0]),)


@dataclass(frozen=True)
class Permuted:
    """The axes in another order, the batch axis counted."""

    order: tuple[int, ...]

    def __call__(self, x: Array) -> Array:
        return x.transpose(self.order)

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
        return (y.transpose(np.argsort(self.order)),)


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

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
        return (np.where(self.kept, y, 0.0),)


@dataclass(frozen=True, eq=False)
class Sliced:
    """A slice of every axis, the batch axis counted."""

    cuts: tuple[slice, ...]

    def __call__(self, x: Array) -> Array:
        return x[self.cuts]

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
        x = np.zeros((len(y), *shapes[0]), y.dtype)
        x[self.cuts] = y
        return (x,)


@dataclass(frozen=True)
class Padded:
    """A slice of every axis between zeros, the batch axis counted."""

    cuts: tuple[slice, ...]
    widths: tuple[tuple[int, int], ...]

    def __call__(self, x: Array) -> Array:
        return np.pad(x[self.cuts], self.widths)

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
        x = np.zeros((len(y), *shapes[0]), y.dtype)
        inside = (slice(before, n - after) for (before, after), n in zip(self.widths, y.shape, strict=True))
        x[self.cuts] = y[tuple(inside)]
        return (x,)


@dataclass(frozen=True)
class Joined:
    """xs behind each other along an axis, the batch axis counted, with zeros in gaps of some shapes."""

    gaps: tuple[tuple[int, ...] | None, ...]
    axis: int

    def __call__(self, *xs: Array) -> Array:
        changing, batch = iter(xs), xs[0].shape[:1]
        parts = (next(changing) if gap is None else np.broadcast_to(0.0, (*batch, *gap)) for gap in self.gaps)
        return np.concatenate(list(parts), axis=self.axis)

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
        changing = iter(shapes)
        lengths = [(next(changing) if gap is None else gap)[self.axis - 1] for gap in self.gaps]
        parts = np.split(y, np.cumsum(lengths)[:-1], axis=self.axis)
        return tuple(part for part, gap in zip(parts, self.gaps, strict=True) if gap is None)


@dataclass(frozen=True)
class Repeated:
    """So many copies along each axis, the batch axis not counted."""

    times: tuple[int, ...]

    def __call__(self, x: Array) -> Array:
        return np.tile(x, (1, *self.times))


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest of sorted levels, of two equally near the one with the even position; the ends saturate.

    `borders` lie half way between them; `missing` stands for what is no number.
    """

    levels: Array
    borders: Array
    missing: float

    def __call__(self, x: Array) -> Array:
        levels, borders = self.levels, self.borders
        position = np.searchsorted(borders, x, side="left")  # on a border the one below it
        on_border = (position < len(borders)) & (x == borders[np.minimum(position, len(borders) - 1)])
        nearest = levels[np.minimum(position + (on_border & self._odd(levels[position])), len(levels) - 1)]
        return np.where(np.isnan(x), self.missing, nearest)

    def _odd(self, below: Array) -> NDArray[np.bool_]:
        zero = int(np.searchsorted(self.levels, 0.0))
        return np.asarray((np.searchsorted(self.levels, below) - zero) % 2 == 1)

    def switches(self, x: Array) -> tuple[Array, ...]:
        """What changes its sign at each border."""
        return tuple(x - border for border in self.borders)
