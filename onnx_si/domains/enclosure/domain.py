"""Enclosures as a domain of the search: what is proven of a cell is proven with all rounding."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnx_si.domains.domain import Claim, Cost
from onnx_si.domains.enclosure.backwards import Trace, followed_back
from onnx_si.domains.enclosure.certified import EnclosureDomain
from onnx_si.domains.enclosure.value import Enclosure, cells
from onnx_si.domains.enclosure.verdict import certify, clearer, clearest
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally, walk
from onnx_si.program.program import Program

ARRAYS = 5  # of every tensor that following one back needs: centre, slope, radius, factor, what it is off by


@dataclass(frozen=True)
class Enclosures:
    """Carries a centre, a slope and a radius on every cell.

    Where no pixel is proven to be on the wrong side, but one is so in the middle of the cell and would be if
    its radius were smaller by a factor of `hope`, that one is followed back, if the tensors of all cells fit
    into `trace_bytes`.
    """

    hope: float = 32.0
    trace_bytes: int = 128 << 20
    guarantee: ClassVar[str] = "certified"
    cost: ClassVar[Cost] = Cost(passes=3.0, calls=2.0)  # centre, slope, radius

    def start(self, task: Task, ends: Sequence[tuple[float, float]]) -> Enclosure:
        """The images on cells."""
        low, high = np.array(ends).T
        return cells(task.line.start, task.line.direction, low, high)

    def claim(self, task: Task, ends: Sequence[tuple[float, float]], tally: Tally) -> list[Claim]:
        """Enclose cells (low, high) in one batch; of a cell in which a gate is open nothing is claimed."""
        distance = task.distance
        program = task.program if distance is None else distance.program
        name = task.margin if distance is None else distance.margin
        trace = Trace() if self._fits(program, len(ends)) else None
        values, first = EnclosureDomain(len(ends), program, trace), self.start(task, ends)
        (outputs,) = walk(program, values.apply, first, tally, values.watch)
        margin = outputs[name]
        outside, open_ = certify(task.event, margin, zero=distance is None)
        pixel, clear = clearest(task.event, margin)
        tried = np.flatnonzero(~outside & ~values.lost & (clear * self.hope > 1))
        if trace is not None and len(tried):
            radius = followed_back(program, first, trace, name, tried, pixel[tried])
            tally.operations += len(tried) * program.cost
            clear[tried] = clearer(margin, tried, pixel[tried], radius)
            outside[tried] = clear[tried] > 1
        open_[values.lost] = True
        return [
            Claim(bool(out and not lost), pixels, int(undecided), float(how))
            for out, lost, pixels, undecided, how in zip(
                outside, values.lost, open_, values.undecided, clear, strict=True
            )
        ]

    def _fits(self, program: Program, count: int) -> bool:
        elements = sum(math.prod(step.shape) for step in program.instructions)
        return 8 * ARRAYS * count * elements <= self.trace_bytes
