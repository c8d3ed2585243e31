"""The means that a test does not reject: one-sided, with equal tails, or two-sided by absolute values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import scipy  # loads its parts when they are used

from onnx_si.statistics.truncated.absolute import Seen
from onnx_si.statistics.truncated.bounds import Alternative
from onnx_si.statistics.truncated.brent import find_root
from onnx_si.statistics.truncated.hull import hull_bounds
from onnx_si.statistics.truncated.slack import EPS, log_error

# Ends of confidence intervals, in standard deviations: where the search gives up and returns infinity, and
# how close it comes.
_FARTHEST_MEAN = 1e100
ROOT_TOLERANCE = 1e-13


class Sides(Seen, Protocol):
    """Masses on both sides of the observed statistic as functions of the mean, which lies `mean` standard
    deviations above the statistic.
    """

    @property
    def has_below(self) -> bool: ...

    @property
    def has_above(self) -> bool: ...

    def log_below(self, mean: float) -> float: ...

    def log_above(self, mean: float) -> float: ...


def mean_bounds(least: Sides, most: Sides, target: float) -> tuple[float, float]:
    """Smallest and largest mean, in standard deviations from the statistic, with log odds `target` of F(t).

    `least` has the certain masses, `most` the undecided ones as well. F falls in the mean, and is smallest
    with all undecided mass above the statistic and none below.
    """

    # The ends may be moved outwards by the rounding of the masses, never inwards.
    def lower_excess(mean: float) -> float:
        below, above = least.log_below(mean), most.log_above(mean)
        return below - above - target - log_error(below, above)

    def upper_excess(mean: float) -> float:
        below, above = most.log_below(mean), least.log_above(mean)
        return below - above - target + log_error(below, above)

    lower = root(lower_excess) if least.has_below and most.has_above else -math.inf
    upper = root(upper_excess) if most.has_below and least.has_above else math.inf
    return lower, upper


def equal_tailed(tail: Sides, rest: Sides, log_odds: float) -> tuple[float, float]:
    """The means where the odds of the tail of one set, on one side of the statistic, and the rest of another
    are so small, in standard deviations from the statistic; to rounding only.
    """

    def lower_excess(mean: float) -> float:
        return rest.log_below(mean) - tail.log_above(mean) + log_odds

    def upper_excess(mean: float) -> float:
        return tail.log_below(mean) - rest.log_above(mean) - log_odds

    lower = root(lower_excess) if tail.has_above and rest.has_below else -math.inf
    upper = root(upper_excess) if tail.has_below and rest.has_above else math.inf
    return lower, upper


def end_bounds(
    least: Sides, most: Sides, level: float, alternative: Alternative
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bounds of both ends of the interval that inverts a test, in standard deviations from the statistic.

    Parameters
    ----------
    least, most : Sides
        With the masses that are certain, and with those that are undecided as well.
    level : float
        Confidence level between 0 and 1; the test's is 1 - level.
    alternative : str
        As for `p_value_bounds`. F(t) falls in the mean, so the test with equal tails and the one-sided ones
        accept an interval, whose ends are roots; a one-sided test bounds the mean on one side only. The
        test of absolute values accepts what `hull_bounds` takes the hull of.

    Raises
    ------
    ValueError
        If `level` is not between 0 and 1 or the alternative unknown.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    alpha = 1.0 - level
    if alternative == "two-sided-abs":
        return hull_bounds(least, most, float(scipy.special.logit(alpha)))
    below, above = (-math.inf, -math.inf), (math.inf, math.inf)
    if alternative == "greater":
        return mean_bounds(least, most, -float(scipy.special.logit(alpha))), above
    if alternative == "less":
        return below, mean_bounds(least, most, float(scipy.special.logit(alpha)))
    if alternative != "two-sided":
        raise ValueError(f"unknown alternative {alternative!r}")
    odds = float(scipy.special.logit(0.5 * alpha))
    return mean_bounds(least, most, -odds), mean_bounds(least, most, odds)


def root(decreasing: Callable[[float], float]) -> float:
    """Return the root of a decreasing function, infinite if it lies beyond `_FARTHEST_MEAN`."""
    at_zero = decreasing(0.0)
    sign = 1.0 if at_zero > 0.0 else -1.0
    near, far = 0.0, sign
    while sign * decreasing(far) > 0.0:
        near, far = far, 4.0 * far
        if abs(far) > _FARTHEST_MEAN:
            return sign * math.inf
    lo, hi = min(near, far), max(near, far)
    return float(find_root(decreasing, lo, hi, xtol=ROOT_TOLERANCE, rtol=4.0 * EPS, maxiter=500))
