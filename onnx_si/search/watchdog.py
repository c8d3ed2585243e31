"""Tells a search that gets nowhere, by counted steps: the same input ends in the same place always."""

import math
from collections.abc import Callable
from dataclasses import dataclass

PASSES = 1000  # forward passes that count as a step,
SPLITS = 16  # and so many cells that are split
CHECK = 64  # steps between two looks at what is left
PATIENCE = 1024  # steps in a row that may pass
LEAST = 1e-3  # while the undecided mass falls by less than this share

WHY = (
    "its last steps settled next to nothing of what is left, because rounding decides it or because it has "
    "more pieces than can be examined"
)


@dataclass
class Watchdog:
    """Counts steps without progress.

    Parameters
    ----------
    left : callable
        The logarithm of the undecided mass.
    """

    left: Callable[[], float]
    calls: int = 0
    steps: int = 0
    looked: int = 0
    moved: int = 0
    mark: float = math.inf

    def barks(self, passes: float, splits: int) -> bool:
        """Count what was done so far as steps; True where too many of them settled next to nothing."""
        self.calls += 1
        self.steps = self.calls + int(passes / PASSES) + splits // SPLITS
        if self.steps < self.looked + CHECK:
            return False
        left, self.looked = self.left(), self.steps
        if left < self.mark + math.log1p(-LEAST):
            self.mark, self.moved = left, self.steps
        return self.steps >= self.moved + PATIENCE
