"""Piecewise-linear functions of one element, and the largest or smallest of several tensors."""

import functools

import numpy as np

from onnx_si.kernels.arrays import broadcast_shape, double, malformed
from onnx_si.kernels.pointwise import AllOf, Bounded, Clipped, Leaky, Ramp, rectified
from onnx_si.ops import crops
from onnx_si.ops.elementwise import identity
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Input, Variable, constant, handles, optional, variable
from onnx_si.rules.rules import Affine, Array, Kinked, Maximum, Rule
from onnx_si.rules.traits import Gradient

ZERO = np.zeros(())
LARGEST = float(np.finfo(np.float32).max)


@handles("Relu", since=(6, 13, 14), axes=axis_rules.elementwise, crop=crops.elementwise)
def relu(x: Input) -> Rule:
    return Kinked(rectified, (ZERO,), uniform=True)


@handles("LeakyRelu", since=(6, 16), axes=axis_rules.elementwise, crop=crops.elementwise)
def leaky_relu(x: Input, *, alpha: float = 0.01) -> Rule:
    return Kinked(Leaky(alpha), (ZERO,))


@handles("PRelu", since=(7, 9, 16), axes=axis_rules.elementwise, crop=crops.elementwise)
def prelu(x: Input, slope: Input) -> Rule:
    x, slope = variable(x, "X"), double(constant(slope, "slope"))
    if broadcast_shape(x, slope) != x.shape:
        raise malformed(f"slope of shape {slope.shape} does not broadcast to {x.shape}")
    return Kinked(Leaky(slope), (ZERO,))


@handles("Abs", since=(6, 13), axes=axis_rules.elementwise, crop=crops.elementwise)
def absolute(x: Input) -> Rule:
    return Kinked(np.abs, (ZERO,))


@handles("HardSigmoid", since=(6, 22), axes=axis_rules.elementwise, crop=crops.elementwise)
def hard_sigmoid(x: Input, *, alpha: float = 0.2, beta: float = 0.5) -> Rule:
    if alpha == 0:
        return Affine(linear=np.zeros_like, offset=np.clip(double(np.asarray(beta)), 0, 1))
    ends = ((0.0 - beta) / alpha, (1.0 - beta) / alpha)
    low, high = min(ends), max(ends)
    levels = (0.0, 1.0) if alpha > 0 else (1.0, 0.0)
    return Kinked(
        Ramp(places=(low, high), levels=levels, factor=alpha, shift=beta), (np.asarray(low), np.asarray(high))
    )


@handles("Clip", since=(6, 11, 12, 13), axes=axis_rules.elementwise, crop=crops.elementwise)
def clip(
    x: Input,
    low: Input = None,
    high: Input = None,
    *,
    min: float = -LARGEST,
    max: float = LARGEST,
) -> Rule:
    """Limits are inputs from opset 11 on and attributes before; one at the end of float32 is none."""
    lower, upper = _limit(low, "min", min), _limit(high, "max", max)
    breakpoints = (lower,) * bool(lower > -LARGEST) + (upper,) * bool(upper < LARGEST)
    if not breakpoints:
        return identity(x)
    return Kinked(Clipped(lower, upper), breakpoints, uniform=True)


def _limit(value: Input, name: str, attribute: float) -> Array:
    given = optional(value, name)
    if given is not None and given.size != 1:
        raise malformed(f"{name} of shape {given.shape} is not one number")
    return double(np.asarray(attribute) if given is None else given.reshape(()))


def extreme(inputs: tuple[Input, ...], sign: int) -> Rule:
    """Largest (sign +1) or smallest of inputs that broadcast against each other."""
    if len(inputs) == 1:
        return identity(inputs[0])
    shape = broadcast_shape(*inputs)
    changing = [value for value in inputs if isinstance(value, Variable)]
    fixed = [double(constant(value, "of the op")) for value in inputs if not isinstance(value, Variable)]
    if len(changing) == 1 and changing[0].shape == shape:
        bound = functools.reduce(np.maximum if sign > 0 else np.minimum, fixed)
        return Kinked(Bounded(bound, sign), (bound,))
    return Maximum(AllOf(shape, tuple(fixed)), sign, passes_nan=True)


@handles(
    "Max",
    since=(6, 8, 12, 13),
    axes=axis_rules.elementwise,
    crop=crops.elementwise,
    gradient=Gradient.TO_WINNER,
)
def maximum(*inputs: Input) -> Rule:
    return extreme(inputs, +1)


@handles(
    "Min",
    since=(6, 8, 12, 13),
    axes=axis_rules.elementwise,
    crop=crops.elementwise,
    gradient=Gradient.TO_WINNER,
)
def minimum(*inputs: Input) -> Rule:
    return extreme(inputs, -1)
