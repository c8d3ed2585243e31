"""A map relative to its largest value, asked about by two pixels: one of it, and the one that leads.

Whichever pixel is the largest, none is smaller than the one that is so at the image. Margins over that one
are therefore never below the true ones, and where it is proven to lead they are the true ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onnx_si.domains.domain import Domains
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally
from onnx_si.program.cone import narrowed
from onnx_si.program.instruction import needed, with_deaths
from onnx_si.program.leading import Largest, largest_above, led
from onnx_si.rules.boxes import shape_of, whole


@dataclass(frozen=True, kw_only=True)
class OverLeader:
    """Margins over one element of the map: S is within what `bounds` asks for, as it leaves out pixels that
    are not in the region; `equal` asks for what the whole task does wherever the element leads. `alone` is
    the element itself, which all parts of both compute.
    """

    bounds: Task
    equal: Task
    alone: Task | None
    largest: Largest
    element: int

    def leads(self, leaders: Mapping[str, int]) -> bool:
        """Whether it is the one that is proven to lead."""
        return leaders.get(self.largest.step.output) == self.element


def over_leader(task: Task, domains: Domains, tally: Tally) -> OverLeader | None:
    """By the element that leads at the image; None where margins are not relative to one largest value."""
    program, observed = task.program, task.event.observed & task.event.pixels
    largest = largest_above(program, task.margin)
    if largest is None or not observed.any():
        return None
    used = needed({step.output: step.inputs for step in program.instructions}, (largest.of,))
    steps = [step for step in program.instructions if step.output in used]
    inner = replace(program, instructions=with_deaths(steps, (largest.of,)), outputs=(largest.of,))
    asked = replace(task, program=inner, margin=largest.of)
    (values,) = domains.pointing.margins(asked, [task.line.statistic], tally)
    element = int((largest.sign * values).argmax())
    equal = replace(task, program=led(program, task.margin, largest, element))
    bounds = replace(equal, event=RegionEvent(task.event.observed, observed), like=equal)
    return OverLeader(
        bounds=bounds, equal=equal, alone=_alone(equal, largest), largest=largest, element=element
    )


def _alone(task: Task, largest: Largest) -> Task | None:
    """The tensor with the one element; None where it is told with what jumps, which leaves traces."""
    program = task.program
    (name,) = next(step.inputs for step in program.instructions if step.output == largest.step.output)
    if name == program.input or task.jumps:
        return None
    steps, reads, made = narrowed(program, name, whole(program.shapes[name]))
    chain = replace(
        program, shape=shape_of(reads), instructions=with_deaths(steps, (made,)), outputs=(made,), values={}
    )
    return replace(task, program=chain, margin=made, line=task.line.part(reads), whole=task)
