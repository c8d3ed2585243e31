"""The work that the noise at which a decision turns takes beyond the p-value."""

import math
from collections.abc import Callable

from onnx_si.search.found import Progress
from onnx_si.search.ledger import Ledger
from onnx_si.search.watchdog import Watchdog
from onnx_si.statistics.tipping import REACH, Tipping, decision, tipping
from onnx_si.statistics.truncated.scales import Scales, scaled


def settle_tipping(
    run: Ledger, alpha: float, allowed: float, progress: Callable[[Progress], None] | None
) -> None:
    """Examine what hides the size of the noise at which the decision at alpha turns: the cells that are
    probable where the noise is as large as that may be.

    Parameters
    ----------
    run : Ledger
        With the p-value settled.
    alpha : float
    allowed : float
        Multiply-adds, of all that the run has counted, after which it ends.
    progress : callable, optional
        Called after every step.
    """
    tuning = run.options.tuning
    step, within = math.log(tuning.first_lean), tuning.tipping_within
    run.known = run.sets()
    before = -1
    while before < run.operations < allowed:  # what is known at a point need not be proven around it
        before, found = run.operations, tipping(_scales(run), alpha, tuning.tipping_roughly)
        factor = None if found is None else _next(found, step, within)
        if factor is None or not _decided_at(run, factor, alpha, allowed, progress):
            return
        step *= 2


def _scales(run: Ledger) -> Scales:
    """The p-value at all sizes by what is known now."""
    line, (inside, undecided) = run.task.line, run.known
    return Scales(
        law=line.distribution,
        inside=inside,
        undecided=undecided,
        statistic=line.statistic,
        alternative=run.options.alternative,
    )


def _next(found: Tipping, step: float, within: float) -> float | None:
    """A factor at which the decision is not known, on the side where it may turn first; None where nothing is
    left to ask.
    """
    sides = [(abs(math.log(end)), sign) for end, sign in zip(found.holds, (-1, 1), strict=True)]
    held, sign = min(sides)
    turned = found.turned[sign > 0]
    if turned is not None:
        gap = abs(math.log(turned)) - held
        return None if gap <= within else math.exp(sign * (held + 0.5 * gap))
    return math.exp(sign * (held + step)) if held + step < math.log(REACH) else None


def _decided_at(
    run: Ledger, factor: float, alpha: float, allowed: float, progress: Callable[[Progress], None] | None
) -> bool:
    """Work until the decision at this size of the noise is certain; False where it does not come to that."""
    law = scaled(run.task.line.distribution, factor)
    if law is None:
        return False
    run.frontier.reorder(law)
    dog = Watchdog(left=lambda: law.log_mass(run.known[1]), tuning=run.options.tuning)
    while decision(_scales(run).at(factor), alpha) is None:
        if run.operations >= allowed or not run.options.stop.during(run.step) or dog.barks(*run.work):
            return False
        run.options.deadline.check()
        run.known = run.sets()
        if progress is not None:
            progress(run.look())
    return True
