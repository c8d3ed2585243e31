"""A truncation set as a normal statistic of unknown mean sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy  # loads its parts when they are used

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated.absolute import Pair
from onnx_si.statistics.truncated.bounds import tail_and_rest
from onnx_si.statistics.truncated.distributions import require_positive
from onnx_si.statistics.truncated.masses import (
    HALF_LOG_TWO_PI,
    LEAST_LOG,
    Floats,
    log_bell_integrals,
    log_sum,
    log_sums,
    spread,
)
from onnx_si.statistics.truncated.slack import EPS

_MILLS_FROM = 30.0  # from here on 1 / m bounds Mills' ratio well enough


@dataclass(frozen=True)
class Shifted:
    """A truncation set seen from the statistic, in standard deviations.

    Masses are relative to the density at the statistic: for means millions of standard deviations away, which
    narrow truncation sets do ask for, the two sides still compare without cancellation.
    """

    below: tuple[Floats, Floats, Floats]
    above: tuple[Floats, Floats, Floats]
    exponential: ClassVar[bool] = True
    of_intervals: ClassVar[bool] = True

    @classmethod
    def of(cls, intervals: Intervals, statistic: float, sd: float) -> Shifted:
        require_positive("sd", sd)
        upper, lower = tail_and_rest(statistic, "greater")
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
    def peaks(self) -> Floats:
        """See `Seen`."""
        return 0.5 * self.above[0]

    @property
    def has_above(self) -> bool:
        return bool((self.above[2] > 0.0).any())

    def log_below(self, mean: float) -> float:
        return max(log_sum(log_bell_integrals(*self.below, mean)), LEAST_LOG)

    def log_above(self, mean: float) -> float:
        return max(log_sum(log_bell_integrals(*self.above, mean)), LEAST_LOG)

    def flipped(self) -> Shifted:
        """See `Seen`, as for all that follows."""
        (low, high, widths), (above_low, above_high, above_widths) = self.below, self.above
        return Shifted((-above_high, -above_low, above_widths), (-high, -low, widths))

    def tail(self, m: Floats, mean: Floats) -> Pair:
        low, high, widths = self.above
        start = 2.0 * m[:, None]
        beyond = np.maximum(low, start), high, np.where(low < start, high - start, widths)
        return _mass_bounds(mean, self.below, beyond)

    def between(self, m: Floats, mean: Floats) -> Pair:
        low, high, widths = self.above
        end = 2.0 * m[:, None]
        return _mass_bounds(mean, (low, np.minimum(high, end), np.where(high > end, end - low, widths)))

    def most_tail(self, m: Floats, until: Floats) -> Floats:
        low, high, widths = self.above
        means = np.clip(0.5 * low, m[:, None], until[:, None])
        start = 2.0 * means  # where the interval begins, or is cut
        beyond = start, high, np.where(low < start, high - start, widths)
        nearest = np.broadcast_to(m[:, None], (len(m), len(self.below[0])))
        return _mass_bounds(np.concatenate([nearest, means], axis=1), self.below, beyond)[1]

    def most_beyond(self, m: Floats) -> Floats:
        """The mass at y < 0 if everything belonged to the set; in the mirror, beyond 2 m. It falls in m."""
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            near = scipy.special.log_ndtr(-m) + 0.5 * m * m + HALF_LOG_TWO_PI
            return np.where(m < _MILLS_FROM, near, -np.log(m))


def _mass_bounds(mean: Floats, *pieces: tuple[Floats, Floats, Floats]) -> Pair:
    """Bounds of log masses, a row for each mean, of intervals (low, high, widths) whose places are rounded;
    that of the masses comes on top.

    The place that carries an interval's mass is its end next to the mean, whose rounding moves the exponent
    by its slope times that. A row for each mean, or of means, one for each interval.
    """
    shape = len(mean), sum(each[0].shape[-1] for each in pieces)
    table, stop = np.empty((4, *shape)), 0
    table[3] = mean if mean.ndim == 2 else mean[:, None]
    for each in pieces:
        start, stop = stop, stop + each[0].shape[-1]
        for column, values in zip(table, each, strict=False):
            column[:, start:stop] = values
    real = table[2] > 0.0
    low, high, widths, peak = table[:, real]
    place = np.minimum(np.maximum(peak, low), high)
    with np.errstate(over="ignore"):  # so far out that nothing is known of the mass
        errors = np.minimum(4.0 * EPS * np.abs(place) * np.abs(place - peak), 1e300)
    lowest, highest = log_sums(spread(real, log_bell_integrals(low, high, widths, peak), errors), real)
    return lowest, highest
