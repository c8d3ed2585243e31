"""A normal statistic given that it fell, with normal noise added, into a set: randomised selection."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import erfcx, log_ndtr

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated.absolute import Pair
from onnx_si.statistics.truncated.distributions import Normal, require_positive
from onnx_si.statistics.truncated.masses import (
    DROP,
    HALF_LOG_TWO_PI,
    LONG_RULE,
    RULES,
    SHORT_RULE,
    Floats,
    log_sum,
)
from onnx_si.statistics.truncated.rounding import EPS, log_errors

LEAST_SHARE = 0.01  # below it the two scales of the integrand are too far apart for the quadrature
_BISECTIONS = 14


@dataclass(frozen=True)
class Randomised:
    """The place W = T + U on the line: T normal with mean 0, U normal noise added for the selection.

    Parameters
    ----------
    sd : float
        Standard deviation of T.
    share : float
        Variance of U over that of T.
    statistic : float
        The observed T.

    Raises
    ------
    ValueError
        If `sd` or `share` is not in its range.
    """

    sd: float
    share: float
    statistic: float

    def __post_init__(self) -> None:
        require_positive("sd", self.sd)
        require_positive("share", self.share)
        if self.share < LEAST_SHARE:
            raise ValueError(f"share must be at least {LEAST_SHARE}, got {self.share}")

    def log_masses(self, bounds: Floats) -> Floats:
        """Return the log probability that W lies in each interval, (n, 2) -> (n,)."""
        return Normal(0.0, self.sd * math.sqrt(1.0 + self.share)).log_masses(bounds)

    def log_mass(self, intervals: Intervals) -> float:
        """Return the log probability that W lies in a set."""
        return log_sum(self.log_masses(intervals.bounds))

    def seen(self, intervals: Intervals) -> Smoothed:
        """A set of W as seen from the observed T."""
        return Smoothed.of(intervals, self.statistic, self.sd, self.share)

    def below_and_above(self, intervals: Intervals) -> tuple[float, float]:
        """Return the log probabilities that W lies in a set and T below, or above, its observed value."""
        sides = self.seen(intervals)
        at = -self.statistic / self.sd
        return sides.log_below(at), sides.log_above(at)


@dataclass(frozen=True)
class Smoothed:
    """A truncation set of W seen from the observed T, in standard deviations of T.

    P(T <= t, W in S) = integral over S of the density of W times P(T <= t | W = w). With everything in
    standard deviations of T from t, the mean at m, and the share g: W ~ N(m, 1 + g), and T <= t given W = w
    has the probability Phi(-(w + g m) / sqrt(g (1 + g))).

    Source
    ------
    Tian and Taylor, Annals of Statistics 46 (2018), selective inference with a randomised response: the
    noise is integrated out, given the nuisance parts of the image and of the noise.
    """

    ends: Floats
    widths: Floats
    share: float

    @classmethod
    def of(cls, intervals: Intervals, statistic: float, sd: float, share: float) -> Smoothed:
        bounds = intervals.bounds
        return cls((bounds - statistic) / sd, (bounds[:, 1] - bounds[:, 0]) / sd, share)

    @property
    def has_below(self) -> bool:
        return len(self.ends) > 0

    @property
    def has_above(self) -> bool:
        return len(self.ends) > 0

    def log_below(self, mean: float) -> float:
        return log_sum(_log_integrals(self.ends[:, 0], self.ends[:, 1], self.widths, mean, self.share))

    def log_above(self, mean: float) -> float:
        return log_sum(_log_integrals(-self.ends[:, 1], -self.ends[:, 0], self.widths, -mean, self.share))

    def flipped(self) -> Smoothed:
        """See `Seen`, as for all that follows."""
        return Smoothed(-self.ends[:, ::-1], self.widths, self.share)

    def near(self, m: Floats) -> Pair:
        return self._within([self.log_below(mean) for mean in m.tolist()], m)

    def between(self, m: Floats) -> Pair:
        """The mass of T > t less that of what is beyond, with the rounding of both."""
        above, far = self._within([self.log_above(mean) for mean in m.tolist()], m), self.beyond(m, m)
        return _log_less(above[0], far[1], -1.0), _log_less(above[1], far[0], 1.0)

    def beyond(self, m: Floats, mean: Floats) -> Pair:
        """As seen from the place 2 m above the statistic, the mean lies `mean` - 2 m above it."""
        masses = [
            Smoothed(self.ends - 2.0 * start, self.widths, self.share).log_above(at - 2.0 * start)
            for start, at in zip(m.tolist(), mean.tolist(), strict=True)
        ]
        unit = 0.5 * (mean - m) * (mean + m)
        low, high = self._within(masses, mean)
        return low + unit, high + unit

    def most_beyond(self, m: float) -> float:
        """The mass at T < t if everything belonged to the set; in the mirror, beyond 2 m. It falls in m."""
        return float(log_ndtr(-m))

    def _within(self, log_masses: list[float], mean: Floats) -> Pair:
        """Bounds of log masses where the places of the intervals are rounded."""
        error = 8.0 * EPS * (1.0 + mean * mean) / min(self.share, 1.0)
        masses = np.array(log_masses)
        return masses - error, masses + error


def _log_less(log_mass: Floats, log_part: Floats, outwards: float) -> Floats:
    """Log of the difference of a mass and its part, moved by the rounding of both."""
    mass = log_mass + outwards * log_errors(log_mass)
    part = log_part - outwards * log_errors(log_part)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rest: Floats = np.where(part < mass, mass + np.log(-np.expm1(np.minimum(part - mass, 0.0))), -np.inf)
    return rest


def _log_integrals(lo: Floats, hi: Floats, widths: Floats, mean: float, share: float) -> Floats:
    """Log of the integral over each interval of N(w; mean, 1 + share) Phi(-(w + share mean) / q).

    The integrand is log-concave, so the mass of an interval sits around its highest point; the integrand
    relative to it is integrated by Gauss-Legendre quadrature on both sides, each divided where Phi bends,
    over the stretch where it is not negligible. Its log falls at least as fast as a parabola of variance 1 +
    share.
    """
    if not len(lo):
        return np.empty(0)
    q, bend = math.sqrt(share * (1.0 + share)), -share * mean

    def height(w: Floats) -> Floats:
        return _log_phi((bend - w) / q) - 0.5 * (w - mean) ** 2 / (1.0 + share)

    top = np.clip(_peak(mean, share, q, bend), lo, hi)
    at_top, reach = height(top), math.sqrt(2.0 * DROP * (1.0 + share))
    left = np.maximum(lo, top - _fall(lambda d: at_top - height(top - d), top.shape, reach))
    right = np.minimum(hi, top + _fall(lambda d: at_top - height(top + d), top.shape, reach))
    short = widths * (1.0 + np.abs(top) + abs(mean)) <= 0.05 * min(q, 1.0)
    total = np.zeros(len(lo))
    if short.any():
        nodes, weights = RULES[SHORT_RULE]
        places = lo[short, None] + widths[short, None] * nodes
        values = np.exp(height(places) - at_top[short, None])
        total[short] = (values @ weights) * widths[short]
    cuts = np.sort(np.stack([left, top, right, np.clip(bend, left, right)]), axis=0)[:, ~short]
    nodes, weights = RULES[LONG_RULE]
    for start, stop in itertools.pairwise(cuts):
        places = start[:, None] + (stop - start)[:, None] * nodes
        total[~short] += (np.exp(height(places) - at_top[~short, None]) @ weights) * (stop - start)
    with np.errstate(divide="ignore"):
        return at_top + np.log(total) - HALF_LOG_TWO_PI - 0.5 * math.log(1.0 + share)


def _log_phi(u: Floats) -> Floats:
    """Log of the normal distribution function, to rounding in the far tail as well."""
    with np.errstate(all="ignore"):
        tail = np.log(0.5 * erfcx(-math.sqrt(0.5) * u)) - 0.5 * u * u
    result: Floats = np.where(u < -1.0, tail, log_ndtr(u))
    return result


def _peak(mean: float, share: float, q: float, bend: float) -> float:
    """Where the integrand is largest on the whole line: its log has a falling derivative."""

    def slope(w: float) -> float:
        u = (bend - w) / q
        mills = math.exp(-0.5 * u * u - HALF_LOG_TWO_PI - float(log_ndtr(u)))
        return (mean - w) / (1.0 + share) - mills / q

    # At the mean the slope is negative; going down it turns positive before the point where Phi is flat.
    low, step = mean, 1.0
    while slope(low) <= 0.0:
        low, step = low - step, 2.0 * step
    return float(brentq(slope, low, mean)) if low < mean else mean


def _fall(drop: Callable[[Floats], Floats], shape: tuple[int, ...], reach: float) -> Floats:
    """Distances at which an increasing drop has passed `DROP`, at most `reach` where it certainly has."""
    short, far = np.zeros(shape), np.full(shape, reach)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (short + far)
        passed = drop(middle) >= DROP
        short, far = np.where(passed, short, middle), np.where(passed, middle, far)
    return far
