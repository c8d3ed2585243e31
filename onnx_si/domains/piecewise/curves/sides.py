"""Where pixels whose margins are such curves are all on their observed side.

As for polynomials of degree 2 (`bows.py`): margins are taken times -1 outside of the observed region, and
where one turns back within the rounding that it carries, nobody can tell.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.event import RegionEvent, Tied
from onnx_si.domains.piecewise.blur import rows_around, widened
from onnx_si.domains.piecewise.bows import Zeros
from onnx_si.domains.piecewise.curves.curve import Curve, Index
from onnx_si.domains.piecewise.curves.expressions import Sums
from onnx_si.domains.piecewise.curves.signs import signs_of
from onnx_si.ground.intervals import Intervals
from onnx_si.rules.curved import Ends
from onnx_si.rules.rules import Array

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class _Near:
    """Pixels of intervals that bounds don't put on their side: where they are, and their signed margins."""

    interval: Index
    pixel: Index
    margin: Sums

    def pick(self, rows: Bools) -> "_Near":
        """Some of them."""
        return _Near(self.interval[rows], self.pixel[rows], self.margin.pick(rows))

    def within(self, slack: float) -> Bools:
        """Which are no farther than this from zero on all of the interval."""
        least, most = self.margin.ends()
        return np.asarray((least >= -slack) & (most <= slack))


def _signed_bounds(event: RegionEvent, ends: Ends) -> Ends:
    """Of pixels that matter, and without bounds of the others (intervals, pixels)."""
    least, most = (end.reshape(len(end), -1) for end in ends)
    observed, pixels = event.observed.ravel(), event.pixels.ravel()
    low = np.where(observed, least, -most)
    high = np.where(observed, most, -least)
    return np.where(pixels, low, np.inf), np.where(pixels, high, np.inf)


def _near(event: RegionEvent, margin: Curve, chosen: Bools) -> _Near:
    interval, pixel = np.nonzero(chosen)
    sign = np.where(event.observed.ravel()[pixel], 1.0, -1.0)
    return _Near(interval, pixel, margin.rows(interval, pixel).times(sign).merged())


def judge(event: RegionEvent, margin: Curve, slack: float, zeros: Zeros) -> tuple[Intervals, Intervals]:
    """Where all pixels are on their side, for all that is known; and where only rounding tells, of that."""
    knots, observed = margin.knots, event.observed.ravel()
    low, high = _signed_bounds(event, margin.bounds)
    tied, nearly = ties(event.tied, margin, slack)
    possible = ~(high < -slack).any(axis=1) & nearly
    near = _near(event, margin, (low <= slack) & possible[:, None])
    zero, doubtful = _zeros(near, knots, observed.size, slack, zeros)
    possible[near.interval[zero & observed[near.pixel]]] = False
    open_ = near.interval[doubtful]
    rest = near.pick(~zero & ~doubtful & possible[near.interval])
    signs = signs_of(rest.margin, slack)
    inside = Intervals.of(np.stack([knots[:-1], knots[1:]], axis=1)[possible])
    holes, slivers = (_places(knots, rest.interval, *signs.where(sign)) for sign in (-1, 0))
    doubts = np.flatnonzero(possible & ~tied)
    whole = [np.stack([knots[rows], knots[rows + 1]], axis=1) for rows in (open_, doubts)]
    inside = inside.subtract(Intervals.of(holes))
    return inside, inside.intersect(Intervals.of(np.concatenate([slivers, *whole])))


def _places(knots: Array, interval: Index, row: Index, low: Array, high: Array) -> Array:
    """Parts of intervals as places on the line (n, 2); the ends to the last bit."""
    start, end = knots[interval[row]], knots[interval[row] + 1]
    inner = [np.clip(start + share * (end - start), start, end) for share in (low, high)]
    return np.stack([inner[0], np.where(high >= 1, end, inner[1])], axis=1)


def _zeros(near: _Near, knots: Array, pixels: int, slack: float, zeros: Zeros) -> tuple[Bools, Bools]:
    """Which are zero on their interval, and which may be for all that rounding allows."""
    zero = near.margin.nothing()
    if zeros.need_proof:
        zero[:] = False
    doubtful = near.within(slack) & ~zero
    if zeros.settle is not None and doubtful.any():
        asked, row = np.unique(near.interval[doubtful], return_inverse=True)
        wanted = np.zeros((len(asked), pixels), np.bool_)
        wanted[row, near.pixel[doubtful]] = True
        proven = zeros.settle(knots[asked], knots[asked + 1], wanted)[row, near.pixel[doubtful]]
        at = np.flatnonzero(doubtful)[proven]
        zero[at], doubtful[at] = True, False
    return zero, doubtful


def blurred(event: RegionEvent, margin: Curve, inside: Array, slack: float, error: float) -> Array:
    """Where it depends on an error of the margins whether all pixels are on their side, around the ends of
    what `judge` found with this slack.
    """
    knots, held = margin.knots, Intervals.of(inside).bounds
    rows = rows_around(knots, held.ravel())
    low = np.full((len(knots) - 1, event.observed.size), np.inf)
    low[rows], _ = _signed_bounds(event, (margin.bounds[0][rows], margin.bounds[1][rows]))
    near = _near(event, margin, low <= max(error, slack))
    proven = near.within(slack)
    wrong = near.interval[proven & near.margin.nothing() & event.observed.ravel()[near.pixel]]
    holds = held[:, 1].searchsorted(knots[:-1], "right") < held[:, 0].searchsorted(knots[1:], "left")
    never = np.bincount(wrong, minlength=len(low)) > 0
    known = holds | ~never & (low <= error).any(axis=1)  # else a proof alone tells that it ends
    near = near.pick(~proven & known[near.interval])
    found = [np.empty((0, 2)), *_between(near, knots, error)]
    pieces = np.concatenate(found)
    return widened(pieces, pieces[:, 1] - pieces[:, 0])


def _between(near: _Near, knots: Array, error: float) -> Iterator[Array]:
    """On each interval, where no margin is below zero by more than the error, and not all are above by so
    much: both are asked at once.
    """
    count, twice = len(near.interval), np.tile(np.arange(len(near.interval)), 2)
    signs = signs_of(near.margin.pick(twice).plus(np.repeat([error, -error], count)), 0.0)
    interval, second = near.interval[twice][signs.row], signs.row >= count
    parts = _places(knots, near.interval[twice], signs.row, signs.low, signs.high)
    for row in np.unique(interval):
        (never, perhaps), (at_times, unclear) = (
            [Intervals.of(parts[(interval == row) & asked & (signs.sign == sign)]) for sign in (-1, 0)]
            for asked in (~second, second)
        )
        may = Intervals.of(knots[None, row : row + 2]).subtract(never)
        yield may.intersect(at_times.union(unclear).union(perhaps)).bounds


def ties(tied: Tied | None, margin: Curve, slack: float) -> tuple[Bools, Bools]:
    """Intervals on which as many pixels are tied as must be, for certain and up to rounding."""
    count = len(margin.knots) - 1
    if tied is None:
        every = np.ones(count, np.bool_)
        return every, every
    close = np.abs(margin.at_share(0.5).reshape(count, -1)) <= slack
    near = _rows(margin, close & tied.rivals.ravel())
    found = []
    for at_most in (0.0, slack):
        numbers = np.bincount(near.interval[near.within(at_most)], minlength=count)
        found.append(numbers >= tied.count)
    return found[0], found[1]


def _rows(margin: Curve, chosen: Bools) -> _Near:
    interval, pixel = np.nonzero(chosen)
    return _Near(interval, pixel, margin.rows(interval, pixel).merged())


def untied(tied: Tied, margin: Curve, inside: Array, error: float) -> Array:
    """Around the ends at which too few values remain equal."""
    rivals, found = np.flatnonzero(tied.rivals), []
    for place in Intervals.of(inside).bounds.ravel().tolist():
        rows = {int(margin.knots.searchsorted(place, side)) - 1 for side in ("left", "right")}
        for row in rows:
            if 0 <= row < len(margin.knots) - 1:
                piece = margin.between(row)
                apart = sum(np.abs(piece.at_share(share)).ravel()[rivals] for share in (0.25, 0.75))
                farthest = np.partition(apart, tied.count - 1)[tied.count - 1]
                if farthest > error:
                    found.append((place, error * float(piece.knots[1] - piece.knots[0]) / farthest))
    pieces = np.array(found).reshape(-1, 2)
    return widened(pieces[:, [0, 0]], pieces[:, 1])
