"""A bound program at another image of the same shape: its rules stay, the values are new."""

from dataclasses import replace

import numpy as np

from onnx_si.domains.points.value import Points, evaluate
from onnx_si.domains.walker import Tally, walk
from onnx_si.errors import Undefined
from onnx_si.program.program import Program
from onnx_si.program.ranges import Limits, beyond
from onnx_si.rules.rules import Array


def at_image(program: Program, image: Array) -> Program:
    """The program of a model bound to another image.

    Parameters
    ----------
    program : Program
        With `repeatable`.
    image : array
        Of the program's shape.

    Raises
    ------
    ValueError
        If the program is not repeatable, or the shape is another.
    Undefined
        If whole numbers leave their type's range at this image, or an op is not defined there.
    """
    if not program.repeatable or np.shape(image) != program.shape:
        raise ValueError("rules that were bound at one image do not hold at this one")
    changing = {program.input} | {step.output for step in program.evaluation}
    wanted = tuple(name for name in program.values if name in changing)
    evaluation = replace(program, instructions=program.evaluation, outputs=wanted)
    start = Points(np.asarray(image, np.float64)[None])
    (found,) = walk(evaluation, evaluate, start, Tally(), _within)
    values = {name: value.values[0] for name, value in found.items()}
    return replace(program, values={**program.values, **values})


def _within(x: Points, limits: Limits) -> None:
    """Whole numbers stay in their type's range."""
    if beyond(x.values, x.values, limits).any():
        raise Undefined("whole numbers overflow their type", "use a wider type")
