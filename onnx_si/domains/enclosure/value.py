"""The certified domain's value: a tensor on each of a batch of cells, between an affine form and a radius."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onnx_si.rules.rules import (
    Array,
)

UNIT = float(np.finfo(np.float64).eps)  # twice the rounding of one operation
TINY = 1e-300  # covers underflow
LEAST = 1e-250  # smallest error that an affine op spreads; times a weight it stays above zero


@dataclass(frozen=True, kw_only=True)
class Enclosure:
    """centre, slope and radius (cells, *shape); half_width (cells,); `at_most` is a bound of `largest`, where
    one is known already.
    """

    centre: Array
    slope: Array
    radius: Array
    half_width: Array
    at_most: Array | None = None

    @property
    def points(self) -> int:
        """Forward evaluations that it stands for: centre, slope and radius of every cell."""
        return 3 * len(self.half_width)

    @property
    def nbytes(self) -> int:
        return 3 * self.centre.nbytes

    def split(self, at: float) -> tuple["Enclosure", "Enclosure"]:
        """Never asked for: a batch is chosen to fit."""
        raise AssertionError("a batch of cells is not split along the line")

    @cached_property
    def largest(self) -> Array:
        """The largest centre of each cell, slope times half width, and radius, without signs, or no less:
        (3, cells).
        """
        if self.at_most is not None:
            return self.at_most
        with np.errstate(over="ignore", invalid="ignore"):
            slope = largest(self.slope) * self.half_width
        return np.stack([largest(self.centre), slope, largest(self.radius)])

    @property
    def finite(self) -> NDArray[np.bool_]:
        """The cells on which everything is a number."""
        return np.asarray(np.isfinite(self.largest).all(axis=0))

    @property
    def size(self) -> Array:
        """A bound of the tensor on each cell."""
        return np.asarray(self.largest.sum(axis=0) * (1 + 8 * UNIT))

    @property
    def reach(self) -> Array:
        """How far the tensor can be from its centre."""
        reach = np.abs(self.slope)
        reach *= wide(self.half_width, reach)
        reach += self.radius
        return reach

    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest value on each cell, rounded outwards."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is no number proves nothing: `proven`
            return self.around(self.reach)

    def around(self, reach: Array) -> tuple[Array, Array]:
        """The same by how far it can be from its centre."""
        wide = reach + 4 * UNIT * (np.abs(self.centre) + reach)
        return self.centre - wide, self.centre + wide


def largest(values: Array) -> Array:
    """The largest absolute value in each cell; none where one is no number."""
    flat = values.reshape(len(values), -1)
    return np.asarray(np.maximum(flat.max(axis=1, initial=0.0), -flat.min(axis=1, initial=0.0)))


def proven(low: Array, high: Array, claim: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A claim about values between two ends, where both are numbers: NaN and infinity prove nothing."""
    return np.asarray(claim & np.isfinite(low) & np.isfinite(high))


def wide(per_cell: Array, like: Array) -> Array:
    return per_cell.reshape(-1, *(1,) * (like.ndim - 1))


def cells(start: Array, direction: Array, low: Array, high: Array) -> Enclosure:
    """The input start + direction * z on cells [low, high], arrays (cells,)."""
    shape = (-1, *(1,) * start.ndim)
    middle, half = 0.5 * (low + high), np.nextafter(0.5 * (high - low), np.inf)
    centre = start + direction * middle.reshape(shape)
    slope = np.broadcast_to(direction, centre.shape)
    # the middle and the half width are rounded themselves
    half = half * (1 + 4 * UNIT) + UNIT * np.abs(middle)
    size = np.abs(start) + np.abs(direction) * (np.abs(middle) + half).reshape(shape)
    return Enclosure(
        centre=centre, slope=slope, radius=np.maximum(4 * UNIT * size, LEAST * (size > 0)), half_width=half
    )
