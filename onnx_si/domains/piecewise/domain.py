"""Tensors that are polynomials between knots as a domain of the search: S is resolved to rounding."""

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np

from onnx_si.choices.guarantees import EXACT
from onnx_si.domains.domain import Cost, Seen
from onnx_si.domains.piecewise.apply import COPIES, ExactDomain
from onnx_si.domains.piecewise.blur import at_jumps
from onnx_si.domains.piecewise.curves.curve import Shape, image_between
from onnx_si.domains.piecewise.one_piece import linear_piece
from onnx_si.domains.piecewise.verdict import Arbiter, Verdict, blurred, verdict_on
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally, walk
from onnx_si.ground.deadline import TimeUp
from onnx_si.ground.intervals import Intervals
from onnx_si.program.program import Program

NOTHING = np.empty((0, 2))
MOST_PASSES = 20_000
MOST_WORK = 8e9  # multiply-adds, about two seconds of one core
LEAST_POINTS = 4  # of a part of the line that is not split


def rooms(program: Program, budget_bytes: int, most_work: float) -> Callable[[int, int], float]:
    """Makes the function (number of an instruction, bytes that wait) -> the points for which all tensors that
    are alive then, and what making one takes besides, fit into a budget together; and no more than so much
    work is for, in multiply-adds.
    """
    most = max(LEAST_POINTS, most_work / max(1, program.cost))
    sizes = {name: math.prod(shape) for name, shape in program.shapes.items()}
    largest = [max(sizes[s.output], *(sizes[name] for name in s.inputs), 1) for s in program.instructions]

    def room(position: int, waiting: int) -> float:
        bytes_each = 8 * (program.held[position] + COPIES * largest[position])
        return min(most, max(LEAST_POINTS, (budget_bytes - waiting) / bytes_each))

    return room


@dataclass(frozen=True)
class Piecewise:
    """Carries knots and the values there. An examination ends where it is after `most_passes`, or as much
    work as takes some seconds.
    """

    most_passes: int = MOST_PASSES
    most_work: float = MOST_WORK
    guarantee: ClassVar[str] = EXACT.name
    cost: ClassVar[Cost] = Cost(passes=2, per_knot=0.6)  # early layers have fewer knots than late ones

    def start(self, task: Task, ends: tuple[float, float]) -> Shape:
        """The images between two points."""
        return image_between(task.line.start, task.line.direction, *ends)

    def carried(
        self, task: Task, ends: tuple[float, float], budget_bytes: int, tally: Tally
    ) -> Mapping[str, Shape]:
        """The margin on a part of the line, by its name; nothing where the part has to be split."""
        values = ExactDomain(
            budget=budget_bytes, judge=task.judge, rooms=rooms(task.program, budget_bytes, self.most_work)
        )
        with np.errstate(invalid="ignore"):
            first = self.start(task, ends)
            found = list(
                islice(walk(task.program, values.apply, first, tally, values.watch, values.enter), 2)
            )
        return {task.margin: found[0][task.margin]} if len(found) == 1 and not values.undecided else {}

    def resolve(
        self,
        task: Task,
        ends: tuple[float, float],
        budget_bytes: int,
        tally: Tally,
        known: Mapping[str, Shape] | None = None,
    ) -> Seen:
        """Go through a part of the line as far as time and work allow."""
        low, high = ends
        values = ExactDomain(
            budget=budget_bytes,
            judge=task.judge,
            ends=ends if task.jumps and task.whole is None else None,
            rooms=rooms(task.program, budget_bytes, self.most_work),
        )
        error, arbiter = task.judge.error((task.margin,), *ends), Arbiter(task.judge, task.margin)
        reached = low
        verdicts, around, pieces = [Verdict(NOTHING, NOTHING)], [NOTHING], 0
        # the event refuses a margin that is not a number
        with np.errstate(invalid="ignore"), contextlib.suppress(TimeUp):
            start = self.start(task, ends)
            for outputs in walk(task.program, values.apply, start, tally, values.watch, values.enter, known):
                margin = outputs[task.margin]
                verdict = verdict_on(task.event, margin, arbiter)
                pieces += len(margin.knots) - 1
                if task.whole is None and len(verdict.inside):
                    around.append(blurred(task.event, margin, verdict, error))
                verdicts.append(verdict)
                reached = float(margin.knots[-1])
                if tally.operations > min(self.most_passes * task.program.cost, self.most_work):
                    break
        inside = np.concatenate([verdict.inside for verdict in verdicts])
        unclear = np.concatenate([verdict.unclear for verdict in verdicts])
        if values.places and len(inside):
            around.append(at_jumps(inside, values.places, task.judge, high - low))
        if values.undecided:
            open_ = np.array(values.undecided)
            inside = Intervals.of(inside).subtract(Intervals.of(open_)).bounds
            unclear = np.concatenate([unclear, open_])
        return Seen(
            inside=inside,
            unclear=unclear,
            blurred=np.concatenate(around),
            knots=max(0, pieces - 1),
            reached=reached,
        )

    def piece(self, task: Task, reach: float, budget_bytes: int) -> Intervals:
        """The part of S on the one linear piece around the statistic."""
        return linear_piece(task, reach, budget_bytes, self.most_passes)
