"""A margin over one value of the map in place of the largest: never below the true one, and of few pixels.

A threshold relative to the largest value makes every pixel depend on all of the image. Where a margin falls
as that value rises, the margin over one pixel's value alone is at least as large: a pixel whose larger margin
is not above zero is not in the region, whichever pixel is the largest there. Two pixels' cones tell it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from onnx_si.kernels.sorting import Reshaped
from onnx_si.program.cone import narrowed, sliced
from onnx_si.program.growth import Growth
from onnx_si.program.instruction import Instruction, needed, with_deaths
from onnx_si.program.program import Program
from onnx_si.program.ways_back import CONSTANT, element_of, numbered
from onnx_si.rules.boxes import whole
from onnx_si.rules.rules import FEW_CANDIDATES, Affine, Array, Maximum


@dataclass(frozen=True)
class Largest:
    """The one value of all of a map that a margin is relative to: its instruction, and the tensor that it is
    the largest of.
    """

    step: Instruction

    @property
    def of(self) -> str:
        """The tensor."""
        (name,) = self.step.inputs
        return name

    @property
    def sign(self) -> int:
        """-1 where it is the smallest."""
        assert isinstance(self.step.rule, Maximum)
        return self.step.rule.sign


def largest_above(program: Program, margin: str) -> Largest | None:
    """The only largest value of many that a margin reads, if no pixel's margin rises with it; else None."""
    behind = needed({step.output: step.inputs for step in program.instructions}, (margin,))
    steps = [step for step in program.instructions if step.output in behind]
    found = [step for step in steps if _of_all(step, program)]
    if len(found) != 1:
        return None
    share = _share(program, steps, found[0], margin)
    return Largest(found[0]) if share is not None and not (share > 0).any() else None


def led(program: Program, margin: str, largest: Largest, element: int) -> Program:
    """The program of the margin over one element of that tensor, counted in row-major order."""
    name, place = _traced(program, largest.of, element)
    shape = program.shapes[name]
    box = tuple(slice(int(i), int(i) + 1) for i in np.unravel_index(place, shape)) if shape else ()
    steps, reads, made = narrowed(program, name, box)
    cut = sliced(program.input, whole(program.shape), reads, f"{program.input}@cut")
    start = program.input if cut is None else cut.output
    apart = [_renamed(step, program.input, start) for step in ([cut] if cut else []) + steps]
    alone = _other(made) if steps else start
    one = replace(
        largest.step,
        rule=Affine(linear=Reshaped(largest.step.shape)),
        inputs=(alone,),
        cost=1,
        recipe=None,
        limits=None,
    )
    every = [
        *apart,
        *(one if step is largest.step else step for step in program.instructions),
    ]
    used = needed({step.output: step.inputs for step in every}, (margin,))
    kept = with_deaths([step for step in every if step.output in used], (margin,))
    growth = Growth(program.input, program.shape, kept)
    return replace(program, instructions=kept, outputs=(margin,), growth=growth)


def _of_all(step: Instruction, program: Program) -> bool:
    """Whether it is the largest or smallest of very many values."""
    if not isinstance(step.rule, Maximum) or math.prod(step.shape) != 1 or len(step.inputs) != 1:
        return False
    return math.prod(program.shapes[step.inputs[0]]) > FEW_CANDIDATES


def _share(program: Program, steps: Sequence[Instruction], largest: Instruction, margin: str) -> Array | None:
    """How fast margins change with the value, if they do so by an affine function; times its rule's sign."""
    assert isinstance(largest.rule, Maximum)
    rates: dict[str, Array] = {largest.output: np.full((1, *largest.shape), float(largest.rule.sign))}
    for step in steps:
        if not any(name in rates for name in step.inputs):
            continue
        if not isinstance(step.rule, Affine):
            return None
        xs = [rates[n] if n in rates else np.zeros((1, *program.shapes[n])) for n in step.inputs]
        rates[step.output] = step.rule.slope(*xs)
    return rates.get(margin)


def _traced(program: Program, name: str, element: int) -> tuple[str, int]:
    """The tensor from which an element was moved to where it is, and its place there."""
    made = {step.output: step for step in program.instructions}
    for step in _moves(made, name):
        (source,) = step.inputs
        (numbers,) = numbered([program.shapes[source]])
        place = element_of(*(step.rule.evaluate(x).ravel()[element] for x in (numbers, numbers + 1)))
        if place == CONSTANT:
            break
        name, element = source, int(place)
    return name, element


def _moves(made: Mapping[str, Instruction], name: str) -> Iterator[Instruction]:
    """Affine instructions of one input, back from a tensor."""
    while name in made:
        step = made[name]
        if not isinstance(step.rule, Affine) or step.rule.terms != 1 or step.rule.weights:
            return
        if len(step.inputs) != 1 or step.rule.offset is not None:
            return
        yield step
        (name,) = step.inputs


def _renamed(step: Instruction, image: str, start: str) -> Instruction:
    """An instruction of the second chain, which reads only that one and the image."""
    inputs = tuple(start if name == image else _other(name) for name in step.inputs)
    if step.output == start:
        return step
    return replace(step, output=_other(step.output), inputs=inputs, recipe=None)


def _other(name: str) -> str:
    return f"{name}@leader"
