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
from onnx_si.search.bracketing import NARROWED, batch_of
from onnx_si.search.loop import require_room
from onnx_si.search.tuning import Tuning
from onnx_si.statistics.line import ImageLine

SECONDS_A_PRODUCT, SECONDS_A_NUMBER, SECONDS_A_RULE = 2.5e-10, 2.5e-8, 3e-5
"""Of one evaluation at a point: for each multiply-add, each number that is made, each rule."""

ENDS = 120.0  # cells that the ends of S take, wherever they are
FINE_ENDS = 24.0  # cells there that finer numbers take besides, where rounding asks for these
FINE = 2.0  # times as long as by its counted work takes a cell in finer numbers, which no fast library knows
SPAN = 16.0  # standard errors of the line that have to be settled, by cells as wide as those that were tried
NEARER = 6.0  # times as many cells take the surroundings of S as the rest, where cells have to be narrow
PLACES = (0.0, -1.0, 1.0, -2.0, 2.0)  # standard errors from the middle of the null law
NARROWER = 4.0  # times, of the cells that are tried next
NARROW = 2.0**-12  # standard errors: in such a cell nothing but rounding is left of a remainder
NARROW_PLACES = 3  # where such cells are tried
MOST_LEFT = 3e-6  # of the largest margin: with more, too many images are as near as that to another region


@dataclass(frozen=True)
class Forecast:
    """`cells` that a search is expected to examine (infinite: more than a limit), at so many seconds each.

    Cells in finer numbers count as several. `rounding` is the share of the largest margin that it leaves
    open in the narrowest cells.
    """

    cells: float
    seconds_a_cell: float
    rounding: float = 0.0

    @property
    def too_coarse(self) -> bool:
        """Whether rounding alone leaves too much open, however many cells there are."""
        return not self.rounding <= MOST_LEFT

    @property
    def seconds(self) -> float:
        return self.cells * self.seconds_a_cell


def seconds_a_cell(asked: Bracketing, program: Program) -> float:
    """What one cell of a prepared program takes."""
    numbers = sum(math.prod(step.shape) for step in program.instructions)
    rules = len(program.instructions)
    once = SECONDS_A_PRODUCT * program.cost + SECONDS_A_NUMBER * numbers + SECONDS_A_RULE * rules
    return asked.cost.passes * once


def least_cost(asked: Bracketing, program: Program) -> Forecast:
    """What a search costs at least, whatever the image is.

    Raises
    ------
    UnsupportedModel
        If the smallest step does not fit into memory.
    """
    require_room(program, round(asked.cost.passes) + 1)
    return Forecast(ENDS + SPAN, seconds_a_cell(asked, program))


def forecast(asked: Bracketing, task: Task, limit: float, tuning: Tuning) -> Forecast:
    """What a search will cost, by cells at places that do not depend on where the image is on its line.

    Parameters
    ----------
    asked : Bracketing
    task : Task
        Of a prepared program.
    limit : float
        Seconds beyond which no more is to be known. Trying cells costs a small share of that.
    """
    each, ends = seconds_a_cell(asked, task.program), ENDS
    if _densest(limit / each - ends) < 1:
        return Forecast(math.inf, each)
    rounding = _rounding(asked, task, tuning)
    if not rounding <= MOST_LEFT and asked.finer is not None:
        ends += FINE_ENDS * FINE * seconds_a_cell(asked.finer, task.program) / each
        if _densest(limit / each - ends) < 1:
            return Forecast(math.inf, each)
        rounding = _rounding(asked.finer, task, tuning)
    if not rounding <= MOST_LEFT:
        return Forecast(math.inf, each, rounding)
    most = _densest(limit / each - ends)
    left, dense, per_error = places(task.line), list[float](), 1.0
    while left and per_error <= most:
        half = 0.5 * task.line.standard_error / per_error
        found = _tried(asked, task, [(at - half, at + half) for at in left], tuning)
        settled = [_settled(bracket, 2 * half) for bracket in found]
        dense += [per_error] * sum(settled)
        left = [at for at, done in zip(left, settled, strict=True) if not done]
        per_error *= NARROWER
    if left:
        return Forecast(math.inf, each, rounding)
    mean = sum(dense) / len(dense)
    return Forecast(ends + SPAN * (1 + NEARER * (mean - 1)), each, rounding)


def _densest(cells: float) -> float:
    """How many cells a standard error may take if so many are left for all of the line."""
    return 1 + (cells / SPAN - 1) / NEARER


def places(line: ImageLine) -> list[float]:
    """Where cells are tried: around the null law's middle, which is not 0 if the statistic is a length."""
    se = line.standard_error
    if line.dimension_is_the_images:
        return [se * place for place in PLACES]
    middle = math.sqrt(line.degrees_of_freedom or 1)
    return [se * middle * (1 + place / 4) for place in PLACES]


def _rounding(asked: Bracketing, task: Task, tuning: Tuning) -> float:
    """What rounding leaves open: the least of a few places, as a bend may be at one."""
    half = 0.5 * NARROW * task.line.standard_error
    ends = [(at - half, at + half) for at in places(task.line)[:NARROW_PLACES]]
    return min(bracket.remainder for bracket in _tried(asked, task, ends, tuning))


def _tried(
    asked: Bracketing, task: Task, ends: Sequence[tuple[float, float]], tuning: Tuning
) -> list[Bracket]:
    together, tally, found = batch_of(asked, task.program, tuning), Tally(), list[Bracket]()
    for start in range(0, len(ends), together):
        found += asked.bracket(task, ends[start : start + together], tally)
    return found


def _settled(bracket: Bracket, width: float) -> bool:
    """Whether a search would count the cell as a success."""
    return sum(high - low for low, high in bracket.open) <= NARROWED * width
