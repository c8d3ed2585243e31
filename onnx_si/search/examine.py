"""The ways to look at the line: exactly, enclosed, at single points; by the whole network or a part of it."""

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.enclosure.certified import EnclosureDomain, cells
from onnx_si.domains.judge import Judge
from onnx_si.domains.piecewise.exact import ExactDomain
from onnx_si.domains.piecewise.quadratic import image_between
from onnx_si.domains.points import Points, evaluate
from onnx_si.domains.walker import Tally, walk
from onnx_si.ground.deadline import Deadline, TimeUp
from onnx_si.ground.intervals import Intervals
from onnx_si.ground.machine import cores
from onnx_si.program.program import Program
from onnx_si.rules.rules import Array, Step, Winner
from onnx_si.search.blur import at_jumps
from onnx_si.search.event import Arbiter, RegionEvent, Verdict
from onnx_si.search.policy import PASSES_PER_KNOT
from onnx_si.statistics.line import TestLine

NOTHING = np.empty((0, 2))
MOST_PASSES = 20_000  # forward passes of one exact examination, which then ends where it is


@dataclass(frozen=True)
class Task:
    """An event on the margins that a program computes along a line of images.

    `whole` is the task that this one is a part of: it knows the rounding that tensors carry.
    """

    program: Program
    margin: str
    line: TestLine
    event: RegionEvent
    whole: "Task | None" = None

    @cached_property
    def judge(self) -> Judge:
        """Who decides where rounding may not."""
        line = self.line
        if self.whole is not None:
            return Judge(self.program, line.start, line.direction, self.whole.judge.carried)
        return Judge.of(self.program, line.start, line.direction, line.statistic, line.standard_error)

    @cached_property
    def jumps(self) -> bool:
        """Whether anything on the way to the margin jumps."""
        return any(isinstance(step.rule, Step | Winner) for step in self.program.instructions)

    @property
    def arbiter(self) -> Arbiter:
        """The judge of the margin's signs."""
        return Arbiter(self.judge, self.margin)


@dataclass(frozen=True)
class Enclosed:
    """What enclosures say of one cell: never in S; which pixels may be on the wrong side; units left open."""

    outside: bool
    open: NDArray[np.bool_]
    undecided: int


@dataclass(frozen=True)
class Seen:
    """What the exact domain says of a part of the line, and how many knots it met.

    `blurred` has the ends of what is inside, each as the interval in which it lies; a part of a task leaves
    them to the whole. Only what lies below `reached` was examined.
    """

    inside: Array
    unclear: Array
    blurred: Array
    knots: int
    reached: float
    paid: int = 0


@dataclass(frozen=True)
class _Walk:
    """One exact examination, with a tally of its own."""

    task: Task
    low: float
    high: float
    budget_bytes: int
    tally: Tally

    def __call__(self) -> Seen:
        """Go through it as far as time and work allow; what was not reached is not claimed."""
        task, ends = self.task, (self.low, self.high)
        domain = ExactDomain(
            self.budget_bytes, task.judge, ends if task.jumps and task.whole is None else None
        )
        error = task.judge.error((task.margin,), *ends)
        start = image_between(task.line.start, task.line.direction, self.low, self.high)
        reached = self.low
        verdicts, blurred, pieces = [Verdict(NOTHING, NOTHING)], [NOTHING], 0
        # the event refuses a margin that is not a number
        with np.errstate(invalid="ignore"), contextlib.suppress(TimeUp):
            for outputs in walk(task.program, domain.apply, start, self.tally, domain.watch):
                margin = outputs[task.margin]
                verdict = task.event.judge(margin, task.arbiter)
                pieces += len(margin.knots) - 1
                if task.whole is None and len(verdict.inside):
                    blurred.append(task.event.blurred(margin, verdict, error))
                verdicts.append(verdict)
                reached = float(margin.knots[-1])
                if self.tally.operations > MOST_PASSES * task.program.cost:
                    break
        inside = np.concatenate([verdict.inside for verdict in verdicts])
        unclear = np.concatenate([verdict.unclear for verdict in verdicts])
        if domain.places and len(inside):
            blurred.append(at_jumps(inside, domain.places, task.judge, self.high - self.low))
        if domain.undecided:
            open_ = np.array(domain.undecided)
            inside = Intervals.of(inside).subtract(Intervals.of(open_)).bounds
            unclear = np.concatenate([unclear, open_])
        knots = max(0, pieces - 1)
        return Seen(inside, unclear, np.concatenate(blurred), knots, reached, self._paid(knots))

    def _paid(self, knots: int) -> int:
        """A margin that jumps has few of the knots of the tensors in front of it, which are paid for."""
        if not self.task.jumps:
            return knots
        passes = self.tally.operations / max(1, self.task.program.cost)
        return max(knots, round((passes - 2) / PASSES_PER_KNOT))


@dataclass
class Examiner:
    """Examines parts of the line and counts what that costs.

    After the deadline an exact examination ends where it is, and any other raises TimeUp.
    """

    budget_bytes: int
    deadline: Deadline = field(default_factory=Deadline)
    tally: Tally = field(init=False)
    pieces: int = 0

    def __post_init__(self) -> None:
        self.tally = self._new_tally()

    def _new_tally(self) -> Tally:
        return Tally(pulse=self.deadline.check) if self.deadline.limits else Tally()

    def count(self, other: "Examiner") -> None:
        """Take over what another one has counted."""
        self.tally.operations += other.tally.operations
        self.tally.peak_bytes = max(self.tally.peak_bytes, other.tally.peak_bytes)
        other.tally.operations = 0

    def exact(self, task: Task, low: float, high: float) -> Seen:
        """Where the event holds between two points of the line."""
        (seen,) = self.exact_each(task, [(low, high)])
        return seen

    def exact_each(self, task: Task, parts: Sequence[tuple[float, float]]) -> list[Seen]:
        """The same for several parts of the line, at the same time where there are cores for it."""
        walks = [_Walk(task, low, high, self.budget_bytes, self._new_tally()) for low, high in parts]
        judged = task.judge.tally.operations
        if len(walks) == 1:
            found = [walks[0]()]
        else:
            with ThreadPoolExecutor(min(len(walks), cores())) as pool:
                found = list(pool.map(_Walk.__call__, walks))
        self.tally.operations += sum(walk.tally.operations for walk in walks)
        self.tally.operations += task.judge.tally.operations - judged
        together = sum(sorted(walk.tally.peak_bytes for walk in walks)[-cores() :])
        self.tally.peak_bytes = max(self.tally.peak_bytes, together)
        self.pieces += sum(seen.knots + 1 for seen in found)
        return found

    def enclose(self, task: Task, ends: Sequence[tuple[float, float]]) -> list[Enclosed]:
        """Enclose cells (low, high) in one batch; of a cell in which a gate is open nothing is claimed."""
        domain, (low, high) = EnclosureDomain(len(ends)), np.array(ends).T
        start = cells(task.line.start, task.line.direction, low, high)
        (outputs,) = walk(task.program, domain.apply, start, self.tally, domain.watch)
        outside, open_ = task.event.certify(outputs[task.margin])
        open_[domain.lost] = True
        return [
            Enclosed(bool(out and not lost), pixels, int(undecided))
            for out, lost, pixels, undecided in zip(
                outside, domain.lost, open_, domain.undecided, strict=True
            )
        ]

    def wrong(self, task: Task, places: Sequence[float]) -> Array:
        """How far pixels are on the wrong side at single points: (points, *map)."""
        start, direction = task.line.start, task.line.direction
        at: Array = np.array(places).reshape(-1, *(1,) * start.ndim)
        (outputs,) = walk(task.program, evaluate, Points(start + direction * at), self.tally)
        return task.event.wrong(outputs[task.margin].values)
