"""Where the selection event holds, told from margins that are polynomials between knots."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.event import RegionEvent
from onnx_si.domains.judge import Found, Judge
from onnx_si.domains.piecewise import bows, ties
from onnx_si.domains.piecewise.blur import rows_around, uncertain
from onnx_si.domains.piecewise.curves import sides
from onnx_si.domains.piecewise.curves.curve import Curve, Shape
from onnx_si.domains.piecewise.quadratic import PiecewiseQuadratic
from onnx_si.errors import UnsupportedModel
from onnx_si.ground.intervals import Intervals
from onnx_si.rules.rules import Array

Index = NDArray[np.intp]
NO_NUMBER = "the saliency is infinite or not a number somewhere on the line; check the model's weights"


@dataclass(frozen=True)
class Arbiter:
    """Tells the sign of margins that are within the rounding that they carry."""

    judge: Judge
    margin: str

    def slacks(self, margin: Shape) -> Iterator[float]:
        """Bounds of that rounding, the cheapest to find first."""
        sizes = margin.sizes if isinstance(margin, Curve) else [margin.values]
        return self.judge.slacks((self.margin,), margin.knots, sizes)

    @property
    def zeros_need_proof(self) -> bool:
        """Whether a margin of zero may be a map that only rounds to the level, such as 6 / 20 to 0.3."""
        return self.judge.rounds_to_a_level(self.margin) or self.judge.may_coincide((self.margin,))

    def inside(self, low: Array, high: Array) -> Found:
        """The margins inside intervals, and on which intervals they are right."""
        return self.judge.inside((self.margin,), None, low, high, prove_zeros=self.zeros_need_proof)

    def zeros(self, low: Array, high: Array, pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which pixels of intervals are zero all along: by the judge, at several places.

        An interval that is one place up to rounding is not asked about.
        """
        wide = np.flatnonzero(self.judge.wide(low, high))
        zero = np.zeros_like(pixels)
        zero[wide] = pixels[wide]
        low, high = low[wide], high[wide]
        for end in (high, 0.5 * (low + high)) if len(low) else ():
            found = self.inside(low, end)
            for i, row in enumerate(wide):
                ends = found.ends(0, i) if found.settled[i] else None
                zero[row] &= ends is not None and (ends[0].ravel() == 0) & (ends[1].ravel() == 0)
        return zero


@dataclass(frozen=True)
class Verdict:
    """Parts of the line that give the observed region, and parts where rounding does not allow to say.

    A margin no farther than `slack` from zero at both ends of an interval was proven to be on its side.
    """

    inside: Array
    unclear: Array
    slack: float = 0.0


def verdict_on(event: RegionEvent, margin: Shape, arbiter: Arbiter | None = None) -> Verdict:
    """Where on this part of the line the event holds: each interval's pixels bound one common stretch.

    Parameters
    ----------
    event : RegionEvent
    margin : Shape
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
        return _judge_bows(event, margin, arbiter)
    if isinstance(margin, Curve):
        return _judge_curves(event, margin, arbiter)
    knots = margin.knots
    flat = margin.values.reshape(len(knots), -1)
    if not np.isfinite(max(flat.max(), -flat.min())):
        flat = _without_constant_infinities(flat)
    zeros = arbiter is not None and arbiter.zeros_need_proof
    for slack in (0.0,) if arbiter is None else arbiter.slacks(margin):
        possible, doubtful = _screen(event, flat, knots, slack, zeros)
        if not len(doubtful):
            break
    inside = [_stretches(event, knots[possible], knots[possible + 1], flat[possible], flat[possible + 1])]
    unclear = np.zeros(0, np.intp)
    if arbiter is not None and len(doubtful):
        settled, more = _settled(event, arbiter, flat, knots, doubtful, slack)
        inside += more
        unclear = doubtful[~settled]
    return Verdict(np.concatenate(inside), np.stack([knots[unclear], knots[unclear + 1]], axis=1), slack)


def blurred(event: RegionEvent, margin: Shape, verdict: Verdict, error: float) -> Array:
    """Where it depends on rounding whether the event holds, around the ends of what was found.

    Parameters
    ----------
    event : RegionEvent
    margin : Shape
        As given to `verdict_on`.
    verdict : Verdict
        What that found.
    error : float
        How far margins may be off.
    """
    found = _blurred(event, margin, verdict, error)
    if event.tied is None:
        return found
    if isinstance(margin, Curve):
        return np.concatenate([found, sides.untied(event.tied, margin, verdict.inside, error)])
    return np.concatenate([found, ties.untied(event.tied, margin, verdict.inside, error)])


def _blurred(event: RegionEvent, margin: Shape, verdict: Verdict, error: float) -> Array:
    """The same, of pixels on their sides."""
    if isinstance(margin, PiecewiseQuadratic):
        return bows.blurred(_bows(event, margin), verdict.inside, verdict.slack, error)
    if isinstance(margin, Curve):
        return sides.blurred(event, margin, verdict.inside, verdict.slack, error)
    knots = margin.knots
    inside = Intervals.of(verdict.inside).bounds
    rows = rows_around(knots, inside.ravel())
    flat = margin.values.reshape(len(knots), -1)
    sign = np.where(event.that_matter(event.observed[None])[0], 1.0, -1.0)
    left, right = (event.that_matter(flat[at]) * sign for at in (rows, rows + 1))
    low, high = knots[rows], knots[rows + 1]
    holds = inside[:, 1].searchsorted(low, "right") < inside[:, 0].searchsorted(high, "left")
    proven = np.maximum(np.abs(left), np.abs(right)) <= verdict.slack
    wrong = proven & ~holds[:, None] & (left == 0) & (right == 0) & (sign > 0)  # zero is not in the region
    left[proven] = right[proven] = np.where(wrong, -1.0, 1.0)[proven] * (1.0 + 2.0 * error)
    kept = holds | (np.minimum(left, right) <= error).any(axis=1)  # else a proof alone tells that it ends
    return uncertain(low[kept], high[kept], left[kept], right[kept], error)


def _bows(event: RegionEvent, margin: PiecewiseQuadratic) -> bows.Bows:
    """Margins of degree 2, of the pixels that matter."""
    knots = margin.knots
    flat = _without_constant_infinities(margin.values.reshape(len(knots), -1))
    bends = margin.bends.reshape(len(knots) - 1, -1)
    if not np.isfinite(bends).all():
        raise UnsupportedModel(NO_NUMBER)
    observed = event.that_matter(event.observed[None])[0]
    left, right, bend = (event.that_matter(x) for x in (flat[:-1], flat[1:], bends))
    return bows.signed(knots, left, right, bend, observed)


def _judge_bows(event: RegionEvent, margin: PiecewiseQuadratic, arbiter: Arbiter | None) -> Verdict:
    """The same of margins of degree 2."""
    *_, slack = (0.0,) if arbiter is None else arbiter.slacks(margin)
    tied, nearly = ties.of_bows(event.tied, margin, slack)
    zeros = bows.Zeros() if arbiter is None else _zeros_that_matter(event, arbiter)
    inside, unclear = bows.judge(_bows(event, margin).pick(nearly), slack, zeros)
    doubts = np.stack([margin.knots[:-1], margin.knots[1:]], axis=1)[nearly & ~tied]
    unclear = unclear.union(inside.intersect(Intervals.of(doubts)))
    return Verdict(inside.subtract(unclear).bounds, unclear.bounds, slack)


def _zeros_that_matter(event: RegionEvent, arbiter: Arbiter) -> bows.Zeros:
    """The arbiter, asked about the pixels that matter alone."""
    matter = event.pixels.ravel()

    def settle(low: Array, high: Array, pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        every = np.zeros((len(pixels), matter.size), np.bool_)
        every[:, matter] = pixels
        return arbiter.zeros(low, high, every)[:, matter]

    return bows.Zeros(settle, arbiter.zeros_need_proof)


def _judge_curves(event: RegionEvent, margin: Curve, arbiter: Arbiter | None) -> Verdict:
    """The same of other curves."""
    *_, slack = (0.0,) if arbiter is None else arbiter.slacks(margin)
    zeros = bows.Zeros() if arbiter is None else bows.Zeros(arbiter.zeros, arbiter.zeros_need_proof)
    inside, unclear = sides.judge(event, margin, slack, zeros)
    return Verdict(inside.subtract(unclear).bounds, unclear.bounds, slack)


def _stretches(event: RegionEvent, low: Array, high: Array, left: Array, right: Array) -> Array:
    """Where the event holds on intervals in which no pixel is always on the wrong side."""
    observed = event.that_matter(event.observed[None])[0]
    sign = np.where(observed, 1.0, -1.0)
    left, right = event.that_matter(left) * sign, event.that_matter(right) * sign
    with np.errstate(divide="ignore", invalid="ignore"):
        share = left / (left - right)
    enters = np.where((left < 0) & (right > 0), share, 0.0).max(axis=1)
    leaves = np.where((left > 0) & (right < 0), share, 1.0).min(axis=1)
    start = low + enters * (high - low)
    cut = np.minimum(low + leaves * (high - low), high)
    end = np.where(leaves < 1, cut, high)  # to the last bit: no gap between neighbours
    return np.asarray(np.stack([start, end], axis=1)[enters < leaves])


def _settled(
    event: RegionEvent, arbiter: Arbiter, flat: Array, knots: Array, rows: Index, slack: float
) -> tuple[NDArray[np.bool_], list[Array]]:
    """Which doubtful intervals the arbiter can decide, and where the event holds on them."""
    low, high = knots[rows], knots[rows + 1]
    judged, found = arbiter.inside(low, high), []
    for i in np.flatnonzero(judged.settled):
        ends = flat[[rows[i], rows[i] + 1]]
        close = np.abs(ends).max(axis=0) <= slack
        ends[:, close] = np.stack([end.ravel() for end in judged.ends(0, int(i))])[:, close]
        between = np.array([low[i], high[i]])
        possible, _ = _screen(event, ends, between, 0.0)
        if len(possible):
            found.append(_stretches(event, between[:1], between[1:], ends[:1], ends[1:]))
    return judged.settled, found


def _screen(
    event: RegionEvent, flat: Array, knots: Array, slack: float, zeros: bool = False
) -> tuple[Index, Index]:
    """Intervals in which no pixel is always on the wrong side; and those that only rounding decides,
    zeros among them where they need a proof.
    """
    every, flat, observed = flat, event.that_matter(flat), event.that_matter(event.observed[None])[0]
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
    possible, open_ = rows[~out_from_zero & ~unclear], rows[~out_from_zero & unclear]
    return ties.screened(event.tied, every, possible, open_, slack)


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
