"""The ways to look at the line: exactly, enclosed, at single points; by the whole network or a part of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnx_si.line.enclosure import EnclosureDomain, cells
from onnx_si.line.exact import ExactDomain, line_segment
from onnx_si.line.points import Points, evaluate
from onnx_si.line.program import Program
from onnx_si.line.walker import Tally, walk
from onnx_si.ops.rules import Array
from onnx_si.search.event import RegionEvent, Verdict
from onnx_si.search.problem import TestLine


@dataclass(frozen=True)
class Task:
    """An event on the margins that a program computes along a line of images."""

    program: Program
    margin: str
    line: TestLine
    event: RegionEvent


@dataclass(frozen=True)
class Enclosed:
    """What enclosures say of one cell: never in S; which pixels may be on the wrong side; units left open."""

    outside: bool
    open: NDArray[np.bool_]
    undecided: int


@dataclass
class Examiner:
    """Examines parts of the line and counts what that costs."""

    budget_bytes: int
    tally: Tally = field(default_factory=Tally)
    pieces: int = 0

    def exact(self, task: Task, low: float, high: float) -> tuple[Verdict, int]:
        """Where the event holds, and the knots met."""
        start = line_segment(task.line.start, task.line.direction, low, high)
        verdicts, pieces = [], 0
        for outputs in walk(task.program, ExactDomain(self.budget_bytes).apply, start, self.tally):
            verdicts.append(task.event.judge(outputs[task.margin]))
            pieces += len(outputs[task.margin].knots) - 1
        self.pieces += pieces
        inside = np.concatenate([verdict.inside for verdict in verdicts])
        unclear = np.concatenate([verdict.unclear for verdict in verdicts])
        return Verdict(inside, unclear), pieces - 1

    def enclose(self, task: Task, ends: Sequence[tuple[float, float]]) -> list[Enclosed]:
        """Enclose cells (low, high) in one batch; of a cell in which a gate is open nothing is claimed."""
        domain, (low, high) = EnclosureDomain(len(ends)), np.array(ends).T
        start = cells(task.line.start, task.line.direction, low, high)
        (outputs,) = walk(task.program, domain.apply, start, self.tally)
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
