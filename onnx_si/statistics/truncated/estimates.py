"""Confidence interval and median-unbiased estimate of the mean of a truncated statistic."""

from __future__ import annotations

import math

import scipy  # loads its parts when they are used

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated.bounds import Alternative
from onnx_si.statistics.truncated.hull import roots_of_ends
from onnx_si.statistics.truncated.inversion import (
    ROOT_TOLERANCE,
    Sides,
    end_bounds,
    equal_tailed,
    mean_bounds,
    root,
)
from onnx_si.statistics.truncated.scaled import Scaled
from onnx_si.statistics.truncated.shifted import Shifted
from onnx_si.statistics.truncated.slack import EPS, rounded_down, rounded_up
from onnx_si.statistics.truncated.smoothed import Randomised

Pair = tuple[float, float]


def interval_bounds(
    inside: Intervals,
    undecided: Intervals,
    statistic: float,
    sd: float,
    level: float,
    alternative: Alternative = "two-sided-abs",
) -> tuple[Pair, Pair]:
    """Bound both ends of the interval of the means that a test of the truncated normal statistic does not
    reject, over all truncation sets that are still possible.

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
    alternative : str
        Of the test that is inverted, as for `p_value_bounds`. With equal tails the ends are the means with
        F(t) = 1 - (1 - level) / 2 and F(t) = (1 - level) / 2; one-sided tests give one-sided intervals;
        `two-sided-abs` the hull of the means d with P_d(|T - d| >= |t - d|) > 1 - level.

    Returns
    -------
    ((float, float), (float, float))
        Smallest and largest lower end; smallest and largest upper end, in units of the statistic. An end is
        infinite where the truncation set leaves it open, which includes a statistic at the very end of the
        set: with no mass on one side there is nothing to invert.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Source
    ------
    Lee, Sun, Sun, Taylor: Exact post-selection inference, with application to the lasso, 2016 (equal tails).
    """
    return _ends(*_shifted(inside, undecided, statistic, sd), statistic, sd, level, alternative)


def likely_ends(
    inside: Intervals,
    undecided: Intervals,
    statistic: float,
    sd: float,
    level: float,
    *,
    absolute: bool,
    tolerance: float,
    farthest: bool = False,
) -> Pair:
    """Places near the ends that `interval_bounds` bounds, by a root each: the nearest to the statistic that
    are possible, or the farthest.

    They prove nothing, but cost a small part of it: enough to know what is worth knowing of S.

    Parameters
    ----------
    inside, undecided, statistic, sd, level
        As for `interval_bounds`; an interval with two ends.
    absolute : bool
        Of the test of absolute values; else of the one with equal tails.
    tolerance : float
        By how much of its distance from the statistic a place of the former may be off.
    farthest : bool
    """
    least, most = _shifted(inside, undecided, statistic, sd)
    sets = (most, least) if farthest else (least, most)
    if absolute:
        lower, upper = roots_of_ends(*sets, float(scipy.special.logit(1.0 - level)), tolerance)
    else:
        lower, upper = equal_tailed(*sets, float(scipy.special.logit(0.5 * (1.0 - level))))
    return statistic + sd * lower, statistic + sd * upper


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
        As for `interval_bounds`.
    """
    return _in_units(mean_bounds(*_shifted(inside, undecided, statistic, sd), 0.0), statistic, sd)


def randomised_bounds(
    inside: Intervals,
    undecided: Intervals,
    distribution: Randomised,
    level: float,
    alternative: Alternative = "two-sided-abs",
) -> tuple[Pair, Pair, Pair]:
    """Bounds of the median-unbiased estimate and of both ends of the confidence interval after a randomised
    selection.

    Parameters
    ----------
    inside, undecided : Intervals
        Of the place T + U, as for `interval_bounds`.
    distribution : Randomised
    level, alternative
        As for `interval_bounds`.

    Source
    ------
    The mean of T is the parameter of an exponential family in T, so F(t) falls in it: Lee, Sun, Sun, Taylor
    (2016) for the inversion, Tian and Taylor (2018) for the family.
    """
    sides = distribution.seen(inside), distribution.seen(inside.union(undecided))
    return _median_and_ends(*sides, distribution.statistic, distribution.sd, level, alternative)


def scaled_bounds(
    inside: Intervals,
    undecided: Intervals,
    statistic: float,
    se: float,
    df: int,
    level: float,
    alternative: Alternative = "two-sided-abs",
) -> tuple[Pair, Pair, Pair]:
    """Bounds of the median-unbiased estimate and of both ends of the confidence interval where the noise's
    scale is estimated.

    Parameters
    ----------
    inside, undecided, statistic, level, alternative
        As for `interval_bounds`.
    se : float
        Estimated standard error of the statistic.
    df : int
        Degrees of freedom of that estimate, independent of the statistic; at least 2.

    Source
    ------
    See `Scaled`.
    """
    least, most = (Scaled.of(each, statistic, se, df) for each in (inside, inside.union(undecided)))
    return _median_and_ends(least, most, statistic, se, level, alternative)


def _shifted(inside: Intervals, undecided: Intervals, statistic: float, sd: float) -> tuple[Shifted, Shifted]:
    return Shifted.of(inside, statistic, sd), Shifted.of(inside.union(undecided), statistic, sd)


def _median_and_ends(
    least: Sides, most: Sides, statistic: float, sd: float, level: float, alternative: Alternative
) -> tuple[Pair, Pair, Pair]:
    median = _in_units(mean_bounds(least, most, 0.0), statistic, sd)
    return median, *_ends(least, most, statistic, sd, level, alternative)


def _ends(
    least: Sides,
    most: Sides,
    statistic: float,
    sd: float,
    level: float,
    alternative: Alternative,
) -> tuple[Pair, Pair]:
    lower, upper = end_bounds(least, most, level, alternative)
    return _in_units(lower, statistic, sd), _in_units(upper, statistic, sd)


def median(sides: Sides) -> float:
    """The mean with F(t) = 1/2, in standard deviations from the statistic."""
    if not sides.has_above:
        return math.inf
    if not sides.has_below:
        return -math.inf
    return root(lambda mean: sides.log_below(mean) - sides.log_above(mean))


def _in_units(ends: tuple[float, float], statistic: float, sd: float) -> tuple[float, float]:
    """Ends in units of the statistic; what the root finder and the last addition lost is given back."""
    slack = rounded_up(sd * ROOT_TOLERANCE) + 4.0 * EPS * abs(statistic)
    return statistic + sd * rounded_down(ends[0]) - slack, statistic + sd * rounded_up(ends[1]) + slack
