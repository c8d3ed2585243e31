"""Where the event holds on a cell, by margins that are polynomials with remainders.

The polynomials alone are looked at on ever finer parts of the cell, which costs no walk through the network:
on each part a margin is within its value and slope in the middle, its second derivative and its remainder.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.event import RegionEvent
from onnx_si.domains.polynomial.value import Polynomial
from onnx_si.kernels.balls import UNIT, UP
from onnx_si.rules.rules import Array

PARTS = 32  # of a stretch that is looked at
DEEPEST = 6  # looks within looks
SHRINKS = 0.5  # share of a stretch that may stay open if it is to be looked at again
AT_ONCE = 1 << 20  # numbers of one look

Stretch = tuple[float, float]


@dataclass(frozen=True)
class Parted:
    """Of a cell t in [-1, 1]: where the event certainly holds, and where it is open."""

    inside: tuple[Stretch, ...]
    open: tuple[Stretch, ...]


OPEN = Parted((), ((-1.0, 1.0),))


@dataclass(frozen=True)
class Signed:
    """Margins of one cell that are positive where the event holds: coefficients (order + 1, pixels) and
    remainders (pixels,).
    """

    coefficients: Array
    radius: Array

    def pick(self, pixels: NDArray[np.bool_]) -> "Signed":
        """Some of the pixels."""
        return Signed(self.coefficients[:, pixels], self.radius[pixels])

    @property
    def share_left_out(self) -> float:
        """The largest remainder, as a share of the largest margin."""
        largest = float(np.abs(self.coefficients).max(initial=0.0))
        return float(self.radius.max(initial=0.0)) / largest if largest else math.inf

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest value on the whole cell."""
        reach = (np.abs(self.coefficients[1:]).sum(axis=0) + self.radius) * UP
        reach = reach + 4 * UNIT * np.abs(self.coefficients[0])
        return self.coefficients[0] - reach, self.coefficients[0] + reach

    def on_parts(self, middles: Array, half: float) -> tuple[Array, Array]:
        """Lowest and highest value (parts, pixels) on parts of one half width around middles."""
        chebyshev = np.polynomial.chebyshev
        coefficients, count = self.coefficients, len(self.coefficients)
        values = chebyshev.chebvander(middles, count - 1) @ coefficients
        first = chebyshev.chebder(np.eye(count), axis=0)
        slopes = chebyshev.chebvander(middles, max(count - 2, 0)) @ (first @ coefficients)
        orders = np.arange(count)
        bend = (orders**2 * (orders**2 - 1) / 3.0) @ np.abs(coefficients)  # every T_k'' is largest at 1
        size = np.abs(coefficients).sum(axis=0)
        reach = np.abs(slopes) * half + 0.5 * half * half * bend + self.radius
        reach = reach * UP + 64 * count**3 * UNIT * size
        return values - reach, values + reach


def signed(event: RegionEvent, margin: Polynomial) -> Iterator[Signed]:
    """The margins of the pixels that matter, cell by cell."""
    cells, chosen = margin.cells, np.flatnonzero(event.pixels)
    sign = np.where(event.observed.ravel()[chosen], 1.0, -1.0)
    coefficients = margin.coefficients.reshape(margin.basis.count, cells, -1)
    radius = ((margin.radius + margin.basis.count * margin.rounding) * UP).reshape(cells, -1)
    for cell in range(cells):
        yield Signed(coefficients[:, cell, chosen] * sign, radius[cell, chosen])


def parted(margins: Signed) -> Parted:
    """Where all margins of a cell are positive for certain, and where neither that nor the contrary is."""
    low, high = margins.bounds
    if np.any(high < 0):
        return Parted((), ())
    unsure = ~(low > 0)
    if not unsure.any():
        return Parted(((-1.0, 1.0),), ())
    inside, open_ = list[Stretch](), list[Stretch]()
    todo = [(-1.0, 1.0, margins.pick(unsure), 0)]
    while todo:
        start, end, some, depth = todo.pop()
        edges = np.linspace(start, end, PARTS + 1)
        half = 0.5 * float(np.diff(edges).max()) * (1 + 1e-9)
        right, wrong, sure = _look(some, 0.5 * edges[:-1] + 0.5 * edges[1:], half)
        inside += _runs(edges, right)
        left = ~(right | wrong)
        again = depth < DEEPEST and np.count_nonzero(left) <= SHRINKS * PARTS
        rest = some.pick(~sure) if again and left.any() else some
        for low_, high_ in _runs(edges, left):
            if again:
                todo.append((low_, high_, rest, depth + 1))
            else:
                open_.append((low_, high_))
    return Parted(_joined(inside), _joined(open_))


def _joined(stretches: list[Stretch]) -> tuple[Stretch, ...]:
    """In their order, those that touch as one."""
    joined = list[Stretch]()
    for low, high in sorted(stretches):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def _look(
    some: Signed, middles: Array, half: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which parts are right and which are wrong for certain; which pixels are right on all parts."""
    right, wrong = np.ones(len(middles), np.bool_), np.zeros(len(middles), np.bool_)
    sure = np.ones(len(some.radius), np.bool_)
    step = max(1, AT_ONCE // len(middles))
    for first in range(0, len(sure), step):
        chosen = slice(first, first + step)
        low, high = Signed(some.coefficients[:, chosen], some.radius[chosen]).on_parts(middles, half)
        right &= np.all(low > 0, axis=1)
        wrong |= np.any(high < 0, axis=1)
        sure[chosen] = np.all(low > 0, axis=0)
    return right, wrong & ~right, sure


def _runs(edges: Array, chosen: NDArray[np.bool_]) -> list[Stretch]:
    """Runs of chosen parts, joined."""
    changes = np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8))
    starts, stops = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)
    return [(float(edges[a]), float(edges[b])) for a, b in zip(starts, stops, strict=True)]
