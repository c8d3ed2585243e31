"""The search of whoever brackets S in cells: what is open in one is looked at again in narrower ones."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from onnx_si.domains.domain import Bracket, Bracketing
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.task import Task
from onnx_si.errors import UnsupportedModel
from onnx_si.ground.intervals import Intervals
from onnx_si.program.program import Program
from onnx_si.rules.rules import Array
from onnx_si.search.examine import Examiner
from onnx_si.search.found import Progress, Search, SearchOptions
from onnx_si.search.frontier import Cell, Frontier
from onnx_si.search.ledger import NOTHING, Ledger
from onnx_si.search.loop import carried_out, require_room, room
from onnx_si.search.policy import Chances
from onnx_si.search.tuning import Tuning
from onnx_si.statistics.line import ImageLine

LEAST_ULPS = 16  # a cell as narrow as this is left: rounding of its ends is all there is


@dataclass(kw_only=True)
class Brackets(Ledger):
    """A search by brackets.

    `asked` is who gives them, `batch` how many cells are looked at together at most.
    """

    asked: Bracketing
    batch: int
    chances: Chances = field(default_factory=lambda: Chances(harder=+1))
    remainders: dict[tuple[float, float], float] = field(default_factory=dict)

    def step(self) -> bool:
        """Examine the most probable cells; False when nothing is left, or so many cells are not allowed."""
        if sum(self.fates.values()) >= self.options.most_cells:
            return False
        batch, first = list[Cell](), None
        splits, tuning = 0, self.options.tuning
        while len(batch) < self.batch and splits < tuning.most_splits:
            cell = self.frontier.pop()
            if cell is None:
                break
            first = first or cell
            if cell.priority > first.priority + tuning.comparable:
                self.frontier.push(cell, first=cell.priority == -np.inf)
                break
            if cell.width <= self._least(cell):
                self._leave(cell.low, cell.high)
            elif self.chances.of(cell.width) < tuning.likely:
                self._split(cell, self.remainders.pop((cell.low, cell.high), math.inf))
                splits += 1
            else:
                batch.append(cell)
        if batch:
            ends = [(cell.low, cell.high) for cell in batch]
            found = self.asked.bracket(self.task, ends, self.examiner.tally)
            for cell, bracket in zip(batch, found, strict=True):
                self._learn(cell, bracket)
        return first is not None

    def _least(self, cell: Cell) -> float:
        return LEAST_ULPS * float(np.spacing(max(abs(cell.low), abs(cell.high))))

    def _learn(self, cell: Cell, bracket: Bracket) -> None:
        """Take over what is certain; what is open goes back, in halves where that is most of the cell."""
        if bracket.inside:
            self.inside.append(np.array(bracket.inside))
        left, tuning = sum(high - low for low, high in bracket.open), self.options.tuning
        success = left <= tuning.narrowed * cell.width
        before = self.remainders.pop((cell.low, cell.high), math.inf)
        # then nothing is gained by narrower cells; a large one may be what the range of a function allows
        rounding = tuning.small >= bracket.remainder > tuning.shrinks * before
        self.chances.learn(cell.width, success)
        self.fates["undecided" if bracket.open else "accepted" if bracket.inside else "discarded"] += 1
        for low, high in bracket.open:
            part = replace(cell, low=low, high=high)
            if rounding and not success:
                self._leave(low, high)
            elif success:
                self._push(part, bracket.remainder)
            else:
                self._split(part, bracket.remainder)

    def _split(self, cell: Cell, remainder: float = math.inf) -> None:
        """Both halves."""
        if cell.low < cell.middle < cell.high:
            for low, high in itertools.pairwise((cell.low, cell.middle, cell.high)):
                self._push(replace(cell, low=low, high=high), remainder)
            self.fates["split"] += 1
        else:
            self._leave(cell.low, cell.high)

    def _push(self, cell: Cell, remainder: float) -> None:
        """Put a cell back; one that holds the statistic comes first."""
        self.remainders[cell.low, cell.high] = remainder
        at = self.task.line.statistic
        self.frontier.push(cell, first=cell.low <= at <= cell.high)

    def _leave(self, low: float, high: float) -> None:
        """A stretch that no narrower cell settles."""
        self.unclear.append(np.array([[low, high]]))
        if low <= self.task.line.statistic <= high:
            self.require_observed()

    def require_observed(self) -> None:
        """Refuse where nothing can be proven at the statistic itself, however narrow the cell."""
        if Intervals.of(np.concatenate([NOTHING, *self.unclear])).contains(self.task.line.statistic):
            raise UnsupportedModel(
                "what rounding may do, as far as it can be bounded, is more than the distance of the image "
                "from another region: the network is too deep for proven bounds, or the region is on "
                "an edge; --engine monte-carlo asks the runtime alone"
            )

    def _found(self) -> tuple[Intervals, Array]:
        return Intervals.of(np.concatenate([NOTHING, *self.inside])), NOTHING

    def ends_known(self, inside: Intervals) -> list[Array]:
        """All ends, where they were found: how far they may lie from there is undecided."""
        ends = inside.bounds[np.isfinite(inside.bounds)]
        return [np.stack([np.nextafter(ends, -np.inf), np.nextafter(ends, np.inf)], axis=1)]


def batch_of(asked: Bracketing, program: Program, tuning: Tuning) -> int:
    """How many cells are looked at together: their largest tensors shall not be too large for a cache."""
    largest = max((math.prod(step.shape) for step in program.instructions), default=1)
    fitting = tuning.caches * tuning.batch_bytes // (8 * largest * round(asked.cost.passes))
    return max(1, min(tuning.batch, fitting))


def bracketed(
    asked: Bracketing,
    program: Program,
    margin: str,
    line: ImageLine,
    event: RegionEvent,
    options: SearchOptions,
    progress: Callable[[Progress], None] | None = None,
) -> Search:
    """Find S as far as the p-value needs it, by brackets.

    Parameters
    ----------
    asked : Bracketing
    program, margin, line, event, options, progress
        As for `search`.

    Raises
    ------
    UnsupportedModel
        If values must stay equal for the event to hold, nothing but rounding decides the region where it was
        observed, or the smallest step does not fit into memory.
    """
    if event.tied is not None:
        raise UnsupportedModel(
            "the share of pixels is cut between equal values, of which no bound can tell whether they stay "
            "equal; choose another threshold"
        )
    require_room(program, round(asked.cost.passes) + 1)
    tuning = options.tuning
    examiner = Examiner(domains=options.domains, budget_bytes=room(options), deadline=options.deadline)
    run = Brackets(
        task=Task(program=program, margin=margin, line=line, event=event),
        options=options,
        examiner=examiner,
        frontier=Frontier(line, event.pixels, tuning.first_width, tuning.far),
        asked=asked,
        batch=batch_of(asked, program, tuning),
    )
    return carried_out(run, progress)
