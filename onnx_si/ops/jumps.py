"""Functions of one element that jump and have a slope: ThresholdedRelu and Shrink."""

import numpy as np

from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Input, handles
from onnx_si.rules.rules import Array, Composition, Gated, Kinked, Rule, Stage, Step


@handles("ThresholdedRelu", since=(10, 22), axes=axis_rules.elementwise)
def thresholded_relu(x: Input, *, alpha: float = 1.0) -> Rule | Composition:
    """x above alpha, else zero: a jump of height alpha."""
    above = Step(switches=lambda x: (x - alpha,), evaluate=lambda x: (x > alpha).astype(np.float64))
    kept = Gated(evaluate=lambda x, gate: np.where(gate != 0, x, 0.0), gates=(1,))
    return Composition((Stage(above, (0,)), Stage(kept, (0, 1))))


@handles("Shrink", since=(9,), axes=axis_rules.elementwise)
def shrink(x: Input, *, bias: float = 0.0, lambd: float = 0.5) -> Rule | Composition:
    """Zero between -lambd and lambd, moved towards zero by bias outside: it jumps unless both are equal."""

    def side_of(x: Array) -> Array:
        return np.where(x < -lambd, -1.0, np.where(x > lambd, 1.0, 0.0))

    def moved(x: Array, side: Array) -> Array:
        return np.where(side == 0, 0.0, x - side * bias)

    if bias == lambd and lambd >= 0:
        return Kinked(lambda x: moved(x, side_of(x)), (np.asarray(-lambd), np.asarray(lambd)))
    sides = Step(switches=lambda x: (x + lambd, x - lambd), evaluate=side_of)
    return Composition((Stage(sides, (0,)), Stage(Gated(evaluate=moved, gates=(1,)), (0, 1))))
