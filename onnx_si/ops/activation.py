"""Piecewise-linear functions of one element, and the largest or smallest of several tensors."""

from collections.abc import Callable

import numpy as np
import onnx

from onnx_si.errors import Refusal
from onnx_si.ops.arrays import align, double, expand, shape_of
from onnx_si.ops.elementwise import broadcast_shape, identity
from onnx_si.ops.registry import Input, Variable, constant, handles, variable
from onnx_si.ops.rules import Affine, Array, Kinked, Maximum, Rule

ZERO = np.zeros(())


@handles("Relu", since=(6, 13, 14))
def relu(x: Input) -> Rule:
    return Kinked(lambda x: np.maximum(x, 0.0), (ZERO,))


@handles("LeakyRelu", since=(6, 16))
def leaky_relu(x: Input, *, alpha: float = 0.01) -> Rule:
    return Kinked(lambda x: np.where(x < 0, alpha * x, x), (ZERO,))


@handles("PRelu", since=(6, 7, 9, 16))
def prelu(x: Input, slope: Input) -> Rule:
    x, slope = variable(x, "X"), double(constant(slope, "slope"))
    if np.broadcast_shapes(x.shape, slope.shape) != x.shape:
        raise Refusal(f"slope of shape {slope.shape} does not broadcast to {x.shape}", "check the exported model")
    return Kinked(lambda x: np.where(x < 0, slope * x, x), (ZERO,))


@handles("Abs", since=(6, 13))
def absolute(x: Input) -> Rule:
    return Kinked(np.abs, (ZERO,))


@handles("HardSigmoid", since=(6, 22))
def hard_sigmoid(x: Input, *, alpha: float = 0.2, beta: float = 0.5) -> Rule:
    if alpha == 0:
        return Affine(lambda x: np.zeros_like(x), offset=np.clip(double(np.asarray(beta)), 0, 1))
    ends = tuple(np.float64((end - beta) / alpha) for end in (0.0, 1.0))
    low, high = min(ends), max(ends)
    at_low, at_high = (0.0, 1.0) if alpha > 0 else (1.0, 0.0)

    def function(x: Array) -> Array:  # the flat parts are hit exactly, without rounding
        return np.where(x <= low, at_low, np.where(x >= high, at_high, alpha * x + beta))

    return Kinked(function, (np.asarray(low), np.asarray(high)))


@handles("Clip", since=(6, 11, 12, 13))
def clip(x: Input, low: Input = None, high: Input = None, **limits: float) -> Rule:
    """Limits are inputs from opset 11 on and the attributes `min` and `max` before; either may be absent."""
    lower = double(constant(low, "min")) if low is not None else np.asarray(limits.get("min", -np.inf))
    upper = double(constant(high, "max")) if high is not None else np.asarray(limits.get("max", np.inf))
    breakpoints = tuple(end for end in (lower, upper) if abs(end) < np.finfo(np.float32).max)
    if not breakpoints:
        return identity(x)
    return Kinked(lambda x: np.minimum(np.maximum(x, lower), upper), breakpoints)


def extreme(inputs: tuple[Input, ...], sign: int) -> Rule:
    """Largest (sign +1) or smallest of inputs that broadcast against each other."""
    if len(inputs) == 1:
        return identity(inputs[0])
    pick: Callable[..., Array] = np.maximum if sign > 0 else np.minimum
    shape = broadcast_shape(*inputs)
    changing = [value for value in inputs if isinstance(value, Variable)]
    fixed = [double(value) for value in inputs if isinstance(value, np.ndarray)]
    if len(changing) == 1 and changing[0].shape == shape:
        bound = fixed[0]
        for value in fixed[1:]:
            bound = pick(bound, value)
        return Kinked(lambda x: pick(x, bound), (bound,))

    def candidates(*xs: Array) -> Array:
        batch = xs[0].shape[0]
        return np.stack(
            [expand(x, shape) for x in xs] + [np.broadcast_to(value, (batch, *shape)) for value in fixed]
        )

    return Maximum(candidates, sign)


@handles("Max", since=(6, 8, 12, 13))
def maximum(*inputs: Input) -> Rule:
    return extreme(inputs, +1)


@handles("Min", since=(6, 8, 12, 13))
def minimum(*inputs: Input) -> Rule:
    return extreme(inputs, -1)
