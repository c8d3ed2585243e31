"""Search the line for the truncation set, the most probable cell first; p-value bounds are always true."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

from onnx_si.domains.event import RegionEvent
from onnx_si.domains.task import Task
from onnx_si.errors import Undefined, UnsupportedModel
from onnx_si.ground.budget import LEAST, budget, excess
from onnx_si.ground.deadline import GRACE, Deadline, TimeUp
from onnx_si.ground.intervals import Intervals
from onnx_si.program.program import Program
from onnx_si.search.books import Run
from onnx_si.search.ends import ends_of
from onnx_si.search.examine import Examiner
from onnx_si.search.found import FATES, Progress, Search, SearchOptions
from onnx_si.search.frontier import Frontier
from onnx_si.search.leader import OverLeader, over_leader
from onnx_si.search.leaning import settle_tipping
from onnx_si.search.ledger import Ledger
from onnx_si.search.parts import Parts
from onnx_si.search.policy import NO_PARTS, Policy, first_width
from onnx_si.search.screen import Screen
from onnx_si.search.settling import settle_interval
from onnx_si.search.stop import TIME_OVER, Stopped
from onnx_si.search.stop import WHY as INTERRUPTED
from onnx_si.search.tuning import Tuning
from onnx_si.search.watchdog import WHY, Watchdog
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import decided

LEAST_POINTS = 3  # of a tensor, which the smallest step computes at the same time


def require_room(program: Program, points: int) -> None:
    """Refuse a program whose tensors do not fit into memory at as many points as the smallest step has."""
    why = excess(8 * points * max(program.held, default=math.prod(program.shape)))
    if why is not None:
        raise UnsupportedModel(f"the search does not fit: {why}; try a smaller image")


def room(options: SearchOptions) -> int:
    """Bytes that tensors may take together."""
    with budget() as whole:
        return min(options.budget_bytes, max(int(options.tuning.tensors * whole.left()), LEAST))


def _measured(task: Task, width: float, examiner: Examiner, tuning: Tuning) -> float:
    """The width of a first cell of a large network that holds as many knots as one step may follow, by how
    many units change their piece between its ends, if that is less.
    """
    line, cost = task.line, examiner.domains.resolving.cost
    half = 0.5 * width * line.standard_error
    try:
        count = examiner.changes(task, line.statistic - half, line.statistic + half)
    except Undefined:
        return width
    knots = max(1.0, (tuning.step_work / task.program.cost - cost.passes) / cost.per_knot)
    return float(width * min(1.0, knots / max(count, 1)))


def _leader(task: Task, parts: Parts, examiner: Examiner) -> OverLeader | None:
    """Whose value margins are taken over, where no part of the network is cheap otherwise."""
    if not task.event.local or task.program.cost < parts.tuning.relative:
        return None
    if _first_share(parts) <= parts.tuning.worthwhile:
        return None
    return over_leader(task, examiner.domains, examiner.tally)


def _first_share(parts: Parts) -> float:
    return next(iter(parts.shares))[1]


def search(
    program: Program,
    margin: str,
    line: ImageLine,
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
    line : ImageLine
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
    require_room(program, LEAST_POINTS)
    task, examiner = (
        Task(program=program, margin=margin, line=line, event=event),
        Examiner(domains=options.domains, budget_bytes=room(options), deadline=options.deadline),
    )
    costs, tuning = options.costs, options.tuning
    overhead = costs.per_call * len(program.instructions) / max(1, program.cost)
    largest = 8 * max((math.prod(step.shape) for step in program.instructions), default=1)
    width = first_width(program, overhead, options.domains.resolving.cost, tuning)
    first, together = max(tuning.first_width, width), 1
    if program.cost >= tuning.large:
        first = _measured(task, first, examiner, tuning)
        together = max(2, min(tuning.together, int(tuning.step_work / (tuning.few_knots * program.cost))))
    frontier = Frontier(line, event.pixels, first, tuning.far)
    parts = covers = Parts(task=task, domains=options.domains, tuning=tuning)
    leader = _leader(task, parts, examiner)
    if leader is not None:
        parts, covers = (replace(parts, task=cheap, made={}) for cheap in (leader.bounds, leader.equal))
    shares = parts.shares if event.local else NO_PARTS
    batch = max(1, min(tuning.batch, tuning.batch_bytes // largest))
    policy = Policy(
        domains=options.domains,
        overhead=overhead,
        batch=batch,
        shares=shares,
        share_of=covers.shares.of if event.local else None,
        settles=leader is None,
        costs=costs,
        tuning=tuning,
    )
    run = Run(
        task=task,
        options=options,
        examiner=examiner,
        frontier=frontier,
        policy=policy,
        parts=parts,
        covers=covers,
        leader=leader,
        together=together,
        screen=Screen(examiner=examiner, policy=policy, whole_cost=program.cost),
        covering=Screen(examiner=examiner, policy=policy, whole_cost=program.cost),
    )
    return carried_out(run, progress)


def carried_out(run: Ledger, progress: Callable[[Progress], None] | None = None) -> Search:
    """Make steps until the bounds are as close as they are wanted, or nothing or no time is left."""
    task, options, examiner = run.task, run.options, run.examiner
    line, program, tuning = task.line, task.program, options.tuning
    bounds, complete, why = (0.0, 1.0), False, None
    after = options.deadline.later(tuning.for_ends)
    dog = Watchdog(left=lambda: line.distribution.log_mass(run.sets()[1]), tuning=tuning)
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
        paid = run.operations
        if complete and options.interval_level is not None:
            settle_interval(run, options.interval_level, progress)
            bounds = run.bounds()
        if complete and options.tipping_at is not None:
            settle_tipping(run, options.tipping_at, run.operations + tuning.tipping_share * paid, progress)
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
        blur = ends_of(inside, undecided, run.ends_known(inside), task, examiner, after, tuning)
    except TimeUp:  # nothing is known for certain
        complete, why, p_value = False, why or TIME_OVER, 1.0
        inside, undecided, blur = Intervals.empty(), Intervals.line(), Intervals.empty()
    bounds = run.true_bounds(inside, undecided, blur)
    if complete and bounds[1] - bounds[0] > options.precision:
        complete, why = False, "rounding leaves the ends of the truncation set that uncertain"
    return Search(
        inside=inside,
        undecided=undecided,
        p_value_bounds=bounds,
        seconds=time.perf_counter() - run.started,
        forward_passes=run.operations / max(1, program.cost),
        pieces=examiner.pieces,
        cells=sum(run.fates.values()),
        fates={fate: run.fates[fate] for fate in FATES},
        peak_bytes=examiner.tally.peak_bytes,
        complete=complete,
        p_value=p_value,
        blur=blur,
        why=why,
    )
