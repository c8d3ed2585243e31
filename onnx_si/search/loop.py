"""Search the line for the truncation set, the most probable cell first; p-value bounds are always true."""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from onnx_si.errors import UnsupportedModel
from onnx_si.ground.budget import excess
from onnx_si.ground.deadline import GRACE, Deadline, TimeUp
from onnx_si.ground.intervals import Intervals
from onnx_si.program.program import Program
from onnx_si.rules.rules import Array
from onnx_si.search.ends import ends_of, require_around
from onnx_si.search.event import RegionEvent
from onnx_si.search.examine import Examiner, Task
from onnx_si.search.found import FATES, Progress, Search, SearchOptions
from onnx_si.search.frontier import FIRST, Cell, Frontier
from onnx_si.search.parts import Part, Parts, merged
from onnx_si.search.policy import NO_PARTS, OPERATIONS_PER_CALL, Action, Policy, first_width
from onnx_si.search.screen import Screen
from onnx_si.search.stop import TIME_OVER, Stopped
from onnx_si.search.stop import WHY as INTERRUPTED
from onnx_si.search.watchdog import WHY, Watchdog
from onnx_si.statistics.line import TestLine
from onnx_si.statistics.truncated import Alternative, Normal, confidence_interval, decided, p_value_bounds

COMPARABLE = 3.0  # cells examined together differ in probability by a factor of e^3 at most,
LEAST_PRECISION = 1e-6  # unless they must be settled anyway for bounds this close, or as close as wanted
MOST_SPLITS = 64  # cells that are split in one step
BATCH = 8  # cells enclosed together at most
BATCH_BYTES = 1 << 20  # ... as far as their largest tensor stays in the processor's cache
LARGE = 300_000_000  # multiply-adds of a forward pass from which a few cells are examined at the same time,
TOGETHER = 8  # as many on any machine, so that the path does not depend on its cores
INTERVAL_PASSES = 200  # forward passes that the confidence interval may cost beyond those of the p-value
INTERVAL_ROUNDS = 3  # its ends move while S is completed
FOR_ENDS = 0.05  # share of a time limit that the ends of S may take after it
ROUGHLY = 1e-3  # of an end's distance, as near as it has to be known to tell what is probable under it
NOTHING = np.empty((0, 2))
LEAST_POINTS = 3  # of a tensor, which the smallest step computes at the same time
LOG_NEGLIGIBLE = math.log(1e-4)  # share of undecided mass that hardly moves an end of the interval


@dataclass
class _Run:
    """One search under way."""

    task: Task
    options: SearchOptions
    examiner: Examiner
    frontier: Frontier
    policy: Policy
    parts: Parts
    together: int
    screen: Screen
    inside: list[Array] = field(default_factory=list)
    unclear: list[Array] = field(default_factory=list)
    blurred: list[Array] = field(default_factory=list)
    fates: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.perf_counter)
    known: tuple[Intervals, Intervals] = field(
        init=False
    )  # S and what is undecided, after the last whole step

    def __post_init__(self) -> None:
        self.known = self.sets()

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
        return Progress(self.bounds(), sum(self.fates.values()), self.examiner.pieces, seconds)

    def step(self) -> bool:
        """Examine the most probable cells; False when nothing is left."""
        enclose: list[Cell] = []
        probe: list[Cell] = []
        exact: list[Cell] = []
        first: Cell | None = None
        least, splits = self._surely_matters(), 0
        while (
            splits < MOST_SPLITS
            and max(len(enclose), len(probe)) < self.policy.batch
            and len(exact) < self.together
        ):
            cell = self.frontier.pop(self.policy.least_width())
            if cell is None:
                break
            first = first or cell
            if cell.priority > max(first.priority + COMPARABLE, least):
                self.frontier.push(cell)
                break
            match self.policy.decide(cell) if self.options.enclose else Action.EXACT:
                case Action.PROBE:
                    probe.append(cell)
                case Action.ENCLOSE:
                    enclose.append(cell)
                case Action.SPLIT if cell.low < cell.middle < cell.high:
                    self.frontier.split(cell)
                    self.fates["split"] += 1
                    splits += 1
                case Action.PARTS:
                    self._in_parts(cell)
                    break
                case Action.EXACT | Action.SPLIT:
                    exact.append(cell)
        if exact:
            self._exact(exact)
        if probe:
            self._probe(probe)
        if enclose:
            self._enclose(enclose)
        return first is not None

    def _surely_matters(self) -> float:
        """Priority of a cell as probable as the wanted width of the bounds allows to be left of S."""
        if not self.inside:
            return -math.inf
        known = self.task.line.distribution.log_mass(Intervals.of(np.concatenate(self.inside)))
        return -known - math.log(max(self.options.precision, LEAST_PRECISION))

    def _exact(self, batch: list[Cell]) -> None:
        """Settle cells with the whole network."""
        found = self.examiner.exact_each(self.task, [(cell.low, cell.high) for cell in batch])
        for cell, seen in zip(batch, found, strict=True):
            self.inside.append(seen.inside)
            self.unclear.append(seen.unclear)
            self.blurred.append(seen.blurred)
            self.policy.learn_exact(cell, seen.paid, seen.reached)
            self.frontier.push_rest(cell, seen.reached)
            self.fates["exact"] += 1

    def _probe(self, batch: list[Cell]) -> None:
        """Look at the middle of each cell; a pixel on the wrong side there cuts the cell down."""
        self.policy.learn_batch(len(batch))
        wrong = self.examiner.wrong(self.task, [cell.middle for cell in batch])
        found = np.any(wrong.reshape(len(batch), -1), axis=1)
        for cell, success in zip(batch, found, strict=True):
            self.policy.probed.learn(cell.width, bool(success))
            if not success:
                self.frontier.push(cell, probed=True)
        chosen = [cell for cell, success in zip(batch, found, strict=True) if success]
        if chosen:
            self._sieve(chosen, wrong[found])

    def _sieve(self, batch: list[Cell], wrong: Array) -> None:
        """Keep of each cell what a part of the map allows that is wrong in its middle."""
        side = self.policy.side_of_part(max(cell.width for cell in batch))
        for part, chosen in self.parts.witnesses(batch, wrong, side):
            for cell in merged(chosen):
                for low, high in self._allowed(part, cell, cell.low, cell.high):
                    open_ = part.taken_from(cell.open)
                    self.frontier.push(cell, low, high, open=open_, probed=False, undecided=None)
                self.fates["sieved"] += 1

    def _in_parts(self, cell: Cell) -> None:
        """Settle a cell on which only few pixels are open, one box after the other."""
        side, _ = self.policy.cheapest_cover(cell)
        left = Intervals.of([(cell.low, cell.high)])
        for part in self.parts.cover(cell.open, side):
            allowed = [interval for ends in left for interval in self._allowed(part, cell, *ends)]
            left = Intervals.of(allowed)
        self.inside.append(left.bounds)
        self.fates["in_parts"] += 1

    def _allowed(self, part: Part, cell: Cell, low: float, high: float) -> Intervals:
        """Where a part's pixels are on their observed side; what is unclear is left to the whole network."""
        screens = self.options.enclose and self.policy.exact.length
        inside, left = self.screen(part, low, high) if screens else ([], [(low, high)])
        found = [np.array(inside).reshape(-1, 2)]
        for start, end in Intervals.of(left).bounds:
            found.append(self._followed(part, cell, float(start), float(end)))
        return Intervals.of(np.concatenate(found))

    def _followed(self, part: Part, cell: Cell, low: float, high: float) -> Array:
        seen = self.examiner.exact(part.task, low, high)
        self.policy.parts.learn(seen.paid, seen.reached - low)
        self.screen.learn(part.task.program.cost / max(1, self.task.program.cost), seen.paid)
        if seen.reached < high:
            self.frontier.push(cell, seen.reached, high, open=self.frontier.everything, undecided=None)
        for start, end in seen.unclear:
            self.frontier.push(cell, start, end, open=self.frontier.everything, unclear=True)
        return seen.inside

    def _enclose(self, batch: list[Cell]) -> None:
        """Discard or accept cells as a whole, or learn which pixels and units are open."""
        self.policy.learn_batch(len(batch))
        for cell, seen in zip(
            batch, self.examiner.enclose(self.task, [(c.low, c.high) for c in batch]), strict=True
        ):
            rest = replace(cell, undecided=seen.undecided, open=seen.open & cell.open)
            success = True
            if seen.outside:
                self.fates["discarded"] += 1
            elif self.task.event.local and not rest.open.any():
                self.inside.append(np.array([[cell.low, cell.high]]))
                self.fates["accepted"] += 1
            else:
                success = bool(self.policy.cheapest_cover(rest)[0])
                self.frontier.push(rest)
                self.fates["undecided"] += 1
            self.policy.learn_enclosed(cell, success)

    def settle_interval(self, level: float, progress: Callable[[Progress], None] | None) -> None:
        """Examine what still moves the confidence interval: the cells that are probable if the mean is at
        one of its ends.
        """
        at, se = self.task.line.statistic, self.task.line.standard_error
        # The estimate needs both sides of the statistic where a one-sided interval has no end.
        two_sided = self.options.alternative == "two-sided-abs"
        asked: Alternative = "two-sided-abs" if two_sided else "two-sided"
        allowed = 2 * self.operations + INTERVAL_PASSES * self.task.program.cost
        for _ in range(INTERVAL_ROUNDS):
            ends = confidence_interval(self.sets()[0], Intervals.empty(), at, se, level, asked, ROUGHLY)
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
        dog, settled = Watchdog(lambda: distribution.log_mass(self.sets()[1])), True
        while self.operations < allowed:
            inside, undecided = self.known = self.sets()
            if distribution.log_mass(undecided) < distribution.log_mass(inside) + LOG_NEGLIGIBLE:
                return settled
            settled = False
            if not self.options.stop.during(self.step) or dog.barks(*self.work):
                return True
            self.options.deadline.check()
            if progress is not None:
                progress(self.look())
        return True

    def require_observed(self) -> None:
        """Refuse a region that holds on no more than rounding on one side of the statistic, or on neither."""
        inside, slivers = self._found()
        pending = np.array(self.frontier.undecided(), dtype=np.float64)
        unclear = Intervals.of(np.concatenate([slivers, *self.unclear]))
        require_around(self.task.line, np.concatenate([inside.bounds, pending]), unclear)

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


def _require_room(program: Program) -> None:
    """Refuse a program whose tensors do not fit into memory at as many points as the smallest step has."""
    shapes, alive, peak = program.shapes, math.prod(program.shape), math.prod(program.shape)
    for step in program.instructions:
        alive += math.prod(step.shape)
        peak = max(peak, alive)
        alive -= sum(math.prod(shapes[name]) for name in step.dead)
    why = excess(8 * LEAST_POINTS * peak)
    if why is not None:
        raise UnsupportedModel(f"the search does not fit: {why}; try a smaller image")


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

    Raises
    ------
    UnsupportedModel
        If nothing but rounding decides the region where it was observed, or the smallest step of the search
        does not fit into memory.
    """
    _require_room(program)
    task, examiner = Task(program, margin, line, event), Examiner(options.budget_bytes, options.deadline)
    overhead = OPERATIONS_PER_CALL * len(program.instructions) / max(1, program.cost)
    largest = 8 * max((math.prod(step.shape) for step in program.instructions), default=1)
    first = max(FIRST, first_width(program, overhead))
    parts, frontier = Parts(task), Frontier(line, event.pixels, first)
    shares = parts.shares if event.local else NO_PARTS
    policy = Policy(overhead, max(1, min(BATCH, BATCH_BYTES // largest)), shares)
    together = TOGETHER if program.cost >= LARGE else 1
    screen = Screen(examiner, policy, program.cost)
    run = _Run(task, options, examiner, frontier, policy, parts, together, screen)
    bounds, complete, why = (0.0, 1.0), False, None
    after = options.deadline.later(FOR_ENDS)
    dog = Watchdog(lambda: line.distribution.log_mass(run.sets()[1]))
    try:
        options.deadline.check()
        while not complete and options.stop.during(run.step):
            seen = run.look()
            bounds, complete = seen.bounds, seen.bounds[1] - seen.bounds[0] <= options.precision
            if progress is not None:
                progress(seen)
            if options.decide_at is not None and decided(bounds, options.decide_at):
                break
            if not complete:
                options.deadline.check()
                if dog.barks(*run.work):
                    why = WHY
                    break
        run.require_observed()
        if complete and options.interval_level is not None:
            run.settle_interval(options.interval_level, progress)
            bounds = run.bounds()
    except Stopped:  # a step that was cut short may have lost cells; what was known before it is true
        complete, why, after = False, INTERRUPTED, Deadline.after(GRACE)
        inside, undecided = run.known
    except TimeUp:  # the same; where the p-value is known, only its interval is longer
        why = None if complete else TIME_OVER
        inside, undecided = run.known
    else:
        inside, undecided = run.sets()
    p_value = bounds[1]
    try:
        blur = ends_of(inside, undecided, run.blurred, task, examiner, after)
    except TimeUp:  # nothing is known for certain
        complete, why, p_value = False, why or TIME_OVER, 1.0
        inside, undecided, blur = Intervals.empty(), Intervals.line(), Intervals.empty()
    bounds = run.true_bounds(inside, undecided, blur)
    if complete and bounds[1] - bounds[0] > options.precision:
        complete, why = False, "rounding leaves the ends of the truncation set that uncertain"
    return Search(
        inside,
        undecided,
        bounds,
        time.perf_counter() - run.started,
        run.operations / max(1, program.cost),
        examiner.pieces,
        sum(run.fates.values()),
        {fate: run.fates[fate] for fate in FATES},
        examiner.tally.peak_bytes,
        complete,
        p_value,
        blur,
        why,
    )
