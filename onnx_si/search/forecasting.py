"""What a search by brackets will cost, before it is made: by counted work, and by a few cells of the line.

The cells lie where the line's null law does, never around the statistic: a forecast is the same for every
image of a line, so that what is decided by it (which engine answers) tells nothing of where on the line the
observed image is. Seconds are counted work times rates that were measured once, on one core of a usual
machine: no clock is looked at, so that the same line gives the same forecast however busy a machine is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onnx_si.domains.domain import Bracket, Bracketing
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally
from onnx_si.program.program import Program
from onnx_si.search.bracketing import batch_of
from onnx_si.search.found import SearchOptions
from onnx_si.search.loop import require_room
from onnx_si.search.tuning import Costs, Tuning
from onnx_si.statistics.line import ImageLine


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """`cells` that a search is expected to examine (infinite: more than a limit), at so many seconds each.

    Cells in finer numbers count as several. `rounding` is the share of the largest margin that it leaves
    open in the narrowest cells, and `too_coarse` that this is too much, however many cells there are.
    """

    cells: float
    seconds_a_cell: float
    rounding: float = 0.0
    too_coarse: bool = False

    @property
    def seconds(self) -> float:
        return self.cells * self.seconds_a_cell


def seconds_a_cell(asked: Bracketing, program: Program, costs: Costs, tuning: Tuning) -> float:
    """What one cell of a prepared program takes; the cells of a batch share the calls of rules."""
    numbers = sum(math.prod(step.shape) for step in program.instructions)
    calls = len(program.instructions) / batch_of(asked, program, tuning)
    once = costs.product * program.cost + costs.number * numbers + costs.rule * calls
    return asked.cost.passes * once


def least_cost(asked: Bracketing, program: Program, how: SearchOptions) -> Forecast:
    """What a search costs at least, whatever the image is.

    Raises
    ------
    UnsupportedModel
        If the smallest step does not fit into memory.
    """
    require_room(program, round(asked.cost.passes) + 1)
    each = seconds_a_cell(asked, program, how.costs, how.tuning)
    return Forecast(cells=_for_ends(how) + how.tuning.span, seconds_a_cell=each)


def _for_ends(how: SearchOptions) -> float:
    """Cells that the ends of S take, those of what is asked beside the p-value among them."""
    more = how.interval_level is not None or how.tipping_at is not None
    return how.tuning.interval_ends if more else how.tuning.ends


def forecast(asked: Bracketing, task: Task, limit: float, how: SearchOptions) -> Forecast:
    """What a search will cost, by cells at places that do not depend on where the image is on its line.

    Parameters
    ----------
    asked : Bracketing
    task : Task
        Of a prepared program.
    limit : float
        Seconds beyond which no more is to be known. Trying cells costs a small share of that.
    how : SearchOptions
        What it is asked for.
    """
    costs, tuning = how.costs, how.tuning
    each, ends = seconds_a_cell(asked, task.program, costs, tuning), _for_ends(how)
    if _densest(limit / each - ends, tuning) < 1:
        return Forecast(cells=math.inf, seconds_a_cell=each)
    rounding = _rounding(asked, task, tuning)
    if not rounding <= tuning.most_left and asked.finer is not None:
        fine = tuning.fine * seconds_a_cell(asked.finer, task.program, costs, tuning) / each
        ends += tuning.fine_ends * fine
        if _densest(limit / each - ends, tuning) < 1:
            return Forecast(cells=math.inf, seconds_a_cell=each)
        rounding = _rounding(asked.finer, task, tuning)
    if not rounding <= tuning.most_left:
        return Forecast(cells=math.inf, seconds_a_cell=each, rounding=rounding, too_coarse=True)
    most = _densest(limit / each - ends, tuning)
    left, dense, per_error = places(task.line, tuning), list[float](), 1.0
    while left and per_error <= most:
        half = 0.5 * task.line.standard_error / per_error
        found = _tried(asked, task, [(at - half, at + half) for at in left], tuning)
        settled = [_settled(bracket, 2 * half, tuning) for bracket in found]
        dense += [per_error] * sum(settled)
        left = [at for at, done in zip(left, settled, strict=True) if not done]
        per_error *= tuning.narrower
    if left:
        return Forecast(cells=math.inf, seconds_a_cell=each, rounding=rounding)
    mean = sum(dense) / len(dense)
    cells = ends + tuning.span * (1 + tuning.nearer * (mean - 1))
    return Forecast(cells=cells, seconds_a_cell=each, rounding=rounding)


def _densest(cells: float, tuning: Tuning) -> float:
    """How many cells a standard error may take if so many are left for all of the line."""
    return 1 + (cells / tuning.span - 1) / tuning.nearer


def places(line: ImageLine, tuning: Tuning) -> list[float]:
    """Where cells are tried: around the null law's middle, which is not 0 if the statistic is a length."""
    se = line.standard_error
    if line.dimension_is_the_images:
        return [se * place for place in tuning.places]
    middle = math.sqrt(line.degrees_of_freedom or 1)
    return [se * middle * (1 + place / 4) for place in tuning.places]


def _rounding(asked: Bracketing, task: Task, tuning: Tuning) -> float:
    """What rounding leaves open: the least of a few places, as a bend may be at one."""
    half = 0.5 * tuning.narrow * task.line.standard_error
    ends = [(at - half, at + half) for at in places(task.line, tuning)[: tuning.narrow_places]]
    return min(bracket.remainder for bracket in _tried(asked, task, ends, tuning))


def _tried(
    asked: Bracketing, task: Task, ends: Sequence[tuple[float, float]], tuning: Tuning
) -> list[Bracket]:
    together, tally, found = batch_of(asked, task.program, tuning), Tally(), list[Bracket]()
    for start in range(0, len(ends), together):
        found += asked.bracket(task, ends[start : start + together], tally)
    return found


def _settled(bracket: Bracket, width: float, tuning: Tuning) -> bool:
    """Whether a search would count the cell as a success."""
    return sum(high - low for low, high in bracket.open) <= tuning.narrowed * width
