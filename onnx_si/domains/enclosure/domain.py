"""Enclosures as a domain of the search: what is proven of a cell is proven with all rounding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnx_si.choices.guarantees import CERTIFIED
from onnx_si.domains.domain import Claim, Cost
from onnx_si.domains.enclosure.certified import EnclosureDomain
from onnx_si.domains.enclosure.value import Enclosure, cells
from onnx_si.domains.enclosure.verdict import certify
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally, walk


@dataclass(frozen=True)
class Enclosures:
    """Carries a centre, a slope and a radius on every cell."""

    guarantee: ClassVar[str] = CERTIFIED.name
    cost: ClassVar[Cost] = Cost(passes=3.0, calls=2.0)  # centre, slope, radius

    def start(self, task: Task, ends: Sequence[tuple[float, float]]) -> Enclosure:
        """The images on cells."""
        low, high = np.array(ends).T
        return cells(task.line.start, task.line.direction, low, high)

    def claim(self, task: Task, ends: Sequence[tuple[float, float]], tally: Tally) -> list[Claim]:
        """Enclose cells (low, high) in one batch; of a cell in which a gate is open nothing is claimed."""
        values = EnclosureDomain(len(ends))
        (outputs,) = walk(task.program, values.apply, self.start(task, ends), tally, values.watch)
        outside, open_ = certify(task.event, outputs[task.margin])
        open_[values.lost] = True
        return [
            Claim(bool(out and not lost), pixels, int(undecided))
            for out, lost, pixels, undecided in zip(
                outside, values.lost, open_, values.undecided, strict=True
            )
        ]
