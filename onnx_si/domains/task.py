"""What a domain is asked: an event on the margins that a program computes along a line of images."""

from dataclasses import dataclass
from functools import cached_property

from onnx_si.domains.event import RegionEvent
from onnx_si.domains.judge import Judge
from onnx_si.program.continuous import Continuous, continuous
from onnx_si.program.program import Program
from onnx_si.rules.rules import Step, Winner
from onnx_si.statistics.line import ImageLine


@dataclass(frozen=True, kw_only=True)
class Task:
    """An event on the margins that a program computes along a line of images.

    `whole` is the task that this one is a part of: it knows the rounding that tensors carry. So does `like`,
    one of the same program and line.
    """

    program: Program
    margin: str
    line: ImageLine
    event: RegionEvent
    whole: "Task | None" = None
    like: "Task | None" = None

    @cached_property
    def judge(self) -> Judge:
        """Who decides where rounding may not."""
        line = self.line
        known = self.whole or self.like
        if known is not None:
            return Judge(
                program=self.program,
                start=line.start,
                direction=line.direction,
                carried=known.judge.carried,
            )
        return Judge.of(self.program, line.start, line.direction, line.statistic, line.standard_error)

    @cached_property
    def distance(self) -> Continuous | None:
        """A continuous margin of the same sign, where this one jumps between classes."""
        return continuous(self.program, self.margin) if self.jumps else None

    @cached_property
    def jumps(self) -> bool:
        """Whether anything on the way to the margin jumps."""
        return any(isinstance(step.rule, Step | Winner) for step in self.program.instructions)
