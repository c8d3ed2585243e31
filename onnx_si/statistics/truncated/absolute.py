"""The two-sided test of absolute values, P_d(|T - d| >= |t - d| given S), for every mean d at once.

Everything is seen from the statistic t, in its standard errors: y = (T - t) / se, and the mean lies m above
the statistic. For m >= 0 the values nearer to the mean than the statistic are 0 < y < 2 m, so that

    p(m) / (1 - p(m)) = (near + beyond) / between

with the masses of S at y < 0, at y > 2 m and in between. A mean below the statistic is the same in a mirror.
"""

from __future__ import annotations

import math
from typing import Protocol, Self

import numpy as np

from onnx_si.statistics.truncated.rounding import Floats, log_errors

Pair = tuple[Floats, Floats]


class Seen(Protocol):
    """A truncation set as seen from the statistic: bounds of logs of masses, for means at m >= 0 above it.

    All masses of one call have a factor in common, which depends on m alone. In units of the density at the
    statistic the density at y > 0 grows with the mean and that at y < 0 falls; so it is in an exponential
    family in T, and for Student's t (see `Scaled`).
    """

    @property
    def has_above(self) -> bool: ...

    def flipped(self) -> Self:
        """The same in a mirror, so that means below the statistic are above it."""
        ...

    def near(self, m: Floats) -> Pair:
        """Mass at y < 0."""
        ...

    def between(self, m: Floats) -> Pair:
        """Mass at 0 < y < 2 m."""
        ...

    def beyond(self, m: Floats, mean: Floats) -> Pair:
        """Mass at y > 2 m with the mean at `mean` >= m, in units of the masses at m."""
        ...

    def most_beyond(self, m: float) -> float:
        """A bound of the mass at y > 2 m', with the mean at m', for every m' from m on."""
        ...


def odds_bounds(least: Seen, most: Seen, m: float) -> tuple[float, float]:
    """Bounds of log(p / (1 - p)) of the mean at m, of either sign, above the statistic.

    `least` has the masses that are certain, `most` those that are undecided as well.
    """
    if m < 0.0:
        least, most, m = least.flipped(), most.flipped(), -m
    at = np.array([m])
    return float(lower_odds(least, most, at)[0]), float(upper_odds(least, most, at, at)[0])


def upper_odds(least: Seen, most: Seen, m: Floats, until: Floats) -> Floats:
    """Upper bounds of log(p / (1 - p)) for every mean from m to `until`, for each pair of them.

    As the mean grows `near` falls and `between` grows. What is beyond is at most the mass beyond 2 m under
    the last of the means, which has the highest density there.
    """
    return _odds(np.logaddexp(most.near(m)[1], most.beyond(m, until)[1]), least.between(m)[0], 1.0)


def odds_from(least: Seen, most: Seen, m: float) -> float:
    """The same for every mean from m on."""
    at = np.array([m])
    tail = np.logaddexp(most.near(at)[1], most.most_beyond(m))
    return float(_odds(tail, least.between(at)[0], 1.0)[0])


def lower_odds(least: Seen, most: Seen, m: Floats) -> Floats:
    """Lower bounds of log(p / (1 - p)) of the means at m."""
    return _odds(np.logaddexp(least.near(m)[0], least.beyond(m, m)[0]), most.between(m)[1], -1.0)


def _odds(tail: Floats, rest: Floats, outwards: float) -> Floats:
    """Log odds with their rounding error added or taken away; without any mass nothing is known."""
    with np.errstate(invalid="ignore"):
        odds = tail - rest + outwards * (log_errors(tail) + log_errors(rest))
    result: Floats = np.where(np.isnan(odds), outwards * math.inf, odds)
    return result
