"""From ranks to p-values: the sequential stop, ties by lot, and what chance of drawing leaves open."""

import math
from dataclasses import dataclass

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from onnx_si.statistics.truncated import Alternative

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
LEVEL = 0.99  # of the interval for what infinitely many chains would give
STOP_SHARE = 0.2  # so many chains of all that may run, as extreme as the observed place, are enough


@dataclass(kw_only=True)
class Tail:
    """Chains so far whose end is at least as extreme as the observed place, on one side.

    With `stop` of them nothing more is counted, and the p-value is their share among the chains up to then
    (Besag and Clifford, Biometrika 78 (1991)): the probability that it is at most u is at most u.
    """

    draws: int
    stop: int
    seen: int = 0
    extreme: int = 0

    @property
    def stopped(self) -> bool:
        return self.extreme >= self.stop

    def count(self, flags: Flags) -> None:
        """Go on counting, up to the stop."""
        if self.stopped:
            return
        wanted = self.stop - self.extreme
        found = int(np.count_nonzero(flags))
        self.seen += len(flags) if found < wanted else int(np.flatnonzero(flags)[wanted - 1]) + 1
        self.extreme += min(found, wanted)

    @property
    def p_value(self) -> float:
        if self.stopped:
            return self.extreme / self.seen
        return (self.extreme + 1) / (self.seen + 1)

    def interval(self, level: float) -> tuple[float, float]:
        """Clopper and Pearson's interval for the share of infinitely many chains."""
        k, n, beyond = self.extreme, self.seen, 0.5 * (1 - level)
        low = float(scipy.special.betaincinv(k, n - k + 1, beyond)) if k else 0.0
        high = float(scipy.special.betaincinv(k + 1, n - k, 1 - beyond)) if k < n else 1.0
        return low, high


@dataclass(frozen=True, kw_only=True)
class Count:
    """Which ends are as extreme as the observed statistic, by the alternative.

    An end equal to it (a chain that did not move) is as extreme by lot: every one of the B + 1 draws its own,
    so that the rank stays uniform and a chain that is stuck costs power, not the level.
    """

    statistic: float
    lot: float
    alternative: Alternative
    tails: tuple[Tail, ...]

    @classmethod
    def of(cls, statistic: float, lot: float, alternative: Alternative, draws: int, alpha: float) -> "Count":
        """Equal tails are two counts, each at half of alpha; below alpha no stop changes a decision."""
        sides = 2 if alternative == "two-sided" else 1
        stop = max(math.ceil(alpha / sides * (draws + 1)), math.ceil(STOP_SHARE / sides * (draws + 1)))
        return cls(
            statistic=statistic,
            lot=lot,
            alternative=alternative,
            tails=tuple(Tail(draws=draws, stop=stop) for _ in range(sides)),
        )

    def add(self, statistics: Array, lots: Array) -> None:
        """Count more ends."""
        observed = self.statistic
        if self.alternative == "two-sided-abs":
            statistics, observed = np.abs(statistics), abs(observed)
        above = (statistics > observed) | ((statistics == observed) & (lots > self.lot))
        match self.alternative:
            case "two-sided":
                self.tails[0].count(above)
                self.tails[1].count(~above)
            case "less":
                self.tails[0].count(~above)
            case _:
                self.tails[0].count(above)

    @property
    def seen(self) -> int:
        """Chains that were looked at."""
        return max(tail.seen for tail in self.tails)

    @property
    def surely(self) -> int:
        """Chains that are looked at, however the next ones end: each is as extreme on one side at most."""
        return self.seen + sum(max(0, tail.stop - tail.extreme) for tail in self.tails)

    @property
    def stopped(self) -> bool:
        return all(tail.stopped for tail in self.tails)

    @property
    def p_value(self) -> float:
        return min(1.0, len(self.tails) * min(tail.p_value for tail in self.tails))

    @property
    def interval(self) -> tuple[float, float]:
        """Of the p-value that infinitely many chains would give."""
        sides = len(self.tails)
        ends = [tail.interval(1 - (1 - LEVEL) / sides) for tail in self.tails]
        low, high = (min(1.0, sides * min(end[i] for end in ends)) for i in (0, 1))
        return min(low, self.p_value), max(high, self.p_value)
