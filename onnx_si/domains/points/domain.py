"""Single points as a domain of the search: a pixel on the wrong side there shows that S leaves them out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnx_si.domains.domain import Cost
from onnx_si.domains.points.value import Points, evaluate
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally, walk
from onnx_si.rules.rules import Array


@dataclass(frozen=True)
class AtPoints:
    """Carries plain values."""

    guarantee: ClassVar[str] = "none"
    cost: ClassVar[Cost] = Cost(passes=1, calls=0.3)

    def start(self, task: Task, places: Sequence[float]) -> Points:
        """The images at places of the line."""
        start, direction = task.line.start, task.line.direction
        at: Array = np.array(places).reshape(-1, *(1,) * start.ndim)
        return Points(start + direction * at)

    def margins(self, task: Task, places: Sequence[float], tally: Tally) -> Array:
        """The margins (places, *map)."""
        (outputs,) = walk(task.program, evaluate, self.start(task, places), tally)
        return outputs[task.margin].values
