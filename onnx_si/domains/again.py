"""A bound program at another image of the same shape: its rules stay, the values are new."""

from dataclasses import replace

import numpy as np

from onnx_si.domains.points import Points, evaluate
from onnx_si.domains.walker import Tally, walk
from onnx_si.program.program import Program
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
    """
    if not program.repeatable or np.shape(image) != program.shape:
        raise ValueError("rules that were bound at one image do not hold at this one")
    changing = {program.input} | {step.output for step in program.evaluation}
    wanted = tuple(name for name in program.values if name in changing)
    evaluation = replace(program, instructions=program.evaluation, outputs=wanted)
    (found,) = walk(evaluation, evaluate, Points(np.asarray(image, np.float64)[None]), Tally())
    values = {name: value.values[0] for name, value in found.items()}
    return replace(program, values={**program.values, **values})
