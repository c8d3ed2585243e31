"""Single points as a domain of the search: a pixel on the wrong side there shows that S leaves them out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnx_si.domains.domain import Cost
from onnx_si.domains.points.value import Points, evaluate, evaluate_fast
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally, walk
from onnx_si.rules.rules import Array, Kinked, Maximum, Rule


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
        (outputs,) = walk(task.program, evaluate_fast, self.start(task, places), tally)
        return outputs[task.margin].values

    def changes(self, task: Task, places: tuple[float, float], tally: Tally) -> int:
        """How many units are on another piece at the second of two places: no more than there are knots
        between them.
        """
        count = 0

        def apply(rule: Rule, inputs: list[Points]) -> Points:
            nonlocal count
            xs = [x.values for x in inputs]
            if isinstance(rule, Kinked):
                count += sum(int(np.diff(xs[0] < point, axis=0).sum()) for point in rule.breakpoints)
            elif isinstance(rule, Maximum):
                best = np.argmax(np.asarray(rule.candidates(*xs)), axis=0)
                count += int((best[1:] != best[:-1]).sum())
            return evaluate(rule, inputs)

        for _ in walk(task.program, apply, self.start(task, places), tally):
            pass
        return count
