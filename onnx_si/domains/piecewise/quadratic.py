"""A tensor that is a polynomial of degree 2 between knots: products of tensors that are affine there.

On the interval with values l and r at its ends, at the share s of its way, the tensor is
l + s (r - l) - s (1 - s) b: the chord, less what the bend b makes it hang below. A product of affine tensors
bends by the product of their rises, and what is affine, zero or constant has a bend of exactly zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnx_si.domains.piecewise.value import Index, PiecewiseLinear, merge
from onnx_si.rules.rules import Array


@dataclass(frozen=True)
class PiecewiseQuadratic:
    """Values (K, *shape) at nondecreasing knots (K,), and the bend (K - 1, *shape) of each interval."""

    knots: Array
    values: Array
    bends: Array

    @property
    def points(self) -> int:
        return 2 * len(self.knots) - 1

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.bends.nbytes

    @property
    def chords(self) -> PiecewiseLinear:
        """The same values, affine in between."""
        return PiecewiseLinear(self.knots, self.values)

    def split(self, at: float) -> tuple["PiecewiseQuadratic", "PiecewiseQuadratic"]:
        """The same on both sides of a point inside; a jump there goes apart."""
        left, right = self.knots.searchsorted(at, "left"), self.knots.searchsorted(at, "right")
        if left < right:
            return (
                PiecewiseQuadratic(self.knots[: left + 1], self.values[: left + 1], self.bends[:left]),
                PiecewiseQuadratic(
                    self.knots[right - 1 :], self.values[right - 1 :].copy(), self.bends[right - 1 :].copy()
                ),
            )
        cut = resampled(self, np.insert(self.knots, left, [at, at]))
        return (
            PiecewiseQuadratic(cut.knots[: left + 1], cut.values[: left + 1], cut.bends[:left]),
            PiecewiseQuadratic(cut.knots[left + 1 :], cut.values[left + 1 :], cut.bends[left + 1 :]),
        )

    def between(self, first: int) -> "PiecewiseQuadratic":
        """The tensor on one interval."""
        return PiecewiseQuadratic(
            self.knots[first : first + 2], self.values[first : first + 2], self.bends[first : first + 1]
        )

    def middles(self) -> Array:
        """Values in the middle of each interval."""
        return np.asarray(0.5 * (self.values[:-1] + self.values[1:]) - 0.25 * self.bends)


Pieces = PiecewiseLinear | PiecewiseQuadratic


def bent(x: Pieces) -> PiecewiseQuadratic:
    """A tensor as one of degree 2."""
    if isinstance(x, PiecewiseQuadratic):
        return x
    return PiecewiseQuadratic(x.knots, x.values, np.zeros((len(x.knots) - 1, *x.values.shape[1:])))


def together(tensors: Sequence[Pieces]) -> list[PiecewiseQuadratic]:
    """The same tensors on common knots; a jump of any is a double knot of all."""
    lines = merge([PiecewiseLinear(x.knots, x.values) for x in tensors])
    return [
        _resampled(x, line) if isinstance(x, PiecewiseQuadratic) else bent(line)
        for x, line in zip(tensors, lines, strict=True)
    ]


def resampled(x: PiecewiseQuadratic, knots: Array) -> PiecewiseQuadratic:
    """The tensor on more knots."""
    empty = np.zeros((len(knots), 0))
    line, _ = merge([x.chords, PiecewiseLinear(knots, empty)])
    return _resampled(x, line)


def _resampled(x: PiecewiseQuadratic, line: PiecewiseLinear) -> PiecewiseQuadratic:
    """The tensor on the knots of its chords."""
    knots = line.knots
    if len(knots) == len(x.knots):
        return x
    interval: Index = np.clip(x.knots.searchsorted(knots, "right") - 1, 0, len(x.knots) - 2)
    low, length = x.knots[interval], x.knots[interval + 1] - x.knots[interval]
    shares = np.divide(knots - low, length, out=np.zeros(len(knots)), where=length > 0)
    hanging = np.flatnonzero((shares > 0) & (shares < 1))
    values = line.values.copy()
    inside = shares[hanging]
    values[hanging] -= _per_row(inside * (1 - inside), values) * x.bends[interval[hanging]]
    part = np.divide(np.diff(knots), length[:-1], out=np.zeros(len(knots) - 1), where=(length[:-1] > 0))
    return PiecewiseQuadratic(knots, values, _per_row(part * part, values) * x.bends[interval[:-1]])


def _per_row(numbers: Array, like: Array) -> Array:
    return numbers.reshape(-1, *(1,) * (like.ndim - 1))
