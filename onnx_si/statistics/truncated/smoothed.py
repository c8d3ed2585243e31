"""A normal statistic given that it fell, with normal noise added, into a set: randomised selection."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

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
    log_sums,
)
from onnx_si.statistics.truncated.slack import EPS, log_errors

LEAST_SHARE = 0.01  # below it the two scales of the integrand are too far apart for the quadrature
_STEPS = 8  # of Newton's, which begin near
_FLAT = -1e4  # below it the slope of Mills' ratio is 1 to eight digits


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
    exponential: ClassVar[bool] = True
    of_intervals: ClassVar[bool] = False

    @classmethod
    def of(cls, intervals: Intervals, statistic: float, sd: float, share: float) -> Smoothed:
        bounds = intervals.bounds
        return cls((bounds - statistic) / sd, (bounds[:, 1] - bounds[:, 0]) / sd, share)

    @property
    def has_below(self) -> bool:
        return len(self.ends) > 0

    @property
    def peaks(self) -> Floats:
        """None are narrow: see `Seen`."""
        return np.empty(0)

    @property
    def has_above(self) -> bool:
        return len(self.ends) > 0

    def log_below(self, mean: float) -> float:
        return float(self._log_masses(np.array([mean]), 0.0, -1.0)[0])

    def log_above(self, mean: float) -> float:
        return float(self._log_masses(np.array([mean]), 0.0, 1.0)[0])

    def flipped(self) -> Smoothed:
        """See `Seen`, as for all that follows."""
        return Smoothed(-self.ends[:, ::-1], self.widths, self.share)

    def tail(self, m: Floats, mean: Floats) -> Pair:
        near, beyond = self._sides(mean, 0.0, -1.0), self._sides(mean, m, 1.0)
        return np.logaddexp(near[0], beyond[0]), np.logaddexp(near[1], beyond[1])

    def between(self, m: Floats, mean: Floats) -> Pair:
        """The mass of T > t less that of what is beyond, with the rounding of both."""
        above, far = self._sides(mean, 0.0, 1.0), self._sides(mean, m, 1.0)
        return _log_less(above[0], far[1], -1.0), _log_less(above[1], far[0], 1.0)

    def most_tail(self, m: Floats, until: Floats) -> Floats:
        """Not known: it is the place W that lies in intervals."""
        return np.full(len(m), math.inf)

    def most_beyond(self, m: Floats) -> Floats:
        """The mass at T < t if everything belonged to the set; in the mirror, beyond 2 m. It falls in m, and
        so does that at T < t, in units of the density at the statistic.
        """
        result: Floats = scipy.special.log_ndtr(-m)
        return result

    def _sides(self, mean: Floats, m: Floats | float, side: float) -> Pair:
        """Bounds of log masses where the places of the intervals are rounded."""
        masses = self._log_masses(mean, m, side)
        error = 8.0 * EPS * (1.0 + mean * mean) / min(self.share, 1.0)
        return masses - error, masses + error

    def _log_masses(self, mean: Floats, m: Floats | float, side: float) -> Floats:
        """For each mean, of T on one side of the place 2 m above the statistic."""
        start = np.broadcast_to(2.0 * np.asarray(m), mean.shape)
        low, high = (end - start[:, None] for end in self.ends.T)
        at = mean - start
        if side > 0.0:
            low, high, at = -high, -low, -at
        masses = _log_integrals(low, high, self.widths, at, self.share)
        return log_sums(masses, np.ones(masses.shape, np.bool_))


def _log_less(log_mass: Floats, log_part: Floats, outwards: float) -> Floats:
    """Log of the difference of a mass and its part, moved by the rounding of both."""
    mass = log_mass + outwards * log_errors(log_mass)
    part = log_part - outwards * log_errors(log_part)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rest: Floats = np.where(part < mass, mass + np.log(-np.expm1(np.minimum(part - mass, 0.0))), -np.inf)
    return rest


def _log_integrals(lo: Floats, hi: Floats, widths: Floats, mean: Floats, share: float) -> Floats:
    """Log of the integral over each interval of N(w; mean, 1 + share) Phi(-(w + share mean) / q), a row for
    each mean; intervals (n,) or (means, n).

    The integrand is log-concave, so the mass of an interval sits around its highest point; the integrand
    relative to it is integrated by Gauss-Legendre quadrature on both sides, each divided where Phi bends,
    over the stretch where it is not negligible. Its log falls at least as fast as a parabola of variance 1 +
    share.
    """
    shape = (len(mean), len(widths))
    peak = np.repeat(_peak(mean, share), len(widths))
    lo, hi, widths, mean = (np.broadcast_to(each, shape).ravel() for each in (lo, hi, widths, mean[:, None]))
    law = _Smooth(mean, share)
    top = np.clip(peak, lo, hi)
    at_top = law.height(top)
    left, right = np.maximum(lo, top - law.fall(top, -1.0)), np.minimum(hi, top + law.fall(top, 1.0))
    short = widths * (1.0 + np.abs(top) + np.abs(mean)) <= 0.05 * min(law.q, 1.0)
    total = np.zeros(len(lo))
    if short.any():
        nodes, weights = RULES[SHORT_RULE]
        places = lo[short, None] + widths[short, None] * nodes
        values = np.exp(law.of(short).height(places) - at_top[short, None])
        total[short] = (values @ weights) * widths[short]
    cuts = np.sort(np.stack([left, top, right, np.clip(law.bend, left, right)]), axis=0)
    nodes, weights = RULES[LONG_RULE]
    for start, stop in itertools.pairwise(cuts):
        rows = ~short & (start < stop)
        if rows.any():
            places = start[rows, None] + (stop - start)[rows, None] * nodes
            values = np.exp(law.of(rows).height(places) - at_top[rows, None])
            total[rows] += (values @ weights) * (stop - start)[rows]
    with np.errstate(divide="ignore"):
        result = at_top + np.log(total) - HALF_LOG_TWO_PI - 0.5 * math.log(1.0 + share)
    return result.reshape(shape)


@dataclass(frozen=True)
class _Smooth:
    """The integrand, as a function of places, each with a mean of its own."""

    mean: Floats
    share: float

    def of(self, rows: NDArray[np.bool_]) -> _Smooth:
        """The same for rows of places."""
        return _Smooth(self.mean[rows, None], self.share)

    @property
    def q(self) -> float:
        return math.sqrt(self.share * (1.0 + self.share))

    @property
    def bend(self) -> Floats:
        return -self.share * self.mean

    def height(self, w: Floats) -> Floats:
        """Log of the integrand, up to a constant."""
        result: Floats = _log_phi((self.bend - w) / self.q) - 0.5 * (w - self.mean) ** 2 / (1.0 + self.share)
        return result

    def slope(self, w: Floats) -> Floats:
        """Of the log of the integrand; it falls."""
        result: Floats = (self.mean - w) / (1.0 + self.share) - _mills((self.bend - w) / self.q) / self.q
        return result

    def fall(self, top: Floats, side: float) -> Floats:
        """How far from `top` towards one side the integrand has certainly fallen by `DROP`.

        The drop is convex in the distance, so Newton's steps come down to it without passing it.
        """
        at_top = self.height(top)
        far = np.full(top.shape, math.sqrt(2.0 * DROP * (1.0 + self.share)))
        for _ in range(_STEPS):
            place = top + side * far
            excess = at_top - self.height(place) - DROP
            with np.errstate(all="ignore"):
                step = excess / (-side * self.slope(place))
            far = np.where((step > 0.0) & (step < far), far - step, far)
        return far


def _log_phi(u: Floats) -> Floats:
    """Log of the normal distribution function, to rounding in the far tail as well."""
    with np.errstate(all="ignore"):
        tail = np.log(0.5 * scipy.special.erfcx(-math.sqrt(0.5) * u)) - 0.5 * u * u
    result: Floats = np.where(u < -1.0, tail, scipy.special.log_ndtr(u))
    return result


def _mills(u: Floats) -> Floats:
    """Density over distribution function."""
    result: Floats = math.sqrt(2.0 / math.pi) / scipy.special.erfcx(-math.sqrt(0.5) * u)
    return result


def _peak(mean: Floats, share: float) -> Floats:
    """Where the integrand is largest on the whole line, as near as a cut has to be.

    The derivative of its log is concave and negative at the mean: Newton's steps come down to the peak
    without passing it.
    """
    law, w = _Smooth(mean, share), mean
    for _ in range(_STEPS):
        u = (law.bend - w) / law.q
        mills = _mills(u)
        bend = np.where(u < _FLAT, 1.0, np.clip(mills * (u + mills), 0.0, 1.0)) / law.q**2
        w = w + law.slope(w) / (1.0 / (1.0 + share) + bend)
    return w
