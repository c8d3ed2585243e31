"""The one linear piece of the network around the observed statistic: over-conditioning."""

import math

from onnx_si.domains.piecewise.exact import ExactDomain
from onnx_si.domains.piecewise.quadratic import Pieces, image_between
from onnx_si.domains.walker import Tally, walk
from onnx_si.errors import UnsupportedModel
from onnx_si.ground.intervals import Intervals
from onnx_si.program.program import Program
from onnx_si.search.event import RegionEvent
from onnx_si.search.examine import MOST_PASSES, Task
from onnx_si.search.found import SearchOptions
from onnx_si.search.frontier import FAR
from onnx_si.statistics.line import TestLine

SMALLER = 2.0**-40  # of the width where there are too many pieces


def linear_piece(
    program: Program, margin: str, line: TestLine, event: RegionEvent, options: SearchOptions
) -> Intervals:
    """The part of S on the one linear piece of the network around the observed statistic (over-conditioning).

    The cell around the statistic grows until the piece ends inside it, or reaches so far that its mass no
    longer counts.

    Raises
    ------
    UnsupportedModel
        If there are too many pieces beside it, or whole numbers leave their type's range on it.

    Source
    ------
    Duy and Takeuchi, "More powerful conditional selective inference", JMLR 23 (2022), section 2 (what they
    improve on).
    """
    task = Task(program, margin, line, event)
    at, domain = line.statistic, ExactDomain(options.budget_bytes, task.judge)
    width, too_wide = line.standard_error / 16, math.inf
    while width < too_wide:
        low, high = at - width, at + width
        cell, tally = image_between(line.start, line.direction, low, high), Tally()
        for outputs in walk(program, domain.apply, cell, tally):
            piece = _piece_at(outputs[margin], at)
            if piece is not None:
                ends_inside = piece.knots[0] > low and piece.knots[-1] < high
                if ends_inside or width > FAR * line.standard_error:
                    _watch(task, domain, piece)
                    return Intervals.of(event.judge(piece, task.arbiter).inside)
            elif tally.operations > MOST_PASSES * program.cost:
                too_wide, width = width, width * SMALLER
                break
        width *= 4
    raise UnsupportedModel(
        "over-conditioning needs the network's linear piece around the image, and beside it there are more "
        "pieces than can be examined; leave over-conditioning out of --methods"
    )


def _watch(task: Task, domain: ExactDomain, piece: Pieces) -> None:
    """Refuse whole numbers that leave their type's range on the piece; beside it they may.

    Raises
    ------
    Undefined
        If they do.
    """
    if any(step.limits is not None for step in task.program.instructions):
        low, high = float(piece.knots[0]), float(piece.knots[-1])
        cell = image_between(task.line.start, task.line.direction, low, high)
        for _ in walk(task.program, domain.apply, cell, Tally(), domain.watch):
            pass


def _piece_at(f: Pieces, at: float) -> Pieces | None:
    """The one linear piece that holds a point; None where the point lies elsewhere on the line."""
    if not f.knots[0] <= at < f.knots[-1]:
        return None
    index = int(f.knots.searchsorted(at, "right")) - 1
    return f.between(index)
