"""Roots of sums of squares, and scalar products over the lengths of their factors, which are at most 1.

Where a length may be small nothing else bounds these, on a part of the line that is not narrow.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnx_si.kernels.bounded import Root
from onnx_si.kernels.pointwise import Bounded, Clipped, WeightedSum, rectified
from onnx_si.kernels.pools import DividedSum
from onnx_si.program.instruction import Instruction
from onnx_si.rules.rules import Affine, Bilinear, Kinked, Maximum, Quotient, Smooth

LARGEST = float(np.finfo(np.float32).max)  # a Clip up to here has no upper limit


@dataclass(frozen=True)
class Total:
    """The sum of products of two tensors, by the `way` in which it is taken."""

    factors: tuple[str, str]
    way: Any


@dataclass(frozen=True)
class Scalars:
    """By their names: `cosines`, and parts of vectors over a length, whose size is at most 1; `lengths`,
    roots of sums of squares or of products of two, or of more than that.

    The divisor of a cosine is never zero but for those in `no_numbers`, which are no number there; and then
    what is made of them is none either, so that an image of which they are read is refused.
    """

    cosines: frozenset[str] = frozenset()
    lengths: frozenset[str] = frozenset()
    no_numbers: frozenset[str] = frozenset()


def scalars(instructions: Sequence[Instruction], shapes: Mapping[str, tuple[int, ...]]) -> Scalars:
    """Those of a program."""
    known = _Known({step.output: step for step in instructions}, shapes)
    cosines = [step for step in instructions if isinstance(step.rule, Quotient) and known.is_cosine(step)]
    above = frozenset(step.output for step in cosines if known.is_above_zero(step.inputs[1]))
    others = (step.output for step in cosines if step.output not in above)
    no_numbers = frozenset(name for name in others if _stays(name, instructions))
    lengths = frozenset(step.output for step in instructions if _is_root(step) and known.is_length(step))
    return Scalars(above | no_numbers, lengths, no_numbers)


def _stays(name: str, instructions: Sequence[Instruction]) -> bool:
    """Whether all that is made of what is no number is none."""
    read = {name}
    for step in instructions:
        if read.isdisjoint(step.inputs):
            continue
        rule = step.rule
        if not isinstance(rule, Affine | Kinked | Maximum | Bilinear | Quotient | Smooth):
            return False
        if isinstance(rule, Kinked) and not np.isnan(rule.function(np.full((1, *step.shape), np.nan))).all():
            return False
        read.add(step.output)
    return True


@dataclass(frozen=True)
class _Known:
    makers: Mapping[str, Instruction]
    shapes: Mapping[str, tuple[int, ...]]

    def is_cosine(self, step: Instruction) -> bool:
        if len(step.inputs) != 2:
            return False
        above, below = step.inputs
        if self.is_part(above, below):
            return True
        product = self.total(above)
        if product is None or self.shapes[above] != self.shapes[below]:
            return False
        lengths = self.lengths(below)
        if lengths is None or any(length.way != product.way for length in lengths):
            return False
        return sorted(length.factors[0] for length in lengths) == sorted(product.factors)

    def is_part(self, above: str, below: str) -> bool:
        """Whether each number of a tensor is divided by no less than the length of a vector that it is in."""
        length = self.length(below)
        if length is None or set(length.factors) != {above}:
            return False
        linear, divisors, shape = length.way
        return bool(linear.keepdims) and shape == self.shapes[above] and max(divisors, default=1.0) <= 1

    def is_length(self, step: Instruction) -> bool:
        (name,) = step.inputs
        return self.squares(name) is not None or self.both_squares(name) is not None

    def is_above_zero(self, name: str) -> bool:
        """Whether a product of lengths, or a root of one of squares, stays above a number above zero."""
        step = self.makers.get(name)
        while step is not None and _raises(step):
            if _raises(step, above_zero=True):
                return True
            step = self.makers.get(step.inputs[0])
        if step is None:
            return False
        factors = step.inputs if _is_root(step) else self.product(step.output)
        return factors is not None and all(map(self.is_above_zero, factors))

    def total(self, name: str) -> Total | None:
        """The products that a tensor is the sum of."""
        step = self.makers.get(name)
        if step is None or not isinstance(step.rule, Affine) or step.rule.offset is not None:
            return None
        linear, (term, *others) = step.rule.linear, step.inputs
        if not isinstance(linear, DividedSum) or others:
            return None
        factors = self.product(term)
        divisors = tuple(float(weight) for weight in step.rule.weights if np.ndim(weight) == 0)
        if factors is None or len(divisors) != len(step.rule.weights) or min(divisors, default=1.0) <= 0:
            return None
        return Total(factors, (linear, divisors, self.shapes[term]))

    def product(self, name: str) -> tuple[str, str] | None:
        """Both factors of a product, element by element, none of them repeated."""
        step = self.makers.get(name)
        if step is None or not isinstance(step.rule, Bilinear) or not step.rule.elementwise:
            return None
        if step.rule.weights or step.rule.offset is not None:
            return None
        if any(self.shapes[factor] != self.shapes[name] for factor in step.inputs):
            return None
        return step.inputs[0], step.inputs[-1]

    def lengths(self, name: str) -> list[Total] | None:
        """Two sums of squares; the tensor is no less than the product of their roots."""
        step = self.below(name)
        if step is None:
            return None
        if _is_root(step):
            return self.both_squares(step.inputs[0])
        factors = self.product(step.output)
        return None if factors is None else _all(self.length(factor) for factor in factors)

    def both_squares(self, name: str) -> list[Total] | None:
        """Two sums of squares; the tensor is no less than their product."""
        step = self.below(name)
        factors = None if step is None else self.product(step.output)
        return None if factors is None else _all(self.squares(factor) for factor in factors)

    def length(self, name: str) -> Total | None:
        """A sum of squares; the tensor is no less than its root."""
        step = self.below(name)
        return self.squares(step.inputs[0]) if step is not None and _is_root(step) else None

    def squares(self, name: str) -> Total | None:
        """A sum of squares; the tensor is no less."""
        step = self.below(name)
        found = None if step is None else self.total(step.output)
        return found if found is not None and len(set(found.factors)) == 1 else None

    def below(self, name: str) -> Instruction | None:
        """What made a tensor, or something that is nowhere larger: it is raised to a number, or by one."""
        step = self.makers.get(name)
        while step is not None and _raises(step):
            step = self.makers.get(step.inputs[0])
        return step


def _all(found: Iterable[Total | None]) -> list[Total] | None:
    made = list(found)
    return [total for total in made if total is not None] if None not in made else None


def _is_root(step: Instruction) -> bool:
    return isinstance(step.rule, Smooth) and isinstance(step.rule.reach, Root)


def _raises(step: Instruction, above_zero: bool = False) -> bool:
    """Whether numbers become no smaller; whether those from zero on end up above some number above it."""
    rule = step.rule
    if isinstance(rule, Kinked):
        if isinstance(rule.function, Clipped):
            least = rule.function.low if np.all(rule.function.high >= LARGEST) else None
        elif isinstance(rule.function, Bounded):
            least = rule.function.bound if rule.function.sign > 0 else None
        else:
            least = np.zeros(()) if rule.function is rectified else None
    elif isinstance(rule, Affine) and isinstance(rule.linear, WeightedSum) and len(step.inputs) == 1:
        raised = rule.offset is not None and np.all(rule.offset >= 0) and float(rule.weights[0]) == 1.0
        least = rule.offset if raised else None
    else:
        least = None
    return least is not None and (not above_zero or bool(np.all(least > 0)))
