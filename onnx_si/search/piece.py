"""The one linear piece of the network around the observed statistic: over-conditioning."""

from onnx_si.domains.piecewise.exact import ExactDomain
from onnx_si.domains.piecewise.value import PiecewiseLinear, line_segment
from onnx_si.domains.walker import Tally, walk
from onnx_si.ground.intervals import Intervals
from onnx_si.program.program import Program
from onnx_si.search.event import RegionEvent
from onnx_si.search.examine import Task
from onnx_si.search.found import SearchOptions
from onnx_si.search.frontier import FAR
from onnx_si.statistics.line import TestLine


def linear_piece(
    program: Program, margin: str, line: TestLine, event: RegionEvent, options: SearchOptions
) -> Intervals:
    """The part of S on the one linear piece of the network around the observed statistic (over-conditioning).

    The cell around the statistic grows until the piece ends inside it, or reaches so far that its mass no
    longer counts.

    Source
    ------
    Duy and Takeuchi, "More powerful conditional selective inference", JMLR 23 (2022), section 2 (what they
    improve on).
    """
    task = Task(program, margin, line, event)
    at, domain = line.statistic, ExactDomain(options.budget_bytes, task.judge)
    width = line.standard_error / 16
    while True:
        low, high = at - width, at + width
        cell = line_segment(line.start, line.direction, low, high)
        for outputs in walk(program, domain.apply, cell, Tally()):
            piece = _piece_at(outputs[margin], at)
            if piece is None:
                continue
            ends_inside = piece.knots[0] > low and piece.knots[-1] < high
            if ends_inside or width > FAR * line.standard_error:
                return Intervals.of(event.judge(piece, task.arbiter).inside)
        width *= 4


def _piece_at(f: PiecewiseLinear, at: float) -> PiecewiseLinear | None:
    """The one linear piece that holds a point; None where the point lies elsewhere on the line."""
    if not f.knots[0] <= at < f.knots[-1]:
        return None
    index = int(f.knots.searchsorted(at, "right")) - 1
    return PiecewiseLinear(f.knots[index : index + 2], f.values[index : index + 2])
