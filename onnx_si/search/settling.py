"""The work that a confidence interval takes beyond the p-value."""

import math
from collections.abc import Callable

from onnx_si.search.found import Progress
from onnx_si.search.ledger import Ledger
from onnx_si.search.watchdog import Watchdog
from onnx_si.statistics.truncated import Normal, interval_bounds, likely_ends


def settle_interval(run: Ledger, level: float, progress: Callable[[Progress], None] | None) -> None:
    """Examine what still moves the confidence interval: the cells that are probable if the mean is at
    one of its ends.

    Of each end the nearest possible place is taken: what lies beyond matters only if S turns out not to go
    on next to the statistic. It moves outwards while S is completed; where that takes long, in larger steps.
    """
    line, tuning = run.task.line, run.options.tuning
    allowed = 2 * run.operations + tuning.interval_passes * run.task.program.cost
    for number in range(tuning.interval_rounds):
        settled = True
        for near, far in _ends(run, level):
            if not math.isfinite(near):
                continue
            before = run.operations
            settled &= _settle(run, Normal(near, line.standard_error), allowed, progress)
            ahead = line.statistic + tuning.leap * (near - line.statistic)
            if number >= tuning.small_steps and run.operations > before:
                ahead = max(ahead, far) if near < line.statistic else min(ahead, far)
                _settle(run, Normal(ahead, line.standard_error), allowed, progress)
        if settled:
            return


def _ends(run: Ledger, level: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """The nearest and the farthest place where each end of the interval may be."""
    line = run.task.line
    known = (*run.sets(), line.statistic, line.standard_error, level)
    if run.options.alternative == "two-sided-abs":
        lower, upper = likely_ends(*known, run.options.tuning.roughly)
    else:  # the estimate needs both sides of the statistic where a one-sided interval has no end
        lower, upper = interval_bounds(*known, "two-sided")
    return (lower[1], lower[0]), upper


def _settle(
    run: Ledger, distribution: Normal, allowed: int, progress: Callable[[Progress], None] | None
) -> bool:
    """Work until little is undecided under a distribution; True where nothing had to be done."""
    run.frontier.reorder(distribution)
    tuning = run.options.tuning
    dog, settled = Watchdog(left=lambda: distribution.log_mass(run.sets()[1]), tuning=tuning), True
    while run.operations < allowed:
        inside, undecided = run.known = run.sets()
        if distribution.log_mass(undecided) < distribution.log_mass(inside) + tuning.log_negligible:
            return settled
        settled = False
        if not run.options.stop.during(run.step) or dog.barks(*run.work):
            return True
        run.options.deadline.check()
        if progress is not None:
            progress(run.look())
    return True
