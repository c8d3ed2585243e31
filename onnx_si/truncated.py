"""Truncated normal and chi distributions: p-value bounds, confidence intervals, estimates.

Everything is computed with logarithms of masses, so that a statistic 40 standard deviations out, or a
truncation set made of slivers, gives the same relative accuracy as a plain z-test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import erf, erfcx, expit, gammaln, logit

from onnx_si.intervals import Intervals

Floats = NDArray[np.float64]
Alternative = Literal["two-sided", "two-sided-abs", "greater", "less"]

_EPS = float(np.finfo(np.float64).eps)
_ROOT_HALF = math.sqrt(0.5)
_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

# Quadrature on [0, 1]. The short rule integrates exponents that vary by at most about 1, the long rule whole
# bell shapes cut where they have fallen by exp(-_DROP); both are exact to rounding there, as tested.
_SHORT_RULE = 8
_LONG_RULE = 64
_DROP = 38.0

# Allowance for rounding in a log mass, several times what was measured against 50 digits: a constant, and a
# part that grows with the exponent (a relative rounding error of z shifts z**2 / 2 by as much, relatively).
_LOG_ERROR = 5e-12
_LOG_ERROR_RELATIVE = 1e-14

# Ends of confidence intervals, in standard deviations: where the search gives up and returns infinity, and
# how close it comes.
_FARTHEST_MEAN = 1e100
_ROOT_TOLERANCE = 1e-13
# Stands for the log of a mass too small even for its logarithm, so that differences stay numbers.
_LEAST_LOG = -1e300


class Distribution(Protocol):
    """A distribution on the line that can be truncated."""

    def log_masses(self, bounds: Floats) -> Floats:
        """Return the log probability of each interval, (n, 2) -> (n,)."""
        ...

    def log_mass(self, intervals: Intervals) -> float:
        """Return the log probability of a set."""
        ...


@dataclass(frozen=True)
class Normal:
    """The normal distribution.

    Parameters
    ----------
    mean : float
        In units of the statistic.
    sd : float
        Standard deviation, positive.

    Raises
    ------
    ValueError
        If `mean` is not finite or `sd` not positive and finite.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean):
            raise ValueError(f"mean must be finite, got {self.mean}")
        _require_positive("sd", self.sd)

    def log_masses(self, bounds: Floats) -> Floats:
        """Return the log probability of each interval.

        Parameters
        ----------
        bounds : array (n, 2)
            Lower and upper ends, may be infinite.

        Returns
        -------
        array (n,)
            -inf where the interval has no length.
        """
        # Widths are taken before anything is rounded: a sliver far out keeps all its digits.
        with np.errstate(all="ignore"):
            ends = (bounds - self.mean) / self.sd
            widths = (bounds[:, 1] - bounds[:, 0]) / self.sd
        return _log_bell_integrals(ends[:, 0], ends[:, 1], widths, 0.0) - _HALF_LOG_TWO_PI

    def log_mass(self, intervals: Intervals) -> float:
        """Return the log probability of a set, -inf if it is empty."""
        return _log_sum(self.log_masses(intervals.bounds))


@dataclass(frozen=True)
class Chi:
    """The distribution of `scale` times the length of a standard normal vector.

    Parameters
    ----------
    df : int
        Degrees of freedom, the length of the vector.
    scale : float
        Positive, in units of the statistic.

    Raises
    ------
    ValueError
        If `df` is not a positive whole number or `scale` not positive and finite.
    """

    df: int
    scale: float

    def __post_init__(self) -> None:
        if self.df < 1 or self.df != int(self.df):
            raise ValueError(f"df must be a positive whole number, got {self.df}")
        _require_positive("scale", self.scale)

    def log_masses(self, bounds: Floats) -> Floats:
        """Return the log probability of each interval.

        Parameters
        ----------
        bounds : array (n, 2)
            Lower and upper ends, may be infinite; what lies below zero holds no mass.

        Returns
        -------
        array (n,)
            -inf where the interval has no length above zero.

        Notes
        -----
        One rule serves everywhere, tails included: the log density is concave, so the mass of an interval
        sits at its highest point; the density relative to that point is integrated by Gauss-Legendre
        quadrature over the stretch where it is not negligible. `gammainc` is of no use here: it underflows
        in the tails and its differences cancel on slivers.
        """
        positive = np.maximum(bounds, 0.0)
        if self.df == 1:
            return Normal(0.0, self.scale).log_masses(positive) + math.log(2.0)
        result = np.full(len(bounds), -np.inf)
        with np.errstate(all="ignore"):
            widths = (positive[:, 1] - positive[:, 0]) / self.scale
            ends = positive / self.scale
            real = widths > 0.0
            shape = _log_power_bell_integrals(self.df - 1, ends[real, 0], ends[real, 1], widths[real])
        result[real] = shape + self._log_density_at_mode()
        return result

    def log_mass(self, intervals: Intervals) -> float:
        """Return the log probability of a set, -inf if it holds nothing above zero."""
        return _log_sum(self.log_masses(intervals.bounds))

    def _log_density_at_mode(self) -> float:
        half = 0.5 * self.df
        power = self.df - 1
        return 0.5 * power * (math.log(power) - 1.0) - (half - 1.0) * math.log(2.0) - float(gammaln(half))


def p_value_bounds(
    distribution: Distribution,
    inside: Intervals,
    undecided: Intervals,
    statistic: float,
    alternative: Alternative = "two-sided",
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
        `two-sided` is 2 min(F, 1 - F), `two-sided-abs` P(|T| >= |t|), `greater` P(T >= t), `less` P(T <= t).

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
    tail, rest = _tail_and_rest(statistic, alternative)
    odds = _log_odds_bounds(
        *_log_sums(
            distribution.log_masses,
            inside.intersect(tail),
            inside.intersect(rest),
            undecided.intersect(tail),
            undecided.intersect(rest),
        )
    )
    if alternative == "two-sided":
        return _two_sided(*odds)
    return _probability_below(odds[0]), _probability_above(odds[1])


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
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    least, most = _Tilted.of(inside, statistic, sd), _Tilted.of(inside.union(undecided), statistic, sd)
    target = -float(logit(0.5 * (1.0 - level)))

    # The ends may be moved outwards by the rounding of the masses, never inwards.
    def lower_excess(mean: float) -> float:
        below, above = least.log_below(mean), most.log_above(mean)
        return below - above - target - _log_error(below, above)

    def upper_excess(mean: float) -> float:
        below, above = most.log_below(mean), least.log_above(mean)
        return below - above + target + _log_error(below, above)

    lower = _root(lower_excess) if least.has_below and most.has_above else -math.inf
    upper = _root(upper_excess) if most.has_below and least.has_above else math.inf
    # What the root finder and the last addition may have lost is given back, outwards.
    slack = _rounded_up(sd * _ROOT_TOLERANCE) + 4.0 * _EPS * abs(statistic)
    return statistic + sd * _rounded_down(lower) - slack, statistic + sd * _rounded_up(upper) + slack


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
    tilted = _Tilted.of(inside, statistic, sd)
    if not tilted.has_above:
        return math.inf
    if not tilted.has_below:
        return -math.inf
    return statistic + sd * _root(lambda mean: tilted.log_below(mean) - tilted.log_above(mean))


@dataclass(frozen=True)
class _Tilted:
    """A truncation set seen from the statistic, in standard deviations.

    Masses are relative to the density at the statistic: for means millions of standard deviations away, which
    narrow truncation sets do ask for, the two sides still compare without cancellation.
    """

    below: tuple[Floats, Floats, Floats]
    above: tuple[Floats, Floats, Floats]

    @classmethod
    def of(cls, intervals: Intervals, statistic: float, sd: float) -> _Tilted:
        _require_positive("sd", sd)
        upper, lower = _tail_and_rest(statistic, "greater")
        sides = []
        for side in (lower, upper):
            bounds = intervals.intersect(side).bounds
            with np.errstate(all="ignore"):
                ends = (bounds - statistic) / sd
                widths = (bounds[:, 1] - bounds[:, 0]) / sd
            sides.append((ends[:, 0], ends[:, 1], widths))
        return cls(sides[0], sides[1])

    @property
    def has_below(self) -> bool:
        return bool((self.below[2] > 0.0).any())

    @property
    def has_above(self) -> bool:
        return bool((self.above[2] > 0.0).any())

    def log_below(self, mean: float) -> float:
        return max(_log_sum(_log_bell_integrals(*self.below, mean)), _LEAST_LOG)

    def log_above(self, mean: float) -> float:
        return max(_log_sum(_log_bell_integrals(*self.above, mean)), _LEAST_LOG)


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
    return float(brentq(decreasing, lo, hi, xtol=_ROOT_TOLERANCE, rtol=4.0 * _EPS, maxiter=500))


def _tail_and_rest(statistic: float, alternative: str) -> tuple[Intervals, Intervals]:
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


def _log_sums(log_masses: Callable[[Floats], Floats], *sets: Intervals) -> list[float]:
    """Return the log mass of several sets by one call."""
    masses = log_masses(np.concatenate([each.bounds for each in sets]))
    stops = np.cumsum([len(each) for each in sets]).tolist()
    return [_log_sum(masses[stop - len(each) : stop]) for stop, each in zip(stops, sets, strict=True)]


def _log_odds_bounds(tail: float, rest: float, tail_maybe: float, rest_maybe: float) -> tuple[float, float]:
    """Bound log(A / B) given log masses that are certain and log masses that may be added."""
    tail_most, rest_most = float(np.logaddexp(tail, tail_maybe)), float(np.logaddexp(rest, rest_maybe))
    lower = -math.inf if tail == -math.inf else tail - rest_most - _log_error(tail, rest_most)
    upper = math.inf if rest == -math.inf else tail_most - rest + _log_error(tail_most, rest)
    return lower, upper


def _log_error(*log_masses: float) -> float:
    """Bound the rounding error of the difference of two log masses; an empty set has none."""
    finite = [value for value in log_masses if math.isfinite(value)]
    return sum(_LOG_ERROR + _LOG_ERROR_RELATIVE * abs(value) for value in finite)


def _two_sided(lower: float, upper: float) -> tuple[float, float]:
    """Map bounds of the log odds of F to bounds of 2 min(F, 1 - F), which peaks at odds 1."""
    nearest, farthest = sorted((abs(lower), abs(upper)))
    least = 2.0 * _probability_below(-farthest)
    if lower <= 0.0 <= upper:
        return least, 1.0
    return least, min(2.0 * _probability_above(-nearest), 1.0)


def _probability_below(log_odds: float) -> float:
    """Return a lower bound of the probability that belongs to log odds, exact for infinite ones."""
    probability = float(expit(log_odds))
    return probability if math.isinf(log_odds) else max(_rounded_down(probability), 0.0)


def _probability_above(log_odds: float) -> float:
    """Return an upper bound of the probability, which is not zero where it only underflows."""
    probability = float(expit(log_odds))
    return probability if math.isinf(log_odds) else min(_rounded_up(probability), 1.0)


def _rounded_down(value: float) -> float:
    """Step down by a few units in the last place; infinite values stay."""
    return math.nextafter(value - 4.0 * _EPS * abs(value), -math.inf) if math.isfinite(value) else value


def _rounded_up(value: float) -> float:
    """Step up by a few units in the last place; infinite values stay."""
    return -_rounded_down(-value)


def _log_sum(log_values: Floats) -> float:
    """Return the log of the sum of exponentials, -inf for an empty array."""
    top = float(log_values.max(initial=-np.inf))
    if math.isinf(top):
        return top
    return top + math.log(float(np.exp(log_values - top).sum()))


def _log_bell_integrals(lo: Floats, hi: Floats, widths: Floats, tilt: float) -> Floats:
    """Return the log of the integral of exp(tilt s - s**2 / 2) over each interval.

    Parameters
    ----------
    lo, hi, widths : arrays (n,)
        Ends, and the length hi - lo with its own digits.
    tilt : float
        Place of the peak.

    Returns
    -------
    array (n,)
        -inf where the width is not positive.
    """
    with np.errstate(all="ignore"):
        from_lo, to_hi = lo - tilt, tilt - hi
        # The end nearest to the peak carries the scale; from there the integrand only falls.
        near = np.where(from_lo >= to_hi, lo, hi)
        distance = np.maximum(from_lo, to_hi)
        result = near * (tilt - 0.5 * near)
        short = widths * (np.abs(distance) + 1.0) <= 1.0
        across = ~short & (distance < 0.0)
        for rows, rule in ((short, _log_short_fall), (~short & ~across, _log_long_fall)):
            if rows.any():
                result[rows] += rule(distance[rows], widths[rows])
        if across.any():
            sides = erf(-_ROOT_HALF * from_lo[across]) + erf(-_ROOT_HALF * to_hi[across])
            result[across] = 0.5 * tilt * tilt + _HALF_LOG_TWO_PI + np.log(0.5 * sides)
    result[~(widths > 0.0)] = -np.inf
    return result


def _log_short_fall(distance: Floats, widths: Floats) -> Floats:
    """Return log of the integral of exp(-distance v - v**2 / 2) over [0, width] by quadrature."""
    nodes, weights = _RULES[_SHORT_RULE]
    steps = widths[:, None] * nodes
    return np.log(np.exp(-steps * (distance[:, None] + 0.5 * steps)) @ weights) + np.log(widths)


def _log_long_fall(distance: Floats, widths: Floats) -> Floats:
    """Return the same integral as a difference of Mills ratios, for widths where that does not cancel."""
    end = erfcx((distance + widths) * _ROOT_HALF) * np.exp(-widths * (distance + 0.5 * widths))
    return np.log(math.sqrt(0.5 * math.pi) * (erfcx(distance * _ROOT_HALF) - end))


def _log_power_bell_integrals(power: int, lo: Floats, hi: Floats, widths: Floats) -> Floats:
    """Return the log of the integral of x**power exp(-x**2 / 2), relative to its value at the mode.

    Parameters
    ----------
    power : int
        At least 1.
    lo, hi, widths : arrays (n,)
        Ends, not negative, and the length hi - lo > 0 with its own digits.

    Returns
    -------
    array (n,)
    """
    mode = math.sqrt(power)
    peak = np.clip(mode, lo, hi)
    # The log density falls from the peak at least as fast as these parabolas, so the cut loses exp(-_DROP).
    # To the left its curvature only grows; to the right it never gets below 1.
    left = np.minimum(peak - lo, _fall(power, peak, power + peak**2))
    right = np.minimum(hi - peak, _fall(power, peak, peak**2))
    cut = (left < peak - lo) | (right < hi - peak)
    lengths = np.where(cut, left + right, widths)
    slope, steepest_bend = np.abs(peak - power / peak), 1.0 + power / lo**2
    short = widths * (slope + steepest_bend * widths) <= 1.0
    result = _log_height(power, mode, peak) + np.log(lengths)
    for rows, rule in ((short, _SHORT_RULE), (~short, _LONG_RULE)):
        if rows.any():
            nodes, weights = _RULES[rule]
            # Rounding may push a step a unit past zero: the density is zero there, not undefined.
            steps = np.maximum(-left[rows, None] + lengths[rows, None] * nodes, -peak[rows, None])
            result[rows] += np.log(np.exp(_log_power_bell(power, peak[rows, None], steps)) @ weights)
    return result


def _log_height(power: int, mode: float, x: Floats) -> Floats:
    """Return the log of x**power exp(-x**2 / 2), relative to its value at the mode."""
    step = x - mode
    # Near the mode the step keeps its digits and the ratio loses them; far below it is the other way round.
    ratio = np.where(x < 0.5 * mode, np.log(x / mode), np.log1p(np.maximum(step / mode, -0.5)))
    height: Floats = power * ratio - step * (mode + 0.5 * step)
    return height


def _log_power_bell(power: int, origin: Floats, steps: Floats) -> Floats:
    """Return the log of x**power exp(-x**2 / 2) at origin + step, relative to its value at the origin."""
    height: Floats = power * np.log1p(steps / origin) - steps * (origin + 0.5 * steps)
    return height


def _fall(power: int, peak: Floats, bend: Floats) -> Floats:
    """Return the distance v over which slope v + bend v**2 / (2 peak**2) reaches `_DROP`.

    The slope is that of the log density at the peak; all is multiplied by the peak, which may be tiny.
    """
    slope = np.abs(peak**2 - power)
    distance: Floats = 2.0 * _DROP * peak / (slope + np.sqrt(slope**2 + 2.0 * _DROP * bend))
    return distance


def _unit_rule(count: int) -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return 0.5 * (nodes + 1.0), 0.5 * weights


_RULES = {count: _unit_rule(count) for count in (_SHORT_RULE, _LONG_RULE)}


def _require_positive(name: str, value: float) -> None:
    if not (value > 0.0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive and finite, got {value}")
