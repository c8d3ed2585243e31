"""A truncation set as a normal statistic of unknown mean sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated.bounds import tail_and_rest
from onnx_si.statistics.truncated.distributions import require_positive
from onnx_si.statistics.truncated.masses import LEAST_LOG, Floats, log_bell_integrals, log_sum


@dataclass(frozen=True)
class Shifted:
    """A truncation set seen from the statistic, in standard deviations.

    Masses are relative to the density at the statistic: for means millions of standard deviations away, which
    narrow truncation sets do ask for, the two sides still compare without cancellation.
    """

    below: tuple[Floats, Floats, Floats]
    above: tuple[Floats, Floats, Floats]

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
    def has_above(self) -> bool:
        return bool((self.above[2] > 0.0).any())

    def log_below(self, mean: float) -> float:
        return max(log_sum(log_bell_integrals(*self.below, mean)), LEAST_LOG)

    def log_above(self, mean: float) -> float:
        return max(log_sum(log_bell_integrals(*self.above, mean)), LEAST_LOG)
