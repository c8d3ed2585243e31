"""The work that a confidence interval takes beyond the p-value."""

import math
from collections.abc import Callable

from onnx_si.ground.intervals import Intervals
from onnx_si.search.found import Progress
from onnx_si.search.ledger import Ledger
from onnx_si.search.watchdog import Watchdog
from onnx_si.statistics.truncated import Normal, likely_ends

Ends = tuple[float, float]


def settle_interval(run: Ledger, level: float, progress: Callable[[Progress], None] | None) -> None:
    """Examine what still moves the confidence interval: the cells that are probable if the mean is at
    one of its ends.

    Where S ends on both sides of the statistic, the farthest place where each end may be is taken at once.
    Else the nearest possible one is: what lies beyond matters only if S turns out not to go on next to the
    statistic. It moves outwards while S is completed; where that takes long, in larger steps.
    """
    tuning = run.options.tuning
    allowed = 2 * run.operations + tuning.interval_passes * run.task.program.cost
    for number in range(tuning.interval_rounds):
        inside, undecided = run.sets()
        before = run.operations
        if _is_known(inside, undecided, run.task.line.statistic):
            far = _ends(run, level, farthest=True)
            aims = _within(far, undecided, run)
            settled = _settle_each(run, aims, allowed, progress)
            if (settled or aims == far) and _is_the_same(inside, run.sets()[0]):
                _settle_each(run, _nearer(aims, run), allowed, progress)
                return
            continue
        near = _ends(run, level)
        if _settle_each(run, near, allowed, progress):
            return
        if number >= tuning.small_steps and run.operations > before:
            _settle_each(run, _ahead(run, near, level), allowed, progress)


def _settle_each(run: Ledger, means: Ends, allowed: int, progress: Callable[[Progress], None] | None) -> bool:
    """Settle S for each mean that is finite, the nearest first, which takes least; True where nothing had to
    be done.
    """
    line = run.task.line
    nearest_first = sorted(means, key=lambda mean: abs(mean - line.statistic))
    laws = [Normal(mean, line.standard_error) for mean in nearest_first if math.isfinite(mean)]
    settled = [_settle(run, law, allowed, progress) for law in laws]
    return all(settled)


def _ends(run: Ledger, level: float, *, farthest: bool = False) -> Ends:
    """The nearest, or the farthest, place where each end of the interval may be."""
    line = run.task.line
    return likely_ends(
        *run.sets(),
        line.statistic,
        line.standard_error,
        level,
        # the estimate needs both sides of the statistic where a one-sided interval has no end
        absolute=run.options.alternative == "two-sided-abs",
        tolerance=run.options.tuning.roughly,
        farthest=farthest,
    )


def _is_known(inside: Intervals, undecided: Intervals, at: float) -> bool:
    """Whether the part of S that holds a place ends on both sides for certain."""
    low, high = inside.bounds.T
    around = inside.bounds[(low <= at) & (at <= high)].ravel().tolist()
    return bool(around) and not any(undecided.contains(end) for end in around)


def _within(far: Ends, undecided: Intervals, run: Ledger) -> Ends:
    """Places no farther from the statistic than a few times what is known there: beyond the next part of S
    nothing matters.
    """
    at, outlook = run.task.line.statistic, run.options.tuning.outlook
    low, high = undecided.bounds.T
    below, above = low[low > at].min(initial=math.inf) - at, at - high[high < at].max(initial=-math.inf)
    return max(far[0], at - outlook * above), min(far[1], at + outlook * below)


def _nearer(far: Ends, run: Ledger) -> Ends:
    """Places that are no farther out than the ends, if nothing that is open is of S."""
    at, share = run.task.line.statistic, run.options.tuning.nearest_end
    return at + share * (far[0] - at), at + share * (far[1] - at)


def _is_the_same(one: Intervals, other: Intervals) -> bool:
    return one.bounds.tobytes() == other.bounds.tobytes()


def _ahead(run: Ledger, near: Ends, level: float) -> Ends:
    """Places ahead of the nearest ones, as far as an end may be."""
    at, far, leap = run.task.line.statistic, _ends(run, level, farthest=True), run.options.tuning.leap
    low, high = (at + leap * (end - at) for end in near)
    return max(low, far[0]), min(high, far[1])


def _settle(
    run: Ledger, distribution: Normal, allowed: int, progress: Callable[[Progress], None] | None
) -> bool:
    """Work until little that can be settled is undecided under a distribution; True where nothing had to be
    done.
    """
    run.frontier.reorder(distribution)
    tuning = run.options.tuning
    run.log_left = tuning.log_negligible
    dog, settled = Watchdog(left=lambda: distribution.log_mass(run.sets()[1]), tuning=tuning), True
    while run.operations < allowed:
        inside, undecided = run.known = run.sets()
        known = distribution.log_mass(inside)
        if distribution.log_mass(undecided) < known + tuning.log_negligible:
            return settled
        if run.frontier.log_within_reach() < known + tuning.log_nothing:
            return settled
        settled = False
        if not run.options.stop.during(run.step) or dog.barks(*run.work):
            return True
        run.options.deadline.check()
        if progress is not None:
            progress(run.look())
    return True
