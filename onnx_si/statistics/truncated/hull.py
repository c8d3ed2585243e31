"""The ends of the confidence interval that belongs to the two-sided test of absolute values.

The means that the test does not reject need not be an interval: where S has a stretch far from the statistic,
means close to half way to it can be accepted while some nearer ones are rejected. The interval is the hull,
so its end is the farthest accepted mean, and a root of p(m) = alpha is not enough: there may be others.

The end is found from outside. `upper_odds` bounds p on a whole stretch of means, the last one unbounded; a
stretch whose bound does not exceed alpha is cut off, with no accepted mean in it. Stretches get shorter as
they come closer to the end. Where even one of `TOLERANCE` can't be cut off, the search stops and hands out
what it has: the outer end is proven, nothing accepted lies beyond it. Roots are only used to guess how long
the stretches may be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scipy.optimize import brentq

from onnx_si.statistics.truncated.absolute import Seen, lower_odds, upper_odds
from onnx_si.statistics.truncated.rounding import EPS

# The shortest stretch, as a part of the distance from the statistic and in standard errors.
TOLERANCE = 1e-11
_SHORTEST = 1e-14
_FARTHEST = 1e100  # where the search gives up and returns infinity
_GREATEST = 1e300  # stands for infinite log odds
# Length of a stretch as a part of what is open, and how it is adapted.
_FIRST, _LONGEST, _LONGER, _SHORTER = 0.5, 0.9, 1.15, 0.6
_MOST_STRETCHES = 2000


def hull_bounds(
    least: Seen, most: Seen, log_odds: float, tolerance: float = TOLERANCE
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bounds of the ends of the hull of the means with log(p / (1 - p)) > `log_odds`.

    Parameters
    ----------
    least, most : Seen
        With the masses that are certain, and with those that are undecided as well.
    log_odds : float
        Of the level of the test.
    tolerance : float
        By how much of its distance from the statistic an end may be too far out.

    Returns
    -------
    ((float, float), (float, float))
        Smallest and largest lower end, smallest and largest upper end, in standard errors from the
        statistic. The outer ones are proven, and the inner ones are accepted means.
    """
    lower = _end_bounds(least.flipped(), most.flipped(), log_odds, tolerance)
    return (-lower[1], -lower[0]), _end_bounds(least, most, log_odds, tolerance)


def _end_bounds(least: Seen, most: Seen, log_odds: float, tolerance: float) -> tuple[float, float]:
    """An accepted mean, whatever is undecided, and one beyond which none is, whatever is undecided."""

    def surely(m: float) -> float:
        return lower_odds(least, most, m)

    inner, outer = math.inf, math.inf
    if least.has_above:
        possible = _Side(lambda m, until: upper_odds(least, most, m, until), log_odds, tolerance)
        inner, outer = possible.farthest()
        if math.isfinite(inner):
            for back in (8.0 * EPS, tolerance, 4.0 * tolerance, 16.0 * tolerance):
                if surely(inner * (1.0 - back)) > log_odds:
                    return inner * (1.0 - back), outer
    if not most.has_above:
        return inner, outer
    # The same search on lower bounds of p: what it accepts is accepted.
    sure = _Side(lambda m, until: _surely(least, most, m, until), log_odds, tolerance)
    return min(sure.farthest()[0], outer), outer


def _surely(least: Seen, most: Seen, m: float, until: float) -> float:
    """Bounds on a stretch what `lower_odds` gives for each of its means."""
    return lower_odds(least, most, m) if m == until else upper_odds(most, least, m, until)


@dataclass(frozen=True)
class _Side:
    """The means above the statistic; `bound` is that of the log odds on a stretch of them."""

    bound: Callable[[float, float], float]
    log_odds: float
    tolerance: float

    def accepts(self, m: float) -> bool:
        return self.bound(m, m) > self.log_odds

    def rejects(self, m: float, until: float) -> bool:
        return self.bound(m, until) <= self.log_odds

    def farthest(self) -> tuple[float, float]:
        """The farthest accepted mean that was found, and one beyond which there is none."""
        accepted, open_until = self._bracket()
        if math.isinf(open_until):
            return accepted, open_until
        accepted = self._root(accepted, open_until)
        share = _FIRST
        for _ in range(_MOST_STRETCHES):
            length = share * (open_until - accepted)
            shortest = self.tolerance * open_until + _SHORTEST
            start = max(open_until - max(length, shortest), accepted)
            if start < open_until and self.rejects(start, open_until):
                open_until, share = start, min(share * _LONGER, _LONGEST)
            elif length <= shortest:
                break
            elif self.accepts(start):
                accepted, share = self._root(start, open_until), _FIRST
            else:
                share *= _SHORTER
        return self._closest(accepted, open_until), open_until

    def _bracket(self) -> tuple[float, float]:
        """An accepted mean, and one from which on all are rejected."""
        accepted, far = 0.0, 1.0
        while not self.rejects(far, math.inf):
            if self.accepts(far):
                accepted = far
            far *= 4.0
            if far > _FARTHEST:
                return math.inf, math.inf
        if accepted == 0.0:
            guess = 0.25 * far
            while guess > _SHORTEST and not self.accepts(guess):
                guess *= 0.25
            accepted = guess if guess > _SHORTEST else 0.0
        return accepted, far

    def _root(self, accepted: float, rejected: float) -> float:
        """An accepted mean next to one that is rejected, between the two given."""

        def excess(m: float) -> float:
            return max(-_GREATEST, min(self.bound(m, m) - self.log_odds, _GREATEST))

        if accepted == 0.0 or self.accepts(rejected):
            return accepted
        root = float(brentq(excess, accepted, rejected, xtol=_SHORTEST, rtol=8.0 * EPS, maxiter=500))
        return next((m for m in _backwards(root, accepted) if self.accepts(m)), accepted)

    def _closest(self, accepted: float, open_until: float) -> float:
        """An accepted mean close to where nothing more could be cut off, if there is one."""
        near = _backwards(open_until, accepted, self.tolerance)
        return next((m for m in near if self.accepts(m)), accepted)


def _backwards(start: float, stop: float, step: float = EPS) -> Iterator[float]:
    """Places below `start`, ever farther, as long as they are beyond `stop`."""
    yield start
    for power in range(8):
        place = start * (1.0 - step * 4.0**power)
        if place <= stop:
            return
        yield place
