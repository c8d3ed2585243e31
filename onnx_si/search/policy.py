"""Which way to examine a cell, decided by counted work: the same input takes the same path every time.

An exact examination pays per knot. An enclosure costs three forward passes and may fail, in which case a half
of the cell may still succeed. A probe costs one forward pass; if it finds a pixel on the wrong side in the
middle of the cell, a small part of the network tells on how much of the cell that pixel is wrong. What has
been seen so far tells how many knots a stretch of line holds and how often each of these succeeds.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from onnx_si.program.program import Program
from onnx_si.rules.rules import Kinked, Maximum, Step
from onnx_si.search.frontier import Cell

PASSES_PER_KNOT = 0.6  # early layers have fewer knots than late ones
ENCLOSURE = 3.0  # centre, slope, radius
OPERATIONS_PER_CALL = 80_000  # what calling one rule costs besides its arithmetic, in multiply-adds
PROBING = 0.3  # calls of the walks with single points, with enclosures, and of making a part, in those of an
ENCLOSING = 2.0  # exact walk
MAKING = 2.5
FIRST_CREDIT = 12.0  # forward passes that failed enclosures may cost,
LOST_AT_MOST = 0.05  # and this share of the exact work besides what enclosures saved
FEW_KNOTS = 8.0  # expected in the narrowest cell that is cut off an unbounded end
ALMOST_FREE = 1.25  # a box grows while its part costs no more than this times that of one pixel
PART_OF_PROBE = 0.5  # ... or no more than this many forward passes
WORTHWHILE = 0.5  # parts that cost a larger share of a forward pass are not used
NO_PARTS = ((1, 1.0),)  # where a pixel needs the whole network
WIDEST_FIRST = 12.0  # standard errors
LARGEST_EXACT = 256  # knots at most in one exact cell while the rest of the line may settle the question


class Action(Enum):
    EXACT = "exact"
    ENCLOSE = "enclose"
    PARTS = "parts"
    PROBE = "probe"
    SPLIT = "split"


def first_width(program: Program, overhead: float) -> float:
    """Width in standard errors of a cell that is worth a walk, before any density was seen; 0 where unknown.

    The line moves the image by a vector of unit length in units of the noise, hence each pixel by about
    1 / sqrt(pixels), and a unit changes its sign about a quarter as often as a pixel would.
    """
    if any(isinstance(s.rule, Step) for s in program.instructions):
        return 0.0  # quantised values may jump any number of times
    units = sum(math.prod(s.shape) for s in program.instructions if isinstance(s.rule, Kinked | Maximum))
    per_error = 0.25 * max(units, 1) / math.sqrt(max(math.prod(program.shape), 1))
    return min(max(FEW_KNOTS, 3 * overhead / PASSES_PER_KNOT) / per_error, WIDEST_FIRST)


@dataclass
class Density:
    """Knots met per length of line."""

    knots: float = 0.0
    length: float = 0.0

    def learn(self, knots: int, length: float) -> None:
        self.knots += knots
        self.length += length

    def per_length(self, otherwise: float = 0.0) -> float:
        """Knots expected per length; where none was met, one may be just outside."""
        return (self.knots + 1) / self.length if self.length else otherwise


@dataclass
class Chances:
    """How often something succeeds on cells of a width; even chances before any was tried.

    What succeeded on a harder width counts as a success on an easier one, and a failure the other way round;
    `harder` is +1 where wide cells are harder, -1 where narrow ones are.
    """

    harder: int
    tried: list[tuple[int, bool]] = field(default_factory=list)

    def learn(self, width: float, success: bool) -> None:
        self.tried.append((self.harder * _level(width), success))

    def of(self, width: float) -> float:
        level = self.harder * _level(width)
        successes = sum(success and at >= level for at, success in self.tried)
        failures = sum(not success and at <= level for at, success in self.tried)
        return (1 + successes) / (2 + successes + failures)


@dataclass
class Policy:
    """Learns knots per length, and successes by the width of cells.

    `overhead` is the cost of one walk through the program besides its arithmetic, in forward passes;
    `batch` how many cells are examined together at most; `shares` the sides of boxes of the map and what
    their parts of the network cost, the smallest first; `credit` the forward passes that enclosures may
    still lose; `one_knot_each` that no examination was cut short by units that jump too often.
    """

    overhead: float
    batch: int
    shares: Iterable[tuple[int, float]]
    exact: Density = field(default_factory=Density)
    parts: Density = field(default_factory=Density)
    enclosed: Chances = field(default_factory=lambda: Chances(harder=+1))
    probed: Chances = field(default_factory=lambda: Chances(harder=-1))
    batches: int = 1
    batched: int = 1
    credit: float = FIRST_CREDIT
    one_knot_each: bool = True

    def learn_exact(self, cell: Cell, knots: int, reached: float) -> None:
        """A cell was examined exactly up to a place and had so many knots."""
        self.exact.learn(knots, reached - cell.low)
        self.one_knot_each &= reached >= cell.high
        self.credit += LOST_AT_MOST * (2 + PASSES_PER_KNOT * knots)

    def learn_enclosed(self, cell: Cell, success: bool) -> None:
        """A cell was enclosed, with or without success."""
        self.enclosed.learn(cell.width, success)
        self.credit += success * self.cost_of_exact(cell) - self.cost_of_enclosure

    def learn_batch(self, size: int) -> None:
        """So many cells were enclosed or probed together."""
        self.batches += 1
        self.batched += size

    @property
    def _shared_overhead(self) -> float:
        """A cell's share of the overhead of a walk with a batch."""
        return self.overhead * self.batches / self.batched

    @property
    def cost_of_enclosure(self) -> float:
        """Forward passes of enclosing one cell of a batch."""
        return ENCLOSING * self._shared_overhead + ENCLOSURE

    @cached_property
    def _least_share(self) -> float:
        """What the part of the smallest box costs, in forward passes."""
        return next(iter(self.shares))[1]

    @property
    def sieves(self) -> bool:
        """Whether a pixel's part of the network is much cheaper than the whole."""
        return self._least_share <= WORTHWHILE

    @property
    def part_density(self) -> float:
        """Knots per length of a part; of a share of the network before any was seen."""
        return self.parts.per_length(self._least_share * self.exact.per_length())

    def least_width(self) -> float:
        """A stretch that is expected to hold few knots, or so many that examining it costs its overhead:
        narrower cells would cost more overhead than they save.
        """
        if not self.exact.length:
            return 0.0
        few = max(FEW_KNOTS, self.overhead / PASSES_PER_KNOT) / self.exact.per_length()
        return max(few, FEW_KNOTS / self.part_density) if self.sieves else few

    def decide(self, cell: Cell) -> Action:
        """The cheapest way to settle a cell, by what is known now."""
        if cell.unclear or not self.exact.length:
            return Action.EXACT
        exact = self.cost_of_exact(cell)
        if self.sieves and not cell.probed:
            probe, chance = PROBING * self._shared_overhead + 1, self.probed.of(cell.width)
            part = self._cost_of_part(self._least_share, cell.width) + MAKING * self.overhead
            if chance * exact > probe + chance * part:
                return Action.PROBE
        gain = self.enclosed.of(cell.width) * exact - self.cost_of_enclosure
        if cell.undecided is None and self.credit > 0 and gain > 0:
            return Action.ENCLOSE
        if self.cheapest_cover(cell)[0]:
            return Action.PARTS
        gain = self.enclosed.of(0.5 * cell.width) * exact - 2 * self.cost_of_enclosure - self.overhead
        if (self.credit > 0 and gain > 0) or self._knots(cell) > LARGEST_EXACT:
            return Action.SPLIT
        return Action.EXACT

    def cheapest_cover(self, cell: Cell) -> tuple[int, float]:
        """The side of boxes that cover the open pixels at the least cost, and that cost, if it is less than
        that of an exact examination.
        """
        best = (0, self.cost_of_exact(cell))
        if not self.sieves:
            return best
        count = np.count_nonzero(cell.open)
        for side, share in self.shares:
            each = self._cost_of_part(share, cell.width) + MAKING * self.overhead
            if each >= best[1]:
                break  # larger boxes cost more
            if each * math.ceil(count / side**cell.open.ndim) < best[1]:
                best = min(best, (side, each * len(blocks(cell.open, side))), key=lambda found: found[1])
        return best

    def side_of_part(self, width: float) -> int:
        """The largest side of a box whose part costs little more than one pixel's, or than the probe that
        found it.
        """
        costs = ((side, self._cost_of_part(share, width)) for side, share in self.shares)
        best, cost = next(costs)
        allowed = max(PART_OF_PROBE + self.overhead, ALMOST_FREE * cost)
        for side, _ in takewhile(lambda found: found[1] <= allowed, costs):
            best = side
        return best

    def cost_of_exact(self, cell: Cell) -> float:
        """Forward passes of an exact examination."""
        return self.overhead + 2 + PASSES_PER_KNOT * self._knots(cell)

    def _cost_of_part(self, share: float, width: float) -> float:
        knots = self.knots_of_part(share, width)
        return self.overhead + share * (2 + PASSES_PER_KNOT * knots)

    def knots_of_part(self, share: float, width: float) -> float:
        """Knots expected of a part that is such a share of the network."""
        return self.part_density * width * share / self._least_share

    def _knots(self, cell: Cell) -> float:
        knots = self.exact.per_length() * cell.width
        return min(knots, cell.undecided) if self.one_knot_each and cell.undecided is not None else knots


def blocks(pixels: NDArray[np.bool_], side: int) -> NDArray[np.intp]:
    """Places (n, axes), in blocks, of the blocks of an aligned grid that hold some of the pixels."""
    grid = np.zeros([-(-n // side) for n in pixels.shape], dtype=bool)
    grid[tuple(place // side for place in np.nonzero(pixels))] = True
    return np.argwhere(grid)


def _level(width: float) -> int:
    return round(math.log2(width))
