"""Which tensors are sums of squares."""

from collections.abc import Iterable

import numpy as np

from onnx_si.program.instruction import Instruction
from onnx_si.rules.rules import Affine, Array, Bilinear


def never_negative(instructions: Iterable[Instruction], tensor: str) -> bool:
    """Whether a tensor is made of squares by sums with weights that are not negative."""
    makers = {step.output: step for step in instructions}
    pending = [tensor]
    while pending:
        step = makers.get(pending.pop())
        if step is None:
            return False
        match step.rule:
            case Bilinear() as rule if rule.elementwise and len(set(step.inputs)) == 1:
                constants: tuple[Array, ...] = ()
            case Affine() as rule:
                constants = rule.weights
                pending.extend(step.inputs)
            case _:
                return False
        offset = () if rule.offset is None else (rule.offset,)
        if not all(np.all(values >= 0) for values in (*constants, *offset)):
            return False
    return True
