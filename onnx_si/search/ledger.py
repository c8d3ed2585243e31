"""The books of a search under way: what is known of S, and what it cost."""

import math
import time
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from onnx_si.domains.task import Task
from onnx_si.ground.intervals import Intervals
from onnx_si.rules.rules import Array
from onnx_si.search.ends import require_around
from onnx_si.search.examine import Examiner
from onnx_si.search.found import Progress, SearchOptions
from onnx_si.search.frontier import Frontier
from onnx_si.statistics.truncated import p_value_bounds

NOTHING = np.empty((0, 2))


@dataclass(kw_only=True)
class Ledger(ABC):
    """One search under way; `step` is what kinds of it differ in."""

    task: Task
    options: SearchOptions
    examiner: Examiner
    frontier: Frontier
    inside: list[Array] = field(default_factory=list)
    unclear: list[Array] = field(default_factory=list)
    blurred: list[Array] = field(default_factory=list)
    fates: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.perf_counter)
    known: tuple[Intervals, Intervals] = field(
        init=False
    )  # S and what is undecided, after the last whole step

    log_left: float = field(init=False)  # share of S, as ranked, that may be left: so close are bounds wanted

    def __post_init__(self) -> None:
        self.known = self.sets()
        self.log_left = math.log(max(self.options.precision, self.options.tuning.least_precision))

    @abstractmethod
    def step(self) -> bool:
        """Examine the most probable cells; False when nothing is left."""

    @property
    def operations(self) -> int:
        """Multiply-adds so far."""
        return self.examiner.tally.operations

    @property
    def work(self) -> tuple[float, int]:
        """Forward passes and splits so far."""
        return self.operations / max(1, self.task.program.cost), self.fates["split"]

    def bounds(self) -> tuple[float, float]:
        """The p-value's bounds by what is known now."""
        line, self.known = self.task.line, self.sets()
        return p_value_bounds(line.distribution, *self.known, line.statistic, self.options.alternative)

    def true_bounds(self, inside: Intervals, undecided: Intervals, blur: Intervals) -> tuple[float, float]:
        """The same, wherever in their intervals the ends of S and the statistic lie."""
        line = self.task.line
        return p_value_bounds(
            line.distribution,
            inside.subtract(blur),
            undecided.union(blur),
            line.statistic,
            self.options.alternative,
            line.rounding,
        )

    def look(self) -> Progress:
        """Where the search stands."""
        seconds = time.perf_counter() - self.started
        bounds = self.bounds()
        return Progress(
            bounds=bounds,
            cells=sum(self.fates.values()),
            pieces=self.examiner.pieces,
            seconds=seconds,
            settled=max(0.0, -math.expm1(self.task.line.distribution.log_mass(self.known[1]))),
            precision=self.options.precision,
        )

    def require_observed(self) -> None:
        """Refuse a region that holds on no more than rounding on one side of the statistic, or on neither."""
        inside, slivers = self._found()
        pending = np.array(self.frontier.undecided(), dtype=np.float64)
        unclear = Intervals.of(np.concatenate([slivers, *self.unclear]))
        require_around(self.task.line, np.concatenate([inside.bounds, pending]), unclear)

    def ends_known(self, inside: Intervals) -> list[Array]:
        """Pieces that hold ends of S, each as wide as the end is uncertain."""
        return self.blurred

    def sets(self) -> tuple[Intervals, Intervals]:
        """S for certain, and everything undecided."""
        inside, slivers = self._found()
        pending = np.array(self.frontier.undecided(), dtype=np.float64)
        return inside, Intervals.of(np.concatenate([pending, slivers, *self.unclear]))

    def _found(self) -> tuple[Intervals, Array]:
        """Stretches of S, and those no wider than the rounding of their ends: a place, or nothing."""
        found, judge = Intervals.of(np.concatenate([NOTHING, *self.inside])), self.task.judge
        low, high = found.bounds.T
        if not len(low) or (high - low).min() > judge.resolution(max(-float(low[0]), float(high[-1]))):
            return found, NOTHING  # most searches
        wide = judge.wide(low, high)
        return Intervals(found.bounds[wide]), found.bounds[~wide]
