"""The selection event: every pixel's margin is on its observed side of zero."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.enclosure.certified import Enclosure, proven
from onnx_si.domains.judge import Found, Judge
from onnx_si.domains.piecewise.quadratic import Pieces, PiecewiseQuadratic
from onnx_si.errors import UnsupportedModel
from onnx_si.ground.intervals import Intervals
from onnx_si.rules.rules import Array
from onnx_si.search import bows
from onnx_si.search.blur import rows_around, uncertain, widened

Index = NDArray[np.intp]
NO_NUMBER = "the saliency is infinite or not a number somewhere on the line; check the model's weights"


@dataclass(frozen=True)
class Arbiter:
    """Tells the sign of margins that are within the rounding that they carry."""

    judge: Judge
    margin: str

    def slacks(self, margin: Pieces) -> Iterator[float]:
        """Bounds of that rounding, the cheapest to find first."""
        return self.judge.slacks((self.margin,), margin.knots, [margin.values])

    @property
    def zeros_need_proof(self) -> bool:
        """Whether a margin of zero may be a map that only rounds to the level, such as 6 / 20 to 0.3."""
        return self.judge.rounds_to_a_level(self.margin) or self.judge.may_coincide((self.margin,))

    def inside(self, low: Array, high: Array) -> Found:
        """The margins inside intervals, and on which intervals they are right."""
        return self.judge.inside((self.margin,), None, low, high, prove_zeros=self.zeros_need_proof)

    def zeros(self, low: Array, high: Array, pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which pixels of intervals are zero all along: by the judge, at several places."""
        zero = pixels.copy()
        for end in (high, 0.5 * (low + high)) if len(low) else ():
            found = self.inside(low, end)
            for i in range(len(low)):
                ends = found.ends(0, i) if found.settled[i] else None
                zero[i] &= ends is not None and (ends[0].ravel() == 0) & (ends[1].ravel() == 0)
        return zero


@dataclass(frozen=True)
class Verdict:
    """Parts of the line that give the observed region, and parts where rounding does not allow to say.

    A margin no farther than `slack` from zero at both ends of an interval was proven to be on its side.
    """

    inside: Array
    unclear: Array
    slack: float = 0.0


@dataclass(frozen=True)
class RegionEvent:
    """Pixels of `observed` have a margin > 0, all others a margin <= 0.

    With `matters` only those pixels are looked at: what the others do is not part of the event.
    """

    observed: NDArray[np.bool_]
    matters: NDArray[np.bool_] | None = None

    @property
    def local(self) -> bool:
        """Whether it holds wherever every pixel that matters is on its observed side."""
        return True

    @property
    def pixels(self) -> NDArray[np.bool_]:
        """The pixels that matter."""
        return np.ones(self.observed.shape, dtype=bool) if self.matters is None else self.matters

    def judge(self, margin: Pieces, arbiter: Arbiter | None = None) -> Verdict:
        """Where on this part of the line the event holds: each interval's pixels bound one common stretch.

        Parameters
        ----------
        margin : Pieces
            The margin of every pixel.
        arbiter : Arbiter, optional
            Tells on which side a pixel is whose margin may be nothing but rounding; without one, margins are
            what they are.

        Returns
        -------
        Verdict
            Both as arrays (n, 2) of interval ends.
        """
        if isinstance(margin, PiecewiseQuadratic):
            return self._judge_bows(margin, arbiter)
        knots = margin.knots
        flat = margin.values.reshape(len(knots), -1)
        if not np.isfinite(max(flat.max(), -flat.min())):
            flat = _without_constant_infinities(flat)
        zeros = arbiter is not None and arbiter.zeros_need_proof
        for slack in (0.0,) if arbiter is None else arbiter.slacks(margin):
            possible, doubtful = self._screen(flat, knots, slack, zeros)
            if not len(doubtful):
                break
        inside = [self._stretches(knots[possible], knots[possible + 1], flat[possible], flat[possible + 1])]
        unclear = np.zeros(0, np.intp)
        if arbiter is not None and len(doubtful):
            settled, more = self._settled(arbiter, flat, knots, doubtful, slack)
            inside += more
            unclear = doubtful[~settled]
        return Verdict(np.concatenate(inside), np.stack([knots[unclear], knots[unclear + 1]], axis=1), slack)

    def blurred(self, margin: Pieces, verdict: Verdict, error: float) -> Array:
        """Where it depends on rounding whether the event holds, around the ends of what was found.

        Parameters
        ----------
        margin : Pieces
            As given to `judge`.
        verdict : Verdict
            What that found.
        error : float
            How far margins may be off.
        """
        if isinstance(margin, PiecewiseQuadratic):
            return bows.blurred(self._bows(margin), verdict.inside, verdict.slack, error)
        knots = margin.knots
        inside = Intervals.of(verdict.inside).bounds
        rows = rows_around(knots, inside.ravel())
        flat = margin.values.reshape(len(knots), -1)
        sign = np.where(self._that_matter(self.observed[None])[0], 1.0, -1.0)
        left, right = (self._that_matter(flat[at]) * sign for at in (rows, rows + 1))
        low, high = knots[rows], knots[rows + 1]
        holds = inside[:, 1].searchsorted(low, "right") < inside[:, 0].searchsorted(high, "left")
        proven = np.maximum(np.abs(left), np.abs(right)) <= verdict.slack
        wrong = (
            proven & ~holds[:, None] & (left == 0) & (right == 0) & (sign > 0)
        )  # zero is not in the region
        left[proven] = right[proven] = np.where(wrong, -1.0, 1.0)[proven] * (1.0 + 2.0 * error)
        kept = holds | (np.minimum(left, right) <= error).any(axis=1)  # else a proof alone tells that it ends
        return uncertain(low[kept], high[kept], left[kept], right[kept], error)

    def _bows(self, margin: PiecewiseQuadratic) -> bows.Bows:
        """Margins of degree 2, of the pixels that matter."""
        knots = margin.knots
        flat = _without_constant_infinities(margin.values.reshape(len(knots), -1))
        bends = margin.bends.reshape(len(knots) - 1, -1)
        if not np.isfinite(bends).all():
            raise UnsupportedModel(NO_NUMBER)
        observed = self._that_matter(self.observed[None])[0]
        left, right, bend = (self._that_matter(x) for x in (flat[:-1], flat[1:], bends))
        return bows.signed(knots, left, right, bend, observed)

    def _judge_bows(self, margin: PiecewiseQuadratic, arbiter: Arbiter | None) -> Verdict:
        """The same of margins of degree 2."""
        *_, slack = (0.0,) if arbiter is None else arbiter.slacks(margin)
        tied, nearly = self._ties(margin, slack)
        zeros = bows.Zeros() if arbiter is None else bows.Zeros(arbiter.zeros, arbiter.zeros_need_proof)
        inside, unclear = bows.judge(self._bows(margin).pick(nearly), slack, zeros)
        doubts = np.stack([margin.knots[:-1], margin.knots[1:]], axis=1)[nearly & ~tied]
        unclear = unclear.union(inside.intersect(Intervals.of(doubts)))
        return Verdict(inside.subtract(unclear).bounds, unclear.bounds, slack)

    def _ties(self, margin: PiecewiseQuadratic, slack: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Intervals on which as many pixels are tied as must be, for certain and up to rounding."""
        every = np.ones(len(margin.bends), np.bool_)
        return every, every

    def _stretches(self, low: Array, high: Array, left: Array, right: Array) -> Array:
        """Where the event holds on intervals in which no pixel is always on the wrong side."""
        observed = self._that_matter(self.observed[None])[0]
        sign = np.where(observed, 1.0, -1.0)
        left, right = self._that_matter(left) * sign, self._that_matter(right) * sign
        with np.errstate(divide="ignore", invalid="ignore"):
            share = left / (left - right)
        enters = np.where((left < 0) & (right > 0), share, 0.0).max(axis=1)
        leaves = np.where((left > 0) & (right < 0), share, 1.0).min(axis=1)
        start = low + enters * (high - low)
        cut = np.minimum(low + leaves * (high - low), high)
        end = np.where(leaves < 1, cut, high)  # to the last bit: no gap between neighbours
        return np.asarray(np.stack([start, end], axis=1)[enters < leaves])

    def _settled(
        self, arbiter: Arbiter, flat: Array, knots: Array, rows: Index, slack: float
    ) -> tuple[NDArray[np.bool_], list[Array]]:
        """Which doubtful intervals the arbiter can decide, and where the event holds on them."""
        low, high = knots[rows], knots[rows + 1]
        judged, found = arbiter.inside(low, high), []
        for i in np.flatnonzero(judged.settled):
            ends = flat[[rows[i], rows[i] + 1]]
            close = np.abs(ends).max(axis=0) <= slack
            ends[:, close] = np.stack([end.ravel() for end in judged.ends(0, int(i))])[:, close]
            between = np.array([low[i], high[i]])
            possible, _ = self._screen(ends, between, 0.0)
            if len(possible):
                found.append(self._stretches(between[:1], between[1:], ends[:1], ends[1:]))
        return judged.settled, found

    def certify(self, margin: Enclosure) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Cells on which the event provably never holds (cells,), and the pixels (cells, *map) that may be on
        the wrong side somewhere.
        """
        low, high = margin.bounds()
        wrong = proven(low, high, np.where(self.observed, high <= 0, low > 0)) & self.pixels
        open_ = ~proven(low, high, np.where(self.observed, low > 0, high <= 0)) & self.pixels
        return np.any(wrong.reshape(len(wrong), -1), axis=1), open_

    def part(self, box: tuple[slice, ...]) -> "RegionEvent":
        """What a box of the map must do for the event to hold."""
        return RegionEvent(self.observed[box], None if self.matters is None else self.matters[box])

    def wrong(self, margins: Array) -> Array:
        """How far pixels are on the wrong side, 0 where they are not, of margins (n, *map) at points."""
        # the smallest number stands for a margin of zero where one above zero was observed
        depth = np.maximum(np.abs(margins), np.finfo(np.float64).tiny)
        return np.where(((margins > 0) != self.observed) & self.pixels, depth, 0.0)

    def _that_matter(self, values: NDArray[Any]) -> NDArray[Any]:
        """The pixels that are looked at, of values (n, pixels...)."""
        flat = values.reshape(len(values), math.prod(values.shape[1:]))
        return flat if self.matters is None else flat[:, np.flatnonzero(self.matters)]

    def _screen(self, flat: Array, knots: Array, slack: float, zeros: bool = False) -> tuple[Index, Index]:
        """Intervals in which no pixel is always on the wrong side; and those that only rounding decides,
        zeros among them where they need a proof.
        """
        flat, observed = self._that_matter(flat), self._that_matter(self.observed[None])[0]
        wrong, close = (flat > 0) != observed, np.abs(flat) <= slack
        doubtful = close[:-1] & close[1:]
        if not zeros:
            doubtful &= (flat[:-1] != 0) | (flat[1:] != 0)
        always_wrong = np.any(wrong[:-1] & wrong[1:] & ~doubtful, axis=1)
        rows = np.flatnonzero((knots[1:] > knots[:-1]) & ~always_wrong)
        largest, smallest = np.maximum(flat[rows], flat[rows + 1]), np.minimum(flat[rows], flat[rows + 1])
        doubtful = doubtful[rows]
        out_from_zero = np.any((smallest == 0) & (largest > 0) & ~observed & ~doubtful, axis=1)
        unclear = np.any(doubtful, axis=1)
        return rows[~out_from_zero & ~unclear], rows[~out_from_zero & unclear]


def _without_constant_infinities(margins: Array) -> Array:
    """Margins (K, pixels) with a finite number of the same sign for a pixel that is infinite at every knot.

    Raises
    ------
    UnsupportedModel
        If another one is infinite or not a number.
    """
    constant = np.isinf(margins[0]) & (margins == margins[0]).all(axis=0)
    finite = np.where(constant, np.sign(margins[0]), margins)
    if not np.isfinite(finite).all():
        raise UnsupportedModel(NO_NUMBER)
    return finite


@dataclass(frozen=True)
class TopEvent(RegionEvent):
    """The region is what exceeds the (k + 1)-th largest value of the map, k a number of pixels.

    The margin is the map less its largest value outside the observed region: the region is the observed one
    if all of its pixels have a margin > 0 and at least `ties` others have one of exactly zero, where `ties`
    = k + 1 - (pixels of the region), among `rivals` if not all pixels may count. Without ties that is 1, and
    the largest of the others is one. With ties (a map that is zero in places, say) the region is smaller
    than k, and stays so only as long as that many values remain equal to the last bit.
    """

    ties: int = 1
    rivals: NDArray[np.bool_] | None = None

    @property
    def local(self) -> bool:
        """That values are equal can't be told pixel by pixel, nor proved by an enclosure."""
        return self.ties == 1

    def _ties(self, margin: PiecewiseQuadratic, slack: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        if self.ties == 1:
            return super()._ties(margin, slack)
        rivals, count = np.flatnonzero(self._rivals()), len(margin.knots)
        ends = np.abs(margin.values.reshape(count, -1)[:, rivals])
        hang = 0.25 * np.abs(margin.bends.reshape(count - 1, -1)[:, rivals])
        distance = np.maximum(np.maximum(ends[:-1], ends[1:]), hang)
        tied, nearly = (np.count_nonzero(distance <= at_most, axis=1) for at_most in (0.0, slack))
        return tied >= self.ties, nearly >= self.ties

    def _rivals(self) -> NDArray[np.bool_]:
        return ~self.observed if self.rivals is None else self.rivals & ~self.observed

    def _screen(self, flat: Array, knots: Array, slack: float, zeros: bool = False) -> tuple[Index, Index]:
        possible, unclear = super()._screen(flat, knots, slack, zeros)
        if self.ties == 1:
            return possible, unclear
        others = np.abs(flat[:, np.flatnonzero(self._rivals())])

        def equal(rows: Index, at_most: float) -> NDArray[np.bool_]:
            distance = np.maximum(others[rows], others[rows + 1])
            return np.asarray(np.count_nonzero(distance <= at_most, axis=1) >= self.ties)

        tied, nearly = equal(possible, 0.0), equal(possible, slack)
        doubtful = np.concatenate([unclear[equal(unclear, slack)], possible[nearly & ~tied]])
        return possible[tied], np.sort(doubtful)

    def blurred(self, margin: Pieces, verdict: Verdict, error: float) -> Array:
        found = super().blurred(margin, verdict, error)
        if self.ties == 1:
            return found
        return np.concatenate([found, self._untied(margin, verdict.inside, error)])

    def _untied(self, margin: Pieces, inside: Array, error: float) -> Array:
        """Around the ends at which too few values remain equal."""
        knots, flat = margin.knots, np.abs(margin.values.reshape(len(margin.knots), -1))
        others = flat[:, np.flatnonzero(self._rivals())]
        found = []
        for place in Intervals.of(inside).bounds.ravel():
            for row in (knots.searchsorted(place, "left") - 1, knots.searchsorted(place, "right") - 1):
                if 0 <= row < len(knots) - 1 and knots[row] < knots[row + 1]:
                    apart = np.partition(others[row] + others[row + 1], self.ties - 1)[self.ties - 1]
                    if apart > error:
                        found.append((place, error * (knots[row + 1] - knots[row]) / apart))
        pieces = np.array(found).reshape(-1, 2)
        return widened(pieces[:, [0, 0]], pieces[:, 1])
