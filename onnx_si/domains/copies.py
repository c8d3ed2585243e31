"""Which numbers are equal because one is a copy of the other, and which only because both were rounded.

6 / 20 and 0.3 are the same double. Changed by a little at every op that rounds, each in its own way, they are
not; copies of one number are changed alike.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.walker import Tally, walk
from onnx_si.program.instruction import Instruction
from onnx_si.program.program import Program
from onnx_si.rules.rules import Affine, Array, Bilinear, Gated, Opaque, Quotient, Rule, Smooth, Step, Winner

CHANGE = 2.0**-30  # relative, at most
SHORT = np.uint64((1 << 12) - 1)  # no number that ends in as many zero bits was rounded
SPREAD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))  # odd numbers of splitmix64


@dataclass(frozen=True)
class _Changed:
    """Values at points as they are, and changed."""

    plain: Array
    changed: Array

    @property
    def points(self) -> int:
        return 2 * len(self.plain)

    @property
    def nbytes(self) -> int:
        return 2 * self.plain.nbytes

    def split(self, at: float) -> tuple["_Changed", "_Changed"]:
        """Never asked for: single points are not split."""
        raise AssertionError("points are not split")


def changed(program: Program, images: Array, tally: Tally) -> dict[str, Array]:
    """A program's outputs at images (n, *shape), with every number changed that an op rounds, by its bits.

    Jumps stay as they are.

    Raises
    ------
    Undefined
        If an op is not defined for one of the images.
    """
    steps = iter(program.instructions)

    def apply(rule: Rule, inputs: list[_Changed]) -> _Changed:
        step, gates = next(steps), rule.gates if isinstance(rule, Gated) else ()
        plain = rule.evaluate(*(x.plain for x in inputs))
        if isinstance(rule, Step | Winner):
            return _Changed(plain, plain)
        made = rule.evaluate(*(x.plain if i in gates else x.changed for i, x in enumerate(inputs)))
        return _Changed(plain, made * _factors(plain, step.output) if _rounds(rule) else made)

    with np.errstate(invalid="ignore", over="ignore"):
        (found,) = walk(program, apply, _Changed(images, images), tally)
    return {name: value.changed for name, value in found.items()}


def behind_jumps(instructions: Iterable[Instruction]) -> frozenset[str]:
    """The tensors that hold rounded numbers which are constant on pieces of the line, or are made of such.

    Others are equal on a whole interval for a reason.
    """
    jumped, found = set[str](), set[str]()
    for step in instructions:
        if isinstance(step.rule, Step | Winner) or not jumped.isdisjoint(step.inputs):
            jumped.add(step.output)
            if _rounds(step.rule) or not found.isdisjoint(step.inputs):
                found.add(step.output)
    return frozenset(found)


def _rounds(rule: Rule) -> bool:
    """Whether a rule computes: it does not just move numbers, or choose among them."""
    match rule:
        case Affine():
            return rule.terms > 1 or bool(rule.weights) or rule.offset is not None
        case Gated():
            return rule.terms > 1 or rule.product is not None
        case _:
            return isinstance(rule, Bilinear | Smooth | Quotient | Opaque)


def _factors(values: Array, name: str) -> Array:
    """A factor for every number, the same for the same number, near one; one for numbers that are short."""
    bits: NDArray[np.uint64] = np.ascontiguousarray(values).view(np.uint64)
    mixed = (bits ^ np.uint64(zlib.crc32(name.encode()))) * SPREAD[0]
    mixed = (mixed ^ (mixed >> np.uint64(29))) * SPREAD[1]
    share = (mixed >> np.uint64(40)).astype(np.float64) * 2.0**-24
    return np.where(bits & SHORT, 1 + CHANGE * (0.5 + 0.5 * share), 1.0)
