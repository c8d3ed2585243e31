"""Finite unions of closed intervals on the real line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bounds = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Intervals:
    """A finite union of closed intervals, up to single points.

    Sets that differ in finitely many points have the same probability, so points are never kept: zero-length
    intervals are dropped, touching ones are merged, and the complement is closed again.

    Parameters
    ----------
    bounds : array (n, 2)
        Lower and upper ends, strictly increasing when read row by row; ends may be infinite. Use `of` for
        anything that is not in this form yet.

    Raises
    ------
    ValueError
        If `bounds` is not sorted, disjoint and of positive length, or holds a NaN.
    """

    bounds: Bounds

    def __post_init__(self) -> None:
        # Adding 0.0 copies and turns -0.0 into 0.0, so that equal sets have equal bytes and equal hashes.
        bounds = np.asarray(self.bounds, dtype=np.float64) + 0.0
        flat = bounds.ravel()
        if bounds.ndim != 2 or bounds.shape[1] != 2 or not (flat[1:] > flat[:-1]).all():
            raise ValueError("bounds must be an (n, 2) array that increases strictly; use Intervals.of")
        bounds.setflags(write=False)
        object.__setattr__(self, "bounds", bounds)

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float]] | Bounds) -> Intervals:
        """Build the union of (lo, hi) pairs in any order, overlapping or not.

        Parameters
        ----------
        pairs : iterable of (lo, hi), or array (n, 2)
            Pairs with hi <= lo hold no mass and are dropped.

        Returns
        -------
        Intervals

        Raises
        ------
        ValueError
            If an end is NaN or an item is not a pair.
        """
        raw = np.asarray(pairs if isinstance(pairs, np.ndarray) else list(pairs), dtype=np.float64)
        if raw.size == 0:
            return cls.empty()
        if raw.ndim != 2 or raw.shape[1] != 2:
            raise ValueError(f"expected (lo, hi) pairs, got an array of shape {raw.shape}")
        if np.isnan(raw).any():
            raise ValueError("an interval end is NaN")
        return cls(_merged(raw[raw[:, 1] > raw[:, 0]]))

    @classmethod
    def empty(cls) -> Intervals:
        """Return the empty set."""
        return cls(np.empty((0, 2)))

    @classmethod
    def line(cls) -> Intervals:
        """Return the whole real line."""
        return cls(np.array([[-np.inf, np.inf]]))

    def union(self, other: Intervals) -> Intervals:
        """Return the points in either set."""
        return Intervals(_merged(np.concatenate([self.bounds, other.bounds])))

    def intersect(self, other: Intervals) -> Intervals:
        """Return the points in both sets."""
        mine, theirs = self.bounds, other.bounds
        # Each interval of mine overlaps one run theirs[first:stop]; list all pairs (at most n + m) at once.
        first = theirs[:, 1].searchsorted(mine[:, 0], side="right")
        stop = theirs[:, 0].searchsorted(mine[:, 1], side="left")
        count = stop - first
        ends = count.cumsum()
        left = np.arange(len(mine)).repeat(count)
        right = np.arange(len(left)) + (stop - ends).repeat(count)
        lo = np.maximum(mine[left, 0], theirs[right, 0])
        hi = np.minimum(mine[left, 1], theirs[right, 1])
        return Intervals(np.stack([lo, hi], axis=1))

    def complement(self) -> Intervals:
        """Return the closure of the points that are not in the set."""
        gaps = np.concatenate([[-np.inf], self.bounds.ravel(), [np.inf]]).reshape(-1, 2)
        return Intervals(gaps[gaps[:, 1] > gaps[:, 0]])

    def subtract(self, other: Intervals) -> Intervals:
        """Return the closure of the points of this set that are not in `other`."""
        return self.intersect(other.complement())

    def contains(self, z: float) -> bool:
        """Tell whether `z` lies in the set, ends included."""
        row = int(self.bounds[:, 0].searchsorted(z, side="right")) - 1
        return row >= 0 and bool(z <= self.bounds[row, 1])

    def scaled(self, factor: float, shift: float) -> Intervals:
        """Return the image of the set under z -> factor * z + shift.

        Parameters
        ----------
        factor : float
            Finite and not zero; a negative one mirrors the set.
        shift : float
            Finite.

        Returns
        -------
        Intervals
            Intervals that shrink to a point in float64 are dropped, gaps that do so are closed.

        Raises
        ------
        ValueError
            If `factor` is zero or not finite, or `shift` is not finite.
        """
        if factor == 0.0 or not np.isfinite(factor) or not np.isfinite(shift):
            raise ValueError(f"not an invertible affine map: {factor} * z + {shift}")
        image = factor * self.bounds + shift
        return Intervals.of(image if factor > 0 else image[:, ::-1])

    def to_list(self) -> list[list[float]]:
        """Return the intervals as a list of [lo, hi]."""
        pairs: list[list[float]] = self.bounds.tolist()
        return pairs

    def __len__(self) -> int:
        return len(self.bounds)

    def __bool__(self) -> bool:
        return len(self.bounds) > 0

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return ((lo, hi) for lo, hi in self.to_list())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Intervals):
            return NotImplemented
        return np.array_equal(self.bounds, other.bounds)

    def __hash__(self) -> int:
        return hash(self.bounds.tobytes())


def _merged(bounds: Bounds) -> Bounds:
    """Sort intervals of positive length and merge those that overlap or touch."""
    bounds = bounds[bounds[:, 0].argsort(kind="stable")]
    reach = np.maximum.accumulate(bounds[:, 1])
    starts = np.ones(len(bounds), dtype=np.bool_)
    starts[1:] = bounds[1:, 0] > reach[:-1]
    lasts = np.ones(len(bounds), dtype=np.bool_)
    lasts[:-1] = starts[1:]
    return np.stack([bounds[starts, 0], reach[lasts]], axis=1)
