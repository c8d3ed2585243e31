"""The work that a confidence interval takes beyond the p-value."""

import math
from collections.abc import Callable

from onnx_si.ground.intervals import Intervals
from onnx_si.search.found import Progress
from onnx_si.search.ledger import Ledger
from onnx_si.search.watchdog import Watchdog
from onnx_si.statistics.truncated import Alternative, Normal, confidence_interval


def settle_interval(run: Ledger, level: float, progress: Callable[[Progress], None] | None) -> None:
    """Examine what still moves the confidence interval: the cells that are probable if the mean is at
    one of its ends.
    """
    at, se, tuning = run.task.line.statistic, run.task.line.standard_error, run.options.tuning
    # The estimate needs both sides of the statistic where a one-sided interval has no end.
    two_sided = run.options.alternative == "two-sided-abs"
    asked: Alternative = "two-sided-abs" if two_sided else "two-sided"
    allowed = 2 * run.operations + tuning.interval_passes * run.task.program.cost
    for _ in range(tuning.interval_rounds):
        ends = confidence_interval(run.sets()[0], Intervals.empty(), at, se, level, asked, tuning.roughly)
        settled = True
        for end in filter(math.isfinite, ends):
            settled &= _settle(run, Normal(end, se), allowed, progress)
        if settled:
            return


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
