"""The ends of the confidence interval that belongs to the two-sided test of absolute values.

The means that the test does not reject need not be an interval: where S has a stretch far from the statistic,
means close to half way to it can be accepted while some nearer ones are rejected. The interval is the hull,
so its end is the farthest accepted mean, and a root of p(m) = alpha is not enough: there may be others.

The end is found from outside. There are bounds of p on a whole stretch of means, and on the unbounded one; a
stretch whose bound does not exceed alpha is cut off, since no mean in it is accepted. A root is only a
guess of where the end is: a ladder of stretches, ever shorter, leads down to it. Those that can't be cut off
are divided, and a place between them that is accepted is a better guess. Where even a stretch of `TOLERANCE`
can't be cut off, the search hands out what it has. So the outer end is proven: nothing accepted lies beyond.
Means are looked at many at a time, which costs little more than one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.statistics.truncated.absolute import Seen, odds_at, odds_from, upper_odds_until
from onnx_si.statistics.truncated.slack import EPS, Floats

Pair = tuple[float, float]
# The shortest stretch, as a part of the distance from the statistic and in standard errors: by so much an end
# may be too far out, by more where S has slivers half of whose distance is the end's, and never too far in.
TOLERANCE = 1e-10
_SHORTEST = 1e-14
_CLOSER = 2.0**-6  # parts of the shortest into which it is divided where it can't be cut off
_FARTHEST = 1e100  # where the search gives up and returns infinity
_GREATEST = 1e300  # stands for infinite log odds
_FIRST = -2, 5  # powers of 4, in standard errors, with which the search begins,
_BETWEEN = 4  # and steps from each to the next
_RUNG = 0.4  # distance of the ladder's next rung from the guess, in that of the one before
_PARTS, _AT_ONCE, _ROUNDS = 8, 16, 100  # how stretches are divided, how many at a time, and how often
_EVENLY = np.arange(1, 8) / 8  # places that are tried for a root,
_AROUND = np.arange(5) / 4  # and powers of the largest distance from a guess of it, in the smallest


def hull_bounds(least: Seen, most: Seen, log_odds: float) -> tuple[Pair, Pair]:
    """Bounds of the ends of the hull of the means with log(p / (1 - p)) > `log_odds`.

    Parameters
    ----------
    least, most : Seen
        With the masses that are certain, and with those that are undecided as well.
    log_odds : float
        Of the level of the test.

    Returns
    -------
    ((float, float), (float, float))
        Smallest and largest lower end, smallest and largest upper end, in standard errors from the
        statistic. The outer ones are proven, and the inner ones are accepted means.
    """
    low, high = _end_bounds(least.flipped(), most.flipped(), log_odds, TOLERANCE)
    return (-high, -low), _end_bounds(least, most, log_odds, TOLERANCE)


def roots_of_ends(tail: Seen, rest: Seen, log_odds: float, tolerance: float) -> Pair:
    """Roots near the ends that `hull_bounds` bounds, with the tail of one set and the rest of another, for a
    small part of its cost: they prove nothing, but tell what is worth knowing of S.
    """
    low = _likely(tail.flipped(), rest.flipped(), log_odds, tolerance)
    return -low, _likely(tail, rest, log_odds, tolerance)


def _likely(tail: Seen, rest: Seen, log_odds: float, tolerance: float) -> float:
    if not rest.has_above:
        return math.inf
    return _Accepted(tail=tail, rest=rest, outwards=1.0, log_odds=log_odds, tolerance=tolerance).likely()


def _end_bounds(least: Seen, most: Seen, log_odds: float, tolerance: float) -> Pair:
    """A mean that is accepted, and one beyond which none is, whatever is undecided."""
    inner, outer = math.inf, math.inf
    sure = _Accepted(tail=least, rest=most, outwards=-1.0, log_odds=log_odds, tolerance=tolerance)
    if least.has_above:
        inner, outer = _Accepted(
            tail=most, rest=least, outwards=1.0, log_odds=log_odds, tolerance=tolerance
        ).farthest()
        if math.isfinite(inner):
            places = inner * (1.0 - np.array([8.0 * EPS, tolerance, 4.0 * tolerance, 16.0 * tolerance]))
            found = places[sure.has(places)]
            if len(found):
                return float(found[0]), outer
    if most.has_above:
        inner = min(sure.farthest()[0], outer)
    return inner, outer


@dataclass(frozen=True, kw_only=True)
class _Accepted:
    """The means above the statistic that are accepted, with the tail of one set and the rest of another.

    `outwards` is 1 for all that may be accepted, -1 for those that are whatever rounding does; what its
    bounds of stretches leave out may be accepted, too.
    """

    tail: Seen
    rest: Seen
    outwards: float
    log_odds: float
    tolerance: float

    def odds(self, m: Floats) -> Floats:
        return odds_at(self.tail, self.rest, m, self.outwards)

    def has(self, m: Floats) -> NDArray[np.bool_]:
        return self.odds(m) > self.log_odds

    def farthest(self) -> Pair:
        """The farthest accepted mean that was found, and one beyond which there is none."""
        *bracket, stop = self._bracket()
        if math.isinf(stop):
            return stop, stop
        accepted = self._root(*bracket)
        ladder = _ladder(accepted, stop, self._shortest(accepted))
        open_ones = self._not_cut(ladder)
        for _ in range(_ROUNDS):
            if not len(open_ones):
                return accepted, float(ladder[-1, 0]) if len(ladder) else stop
            start, stop = open_ones[0].tolist()
            shortest = self._shortest(stop)
            if stop - start <= _CLOSER * shortest:
                break
            first = open_ones[:_AT_ONCE]
            starts = first[self.has(first[:, 0]), 0]
            if len(starts) and starts[0] > accepted + shortest:
                accepted = self._root(float(starts[0]), stop)
                ladder = _ladder(accepted, stop, self._shortest(accepted))
                open_ones = self._not_cut(ladder)
            else:
                parts = self._not_cut(_divided(first))
                open_ones = np.concatenate([parts, open_ones[_AT_ONCE:]])
        return self._closest(accepted, stop), stop

    def likely(self) -> float:
        """An accepted mean next to one that is rejected; infinite where none is rejected far out."""
        *bracket, stop = self._bracket()
        return stop if math.isinf(stop) else self._root(*bracket)

    def _shortest(self, m: float) -> float:
        return self.tolerance * m + _SHORTEST

    def _not_cut(self, stretches: NDArray[np.float64]) -> NDArray[np.float64]:
        if not len(stretches):
            return stretches
        low, high = stretches.T
        odds = upper_odds_until(self.tail, self.rest, low, high, self.log_odds)
        return stretches[~(odds <= self.log_odds)]

    def _bracket(self) -> tuple[float, float, float, float]:
        """A mean that is accepted, one farther out that is not, where between them the first rejected one may
        be, and one from which on all are rejected.
        """
        (low, high), peaks = _FIRST, self.tail.peaks
        while True:
            evenly = np.exp2(2.0 / _BETWEEN * np.arange(_BETWEEN * low, _BETWEEN * (high - 1) + 1))
            places = np.unique(np.concatenate([evenly, peaks[(evenly[0] < peaks) & (peaks < evenly[-1])]]))
            odds, beyond = odds_from(self.tail, self.rest, places, self.outwards)
            far = np.flatnonzero(beyond <= self.log_odds)
            if not len(far):
                if places[-1] > _FARTHEST:
                    return math.inf, math.inf, math.inf, math.inf
                high *= 2
                continue
            near = np.flatnonzero(odds[: far[0]] > self.log_odds)
            if len(near):
                last = int(near[-1])
                return (*self._next(places, odds, last), float(places[far[0]]))
            if places[0] <= _SHORTEST:
                return 0.0, 0.0, 0.0, float(places[far[0]])
            low *= 2

    def _next(self, places: Floats, odds: Floats, last: int) -> tuple[float, float, float]:
        """The place that is accepted, the next, which is not, and a guess between them."""
        around = slice(max(0, last - 1), last + 3)
        excess = np.clip(odds[around] - self.log_odds, -_GREATEST, _GREATEST)
        return float(places[last]), float(places[last + 1]), _inverse(places[around], excess)

    def _root(self, low: float, high: float, guess: float = math.nan) -> float:
        """An accepted mean next to one that is rejected, between the two given."""
        near = 0.25 * self.tolerance * low + _SHORTEST
        while high - low > near:
            steps = 0.4 * near * (1.25 * (high - low) / near) ** _AROUND
            tried = np.concatenate(
                [[low, high, guess], low + (high - low) * _EVENLY, guess - steps, guess + steps]
            )
            places = np.sort(tried[(low <= tried) & (tried <= high)])
            places = places[np.append(places[1:] > places[:-1], True)]
            odds, before = self.odds(places), (low, high)
            last = int(np.flatnonzero(odds[:-1] > self.log_odds).max(initial=0))
            low, high, guess = self._next(places, odds, last)
            if (low, high) == before:
                break
        return low

    def _closest(self, accepted: float, start: float) -> float:
        """An accepted mean close below `start`, if there is one, else the one known."""
        steps = np.concatenate([[0.0], 0.25 * self.tolerance * 4.0 ** np.arange(8)])
        places = start * (1.0 - steps)
        found = places[(places > accepted) & self.has(places)]
        return float(found[0]) if len(found) else accepted


def _inverse(places: Floats, excess: Floats) -> float:
    """Where the cubic through a few points is zero, as a function of the excess; not a number where two have
    the same.
    """
    with np.errstate(all="ignore"):
        ratios = excess / (excess - excess[:, None])
        np.fill_diagonal(ratios, 1.0)
        return float(ratios.prod(axis=1) @ places)


def _ladder(low: float, high: float, shortest: float) -> NDArray[np.float64]:
    """Stretches from `high` down to next to `low`, the outermost first, (n, 2)."""
    gap = max(high - low, 0.0)
    rungs = max(0, math.ceil(math.log(max(gap / shortest, 1.0)) / -math.log(_RUNG)))
    places = np.minimum(low + gap * _RUNG ** np.arange(rungs + 1), high)
    places[0] = high
    return np.stack([places[1:], places[:-1]], axis=1)


def _divided(stretches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each stretch in equal parts, the outermost first."""
    shares = np.arange(_PARTS + 1) / _PARTS
    places = stretches[:, 1:] + (stretches[:, :1] - stretches[:, 1:]) * shares
    places[:, -1] = stretches[:, 0]
    return np.stack([places[:, 1:], places[:, :-1]], axis=-1).reshape(-1, 2)
