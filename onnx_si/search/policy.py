"""Which way to examine a cell, decided by counted work: the same input takes the same path every time.

An exact examination pays per knot; an enclosure costs three forward passes and may fail, in which case a
half of the cell may still succeed. What has been seen so far tells how many knots a stretch of line holds
and how often enclosures of a width succeed.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum

from onnx_si.search.frontier import Cell

PASSES_PER_KNOT = 0.6  # early layers have fewer knots than late ones
ENCLOSURE = 3.0  # centre, slope, radius
OPERATIONS_PER_CALL = 50_000  # what calling one rule costs besides its arithmetic, in multiply-adds
FEW_KNOTS = 8.0  # expected in the narrowest cell that is cut off an unbounded end
LARGEST_EXACT = 256  # knots at most in one exact cell while the rest of the line may settle the question


class Action(Enum):
    EXACT = "exact"
    ENCLOSE = "enclose"
    SPLIT = "split"


@dataclass
class Policy:
    """Learns knots per length, and successes by the width of enclosed cells.

    `overhead` is the cost of one walk through the program besides its arithmetic, in forward passes;
    `batch` how many cells are enclosed together.
    """

    overhead: float
    batch: int
    knots: float = 0.0
    length: float = 0.0
    tried: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    succeeded: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def learn_exact(self, cell: Cell, pieces: int) -> None:
        """A cell was examined exactly and had so many linear pieces."""
        self.knots += pieces - 1
        self.length += cell.width

    def learn_enclosed(self, cell: Cell, success: bool) -> None:
        """A cell was enclosed, with or without success."""
        self.tried[_level(cell.width)] += 1
        self.succeeded[_level(cell.width)] += success

    def least_width(self) -> float:
        """A stretch that is expected to hold few knots: narrower cells would cost more overhead than they
        save.
        """
        return FEW_KNOTS * self.length / max(self.knots, 1.0)

    def decide(self, cell: Cell) -> Action:
        """The cheapest way to settle a cell, by what is known now."""
        if not self.length:
            return Action.EXACT
        knots = self.knots / self.length * cell.width
        if cell.undecided is not None:
            knots = min(knots, cell.undecided)
        exact = self.overhead + 2 + PASSES_PER_KNOT * knots
        enclosure = self.overhead / self.batch + ENCLOSURE
        if cell.undecided is None and self._chance(cell.width) * exact > enclosure:
            return Action.ENCLOSE
        if self._chance(0.5 * cell.width) * exact > 2 * enclosure + self.overhead or knots > LARGEST_EXACT:
            return Action.SPLIT
        return Action.EXACT

    def _chance(self, width: float) -> float:
        """Share of enclosures of about this width that succeed; even chances before any was tried."""
        level = _level(width)
        return (1 + self.succeeded[level]) / (2 + self.tried[level])


def _level(width: float) -> int:
    return round(math.log2(width))
