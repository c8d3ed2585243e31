"""A truncation set as a statistic of unknown mean and scale sees it: the selective t-test, to be inverted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated.absolute import Pair
from onnx_si.statistics.truncated.angles import log_segment_integrals
from onnx_si.statistics.truncated.bounds import tail_and_rest
from onnx_si.statistics.truncated.distributions import require_positive
from onnx_si.statistics.truncated.masses import LEAST_LOG, Floats, log_sum, log_sums, spread
from onnx_si.statistics.truncated.slack import EPS

LEAST_DF = 2  # on one degree of freedom F(t) need not fall in the mean
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Scaled:
    """A truncation set seen from the statistic, in standard errors estimated on `df` degrees of freedom.

    To test that the mean is m, the sum of squares around it, Q = (T - m)^2 + df s^2 (all in standard errors),
    is held fixed, on which (T - m) / sqrt(Q) does not depend: T then has a density proportional to (Q - (x -
    m)^2)^(df/2 - 1) on |x - m| < sqrt(Q), truncated to S. With y = x - t and d = t - m this is

        (df - y^2 - 2 y d)^(df/2 - 1)

    where it is positive. For df >= 2 it grows with d at every y < 0 and falls at every y > 0, so that F(t)
    falls in m whatever S is: the means that an equal-tailed test does not reject are an interval, and it
    covers with exactly its level, since every one of these tests has exactly its own. For df = 1 the power
    is negative and F(t) need not fall.

    Parameters
    ----------
    below, above : (array (n, 2), array (n,))
        Ends on each side of the statistic, and the widths with their own digits.
    df : int
        At least 2.

    Source
    ------
    The selective t-test of Fithian, Sun, Taylor (arXiv 1410.2597) with the sum of squares taken around the
    mean that is tested; that F(t) falls is shown above.
    """

    below: tuple[Floats, Floats]
    above: tuple[Floats, Floats]
    df: int
    exponential: ClassVar[bool] = False
    of_intervals: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.df < LEAST_DF:
            raise ValueError(f"df must be at least {LEAST_DF}, got {self.df}")

    @classmethod
    def of(cls, intervals: Intervals, statistic: float, se: float, df: int) -> Scaled:
        """The set in units of the statistic, whose standard error was estimated."""
        require_positive("se", se)
        upper, lower = tail_and_rest(statistic, "greater")
        sides = []
        for side in (lower, upper):
            bounds = intervals.intersect(side).bounds
            with np.errstate(over="ignore"):
                sides.append(((bounds - statistic) / se, (bounds[:, 1] - bounds[:, 0]) / se))
        return cls(sides[0], sides[1], df)

    @property
    def has_below(self) -> bool:
        return bool((self.below[1] > 0.0).any())

    @property
    def peaks(self) -> Floats:
        """See `Seen`."""
        return 0.5 * self.above[0][:, 0]

    @property
    def has_above(self) -> bool:
        return bool((self.above[1] > 0.0).any())

    def log_below(self, mean: float) -> float:
        return self._log_mass(*self.below, mean)

    def log_above(self, mean: float) -> float:
        return self._log_mass(*self.above, mean)

    def flipped(self) -> Scaled:
        """See `Seen`, as for all that follows."""
        (below, widths), (above, above_widths) = self.below, self.above
        return Scaled((-above[:, ::-1], above_widths), (-below[:, ::-1], widths), self.df)

    def tail(self, m: Floats, mean: Floats) -> Pair:
        near, beyond = self._mass_bounds(*self.below, mean), self._beyond(mean, mean[:, None])
        return np.logaddexp(near[0], beyond[0]), np.logaddexp(near[1], beyond[1])

    def between(self, m: Floats, mean: Floats) -> Pair:
        (low, high), widths = self.above[0].T, self.above[1]
        end = 2.0 * mean[:, None]
        inner = np.stack(np.broadcast_arrays(low, np.minimum(high, end)), axis=-1)
        return self._mass_bounds(inner, np.where(high > end, end - low, widths), mean)

    def most_tail(self, m: Floats, until: Floats) -> Floats:
        means = np.clip(0.5 * self.above[0][:, 0], m[:, None], until[:, None])
        near, beyond = self._mass_bounds(*self.below, m)[1], self._beyond(m, means)[1]
        most: Floats = np.logaddexp(near, beyond)
        return most

    def _beyond(self, unit: Floats, means: Floats) -> Pair:
        """Mass of each interval beyond twice its mean, in the unit of masses under the means `unit`."""
        (low, high), widths = self.above[0].T, self.above[1]
        start = 2.0 * means
        outer = np.stack(np.broadcast_arrays(np.maximum(low, start), high), axis=-1)
        means = np.broadcast_to(means, outer.shape[:-1])
        # Masses are relative to the highest value of the density, which grows with the length of its support.
        longer = (self.df - 1) * np.log(self._half(means) / self._half(unit)[:, None])
        return self._mass_bounds(outer, np.where(low < start, high - start, widths), means, longer)

    def most_beyond(self, m: Floats) -> Floats:
        """The mass at y < 0 if everything belonged to the set; in the mirror, beyond 2 m. It falls in m."""
        return self._mass_bounds(np.array([[-math.inf, 0.0]]), np.array([math.inf]), m)[1]

    def _half(self, mean: Floats) -> Floats:
        """Half the length of the density's support."""
        half: Floats = np.hypot(mean, math.sqrt(self.df))
        return half

    def _distances(self, ends: Floats, widths: Floats, mean: Floats) -> tuple[Floats, Floats, Floats]:
        """Distances of pieces' ends from both ends of the support, (means, n, 2), and the pieces' widths; the
        means (means,), or (means, n)."""
        mean = mean.reshape(len(mean), -1)
        far = self._half(mean) + np.abs(mean)
        # The density's ends are at -reach_left and reach_right, whose product is df: none is a difference.
        reach_left, reach_right = (
            np.where(mean > 0, self.df / far, far)[..., None],
            np.where(mean > 0, far, self.df / far)[..., None],
        )
        length = reach_left + reach_right
        left = np.clip(ends + reach_left, 0.0, length)
        right = np.clip(reach_right - ends, 0.0, length)
        inner = np.minimum(left[..., 1], right[..., 0])
        return left, right, np.minimum(np.minimum(widths, length[..., 0]), inner)

    def _log_mass(self, ends: Floats, widths: Floats, mean: float) -> float:
        """Log of a side's mass, up to a constant that both sides have in common."""
        left, right, widths = (each[0] for each in self._distances(ends, widths, np.array([mean])))
        real = widths > 0.0
        masses = log_segment_integrals(self.df - 1, left[real], right[real], widths[real])
        return max(log_sum(masses), LEAST_LOG)

    def _mass_bounds(self, ends: Floats, widths: Floats, mean: Floats, added: Floats | float = 0.0) -> Pair:
        """Bounds of the same, for each mean, or row of means, one for each piece, where the places are
        rounded; that of the masses comes on top. `added` are logs of units, for each piece.

        The place that carries a piece's mass is the one next to the middle of the support, whose rounding
        moves the log density by its slope times that.
        """
        left, right, widths = self._distances(ends, widths, mean)
        real = widths > 0.0
        masses = log_segment_integrals(self.df - 1, left[real], right[real], widths[real])
        mean = mean.reshape(len(mean), -1)
        half, middle, added = (
            np.broadcast_to(each, real.shape)[real] for each in (self._half(mean), mean, added)
        )
        step = np.clip(0.0, left[real][:, 0] - half, left[real][:, 1] - half)  # of the place from the middle
        with np.errstate(over="ignore"):  # so far out that nothing is known of the mass
            slope = (self.df - 2) * np.abs(step) / np.maximum((half - step) * (half + step), _TINY)
            error = np.minimum(4.0 * EPS * (np.abs(middle) + np.abs(step)) * slope, 1e300)
        lowest, highest = log_sums(spread(real, masses + added, error), real)
        return lowest, highest
