"""True bounds of a p-value when a part of the truncation set is undecided."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy  # loads its parts when they are used

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated.absolute import odds_bounds
from onnx_si.statistics.truncated.distributions import Distribution
from onnx_si.statistics.truncated.masses import Floats, log_sum
from onnx_si.statistics.truncated.slack import log_error, rounded_down, rounded_up
from onnx_si.statistics.truncated.smoothed import Randomised

Alternative = Literal["two-sided", "two-sided-abs", "greater", "less"]


def p_value_bounds(
    distribution: Distribution,
    inside: Intervals,
    undecided: Intervals,
    statistic: float,
    alternative: Alternative = "two-sided-abs",
    rounding: float = 0.0,
) -> tuple[float, float]:
    """Bound the selective p-value when part of the truncation set is not decided yet.

    With A the mass of the truncation set in the tail and B its mass outside, the tail probability A / (A + B)
    is largest if all undecided mass of the tail, and none outside the tail, belongs to the set; smallest the
    other way round. Both bounds are moved outwards by the rounding error of the masses, so they hold as they
    stand: with nothing undecided they still differ by about 1e-11, relatively.

    Parameters
    ----------
    distribution : Normal or Chi
        Distribution of the statistic under the null, before truncation.
    inside : Intervals
        Certainly in the truncation set.
    undecided : Intervals
        May or may not be in it, any subset. Overlap with `inside` is harmless, it only widens the bounds.
    statistic : float
        Observed value, finite.
    alternative : str
        `two-sided-abs` is P(|T| >= |t|), `two-sided` (equal tails) 2 min(F, 1 - F), `greater` P(T >= t),
        `less` P(T <= t).
    rounding : float
        How far the statistic may be off: what is so near to it may lie on either side.

    Returns
    -------
    (float, float)
        Lower and upper bound within [0, 1]; (0, 1) where neither set has any mass to go by.

    Raises
    ------
    ValueError
        If the statistic is not finite or the alternative unknown.

    Source
    ------
    Miwa, Duy, Takeuchi: Valid P-Value for Deep Learning-Driven Salient Region, ICLR 2023, selective p-value.
    """
    if isinstance(distribution, Randomised):
        return _randomised(distribution, inside, undecided, alternative, rounding)
    return Cut.of(inside, undecided, statistic, alternative, rounding).p_value_bounds(distribution)


@dataclass(frozen=True)
class Cut:
    """S and what is undecided, cut at the statistic: what all laws of it have in common.

    `sets` are S in the tail and in the rest, and what may be of it there.
    """

    sets: tuple[Intervals, Intervals, Intervals, Intervals]
    alternative: Alternative

    @classmethod
    def of(
        cls,
        inside: Intervals,
        undecided: Intervals,
        statistic: float,
        alternative: Alternative,
        rounding: float = 0.0,
    ) -> Cut:
        """See `p_value_bounds`."""
        (tail, rest), (wide_tail, wide_rest) = (
            _grown(statistic, alternative, by) for by in (-rounding, rounding)
        )
        maybe = [undecided.intersect(wide_tail), undecided.intersect(wide_rest)]
        if rounding > 0.0:
            either = inside.intersect(wide_tail.intersect(wide_rest))
            maybe = [part.union(either) for part in maybe]
        return cls((inside.intersect(tail), inside.intersect(rest), maybe[0], maybe[1]), alternative)

    def p_value_bounds(self, distribution: Distribution) -> tuple[float, float]:
        """Bounds under a law that is not `Randomised`."""
        return p_value_of(
            _log_odds_bounds(*log_sums_of(distribution.log_masses, *self.sets)), self.alternative
        )


def _grown(statistic: float, alternative: str, by: float) -> tuple[Intervals, Intervals]:
    """Tail and rest, both larger by so much where they meet."""
    if by == 0.0:
        return tail_and_rest(statistic, alternative)
    if alternative == "two-sided-abs":
        low, high = abs(statistic) - by, abs(statistic) + by
        return Intervals.of([(-low, low)]).complement(), Intervals.of([(-high, high)])
    lower, upper = (
        Intervals(np.array([ends])) for ends in ((-math.inf, statistic + by), (statistic - by, math.inf))
    )
    return (upper, lower) if alternative == "greater" else (lower, upper)


def _randomised(
    distribution: Randomised,
    inside: Intervals,
    undecided: Intervals,
    alternative: Alternative,
    rounding: float,
) -> tuple[float, float]:
    """The same for a statistic that is not the place on the line: every place has mass in both tails, so
    the bounds are true, and sharp only as far as an undecided place lies far from the statistic.
    """
    odds = [
        _odds_of(replace(distribution, statistic=at), inside, undecided, alternative)
        for at in {distribution.statistic - rounding, distribution.statistic + rounding}
    ]
    return p_value_of((min(low for low, _ in odds), max(high for _, high in odds)), alternative)


def _odds_of(
    distribution: Randomised, inside: Intervals, undecided: Intervals, alternative: Alternative
) -> tuple[float, float]:
    """Bounds of the log odds of the tail for one value of the statistic."""
    if alternative == "two-sided-abs":
        least, most = distribution.seen(inside), distribution.seen(inside.union(undecided))
        return odds_bounds(least, most, -distribution.statistic / distribution.sd)
    tail, rest = (1, 0) if alternative == "greater" else (0, 1)
    sure, maybe = (distribution.below_and_above(each) for each in (inside, undecided))
    return _log_odds_bounds(sure[tail], sure[rest], maybe[tail], maybe[rest])


def p_value_of(odds: tuple[float, float], alternative: Alternative) -> tuple[float, float]:
    """The p-value's bounds, by those of the log odds of the tail."""
    if alternative == "two-sided":
        return _two_sided(*odds)
    return _probability_below(odds[0]), _probability_above(odds[1])


def log_p_value(distribution: Distribution, statistic: float, alternative: Alternative) -> float:
    """Log of the p-value without truncation, which may be far below the smallest float.

    Parameters
    ----------
    distribution : Distribution
        Of the statistic under the null.
    statistic : float
        Observed value, finite.
    alternative : str
        As for `p_value_bounds`.

    Returns
    -------
    float
        At most 0.
    """
    tail, rest = tail_and_rest(statistic, alternative)
    log_tail, log_rest = distribution.log_mass(tail), distribution.log_mass(rest)
    total = float(np.logaddexp(log_tail, log_rest))
    if alternative == "two-sided":
        return min(math.log(2.0) + min(log_tail, log_rest) - total, 0.0)
    return min(log_tail - total, 0.0)


def decided(bounds: tuple[float, float], alpha: float) -> bool:
    """Tell whether p-value bounds settle the test at level `alpha` (reject when p <= alpha).

    Parameters
    ----------
    bounds : (float, float)
        Lower and upper bound of the p-value.
    alpha : float
        Level of the test.

    Returns
    -------
    bool
    """
    lower, upper = bounds
    return upper <= alpha or lower > alpha


def tail_and_rest(statistic: float, alternative: str) -> tuple[Intervals, Intervals]:
    """Cut the line into the tail whose probability is wanted and the rest."""
    if not math.isfinite(statistic):
        raise ValueError(f"the statistic must be finite, got {statistic}")
    above = Intervals(np.array([[statistic, math.inf]]))
    below = Intervals(np.array([[-math.inf, statistic]]))
    if alternative == "greater":
        return above, below
    if alternative in ("less", "two-sided"):
        return below, above
    if alternative == "two-sided-abs":
        middle = Intervals.of([(-abs(statistic), abs(statistic))])
        return middle.complement(), middle
    raise ValueError(f"unknown alternative {alternative!r}")


def log_sums_of(log_masses: Callable[[Floats], Floats], *sets: Intervals) -> list[float]:
    """Return the log mass of several sets by one call."""
    masses = log_masses(np.concatenate([each.bounds for each in sets]))
    stops = np.cumsum([len(each) for each in sets]).tolist()
    return [log_sum(masses[stop - len(each) : stop]) for stop, each in zip(stops, sets, strict=True)]


def _log_odds_bounds(tail: float, rest: float, tail_maybe: float, rest_maybe: float) -> tuple[float, float]:
    """Bound log(A / B) given log masses that are certain and log masses that may be added."""
    tail_most, rest_most = float(np.logaddexp(tail, tail_maybe)), float(np.logaddexp(rest, rest_maybe))
    lower = -math.inf if tail == -math.inf else tail - rest_most - log_error(tail, rest_most)
    upper = math.inf if rest == -math.inf else tail_most - rest + log_error(tail_most, rest)
    return lower, upper


def _two_sided(lower: float, upper: float) -> tuple[float, float]:
    """Map bounds of the log odds of F to bounds of 2 min(F, 1 - F), which peaks at odds 1."""
    nearest, farthest = sorted((abs(lower), abs(upper)))
    least = 2.0 * _probability_below(-farthest)
    if lower <= 0.0 <= upper:
        return least, 1.0
    return least, min(2.0 * _probability_above(-nearest), 1.0)


def _probability_below(log_odds: float) -> float:
    """Return a lower bound of the probability that belongs to log odds, exact for infinite ones."""
    probability = float(scipy.special.expit(log_odds))
    return probability if math.isinf(log_odds) else max(rounded_down(probability), 0.0)


def _probability_above(log_odds: float) -> float:
    """Return an upper bound of the probability, which is not zero where it only underflows."""
    probability = float(scipy.special.expit(log_odds))
    return probability if math.isinf(log_odds) else min(rounded_up(probability), 1.0)
