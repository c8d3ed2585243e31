"""Tells a search that gets nowhere, by counted steps: the same input ends in the same place always."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from onnx_si.search.tuning import Tuning

WHY = (
    "its last steps settled next to nothing of what is left, because rounding decides it or because it has "
    "more pieces than can be examined"
)


@dataclass(kw_only=True)
class Watchdog:
    """Counts steps without progress.

    Parameters
    ----------
    left : callable
        The logarithm of the undecided mass.
    tuning : Tuning
        How many steps it allows.
    """

    left: Callable[[], float]
    tuning: Tuning
    calls: int = 0
    steps: int = 0
    looked: int = 0
    moved: int = 0
    mark: float = math.inf

    def barks(self, passes: float, splits: int) -> bool:
        """Count what was done so far as steps; True where too many of them settled next to nothing."""
        self.calls += 1
        self.steps = self.calls + int(passes / self.tuning.step_passes) + splits // self.tuning.step_splits
        if self.steps < self.looked + self.tuning.check:
            return False
        left, self.looked = self.left(), self.steps
        if left < self.mark + math.log1p(-self.tuning.least_progress):
            self.mark, self.moved = left, self.steps
        return self.steps >= self.moved + self.tuning.patience
