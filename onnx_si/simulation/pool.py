"""Trials on many cores; which of them are done, and in which order, changes no number."""

import contextlib
from collections.abc import Callable, Generator, Sequence

from onnx_si.errors import NothingToTest, UsageError
from onnx_si.ground.budget import budget, share_of
from onnx_si.ground.deaf import deaf_children
from onnx_si.ground.machine import cores, one_core
from onnx_si.ground.wall import ceiling
from onnx_si.simulation.kept_trials import Journal
from onnx_si.simulation.plan import Plan
from onnx_si.simulation.trial import Outcome, run_trial

Advance = Callable[[int, int], None]  # finished, wanted

FEWEST_TESTED = 1e-3  # share of draws with a region below which redrawing is given up
FIRST_LOOK = 1000  # draws before that is judged


def run_trials(
    trials: int, plan: Plan, signals: Sequence[float], journal: Journal, jobs: int, advance: Advance
) -> tuple[Outcome, ...]:
    """A fixed number of draws under each signal.

    Parameters
    ----------
    trials : int
        Draws for each signal.
    plan : Plan
    signals : sequence of float
    journal : Journal
        Holds what is done already, and takes what gets done.
    jobs : int
        Processes; -1: one for each core.
    advance : callable
        Told how many are finished, of how many.

    Returns
    -------
    tuple of Outcome
        By signal and number.
    """
    wanted = [(signal, trial) for signal in signals for trial in range(trials)]
    _complete(plan, wanted, journal, jobs, advance)
    return tuple(journal.done[key] for key in wanted)


def run_until_tested(
    tested: int, plan: Plan, signals: Sequence[float], journal: Journal, jobs: int, advance: Advance
) -> tuple[Outcome, ...]:
    """The first draws under each signal up to the one that makes `tested` tests.

    Raises
    ------
    NothingToTest
        If fewer than `FEWEST_TESTED` of the draws have a region.
    """
    return tuple(
        outcome for signal in signals for outcome in _until(plan, signal, tested, journal, jobs, advance)
    )


def _until(
    plan: Plan, signal: float, tested: int, journal: Journal, jobs: int, advance: Advance
) -> list[Outcome]:
    drawn, found = 0, 0
    while found < tested:
        share = (found + 1) / (drawn + 1)
        drawn += max(1, min(round((tested - found) / share), 10 * tested))
        _complete(plan, [(signal, trial) for trial in range(drawn)], journal, jobs, advance)
        found = sum(journal.done[signal, trial].tested for trial in range(drawn))
        if drawn >= FIRST_LOOK and found < FEWEST_TESTED * drawn:
            raise NothingToTest(
                f"{found} of {drawn} draws with signal {signal:g} have a region to test; choose another "
                "--threshold or --saliency, or --trials without --tested"
            )
    outcomes, counted = [], 0
    for trial in range(drawn):
        outcomes.append(journal.done[signal, trial])
        counted += outcomes[-1].tested
        if counted == tested:
            break
    return outcomes


def _complete(
    plan: Plan, wanted: Sequence[tuple[float, int]], journal: Journal, jobs: int, advance: Advance
) -> None:
    missing = [key for key in wanted if key not in journal.done]
    finished = len(wanted) - len(missing)
    advance(finished, len(wanted))
    with contextlib.closing(_outcomes(plan, missing, jobs)) as outcomes:
        for outcome in outcomes:
            journal.add(outcome)
            finished += 1
            advance(finished, len(wanted))


def _outcomes(plan: Plan, keys: Sequence[tuple[float, int]], jobs: int) -> Generator[Outcome]:
    """As they finish."""
    count = min(workers(jobs), len(keys))
    if count == 1 or len(keys) <= 1:
        yield from (run_trial(plan, signal, trial) for signal, trial in keys)
        return
    from joblib import Parallel, delayed  # takes long to import, and few imports of this package simulate

    pool = Parallel(n_jobs=count, return_as="generator_unordered")
    with budget() as whole:
        each, most = share_of(count), whole.wall // count
    jobs_ = (delayed(_beside_others)(plan, signal, trial, each, most) for signal, trial in keys)
    with deaf_children():
        begun = pool(jobs_)
    with contextlib.closing(begun) as found:
        yield from found


def _beside_others(plan: Plan, signal: float, trial: int, memory: int, most: int) -> Outcome:
    """In a worker: a trial that leaves the other cores, and their memory, to the other workers."""
    with one_core(), budget(memory), ceiling(most):
        return run_trial(plan, signal, trial)


def workers(jobs: int) -> int:
    """How many processes a number of jobs means; -1: one for each core that this process may use, and more
    than these only wait for each other.
    """
    if jobs == -1:
        return cores()
    if jobs < 1:
        raise UsageError(f"jobs {jobs}; give at least 1, or -1 for all cores")
    return min(jobs, cores())
