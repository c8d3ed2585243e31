"""Which way to examine a cell, decided by counted work: the same input takes the same path every time.

An exact examination pays per knot. An enclosure costs three forward passes and may fail, in which case a half
of the cell may still succeed. A probe costs one forward pass; if it finds a pixel on the wrong side in the
middle of the cell, a small part of the network tells on how much of the cell that pixel is wrong. What has
been seen so far tells how many knots a stretch of line holds and how often each of these succeeds.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.domain import Cost, Domains
from onnx_si.program.program import Program
from onnx_si.rules.boxes import Box
from onnx_si.rules.rules import Kinked, Maximum, Step
from onnx_si.search.frontier import Cell
from onnx_si.search.tuning import Costs, Tuning

NO_PARTS = ((1, 1.0),)  # where a pixel needs the whole network


class Cover(NamedTuple):
    """Boxes of the map that hold the open pixels, what it costs to settle them, and the share of the network
    that theirs are together.
    """

    boxes: list[Box]
    cost: float
    share: float


class Action(Enum):
    RESOLVE = "resolve"
    CLAIM = "claim"
    PARTS = "parts"
    PROBE = "probe"
    SPLIT = "split"


def first_width(program: Program, overhead: float, cost: Cost, tuning: Tuning) -> float:
    """Width in standard errors of a cell that is worth a walk, before any density was seen; 0 where unknown.

    The line moves the image by a vector of unit length in units of the noise, hence each pixel by about
    1 / sqrt(pixels), and a unit changes its sign about a quarter as often as a pixel would.
    """
    if any(isinstance(s.rule, Step) for s in program.instructions):
        return 0.0  # quantised values may jump any number of times
    units = sum(math.prod(s.shape) for s in program.instructions if isinstance(s.rule, Kinked | Maximum))
    per_error = 0.25 * max(units, 1) / math.sqrt(max(math.prod(program.shape), 1))
    return min(max(tuning.few_knots, 3 * overhead / cost.per_knot) / per_error, tuning.widest_first)


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

    def forget(self, width: float) -> None:
        """Take back a failure that had another reason."""
        failure = (self.harder * _level(width), False)
        if failure in self.tried:
            self.tried.remove(failure)

    def of(self, width: float) -> float:
        level = self.harder * _level(width)
        successes = sum(success and at >= level for at, success in self.tried)
        failures = sum(not success and at <= level for at, success in self.tried)
        return (1 + successes) / (2 + successes + failures)


@dataclass(kw_only=True)
class Policy:
    """Learns knots per length, and successes by the width of cells.

    `overhead` is the cost of one walk through the program besides its arithmetic, in forward passes;
    `batch` how many cells are examined together at most; `shares` the sides of boxes of the map and what
    their parts of the network cost, the smallest first, `share_of` what that of any box costs; `settles` that
    parts tell everywhere which pixels are on their side, and not only where it is known which value is the
    largest; `credit` the forward passes that enclosures may still lose; `one_knot_each` that no examination
    was cut short by units that jump too often.
    """

    domains: Domains
    overhead: float
    batch: int
    shares: Iterable[tuple[int, float]]
    share_of: Callable[[Box], float] | None = None
    settles: bool = True
    resolved: Density = field(default_factory=Density)
    parts: Density = field(default_factory=Density)
    claimed: Chances = field(default_factory=lambda: Chances(harder=+1))
    probed: Chances = field(default_factory=lambda: Chances(harder=-1))
    batches: int = 1
    batched: int = 1
    costs: Costs = field(default_factory=Costs)
    tuning: Tuning = field(default_factory=Tuning)
    credit: float = field(init=False)
    one_knot_each: bool = True

    def __post_init__(self) -> None:
        self.credit = self.tuning.first_credit

    def learn_resolved(self, cell: Cell, knots: int, reached: float) -> None:
        """A cell was examined exactly up to a place and had so many knots."""
        self.resolved.learn(knots, reached - cell.low)
        self.one_knot_each &= reached >= cell.high
        self.credit += self.tuning.lost_at_most * self.domains.resolving.cost.of(knots)

    def learn_claimed(self, cell: Cell, success: bool) -> None:
        """Something of a cell was claimed, with or without success."""
        self.claimed.learn(cell.width, success)
        self.credit += success * self.cost_of_resolving(cell) - self.cost_of_claim

    def learn_batch(self, size: int) -> None:
        """So many cells were enclosed or probed together."""
        self.batches += 1
        self.batched += size

    @property
    def _shared_overhead(self) -> float:
        """A cell's share of the overhead of a walk with a batch."""
        return self.overhead * self.batches / self.batched

    @property
    def cost_of_claim(self) -> float:
        """Forward passes of a claim about one cell of a batch."""
        if self.domains.claiming is None:
            return math.inf
        cost = self.domains.claiming.cost
        return cost.calls * self._shared_overhead + cost.passes

    @cached_property
    def _least_share(self) -> float:
        """What the part of the smallest box costs, in forward passes."""
        return next(iter(self.shares))[1]

    @property
    def sieves(self) -> bool:
        """Whether a pixel's part of the network is much cheaper than the whole."""
        return self._least_share <= self.tuning.worthwhile

    @property
    def part_density(self) -> float:
        """Knots per length of a part; of a share of the network before any was seen."""
        return self.parts.per_length(self._least_share * self.resolved.per_length())

    def least_width(self) -> float:
        """A stretch that is expected to hold few knots, or so many that examining it costs its overhead:
        narrower cells would cost more overhead than they save.
        """
        if not self.resolved.length:
            return 0.0
        few, per_knot = self.tuning.few_knots, self.domains.resolving.cost.per_knot
        width = max(few, self.overhead / per_knot) / self.resolved.per_length()
        return max(width, few / self.part_density) if self.sieves else width

    def decide(self, cell: Cell) -> Action:
        """The cheapest way to settle a cell, by what is known now."""
        if cell.unclear or not self.resolved.length:
            return Action.RESOLVE
        exact = self.cost_of_resolving(cell)
        if self.sieves and not cell.probed:
            cost = self.domains.pointing.cost
            probe, chance = cost.calls * self._shared_overhead + cost.passes, self.probed.of(cell.width)
            part = self._cost_of_part(self._least_share, cell.width) + self.costs.making * self.overhead
            if chance * exact > probe + chance * part:
                return Action.PROBE
        gain = self.claimed.of(cell.width) * exact - self.cost_of_claim
        if cell.undecided is None and self.credit > 0 and gain > 0:
            return Action.CLAIM
        gain = self.claimed.of(0.5 * cell.width) * exact - 2 * self.cost_of_claim - self.overhead
        halved, cover = self.credit > 0 and gain > 0, self.cheapest_cover(cell)
        if cover.boxes and (cover.share <= self.tuning.worthwhile or not halved):
            return Action.PARTS
        if halved or self._knots(cell) > self.tuning.largest_resolved:
            return Action.SPLIT
        return Action.RESOLVE

    def cheapest_cover(self, cell: Cell) -> Cover:
        """Boxes that hold the open pixels at the least cost, those of a grid or one around all; none where an
        exact examination costs less.
        """
        best = Cover([], self.cost_of_resolving(cell), 0.0)
        if not self.sieves or not (self.settles or cell.led):
            return best
        count, side_of_best = np.count_nonzero(cell.open), 0
        for side, share in self.shares:
            each = self._cost_of_cut(share, cell.width)
            if each >= best.cost:
                break  # larger boxes cost more
            if each * math.ceil(count / side**cell.open.ndim) < best.cost:
                number = len(blocks(cell.open, side))
                if each * number < best.cost:
                    best, side_of_best = Cover([], each * number, share * number), side
        if side_of_best:
            best = best._replace(boxes=boxes_of(cell.open, side_of_best))
        if self.share_of is not None and count and len(best.boxes) != 1:
            around = bounding(cell.open)
            share = self.share_of(around)
            cost = self._cost_of_cut(share, cell.width)
            if cost < best.cost:
                best = Cover([around], cost, share)
        return best

    def _cost_of_cut(self, share: float, width: float) -> float:
        """Of a part that has to be made."""
        return self._cost_of_part(share, width) + self.costs.making * self.overhead

    def side_of_part(self, width: float) -> int:
        """The largest side of a box whose part costs little more than one pixel's, or than the probe that
        found it.
        """
        costs = ((side, self._cost_of_part(share, width)) for side, share in self.shares)
        best, cost = next(costs)
        allowed = max(self.tuning.part_of_probe + self.overhead, self.tuning.almost_free * cost)
        for side, _ in takewhile(lambda found: found[1] <= allowed, costs):
            best = side
        return best

    def cost_of_resolving(self, cell: Cell) -> float:
        """Forward passes of an exact examination."""
        return self.overhead + self.domains.resolving.cost.of(self._knots(cell))

    def _cost_of_part(self, share: float, width: float) -> float:
        knots = self.knots_of_part(share, width)
        return self.overhead + share * self.domains.resolving.cost.of(knots)

    def knots_of_part(self, share: float, width: float) -> float:
        """Knots expected of a part that is such a share of the network."""
        return self.part_density * width * share / self._least_share

    def _knots(self, cell: Cell) -> float:
        knots = self.resolved.per_length() * cell.width
        return min(knots, cell.undecided) if self.one_knot_each and cell.undecided is not None else knots


def blocks(pixels: NDArray[np.bool_], side: int) -> NDArray[np.intp]:
    """Places (n, axes), in blocks, of the blocks of an aligned grid that hold some of the pixels."""
    grid = np.zeros([-(-n // side) for n in pixels.shape], dtype=bool)
    grid[tuple(place // side for place in np.nonzero(pixels))] = True
    return np.argwhere(grid)


def boxes_of(pixels: NDArray[np.bool_], side: int) -> list[Box]:
    """Those blocks."""
    return [box_around(place, side, pixels.shape) for place in (blocks(pixels, side) * side).tolist()]


def box_around(pixel: list[int], side: int, shape: tuple[int, ...]) -> Box:
    """The box of an aligned grid that holds a pixel."""
    starts = [p // side * side for p in pixel]
    return tuple(slice(start, min(start + side, n)) for start, n in zip(starts, shape, strict=True))


def bounding(pixels: NDArray[np.bool_]) -> Box:
    """The smallest box that holds some pixels."""
    places = np.nonzero(pixels)
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in places)


def _level(width: float) -> int:
    return round(math.log2(width))
