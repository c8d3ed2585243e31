"""A simulation that was interrupted: the trials that were finished by then."""

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from onnx_si.ground.words import so_many
from onnx_si.simulation.detectable import Detectable
from onnx_si.simulation.kept_trials import Journal
from onnx_si.simulation.trial import Outcome

if TYPE_CHECKING:
    from onnx_si.simulation.experiment import Simulation


class Interrupted(KeyboardInterrupt):
    """What `simulate` raises where Ctrl-C ends it: `simulation` has the trials that were finished."""

    def __init__(self, simulation: "Simulation"):
        super().__init__("interrupted")
        self.simulation = simulation


def finished(journal: Journal, signals: Iterable[float] | None, most: int | None) -> tuple[Outcome, ...]:
    """The trials under these signals, or under all, that are finished with all before them; at most so many
    under each.

    Which of those under way are finished first depends on what they find, which must not choose them.
    """
    wanted = sorted({signal for signal, _ in journal.done}) if signals is None else signals
    return tuple(outcome for signal in wanted for outcome in itertools.islice(_first(journal, signal), most))


def _first(journal: Journal, signal: float) -> Iterator[Outcome]:
    numbers = itertools.takewhile(lambda trial: (signal, trial) in journal.done, itertools.count())
    return (journal.done[signal, trial] for trial in numbers)


def told(count: int, wanted: int | None, resume: str | None) -> str:
    """How many trials there are, and what goes on from them."""
    of = "" if wanted is None else f" of {wanted}"
    goes_on = "--resume FILE keeps trials to go on from" if resume is None else "the same command goes on"
    return f"it was interrupted: what follows is of the first {so_many(count, 'trial')}{of}; {goes_on}"


def not_found(power: float) -> Detectable:
    """In place of a signal that was still looked for."""
    reason = "it was interrupted before the smallest signal was found"
    return Detectable(power=power, signal=None, below=None, low=None, high=None, reason=reason)
