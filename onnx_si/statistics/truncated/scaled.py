"""A truncation set as a statistic of unknown mean and scale sees it: the selective t-test, to be inverted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated.angles import log_segment_integrals
from onnx_si.statistics.truncated.bounds import tail_and_rest
from onnx_si.statistics.truncated.distributions import require_positive
from onnx_si.statistics.truncated.masses import LEAST_LOG, Floats, log_sum

LEAST_DF = 2  # on one degree of freedom F(t) need not fall in the mean


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
    def has_above(self) -> bool:
        return bool((self.above[1] > 0.0).any())

    def log_below(self, mean: float) -> float:
        return self._log_mass(*self.below, mean)

    def log_above(self, mean: float) -> float:
        return self._log_mass(*self.above, mean)

    def _log_mass(self, ends: Floats, widths: Floats, mean: float) -> float:
        """Log of a side's mass, up to a constant that both sides have in common."""
        root = math.hypot(mean, math.sqrt(self.df))
        # The density's ends are at -reach_left and reach_right, whose product is df: none is a difference.
        far = root + abs(mean)
        reach_left, reach_right = (self.df / far, far) if mean > 0 else (far, self.df / far)
        length = reach_left + reach_right
        left = np.clip(ends + reach_left, 0.0, length)
        right = np.clip(reach_right - ends, 0.0, length)
        widths = np.minimum(np.minimum(widths, length), np.minimum(left[:, 1], right[:, 0]))
        real = widths > 0.0
        masses = log_segment_integrals(self.df - 1, left[real], right[real], widths[real])
        return max(log_sum(masses), LEAST_LOG)
