"""A tensor on a part of the line as knots and its values there: the exact domain's value."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.rules.rules import Array

Index = NDArray[np.intp]


@dataclass(frozen=True)
class PiecewiseLinear:
    """Values (K, *shape) at nondecreasing knots (K,); affine in between."""

    knots: Array
    values: Array

    @property
    def points(self) -> int:
        return len(self.knots)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def split(self, at: float) -> tuple["PiecewiseLinear", "PiecewiseLinear"]:
        """The same on both sides of a point inside; a jump there goes apart."""
        left, right = self.knots.searchsorted(at, "left"), self.knots.searchsorted(at, "right")
        if left < right:
            return (
                PiecewiseLinear(self.knots[: left + 1], self.values[: left + 1]),
                PiecewiseLinear(self.knots[right - 1 :], self.values[right - 1 :].copy()),
            )
        middle = interpolate(self, np.array([left - 1]), np.array([at]))
        end = np.array([at])
        return (
            PiecewiseLinear(
                np.concatenate([self.knots[:left], end]), np.concatenate([self.values[:left], middle])
            ),
            PiecewiseLinear(
                np.concatenate([end, self.knots[left:]]), np.concatenate([middle, self.values[left:]])
            ),
        )

    def between(self, first: int) -> "PiecewiseLinear":
        """The tensor on one interval."""
        return PiecewiseLinear(self.knots[first : first + 2], self.values[first : first + 2])


def line_segment(start: Array, direction: Array, low: float, high: float) -> PiecewiseLinear:
    """The input start + direction * z for low <= z <= high."""
    ends = np.array([low, high])
    return PiecewiseLinear(ends, start + direction * ends.reshape(-1, *(1,) * start.ndim))


def interpolate(f: PiecewiseLinear, interval: Index, at: Array) -> Array:
    """Values at points inside the given intervals; a constant stays what it is to the last bit."""
    low, high = f.knots[interval], f.knots[interval + 1]
    share = ((at - low) / (high - low)).reshape(-1, *(1,) * (f.values.ndim - 1))
    start, result = f.values[interval], f.values[interval + 1]
    with np.errstate(invalid="ignore"):  # infinity less infinity, of what is infinite all along
        result -= start
        result *= share
        result += start
    if math.isnan(np.vdot(result, result)):  # one pass, and a fast one
        constant = np.isinf(start) & (start == f.values[interval + 1])
        result[constant] = start[constant]
    return result


def interpolated_rows(f: PiecewiseLinear, interval: Index, at: Array) -> Iterator[Array]:
    """What `interpolate` gives, one by one in the same array: tensors that are larger than the cache."""
    low, high = f.knots[interval], f.knots[interval + 1]
    result = np.empty_like(f.values[0])
    for left, share in zip(interval, (at - low) / (high - low), strict=True):
        start, end = f.values[left], f.values[left + 1]
        with np.errstate(invalid="ignore"):
            np.subtract(end, start, out=result)
            result *= share
            result += start
        if math.isnan(np.vdot(result, result)):
            constant = np.isinf(start) & (start == end)
            result[constant] = start[constant]
        yield result


def merge(tensors: Sequence[PiecewiseLinear]) -> list[PiecewiseLinear]:
    """The same tensors on common knots; a jump of any is a double knot of all."""
    first = tensors[0].knots
    if all(t.knots is first or np.array_equal(t.knots, first) for t in tensors[1:]):
        return list(tensors)
    counted = [np.unique(t.knots, return_counts=True) for t in tensors]
    points = np.unique(np.concatenate([u for u, _ in counted]))
    count = np.ones(len(points), dtype=np.intp)
    for unique, times in counted:
        at = points.searchsorted(unique)
        count[at] = np.maximum(count[at], times)
    knots = np.repeat(points, count)
    second = np.concatenate([[False], knots[1:] == knots[:-1]])
    return [PiecewiseLinear(knots, _resample(t, knots, second)) for t in tensors]


def _resample(f: PiecewiseLinear, knots: Array, second: NDArray[np.bool_]) -> Array:
    """Values at new knots that contain the old ones; `second` marks the right limits."""
    if len(f.knots) == len(knots):
        return f.values
    left, right = f.knots.searchsorted(knots, "left"), f.knots.searchsorted(knots, "right")
    known = left < right
    values = np.empty((len(knots), *f.values.shape[1:]))
    values[known] = f.values[np.where(second, right - 1, left)[known]]
    values[~known] = interpolate(f, left[~known] - 1, knots[~known])
    return values


def from_pieces(edges: Array, pieces: Array) -> PiecewiseLinear:
    """A tensor that is constant on each interval between edges (P+1,), with values (P, *shape)."""
    changes = np.any((pieces[1:] != pieces[:-1]).reshape(len(pieces) - 1, pieces[0].size), axis=1)
    first = np.concatenate([[0], np.nonzero(changes)[0] + 1])
    starts, ends = edges[first], np.append(edges[first[1:]], edges[-1])
    knots = np.stack([starts, ends], axis=1).ravel()
    return PiecewiseLinear(knots, np.repeat(pieces[first], 2, axis=0))


def between_jumps(gate: PiecewiseLinear) -> Array:
    """A gate's values, each stretch between two jumps as it starts.

    Matrix products round equal rows differently, so a gate that went through one is constant up to
    rounding only.
    """
    fresh = np.append(True, gate.knots[1:] <= gate.knots[:-1])
    start = np.maximum.accumulate(np.where(fresh, np.arange(gate.points), 0))
    values = gate.values[start]
    if not np.allclose(values, gate.values, rtol=0.0, atol=1e-9 * (1 + np.abs(values).max(initial=0.0))):
        raise AssertionError("a gate changes inside an interval")  # the binder let a non-gate through
    return values
