"""The search of whoever brackets S in cells: what is open in one is looked at again in narrower ones."""

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


@dataclass(frozen=True, kw_only=True)
class Past:
    """What is known of a cell from the wider one that it is a part of: its remainder, and whether rounding is
    all that is left of that, so that finer numbers are needed; `failed` is its width, if it was too wide, and
    `lost` in how many looks in a row nothing was known of it, as where a jump of the network is.
    """

    remainder: float = math.inf
    fine: bool = False
    failed: float | None = None
    lost: int = 0


NO_PAST = Past()


@dataclass(kw_only=True)
class Asked:
    """Who gives brackets, how many cells are looked at together at most, and what came of it."""

    by: Bracketing
    batch: int
    chances: Chances = field(default_factory=lambda: Chances(harder=+1))


@dataclass(kw_only=True)
class Brackets(Ledger):
    """A search by brackets: `finer` is asked where `plain` leaves rounding alone, if there is one."""

    plain: Asked
    finer: Asked | None
    pasts: dict[tuple[float, float], Past] = field(default_factory=dict)

    def step(self) -> bool:
        """Examine the most probable cells; False when nothing is left, or so many cells are not allowed."""
        if sum(self.fates.values()) >= self.options.most_cells:
            return False
        batch, first, asked = list[Cell](), None, self.plain
        splits, tuning = 0, self.options.tuning
        while len(batch) < asked.batch and splits < tuning.most_splits:
            cell = self.frontier.pop()
            if cell is None:
                break
            first = first or cell
            past = self.pasts.get((cell.low, cell.high), NO_PAST)
            others = batch and self._for(past) is not asked
            if cell.priority > first.priority + tuning.comparable or others:
                self.frontier.push(cell, first=cell.priority == -np.inf)
                break
            if cell.width <= self._least(cell):
                self._leave(cell.low, cell.high)
            elif self._for(past).chances.of(cell.width) < tuning.likely:
                self._split(cell, self._past(cell))
                splits += 1
            else:
                asked = self._for(past)
                batch.append(cell)
        if batch:
            ends = [(cell.low, cell.high) for cell in batch]
            found = asked.by.bracket(self.task, ends, self.examiner.tally)
            for cell, bracket in zip(batch, found, strict=True):
                self._learn(cell, bracket)
        return first is not None

    def _for(self, past: Past) -> Asked:
        """Who is asked about a cell."""
        return self.finer if past.fine and self.finer is not None else self.plain

    def _past(self, cell: Cell) -> Past:
        """What was known of a cell, which is taken out of the books."""
        return self.pasts.pop((cell.low, cell.high), NO_PAST)

    def _least(self, cell: Cell) -> float:
        return LEAST_ULPS * float(np.spacing(max(abs(cell.low), abs(cell.high))))

    def _learn(self, cell: Cell, bracket: Bracket) -> None:
        """Take over what is certain; what is open goes back, in halves where that is most of the cell."""
        if bracket.inside:
            self.inside.append(np.array(bracket.inside))
        left, tuning = sum(high - low for low, high in bracket.open), self.options.tuning
        success = left <= tuning.narrowed * cell.width
        past = self._past(cell)
        # then nothing is gained by narrower cells; a large one may be what the range of a function allows
        rounding = tuning.small >= bracket.remainder > tuning.shrinks * past.remainder
        chances = self._for(past).chances
        if success or not rounding:
            chances.learn(cell.width, success)
        elif past.failed is not None:
            chances.forget(past.failed)  # it was not for its width
        self.fates["undecided" if bracket.open else "accepted" if bracket.inside else "discarded"] += 1
        lost = past.lost + 1 if math.isinf(bracket.remainder) else 0
        now = Past(
            remainder=bracket.remainder,
            fine=past.fine,
            failed=None if success else cell.width,
            lost=lost,
        )
        for low, high in bracket.open:
            part = replace(cell, low=low, high=high)
            if (rounding or lost >= tuning.often) and self.finer is not None and not past.fine:
                self._push(part, Past(fine=True))
            elif rounding and not success:
                self._leave(low, high)
            elif success:
                self._push(part, now)
            else:
                self._split(part, now)

    def _split(self, cell: Cell, past: Past) -> None:
        """Both halves."""
        if cell.low < cell.middle < cell.high:
            self._push(replace(cell, high=cell.middle), past)
            self._push(replace(cell, low=cell.middle), replace(past, failed=None))
            self.fates["split"] += 1
        else:
            self._leave(cell.low, cell.high)

    def _push(self, cell: Cell, past: Past) -> None:
        """Put a cell back; one that holds the statistic comes first."""
        self.pasts[cell.low, cell.high] = past
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
    tuning, finer = options.tuning, asked.finer
    examiner = Examiner(domains=options.domains, budget_bytes=room(options), deadline=options.deadline)
    run = Brackets(
        task=Task(program=program, margin=margin, line=line, event=event),
        options=options,
        examiner=examiner,
        frontier=Frontier(line, event.pixels, tuning.first_width, tuning.far),
        plain=Asked(by=asked, batch=batch_of(asked, program, tuning)),
        finer=None if finer is None else Asked(by=finer, batch=batch_of(finer, program, tuning)),
    )
    return carried_out(run, progress)
