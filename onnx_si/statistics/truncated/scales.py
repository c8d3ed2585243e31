"""The p-value as a function of the size of the noise, with bounds on whole stretches of sizes.

S does not depend on the size, so only the law's scale c changes. With the density at the statistic t as unit,
the density at z is exp((t^2 - z^2) / 2 c^2), for a chi law times a power of z: it grows with c where |z| >
|t| and falls where |z| < |t|. So masses between two scales are bounded by those at the two. Where the tail is
all |z| >= |t|, the p-value itself grows with c, whatever S is. After a randomised selection the same holds
with the statistic's density given the selection, exp(-t^2 / 2 c^2) times what does not depend on c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated.bounds import Alternative, Cut, log_sums_of, p_value_bounds, p_value_of
from onnx_si.statistics.truncated.distributions import Chi, Distribution, Normal
from onnx_si.statistics.truncated.masses import log_sum
from onnx_si.statistics.truncated.slack import log_error
from onnx_si.statistics.truncated.smoothed import LEAST_SHARE, Randomised

Pair = tuple[float, float]
NOTHING_KNOWN = (0.0, 1.0)


def scaled(law: Distribution, factor: float) -> Distribution | None:
    """The law where the noise is so many times as large; None where that is not known.

    Noise that was added to the image stays as large as it was.
    """
    if isinstance(law, Normal) and law.mean == 0.0:
        return Normal(0.0, law.sd * factor)
    if isinstance(law, Chi):
        return Chi(law.df, law.scale * factor)
    if isinstance(law, Randomised) and law.share / factor**2 >= LEAST_SHARE:
        return replace(law, sd=law.sd * factor, share=law.share / factor**2)
    return None


@dataclass(frozen=True, kw_only=True)
class Scales:
    """The p-value's bounds at every size of the noise.

    Parameters
    ----------
    law : Distribution
        Of the place on the line, at the size that is taken.
    inside, undecided, statistic, alternative, rounding
        As for `p_value_bounds`.
    """

    law: Distribution
    inside: Intervals
    undecided: Intervals
    statistic: float
    alternative: Alternative
    rounding: float = 0.0

    @property
    def _known(self) -> tuple[Intervals, Intervals, float, Alternative, float]:
        return self.inside, self.undecided, self.statistic, self.alternative, self.rounding

    @cached_property
    def _cut(self) -> Cut:
        return Cut.of(*self._known)

    @cached_property
    def _inner_and_outer(self) -> tuple[list[Intervals], list[Intervals]]:
        """Its sets, cut once more where densities neither grow nor fall."""
        at = abs(self.statistic)
        near = Intervals.of([(-at, at)])
        sets = self._cut.sets
        return [part.intersect(near) for part in sets], [part.subtract(near) for part in sets]

    @property
    def monotone(self) -> bool:
        """Whether the p-value grows with the noise for certain."""
        return self.alternative == "two-sided-abs" or isinstance(self.law, Chi)

    def at(self, factor: float) -> Pair:
        """Bounds where the noise is so many times as large."""
        law = scaled(self.law, factor)
        if law is None:
            return NOTHING_KNOWN
        if isinstance(law, Randomised):
            return p_value_bounds(law, *self._known)
        return self._cut.p_value_bounds(law)

    def between(self, low: float, high: float) -> Pair:
        """Bounds for all sizes between two factors, where a normal law does not make it grow."""
        laws = scaled(self.law, low), scaled(self.law, high)
        if isinstance(laws[0], Normal) and isinstance(laws[1], Normal):
            return self._by_masses(laws[0], laws[1])
        return NOTHING_KNOWN

    def _by_masses(self, low: Normal, high: Normal) -> Pair:
        """By the smallest and largest that masses may be, in units of the density at the statistic."""
        inner, outer = self._inner_and_outer
        units = [math.log(law.sd) + 0.5 * (self.statistic / law.sd) ** 2 for law in (low, high)]
        (inner_most, outer_least), (inner_least, outer_most) = (
            (
                [mass + unit for mass in log_sums_of(law.log_masses, *inner)],
                [mass + unit for mass in log_sums_of(law.log_masses, *outer)],
            )
            for law, unit in zip((low, high), units, strict=True)
        )
        least = [log_sum(np.array(both)) for both in zip(inner_least, outer_least, strict=True)]
        most = [log_sum(np.array(both)) for both in zip(inner_most, outer_most, strict=True)]
        tail, rest = float(np.logaddexp(most[0], most[2])), float(np.logaddexp(most[1], most[3]))
        off = sum(log_error(unit) for unit in units)
        lower = -math.inf if least[0] == -math.inf else least[0] - rest - log_error(least[0], rest) - off
        upper = math.inf if least[1] == -math.inf else tail - least[1] + log_error(tail, least[1]) + off
        return p_value_of((lower, upper), self.alternative)
