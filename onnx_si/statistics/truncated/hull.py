"""The ends of the confidence interval that belongs to the two-sided test of absolute values.

The means that the test does not reject need not be an interval: where S has a stretch far from the statistic,
means close to half way to it can be accepted while some nearer ones are rejected. The interval is the hull,
so its end is the farthest accepted mean, and a root of p(m) = alpha is not enough: there may be others.

The end is found from outside. `upper_odds` bounds p on a whole stretch of means, `odds_from` on the unbounded
one; a stretch whose bound does not exceed alpha is cut off, since no mean in it is accepted. A root is only a
guess of where the end is: a ladder of stretches, ever shorter, leads down to it. Those that can't be cut off
are divided, and a place between them that is accepted is a better guess. Where even a stretch of `TOLERANCE`
can't be cut off, the search hands out what it has. So the outer end is proven: nothing accepted lies beyond.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.statistics.truncated.absolute import Seen, lower_odds, odds_from, upper_odds
from onnx_si.statistics.truncated.roots import find_root
from onnx_si.statistics.truncated.rounding import EPS, Floats

Pair = tuple[float, float]
# The shortest stretch, as a part of the distance from the statistic and in standard errors.
TOLERANCE = 1e-10
_SHORTEST = 1e-14
_FARTHEST = 1e100  # where the search gives up and returns infinity
_GREATEST = 1e300  # stands for infinite log odds
_RUNG = 0.6  # distance of the ladder's next rung from the guess, in that of the one before
_PARTS, _AT_ONCE, _ROUNDS = 4, 32, 100  # how stretches are divided, how many at a time, and how often


def hull_bounds(least: Seen, most: Seen, log_odds: float, tolerance: float = TOLERANCE) -> tuple[Pair, Pair]:
    """Bounds of the ends of the hull of the means with log(p / (1 - p)) > `log_odds`.

    Parameters
    ----------
    least, most : Seen
        With the masses that are certain, and with those that are undecided as well.
    log_odds : float
        Of the level of the test.
    tolerance : float
        By how much of its distance from the statistic an end may be too far out; more where S has slivers
        half of whose distance is the end's, and never too far in.

    Returns
    -------
    ((float, float), (float, float))
        Smallest and largest lower end, smallest and largest upper end, in standard errors from the
        statistic. The outer ones are proven, and the inner ones are accepted means.
    """
    low, high = _end_bounds(least.flipped(), most.flipped(), log_odds, tolerance)
    return (-high, -low), _end_bounds(least, most, log_odds, tolerance)


def _end_bounds(least: Seen, most: Seen, log_odds: float, tolerance: float) -> Pair:
    """A mean that is accepted, and one beyond which none is, whatever is undecided."""
    inner, outer = math.inf, math.inf
    sure = _Sure(least, most, log_odds, tolerance)
    if least.has_above:
        inner, outer = _Possible(least, most, log_odds, tolerance).farthest()
        for back in (8.0 * EPS, tolerance, 4.0 * tolerance, 16.0 * tolerance):
            if math.isfinite(inner) and sure.accepts(inner * (1.0 - back)):
                return inner * (1.0 - back), outer
    if most.has_above:
        inner = min(sure.farthest()[0], outer)
    return inner, outer


@dataclass(frozen=True)
class _Possible:
    """The means above the statistic that are accepted, if what is undecided is as it may be."""

    least: Seen
    most: Seen
    log_odds: float
    tolerance: float

    def odds(self, m: Floats) -> Floats:
        return upper_odds(self.least, self.most, m, m)

    def most_odds(self, starts: Floats, stops: Floats) -> Floats:
        """Bounds of the odds on stretches."""
        return upper_odds(self.least, self.most, starts, stops)

    def most_odds_from(self, m: float) -> float:
        return odds_from(self.least, self.most, m)

    def accepts(self, m: float) -> bool:
        return bool(self.odds(np.array([m]))[0] > self.log_odds)

    def farthest(self) -> Pair:
        """The farthest accepted mean that was found, and one beyond which there is none."""
        accepted, stop = self._bracket()
        if math.isinf(stop):
            return accepted, stop
        accepted = self._root(accepted, stop)
        open_ones = ladder = _ladder(accepted, stop, self._shortest(stop))
        for _ in range(_ROUNDS):
            open_ones = self._not_cut(open_ones)
            if not len(open_ones):
                return accepted, float(ladder[-1, 0]) if len(ladder) else stop
            start, stop = open_ones[0].tolist()
            shortest = self._shortest(stop)
            if stop - start <= shortest:
                break
            found = open_ones[self.odds(open_ones[:, 0]) > self.log_odds, 0]
            if len(found) and found[0] > accepted + shortest:
                accepted = self._root(float(found[0]), stop)
                open_ones = ladder = _ladder(accepted, stop, shortest)
            else:
                parts = _divided(open_ones[:_AT_ONCE])
                open_ones = np.concatenate([parts, open_ones[_AT_ONCE:]])
        return self._closest(accepted, stop), stop

    def _shortest(self, m: float) -> float:
        return self.tolerance * m + _SHORTEST

    def _not_cut(self, stretches: NDArray[np.float64]) -> NDArray[np.float64]:
        odds = self.most_odds(stretches[:, 0], stretches[:, 1])
        return stretches[~(odds <= self.log_odds)]

    def _bracket(self) -> Pair:
        """A mean that is accepted, and one from which on all are rejected."""
        accepted, far = 0.0, 1.0
        while not self.most_odds_from(far) <= self.log_odds:
            if self.accepts(far):
                accepted = far
            far *= 4.0
            if far > _FARTHEST:
                return math.inf, math.inf
        guess = 0.25 * far
        while accepted == 0.0 and guess > _SHORTEST:
            if self.accepts(guess):
                accepted = guess
            guess *= 0.25
        return accepted, far

    def _root(self, accepted: float, rejected: float) -> float:
        """An accepted mean next to one that is rejected, between the two given; far out, where single means
        round more than stretches do, the last one may seem accepted.
        """

        def excess(m: float) -> float:
            return max(-_GREATEST, min(float(self.odds(np.array([m]))[0]) - self.log_odds, _GREATEST))

        if accepted == 0.0 or not accepted < rejected:
            return accepted
        near = 0.25 * self.tolerance * accepted + _SHORTEST
        if not excess(rejected) < 0:
            return self._closest(accepted, rejected)
        root = float(find_root(excess, accepted, rejected, xtol=near, rtol=8.0 * EPS, maxiter=500))
        return self._closest(accepted, root)

    def _closest(self, accepted: float, start: float) -> float:
        """An accepted mean close below `start`, if there is one, else the one known."""
        places = _backwards(start, accepted, 0.25 * self.tolerance)
        return next((m for m in places if self.accepts(m)), accepted)


class _Sure(_Possible):
    """The means that are accepted whatever is undecided; what its bounds leave out may be accepted, too."""

    def odds(self, m: Floats) -> Floats:
        return lower_odds(self.least, self.most, m)

    def most_odds(self, starts: Floats, stops: Floats) -> Floats:
        return upper_odds(self.most, self.least, starts, stops)

    def most_odds_from(self, m: float) -> float:
        return odds_from(self.most, self.least, m)


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


def _backwards(start: float, stop: float, step: float) -> Iterator[float]:
    """Places from `start` down, ever farther, as long as they are beyond `stop`."""
    yield start
    for power in range(8):
        place = start * (1.0 - step * 4.0**power)
        if place <= stop:
            return
        yield place
