"""Whether a map has a fixed scale: it is clipped to two ends, or holds truth values."""

import math
from collections.abc import Mapping

import numpy as np
import onnx

from onnx_si.graph import Model
from onnx_si.program.instruction import Instruction
from onnx_si.program.program import Program
from onnx_si.rules.registry import traits_of
from onnx_si.rules.rules import Kinked

Range = tuple[float, float]
ANYTHING: Range = (-math.inf, math.inf)


def is_truth(model: Model, name: str) -> bool:
    """Whether a declared output holds truth values."""
    return any(info.name == name and info.type == "bool" for info in model.outputs)


def middle(model: Model, program: Program, name: str) -> tuple[float, tuple[str, ...]] | None:
    """The level halfway between the two ends of a map's scale, and what to tell; None: it has no such scale.

    Parameters
    ----------
    model : Model
    program : Program
        The model bound to an image, with the map among its outputs.
    name : str
        The tensor that is the map.
    """
    if is_truth(model, name):
        return 0.5, (f"'{name}' holds truth values: the region is where it is true",)
    steps = {step.output: step for step in program.instructions}
    makers = {tensor: node for node in model.proto.graph.node for tensor in node.output}
    low, high = _range(name, makers, steps)
    if not math.isfinite(low) or not math.isfinite(high) or low >= high:
        return None
    return (low + high) / 2, (f"'{name}' is clipped to [{low:g}, {high:g}]: the threshold is its middle",)


def _range(name: str, makers: Mapping[str, onnx.NodeProto], steps: Mapping[str, Instruction]) -> Range:
    """Ends that values of a tensor never pass, as far as ops that work value by value tell."""
    kinked = []
    while (node := makers.get(name)) is not None:
        step = steps.get(name)
        if step is not None and isinstance(step.rule, Kinked):
            kinked.append(step.rule)
            name = step.inputs[0]
        elif traits_of(node).moves is not None:
            name = node.input[0]
        else:
            break
    found = ANYTHING
    for rule in reversed(kinked):
        found = _through(rule, found)
    return found


def _through(rule: Kinked, given: Range) -> Range:
    """The range of a rule's values where its input has one; anything where it differs from pixel to pixel."""
    if any(np.size(at) != 1 for at in rule.breakpoints):
        return ANYTHING
    places = sorted({float(np.ravel(at)[0]) for at in rule.breakpoints})
    low, high = given
    inside = [at for at in (*places, *given) if low <= at <= high and math.isfinite(at)] or [0.0]
    values = [_value(rule, at) for at in inside]
    for end, sign in ((low, -1.0), (high, 1.0)):
        if not math.isfinite(end):
            far = sign * (1.0 + max(map(abs, inside)))
            slope = _value(rule, 2 * far) - _value(rule, far)
            values += [_value(rule, far)] + [math.copysign(math.inf, slope)] * bool(slope)
    return min(values), max(values)


def _value(rule: Kinked, at: float) -> float:
    return float(np.ravel(rule.evaluate(np.full((1, 1), at)))[0])
