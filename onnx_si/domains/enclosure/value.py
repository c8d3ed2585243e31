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


@dataclass(frozen=True, kw_only=True)
class Enclosure:
    """centre, slope and radius (cells, *shape); half_width (cells,)."""

    centre: Array
    slope: Array
    radius: Array
    half_width: Array

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
    def finite(self) -> NDArray[np.bool_]:
        """The cells on which everything is a number: what is none, or infinite, makes no finite sum."""
        axes = tuple(range(1, self.centre.ndim))
        sums = [part.sum(axis=axes) for part in (self.centre, self.slope, self.radius)]
        return np.asarray(np.isfinite(sums[0] + sums[1] + sums[2]))

    @property
    def reach(self) -> Array:
        """How far the tensor can be from its centre."""
        return self.radius + np.abs(self.slope) * wide(self.half_width, self.slope)

    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest value on each cell, rounded outwards."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is no number proves nothing: `proven`
            reach = self.reach
            slack = 4 * UNIT * (np.abs(self.centre) + reach)
            return self.centre - reach - slack, self.centre + reach + slack


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
    return Enclosure(centre=centre, slope=slope, radius=4 * UNIT * size, half_width=half)
