"""Products of a tensor with a smooth function of itself, made one smooth function: SiLU, Mish, Gelu.

As two rules they lose that both factors have the same error.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from onnx_si.kernels import series
from onnx_si.kernels.series import Series
from onnx_si.ops.elementwise import smooth
from onnx_si.program.instruction import Instruction, with_deaths
from onnx_si.program.program import Program
from onnx_si.rules.rules import Array, Bilinear, Smooth


@dataclass(frozen=True)
class TimesItself:
    """The series of x * f(x); equal ones are of one function."""

    of: Any

    def __call__(self, x: Any, order: int) -> series.Coefficients:
        factor = self.of(x, order)
        return series.times(series.variable(x, order), list(factor))


def fused(program: Program) -> Program:
    """The same program with fewer rules."""
    makers = {step.output: step for step in program.instructions}
    read = Counter(name for step in program.instructions for name in step.inputs)
    read.update(program.outputs)
    made, gone = list[Instruction](), set[str]()
    for step in program.instructions:
        found = _factor(step, makers)
        if found is None:
            made.append(step)
            continue
        rule, x, factor = found
        read[factor] -= 1
        if not read[factor]:
            gone.add(factor)
        made.append(replace(step, rule=rule, inputs=(x,)))
    kept = with_deaths((step for step in made if step.output not in gone), program.outputs)
    return replace(program, instructions=kept)


def _factor(step: Instruction, makers: dict[str, Instruction]) -> tuple[Smooth, str, str] | None:
    """The function that a product is, its argument, and the tensor that is no longer needed for it."""
    rule = step.rule
    if not isinstance(rule, Bilinear) or not rule.elementwise or rule.offset is not None or rule.weights:
        return None
    for x, factor in (step.inputs, step.inputs[::-1]) if len(step.inputs) == 2 else ():
        maker = makers.get(factor)
        if maker is not None and isinstance(maker.rule, Smooth) and maker.inputs == (x,):
            return _times_itself(maker.rule), x, factor
    return None


def _times_itself(factor: Smooth) -> Smooth:
    def evaluate(x: Array) -> Array:
        return x * factor.evaluate(x)

    taylor: Series = TimesItself(factor.series)
    return smooth(evaluate, taylor, everywhere=factor.everywhere)
