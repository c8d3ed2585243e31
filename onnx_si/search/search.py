"""Search the line for the truncation set, the most probable cell first; p-value bounds are always true."""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from onnx_si.intervals import Intervals
from onnx_si.line.enclosure import EnclosureDomain, cells
from onnx_si.line.exact import ExactDomain, PiecewiseLinear, line_segment
from onnx_si.line.program import Program
from onnx_si.line.walker import Tally, walk
from onnx_si.search.event import RegionEvent
from onnx_si.search.frontier import FAR, Cell, Frontier
from onnx_si.search.policy import OPERATIONS_PER_CALL, Action, Policy
from onnx_si.search.problem import TestLine
from onnx_si.truncated import Alternative, Normal, confidence_interval, decided, p_value_bounds

FATES = ("exact", "discarded", "accepted", "undecided", "split")
BATCH = 8  # cells enclosed together at most
BATCH_BYTES = 1 << 20  # ... as far as their largest tensor stays in the processor's cache
INTERVAL_PASSES = 200  # forward passes that the confidence interval may cost beyond those of the p-value
INTERVAL_ROUNDS = 3  # its ends move while S is completed
LOG_NEGLIGIBLE = math.log(1e-4)  # share of undecided mass that hardly moves an end of the interval


@dataclass(frozen=True)
class SearchOptions:
    """When to stop, and how much memory one tensor may take.

    `precision` is the wanted width of the p-value's bounds; with `decide_at` the search also stops when
    both bounds lie on one side of that level. With `interval_level` it goes on from the wanted precision
    until the confidence interval of that level is settled too, for at most the work done so far and a
    little more. `enclose` False examines every cell exactly.
    """

    alternative: Alternative = "two-sided"
    precision: float = 1e-4
    decide_at: float | None = None
    budget_bytes: int = 64 << 20
    interval_level: float | None = None
    enclose: bool = True


@dataclass(frozen=True)
class Progress:
    """A look at a running search."""

    bounds: tuple[float, float]
    cells: int
    pieces: int
    seconds: float


@dataclass(frozen=True)
class Search:
    """What a search found: S for certain, what it left undecided, and what it cost.

    `fates` counts cells: examined exactly, discarded or accepted by an enclosure, left undecided by one,
    split.
    """

    inside: Intervals
    undecided: Intervals
    p_value_bounds: tuple[float, float]
    seconds: float
    forward_passes: float
    pieces: int
    cells: int
    fates: dict[str, int]
    complete: bool


@dataclass
class _Run:
    """One search under way."""

    program: Program
    margin: str
    line: TestLine
    event: RegionEvent
    options: SearchOptions
    frontier: Frontier
    policy: Policy
    tally: Tally = field(default_factory=Tally)
    inside: list[np.ndarray] = field(default_factory=list)
    unclear: list[np.ndarray] = field(default_factory=list)
    pieces: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.perf_counter)

    def bounds(self) -> tuple[float, float]:
        """The p-value's bounds by what is known now."""
        line = self.line
        return p_value_bounds(line.distribution, *self.sets(), line.statistic, self.options.alternative)

    def look(self) -> Progress:
        """Where the search stands."""
        return Progress(
            self.bounds(), sum(self.fates.values()), self.pieces, time.perf_counter() - self.started
        )

    def step(self) -> bool:
        """Examine the most probable cells; False when nothing is left."""
        batch: list[Cell] = []
        while len(batch) < self.policy.batch:
            cell = self.frontier.pop(self.policy.least_width())
            if cell is None:
                break
            action = self.policy.decide(cell) if self.options.enclose else Action.EXACT
            if action is Action.SPLIT:
                self.frontier.split(cell)
                self.fates["split"] += 1
            elif action is Action.ENCLOSE:
                batch.append(cell)
            else:
                self._exact(cell)
                break
        if batch:
            self._enclose(batch)
        return bool(batch) or cell is not None

    def _exact(self, cell: Cell) -> None:
        start = line_segment(self.line.start, self.line.direction, cell.low, cell.high)
        pieces = 0
        for outputs in walk(self.program, ExactDomain(self.options.budget_bytes).apply, start, self.tally):
            verdict = self.event.judge(outputs[self.margin])
            self.inside.append(verdict.inside)
            self.unclear.append(verdict.unclear)
            pieces += len(outputs[self.margin].knots) - 1
        self.pieces += pieces
        self.policy.learn_exact(cell, pieces)
        self.fates["exact"] += 1

    def _enclose(self, batch: list[Cell]) -> None:
        domain = EnclosureDomain(len(batch))
        ends = np.array([(cell.low, cell.high) for cell in batch])
        start = cells(self.line.start, self.line.direction, ends[:, 0], ends[:, 1])
        (outputs,) = walk(self.program, domain.apply, start, self.tally)
        outside, inside = self.event.certify(outputs[self.margin])
        for cell, out, within, lost, undecided in zip(
            batch, outside, inside, domain.lost, domain.undecided, strict=True
        ):
            success = bool((out or within) and not lost)
            self.policy.learn_enclosed(cell, success)
            if not success:
                self.frontier.push(cell.low, cell.high, int(undecided))
            elif within:
                self.inside.append(np.array([[cell.low, cell.high]]))
            self.fates["undecided" if not success else "accepted" if within else "discarded"] += 1

    def settle_interval(self, level: float, progress: Callable[[Progress], None] | None) -> None:
        """Examine what still moves the confidence interval: the cells that are probable if the mean is at
        one of its ends.
        """
        at, se = self.line.statistic, self.line.standard_error
        allowed = 2 * self.tally.operations + INTERVAL_PASSES * self.program.cost
        for _ in range(INTERVAL_ROUNDS):
            ends = confidence_interval(self.sets()[0], Intervals.empty(), at, se, level)
            settled = True
            for end in filter(math.isfinite, ends):
                settled &= self._settle(Normal(end, se), allowed, progress)
            if settled:
                return

    def _settle(
        self, distribution: Normal, allowed: int, progress: Callable[[Progress], None] | None
    ) -> bool:
        """Work until little is undecided under a distribution; True where nothing had to be done."""
        self.frontier.reorder(distribution)
        settled = True
        while self.tally.operations < allowed:
            inside, undecided = self.sets()
            if distribution.log_mass(undecided) < distribution.log_mass(inside) + LOG_NEGLIGIBLE:
                return settled
            settled = False
            if not self.step():
                return True
            if progress is not None:
                progress(self.look())
        return True

    def sets(self) -> tuple[Intervals, Intervals]:
        """S for certain, and everything undecided."""
        empty = np.empty((0, 2))
        pending = np.array(self.frontier.undecided(), dtype=np.float64)
        return (
            Intervals.of(np.concatenate([empty, *self.inside])),
            Intervals.of(np.concatenate([pending, *self.unclear])),
        )


def search(
    program: Program,
    margin: str,
    line: TestLine,
    event: RegionEvent,
    options: SearchOptions,
    progress: Callable[[Progress], None] | None = None,
) -> Search:
    """Find S = {z : the region is the observed one} as far as the p-value needs it.

    Parameters
    ----------
    program : Program
        Bound at the image; its output `margin` decides the region.
    margin : str
    line : TestLine
    event : RegionEvent
    options : SearchOptions
    progress : callable, optional
        Called after every step.

    Returns
    -------
    Search
        Whatever was not examined counts as undecided, the tails of the line included: the bounds are true.
    """
    overhead = OPERATIONS_PER_CALL * len(program.instructions) / max(1, program.cost)
    largest = 8 * max((math.prod(step.shape) for step in program.instructions), default=1)
    policy = Policy(overhead, max(1, min(BATCH, BATCH_BYTES // largest)))
    run = _Run(program, margin, line, event, options, Frontier(line), policy)
    bounds, complete = (0.0, 1.0), False
    while not complete and run.step():
        seen = run.look()
        bounds, complete = seen.bounds, seen.bounds[1] - seen.bounds[0] <= options.precision
        if progress is not None:
            progress(seen)
        if options.decide_at is not None and decided(bounds, options.decide_at):
            break
    if complete and options.interval_level is not None:
        run.settle_interval(options.interval_level, progress)
        bounds = run.bounds()
    return Search(
        *run.sets(),
        bounds,
        time.perf_counter() - run.started,
        run.tally.operations / max(1, program.cost),
        run.pieces,
        sum(run.fates.values()),
        {fate: run.fates[fate] for fate in FATES},
        complete,
    )


def linear_piece(
    program: Program, margin: str, line: TestLine, event: RegionEvent, options: SearchOptions
) -> Intervals:
    """The part of S on the one linear piece of the network around the observed statistic (over-conditioning).

    The cell around the statistic grows until the piece ends inside it, or reaches so far that its mass no
    longer counts.

    Source
    ------
    Duy and Takeuchi, "More powerful conditional selective inference", JMLR 23 (2022), section 2 (what they
    improve on).
    """
    at, domain = line.statistic, ExactDomain(options.budget_bytes)
    width = line.standard_error / 16
    while True:
        low, high = at - width, at + width
        cell = line_segment(line.start, line.direction, low, high)
        for outputs in walk(program, domain.apply, cell, Tally()):
            piece = _piece_at(outputs[margin], at)
            if piece is None:
                continue
            ends_inside = piece.knots[0] > low and piece.knots[-1] < high
            if ends_inside or width > FAR * line.standard_error:
                return Intervals.of(event.judge(piece).inside)
        width *= 4


def _piece_at(f: PiecewiseLinear, at: float) -> PiecewiseLinear | None:
    """The one linear piece that holds a point; None where the point lies elsewhere on the line."""
    if not f.knots[0] <= at < f.knots[-1]:
        return None
    index = int(f.knots.searchsorted(at, "right")) - 1
    return PiecewiseLinear(f.knots[index : index + 2], f.values[index : index + 2])
