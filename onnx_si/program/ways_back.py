"""What following a program's tensors back to the image needs to know: told once, for all that is followed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.program.instruction import Instruction
from onnx_si.rules.reversible import Reversible
from onnx_si.rules.rules import FEW_CANDIDATES, Affine, Array, Gated, Maximum, Opaque, Step, Winner

CONSTANT = -1


@dataclass(frozen=True, kw_only=True)
class WaysBack:
    """By the output of an instruction: `gains` of an `Affine` whose linear part can be followed back, the
    largest sum of absolute weights of one of its elements; `sources` of a `Maximum`, the element (counted
    through all inputs) that each candidate (candidates, *shape) is, or `CONSTANT`. `plain` that nothing
    jumps: where something does, whether a number is zero to the last bit may decide.
    """

    gains: Mapping[str, float]
    sources: Mapping[str, NDArray[np.intp]]
    plain: bool


def ways_back(instructions: Sequence[Instruction], shapes: Mapping[str, tuple[int, ...]]) -> WaysBack:
    """For a program's instructions, whose tensors have these shapes."""
    gains, sources = dict[str, float](), dict[str, NDArray[np.intp]]()
    for step in instructions:
        inside = [shapes[name] for name in step.inputs]
        if isinstance(step.rule, Affine) and isinstance(step.rule.linear, Reversible):
            total = step.rule.spread(*(np.ones((1, *shape)) for shape in inside))
            gains[step.output] = float(np.max(total, initial=0.0))
        elif isinstance(step.rule, Maximum):
            found = _sources(step.rule, inside)
            if found is not None:
                sources[step.output] = found
    plain = not any(isinstance(step.rule, Step | Winner | Gated | Opaque) for step in instructions)
    return WaysBack(gains=gains, sources=sources, plain=plain)


def _sources(rule: Maximum, shapes: Sequence[tuple[int, ...]]) -> NDArray[np.intp] | None:
    """Candidates of numbered elements; those that do not grow with the numbers are constants."""
    numbers = numbered(shapes)
    here: Sequence[Array] | Array = rule.candidates(*numbers)
    if len(here) > FEW_CANDIDATES:
        return None
    return element_of(np.asarray(here), np.asarray(rule.candidates(*(x + 1 for x in numbers))))[:, 0]


def numbered(shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Tensors (1, *shape) whose elements are numbered through all of them."""
    sizes = [math.prod(shape) for shape in shapes]
    first = np.cumsum([0, *sizes])
    return [
        np.arange(start, start + size, dtype=np.float64).reshape(1, *shape)
        for start, size, shape in zip(first, sizes, shapes, strict=False)
    ]


def element_of(here: Array, there: Array) -> NDArray[np.intp]:
    """The numbered elements that results are, by the same with all numbers one larger; else `CONSTANT`."""
    with np.errstate(invalid="ignore"):
        moved = there - here == 1
    return np.where(moved, here, CONSTANT).astype(np.intp)
