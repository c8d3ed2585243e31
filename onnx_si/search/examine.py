"""The ways to look at the line: exactly, enclosed, at single points; by the whole network or a part of it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.enclosure.certified import EnclosureDomain, cells
from onnx_si.domains.judge import Judge
from onnx_si.domains.piecewise.exact import ExactDomain
from onnx_si.domains.piecewise.value import line_segment
from onnx_si.domains.points import Points, evaluate
from onnx_si.domains.walker import Tally, walk
from onnx_si.ground.intervals import Intervals
from onnx_si.ground.machine import cores
from onnx_si.program.program import Program
from onnx_si.rules.rules import Array
from onnx_si.search.event import Arbiter, RegionEvent
from onnx_si.statistics.line import TestLine


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
    """What the exact domain says of a part of the line, and how many knots it met."""

    inside: Array
    unclear: Array
    knots: int


@dataclass(frozen=True)
class _Walk:
    """One exact examination, with a tally of its own."""

    task: Task
    low: float
    high: float
    budget_bytes: int
    tally: Tally = field(default_factory=Tally)

    def __call__(self) -> Seen:
        task, domain = self.task, ExactDomain(self.budget_bytes, self.task.judge)
        start = line_segment(task.line.start, task.line.direction, self.low, self.high)
        verdicts, pieces = [], 0
        with np.errstate(invalid="ignore"):  # the event refuses a margin that is not a number
            for outputs in walk(task.program, domain.apply, start, self.tally, domain.watch):
                verdicts.append(task.event.judge(outputs[task.margin], task.arbiter))
                pieces += len(outputs[task.margin].knots) - 1
        inside = np.concatenate([verdict.inside for verdict in verdicts])
        unclear = np.concatenate([verdict.unclear for verdict in verdicts])
        if domain.undecided:
            open_ = np.array(domain.undecided)
            inside = Intervals.of(inside).subtract(Intervals.of(open_)).bounds
            unclear = np.concatenate([unclear, open_])
        return Seen(inside, unclear, pieces - 1)


@dataclass
class Examiner:
    """Examines parts of the line and counts what that costs."""

    budget_bytes: int
    tally: Tally = field(default_factory=Tally)
    pieces: int = 0

    def exact(self, task: Task, low: float, high: float) -> Seen:
        """Where the event holds between two points of the line."""
        (seen,) = self.exact_each(task, [(low, high)])
        return seen

    def exact_each(self, task: Task, parts: Sequence[tuple[float, float]]) -> list[Seen]:
        """The same for several parts of the line, at the same time where there are cores for it."""
        walks = [_Walk(task, low, high, self.budget_bytes) for low, high in parts]
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
