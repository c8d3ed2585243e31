"""The smooth domain's value: a tensor at the Chebyshev points of a batch of cells, and a remainder."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from onnx_si.domains.enclosure.value import wide
from onnx_si.domains.polynomial.basis import Basis, coefficients
from onnx_si.domains.polynomial.gains import norm as norm_of
from onnx_si.kernels.balls import TINY, UNIT, UP
from onnx_si.kernels.long import narrowed
from onnx_si.rules.rules import Array

LONGER = 3  # times the work that numbers in double precision take


@dataclass(frozen=True, eq=False, kw_only=True)
class Polynomial:
    """On each cell the tensor is within `radius` (cells, *shape) of the polynomial through its `values`
    (points * cells, *shape), those of one point together; what is left has a Euclidean norm of at most `norm`
    (cells,). Make one by `bounded`.
    """

    basis: Basis
    values: Array
    radius: Array
    norm: Array

    @property
    def cells(self) -> int:
        return len(self.radius)

    @property
    def points(self) -> int:
        """Forward evaluations that it stands for: one at each point, more in long numbers, one of the
        remainder.
        """
        return (LONGER if self.basis.is_long else 1) * len(self.values) + self.cells

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.radius.nbytes

    def split(self, at: float) -> tuple["Polynomial", "Polynomial"]:
        """Never asked for: a batch is chosen to fit."""
        raise AssertionError("a batch of cells is not split along the line")

    @property
    def stack(self) -> Array:
        """The values (points, cells, *shape)."""
        return self.values.reshape(self.basis.count, *self.radius.shape)

    @cached_property
    def coefficients(self) -> Array:
        """Coefficients (order + 1, cells, *shape) of the polynomial, but for `rounding`."""
        return self._parts[0]

    @property
    def rounding(self) -> Array:
        """How far each coefficient may be off."""
        return self._parts[1]

    @cached_property
    def _parts(self) -> tuple[Array, Array]:
        return coefficients(self.basis, self.stack)

    @cached_property
    def largest(self) -> Array:
        """The largest absolute value at the points, rounded up in long numbers."""
        found = np.maximum(self.stack.max(axis=0), -self.stack.min(axis=0))
        return np.asarray(narrowed(found) * UP if self.basis.is_long else found)

    @cached_property
    def bends(self) -> Array:
        """Bounds (order, cells, *shape) of the sizes of all coefficients but the first."""
        return (np.abs(self.coefficients[1:]) + self.rounding) * UP

    @cached_property
    def swing(self) -> Array:
        """How far the polynomial is from its first coefficient."""
        return np.asarray(self.bends.sum(axis=0) * UP + self.rounding)

    @property
    def size(self) -> Array:
        """A bound of the tensor's absolute value."""
        whole = (np.abs(self.coefficients[0]) + self.swing + self.radius) * UP
        return np.asarray(whole + TINY * (self.largest > 0))

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest value on each cell, rounded outwards."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._bounds(self.swing + self.radius)

    @property
    def bounds_of_polynomial(self) -> tuple[Array, Array]:
        """The same of the polynomial alone."""
        return self._bounds(self.swing)

    def _bounds(self, reach: Array) -> tuple[Array, Array]:
        middle = self.coefficients[0]
        reach = reach * UP + 4 * UNIT * np.abs(middle)
        first = narrowed(self.stack[0])
        constant = (self.stack == first).all(axis=0) & (self.radius == 0)
        low = np.where(constant, first, middle - reach)
        return low, np.where(constant, first, middle + reach)

    @property
    def spread(self) -> Array:
        """How far apart the values at the points are."""
        return np.asarray(narrowed(self.stack.max(axis=0) - self.stack.min(axis=0))) * UP


def bounded(basis: Basis, values: Array, radius: Array, norm: Array | None = None) -> Polynomial:
    """A value whose remainder is bounded element by element, and as a whole: each bounds the other."""
    whole = norm_of(radius)
    if norm is not None:
        whole = np.fmin(whole, norm)
        radius = np.fmin(radius, wide(whole, radius))
    return Polynomial(basis=basis, values=values, radius=radius, norm=whole)


def without_remainder(x: Polynomial) -> Polynomial:
    """The polynomial alone."""
    return bounded(x.basis, x.values, np.zeros_like(x.radius))


def constant(basis: Basis, values: Array) -> Polynomial:
    """A tensor (cells, *shape) that is known exactly and does not change on a cell."""
    stack = np.concatenate([values] * basis.count).astype(basis.points.dtype)
    return bounded(basis, stack, np.zeros(values.shape))


def cells(basis: Basis, start: Array, direction: Array, low: Array, high: Array) -> Polynomial:
    """The input start + direction * z on cells [low, high], arrays (cells,)."""
    low, high = low.astype(basis.points.dtype), high.astype(basis.points.dtype)
    middle, half = 0.5 * low + 0.5 * high, 0.5 * (high - low)
    # the middle and the half width are rounded themselves, and so are the points
    half = half * (1 + 8 * basis.unit) + 2 * basis.unit * np.abs(middle)
    places = (middle + half * basis.points[:, None]).reshape(-1, *(1,) * start.ndim)
    most = narrowed(np.abs(middle) + half) * UP
    size = np.abs(start) + np.abs(direction) * wide(most, np.zeros((1, *start.shape)))
    return bounded(basis, start + direction * places, 16 * basis.lebesgue * basis.unit * size)
