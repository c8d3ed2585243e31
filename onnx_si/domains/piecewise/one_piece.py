"""The one linear piece of the network around the observed statistic: over-conditioning."""

import math

from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.curves.curve import Shape, image_between
from onnx_si.domains.piecewise.verdict import Arbiter, verdict_on
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally, walk
from onnx_si.errors import UnsupportedModel
from onnx_si.ground.intervals import Intervals

SHARES = 8  # of a budget for all tensors, for the one that has the points: a walk holds several
SMALLER = 2.0**-40  # of the width where there are too many pieces


def linear_piece(task: Task, reach: float, budget_bytes: int, most_passes: int) -> Intervals:
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
    line, program = task.line, task.program
    at, domain = line.statistic, ExactDomain(budget=budget_bytes // SHARES, judge=task.judge)
    width, too_wide = line.standard_error / 16, math.inf
    while width < too_wide:
        low, high = at - width, at + width
        cell, tally = image_between(line.start, line.direction, low, high), Tally()
        for outputs in walk(program, domain.apply, cell, tally):
            piece = _piece_at(outputs[task.margin], at)
            if piece is not None:
                ends_inside = piece.knots[0] > low and piece.knots[-1] < high
                if ends_inside or width > reach:
                    _watch(task, domain, piece)
                    found = verdict_on(task.event, piece, Arbiter(task.judge, task.margin))
                    return Intervals.of(found.inside)
            elif tally.operations > most_passes * program.cost:
                too_wide, width = width, width * SMALLER
                break
        width *= 4
    raise UnsupportedModel(
        "over-conditioning needs the network's linear piece around the image, and beside it there are more "
        "pieces than can be examined; leave over-conditioning out of --methods"
    )


def _watch(task: Task, domain: ExactDomain, piece: Shape) -> None:
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


def _piece_at(f: Shape, at: float) -> Shape | None:
    """The one linear piece that holds a point; None where the point lies elsewhere on the line."""
    if not f.knots[0] <= at < f.knots[-1]:
        return None
    index = int(f.knots.searchsorted(at, "right")) - 1
    return f.between(index)
