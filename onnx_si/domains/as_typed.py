"""A program's values at its image, with halves decided as the model's own element types do."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.points.value import Points
from onnx_si.domains.walker import Tally, walk
from onnx_si.program.program import Program
from onnx_si.rules.rules import Rule, Step, typed


def values_as_typed(program: Program, image: NDArray[Any]) -> Mapping[str, NDArray[np.float64]]:
    """The program's own values where no step of it is decided by a type."""
    if not any(isinstance(step.rule, Step) and step.rule.typed is not None for step in program.evaluation):
        return program.values
    changing = {program.input} | {step.output for step in program.evaluation}
    wanted = tuple(name for name in program.values if name in changing)
    evaluation = replace(program, instructions=program.evaluation, outputs=wanted)
    (found,) = walk(evaluation, _by_type, Points(np.asarray(image, np.float64)[None]), Tally())
    return {**program.values, **{name: value.values[0] for name, value in found.items()}}


def _by_type(rule: Rule, inputs: list[Points]) -> Points:
    return Points(typed(rule, *(x.values for x in inputs)))
