"""Confidence interval and median-unbiased estimate of the mean of a truncated statistic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from scipy.optimize import brentq
from scipy.special import logit

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated.bounds import EPS, log_error, rounded_down, rounded_up
from onnx_si.statistics.truncated.scaled import Scaled
from onnx_si.statistics.truncated.shifted import Shifted
from onnx_si.statistics.truncated.smoothed import Randomised, Smoothed

# Ends of confidence intervals, in standard deviations: where the search gives up and returns infinity, and
# how close it comes.
_FARTHEST_MEAN = 1e100
_ROOT_TOLERANCE = 1e-13


def confidence_interval(
    inside: Intervals, undecided: Intervals, statistic: float, sd: float, level: float
) -> tuple[float, float]:
    """Invert the truncated normal distribution into an equal-tailed interval for its mean.

    The ends are the means with F(t) = 1 - (1 - level) / 2 and F(t) = (1 - level) / 2. With undecided mass
    they are the outermost over all truncation sets that are still possible.

    Parameters
    ----------
    inside : Intervals
        Certainly in the truncation set.
    undecided : Intervals
        May or may not be in it.
    statistic : float
        Observed value, finite.
    sd : float
        Standard deviation of the statistic before truncation.
    level : float
        Confidence level between 0 and 1.

    Returns
    -------
    (float, float)
        Ends in units of the statistic. An end is infinite where the truncation set leaves it open, which
        includes a statistic at the very end of the set: with no mass on one side there is nothing to invert.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Source
    ------
    Lee, Sun, Sun, Taylor: Exact post-selection inference, with application to the lasso, 2016.
    """
    (lowest, _), (_, highest) = interval_bounds(inside, undecided, statistic, sd, level)
    return lowest, highest


def interval_bounds(
    inside: Intervals, undecided: Intervals, statistic: float, sd: float, level: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bound both ends of the confidence interval over all truncation sets that are still possible.

    Parameters
    ----------
    inside, undecided, statistic, sd, level
        As for `confidence_interval`.

    Returns
    -------
    ((float, float), (float, float))
        Smallest and largest lower end; smallest and largest upper end.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    target = -float(logit(0.5 * (1.0 - level)))
    sides = Shifted.of(inside, statistic, sd), Shifted.of(inside.union(undecided), statistic, sd)
    ranges = [mean_bounds(*sides, t) for t in (target, -target)]
    return _in_units(ranges[0], statistic, sd), _in_units(ranges[1], statistic, sd)


def median_unbiased(inside: Intervals, statistic: float, sd: float) -> float:
    """Estimate the mean of the truncated normal by the value with F(t) = 1/2.

    Parameters
    ----------
    inside : Intervals
        The truncation set.
    statistic : float
        Observed value, finite.
    sd : float
        Standard deviation of the statistic before truncation.

    Returns
    -------
    float
        Infinite if the statistic is at the end of the set, with no mass beyond it.

    Raises
    ------
    ValueError
        If the truncation set is empty or an argument is outside its range.
    """
    if not inside:
        raise ValueError("the truncation set is empty")
    return statistic + sd * median(Shifted.of(inside, statistic, sd))


def median_bounds(
    inside: Intervals, undecided: Intervals, statistic: float, sd: float
) -> tuple[float, float]:
    """Bound the median-unbiased estimate over all truncation sets that are still possible.

    Parameters
    ----------
    inside, undecided, statistic, sd
        As for `confidence_interval`.
    """
    sides = Shifted.of(inside, statistic, sd), Shifted.of(inside.union(undecided), statistic, sd)
    return _in_units(mean_bounds(*sides, 0.0), statistic, sd)


def randomised_bounds(
    inside: Intervals, undecided: Intervals, distribution: Randomised, level: float
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Bounds of the median-unbiased estimate and of both ends of the confidence interval after a randomised
    selection.

    Parameters
    ----------
    inside, undecided : Intervals
        Of the place T + U, as for `confidence_interval`.
    distribution : Randomised
    level : float
        Confidence level between 0 and 1.

    Source
    ------
    The mean of T is the parameter of an exponential family in T, so F(t) falls in it: Lee, Sun, Sun, Taylor
    (2016) for the inversion, Tian and Taylor (2018) for the family.
    """
    t, sd, share = distribution.statistic, distribution.sd, distribution.share
    sides = Smoothed.of(inside, t, sd, share), Smoothed.of(inside.union(undecided), t, sd, share)
    return _median_and_ends(*sides, t, sd, level)


def scaled_bounds(
    inside: Intervals, undecided: Intervals, statistic: float, se: float, df: int, level: float
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Bounds of the median-unbiased estimate and of both ends of the confidence interval where the noise's
    scale is estimated.

    Parameters
    ----------
    inside, undecided, statistic, level
        As for `confidence_interval`.
    se : float
        Estimated standard error of the statistic.
    df : int
        Degrees of freedom of that estimate, independent of the statistic; at least 2.

    Source
    ------
    See `Scaled`.
    """
    least, most = (Scaled.of(each, statistic, se, df) for each in (inside, inside.union(undecided)))
    return _median_and_ends(least, most, statistic, se, level)


def _median_and_ends(
    least: Sides, most: Sides, statistic: float, sd: float, level: float
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    target = -float(logit(0.5 * (1.0 - level)))
    found = (mean_bounds(least, most, odds) for odds in (0.0, target, -target))
    median, lower, upper = (_in_units(ends, statistic, sd) for ends in found)
    return median, lower, upper


class Sides(Protocol):
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

    lower = _root(lower_excess) if least.has_below and most.has_above else -math.inf
    upper = _root(upper_excess) if most.has_below and least.has_above else math.inf
    return lower, upper


def median(sides: Sides) -> float:
    """The mean with F(t) = 1/2, in standard deviations from the statistic."""
    if not sides.has_above:
        return math.inf
    if not sides.has_below:
        return -math.inf
    return _root(lambda mean: sides.log_below(mean) - sides.log_above(mean))


def _in_units(ends: tuple[float, float], statistic: float, sd: float) -> tuple[float, float]:
    """Ends in units of the statistic; what the root finder and the last addition lost is given back."""
    slack = rounded_up(sd * _ROOT_TOLERANCE) + 4.0 * EPS * abs(statistic)
    return statistic + sd * rounded_down(ends[0]) - slack, statistic + sd * rounded_up(ends[1]) + slack


def _root(decreasing: Callable[[float], float]) -> float:
    """Return the root of a decreasing function, infinite if it lies beyond `_FARTHEST_MEAN`."""
    at_zero = decreasing(0.0)
    sign = 1.0 if at_zero > 0.0 else -1.0
    near, far = 0.0, sign
    while sign * decreasing(far) > 0.0:
        near, far = far, 4.0 * far
        if abs(far) > _FARTHEST_MEAN:
            return sign * math.inf
    lo, hi = min(near, far), max(near, far)
    return float(brentq(decreasing, lo, hi, xtol=_ROOT_TOLERANCE, rtol=4.0 * EPS, maxiter=500))
