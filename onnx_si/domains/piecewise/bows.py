"""Where pixels whose margins are polynomials of degree 2 are all on their observed side.

Margins are taken times -1 outside of the observed region: then every pixel must be above zero, or at it
outside of the region. A margin that touches zero, up to the rounding that it carries, is undecided where it
does: there rounding makes two roots or none.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.piecewise import roots
from onnx_si.domains.piecewise.blur import rows_around, widened
from onnx_si.ground.intervals import Intervals
from onnx_si.rules.rules import Array

Bools = NDArray[np.bool_]
Index = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Bows:
    """Signed margins on all intervals between knots, or some: ends (n,) of each, values there and bends
    (n, pixels); which of the pixels are in the observed region.
    """

    low: Array
    high: Array
    left: Array
    right: Array
    bend: Array
    observed: Bools

    def pick(self, rows: Bools | Index) -> "Bows":
        """Some of the intervals."""
        low, high, left, right, bend = (
            x[rows] for x in (self.low, self.high, self.left, self.right, self.bend)
        )
        return Bows(low=low, high=high, left=left, right=right, bend=bend, observed=self.observed)

    def plus(self, shift: Array | float) -> "Bows":
        """All margins higher."""
        return replace(self, left=self.left + shift, right=self.right + shift)

    def held_at(self, chosen: Bools, value: Array | float) -> "Bows":
        """Chosen ones constant."""
        left, right = (np.where(chosen, value, x) for x in (self.left, self.right))
        return replace(self, left=left, right=right, bend=np.where(chosen, 0.0, self.bend))

    @property
    def margins(self) -> tuple[Array, Array, Array]:
        return self.left, self.right, self.bend

    def within(self, slack: float) -> Bools:
        """Which are no farther than this from zero on all of the interval, up to a quarter of the bend."""
        ends = np.maximum(np.abs(self.left), np.abs(self.right)) <= slack
        return np.asarray(ends & (0.25 * np.abs(self.bend) <= slack))

    def places(self, rows: Index, shares: Array) -> Array:
        """Places on the line of shares of some intervals; the ends to the last bit."""
        low, high = self.low[rows], self.high[rows]
        inside = np.clip(low + shares * (high - low), low, high)
        return np.where(shares >= 1, high, inside)


def signed(knots: Array, left: Array, right: Array, bend: Array, observed: Bools) -> Bows:
    """Margins times -1 outside of the region."""
    sign = np.where(observed, 1.0, -1.0)
    return Bows(
        low=knots[:-1],
        high=knots[1:],
        left=left * sign,
        right=right * sign,
        bend=bend * sign,
        observed=observed,
    )


@dataclass(frozen=True)
class Zeros:
    """Who tells whether pixels are zero on intervals, (low, high, pixels) -> pixels, and whether that needs a
    proof where they are so to the last bit.
    """

    settle: Callable[[Array, Array, Bools], Bools] | None = None
    need_proof: bool = False


def judge(bows: Bows, slack: float, zeros: Zeros) -> tuple[Intervals, Intervals]:
    """Where all pixels are on their side, for all that is known; and where only rounding tells, of that.

    Parameters
    ----------
    bows : Bows
    slack : float
        A margin may be off by as much.
    zeros : Zeros
    """
    highest = np.maximum(bows.left, bows.right) + 0.25 * np.maximum(-bows.bend, 0.0)
    bows = bows.pick((bows.high > bows.low) & ~(highest < -slack).any(axis=1))
    zero, doubtful = _zeros(bows, slack, zeros)
    touching = _touching(bows, slack) & ~doubtful & ~zero
    never: Bools = np.any(zero & bows.observed, axis=1)
    bows, zero, doubtful, touching = bows.pick(~never), zero[~never], doubtful[~never], touching[~never]
    held = bows.plus(np.where(touching, slack, 0.0)).held_at(zero | doubtful, 1.0)
    inside, rows = _stretches(held)
    slivers = _slivers(bows, touching, rows, slack)
    open_ = rows[doubtful[rows].any(axis=1)]
    whole = np.stack([bows.low[open_], bows.high[open_]], axis=1)
    return inside, inside.intersect(Intervals.of(np.concatenate([slivers, whole])))


def _zeros(bows: Bows, slack: float, zeros: Zeros) -> tuple[Bools, Bools]:
    """Which pixels are zero on an interval, and which may be for all that rounding allows."""
    zero = (bows.left == 0) & (bows.right == 0) & (bows.bend == 0)
    if zeros.need_proof:
        zero[:] = False
    doubtful = bows.within(slack) & ~zero
    if zeros.settle is not None:
        asked = np.flatnonzero(doubtful.any(axis=1))
        proven = zeros.settle(bows.low[asked], bows.high[asked], doubtful[asked])
        zero[asked] |= proven
        doubtful[asked] &= ~proven
    return zero, doubtful


def _touching(bows: Bows, slack: float) -> Bools:
    """Pixels that turn back within the slack of zero, on the interval or so close to it."""
    turning, share = roots.turning_value(*bows.margins), roots.turning_share(*bows.margins)
    reach = _reach(turning, bows.bend, slack)
    with np.errstate(invalid="ignore"):
        near = (share >= -reach) & (share <= 1 + reach) & (np.abs(turning) <= slack)
    return np.asarray((bows.bend != 0) & near)


def _reach(turning: Array, bend: Array, slack: float) -> Array:
    """How far from its turning point a margin stays within twice the slack of zero: it is rounded too."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(np.sqrt((2 * slack + np.abs(turning)) / np.abs(bend)))


def _slivers(bows: Bows, touching: Bools, rows: Index, slack: float) -> Array:
    """Where touching pixels of some intervals are that close to zero."""
    row, pixel = np.nonzero(touching[rows])
    row = rows[row]
    left, right, bend = (x[row, pixel] for x in bows.margins)
    share = roots.turning_share(left, right, bend)
    reach = _reach(roots.turning_value(left, right, bend), bend, slack)
    ends = (np.clip(share - reach, 0.0, 1.0), np.clip(share + reach, 0.0, 1.0))
    return np.stack([bows.places(row, end) for end in ends], axis=1)


def _stretches(bows: Bows) -> tuple[Intervals, Index]:
    """Where every pixel is above zero, and the intervals that have such a place."""
    left, right, bend = bows.margins
    turning, inner = roots.turning_value(left, right, bend), roots.turns_inside(left, right, bend)
    highest = np.maximum(left, right)
    highest = np.where(inner & (bend < 0), np.maximum(highest, turning), highest)
    up, down = roots.crossings_of_zero(left, right, bend)
    enters = np.clip(np.where(left < 0, up, 0.0).max(axis=1, initial=0.0), 0.0, 1.0)
    leaves = np.clip(np.where(right < 0, down, 1.0).min(axis=1, initial=1.0), 0.0, 1.0)
    rows: Index = np.flatnonzero((enters < leaves) & ~(highest <= 0).any(axis=1))
    inside = np.stack([bows.places(rows, enters[rows]), bows.places(rows, leaves[rows])], axis=1)
    cut = (left >= 0) & (right >= 0) & (bend > 0) & inner & (turning < 0) & (down < up)
    row, pixel = np.nonzero(cut[rows])
    row = rows[row]
    holes = np.stack([bows.places(row, down[row, pixel]), bows.places(row, up[row, pixel])], axis=1)
    return Intervals.of(inside).subtract(Intervals.of(holes)), rows


def blurred(bows: Bows, inside: Array, slack: float, error: float) -> Array:
    """Where it depends on an error of the margins whether all pixels are on their side, around the ends of
    what `judge` found with this slack.
    """
    held = Intervals.of(inside).bounds
    bows = bows.pick(rows_around(np.append(bows.low, bows.high[-1:]), held.ravel()))
    holds = held[:, 1].searchsorted(bows.low, "right") < held[:, 0].searchsorted(bows.high, "left")
    proven = bows.within(slack)
    wrong = proven & ~holds[:, None] & (bows.left == 0) & (bows.right == 0) & bows.observed
    bows = bows.held_at(proven, np.where(wrong, -1.0, 1.0) * (1.0 + 2.0 * error))
    lowest = np.minimum(bows.left, bows.right) - 0.25 * np.maximum(bows.bend, 0.0)
    bows = bows.pick(holds | (lowest <= error).any(axis=1))  # else a proof alone tells that it ends
    (may, _), (sure, _) = _stretches(bows.plus(error)), _stretches(bows.plus(-error))
    pieces = may.subtract(sure).bounds
    return widened(pieces, pieces[:, 1] - pieces[:, 0])
