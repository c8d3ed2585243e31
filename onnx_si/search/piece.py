"""The one piece around the observed statistic: over-conditioning."""

from onnx_si.domains.event import RegionEvent
from onnx_si.domains.task import Task
from onnx_si.ground.intervals import Intervals
from onnx_si.program.program import Program
from onnx_si.search.found import SearchOptions
from onnx_si.statistics.line import ImageLine


def linear_piece(
    program: Program, margin: str, line: ImageLine, event: RegionEvent, options: SearchOptions
) -> Intervals:
    """The part of S on the one piece around the statistic, as the domain tells it that resolves cells.

    Raises
    ------
    UnsupportedModel
        If there are too many pieces beside it, or whole numbers leave their type's range on it.
    """
    task = Task(program=program, margin=margin, line=line, event=event)
    reach = options.tuning.far * line.standard_error
    return options.domains.resolving.piece(task, reach, options.budget_bytes)
