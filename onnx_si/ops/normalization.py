"""Normalisations by statistics of the image itself: evaluated in float64, never analysed exactly."""

from typing import Any

import numpy as np

from onnx_si.kernels.arrays import malformed, shape_of
from onnx_si.ops.elementwise import computed, opaque
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Context, Input, axis_of, handles, variable
from onnx_si.rules.rules import Array, Rule


def standardized(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    """(x - mean) / sqrt(variance + epsilon) over axes."""
    centred = x - x.mean(axis=axes, keepdims=True)
    return np.asarray(centred / np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + epsilon))


def _per_channel(values: Array, ndim: int) -> Array:
    """Values (batch, channels) against a tensor (batch, images, channels, ...) of `ndim` axes."""
    return values.reshape(values.shape[0], 1, values.shape[1], *(1,) * (ndim - 3))


@handles("InstanceNormalization", since=(6, 22), axes=axis_rules.same, channels_second=True)
def instance_normalization(x: Input, scale: Input, bias: Input, *, epsilon: float = 1e-5) -> Rule:
    shape = shape_of(x)
    if len(shape) < 3 or shape_of(scale) != shape[1:2] or shape_of(bias) != shape[1:2]:
        raise malformed(f"scale {shape_of(scale)} and B {shape_of(bias)} on a tensor of shape {shape}")

    def evaluate(x: Array, scale: Array, bias: Array) -> Array:
        axes = tuple(range(3, x.ndim))
        return standardized(x, axes, epsilon) * _per_channel(scale, x.ndim) + _per_channel(bias, x.ndim)

    return computed(evaluate, x, scale, bias)


@handles("GroupNormalization", since=(21,), axes=axis_rules.same, channels_second=True)
def group_normalization(
    x: Input,
    scale: Input,
    bias: Input,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Rule:
    shape = shape_of(x)
    if len(shape) < 2 or num_groups < 1 or shape[1] % num_groups:
        raise malformed(f"{num_groups} groups of a tensor of shape {shape}")
    if not shape_of(scale) == shape_of(bias) == shape[1:2]:
        raise malformed(f"scale {shape_of(scale)} and bias {shape_of(bias)} on a tensor of shape {shape}")

    def evaluate(x: Array, scale: Array, bias: Array) -> Array:
        grouped = x.reshape(*x.shape[:2], num_groups, -1)
        y = standardized(grouped, (3,), epsilon).reshape(x.shape)
        return y * _per_channel(scale, x.ndim) + _per_channel(bias, x.ndim)

    return computed(evaluate, x, scale, bias)


@handles("LayerNormalization", since=(17,), axes=axis_rules.same)
def layer_normalization(
    x: Input,
    scale: Input,
    bias: Input = None,
    *,
    context: Context,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Rule:
    """The second output is the mean, the third one over the standard deviation."""
    first = axis_of(axis, len(shape_of(x)))
    rank = len(shape_of(x)) - first

    def evaluate(x: Array, scale: Array, bias: Array | None) -> Array:
        axes = tuple(range(first + 1, x.ndim))
        if context.output == 1:
            return np.asarray(x.mean(axis=axes, keepdims=True))
        if context.output == 2:
            return np.asarray(1 / np.sqrt(x.var(axis=axes, keepdims=True) + epsilon))
        y = standardized(x, axes, epsilon) * _behind(scale, x.ndim)
        return y if bias is None else y + _behind(bias, x.ndim)

    if len(shape_of(scale)) > len(shape_of(x)) or rank < 1:
        raise malformed(f"scale {shape_of(scale)} on a tensor of shape {shape_of(x)}")
    return computed(evaluate, x, scale, bias)


def _behind(values: Array, ndim: int) -> Array:
    """Line up the last axes; the batch axis stays in front."""
    return values.reshape(values.shape[0], *(1,) * (ndim - values.ndim), *values.shape[1:])


@handles("RMSNormalization", since=(23,), axes=axis_rules.same)
def rms_normalization(
    x: Input, scale: Input, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Rule:
    first = axis_of(axis, len(shape_of(x)))
    if len(shape_of(scale)) > len(shape_of(x)):
        raise malformed(f"scale {shape_of(scale)} on a tensor of shape {shape_of(x)}")

    def evaluate(x: Array, scale: Array) -> Array:
        axes = tuple(range(first + 1, x.ndim))
        y = x / np.sqrt(np.mean(x * x, axis=axes, keepdims=True) + epsilon)
        return np.asarray(y * _behind(scale, x.ndim))

    return computed(evaluate, x, scale)


@handles("MeanVarianceNormalization", since=(9, 13), axes=axis_rules.same)
def mean_variance_normalization(x: Input, *, axes: list[int] | None = None) -> Rule:
    ndim = variable(x, "X").ndim
    over = tuple(axis_of(axis, ndim) + 1 for axis in ([0, 2, 3] if axes is None else axes))

    def evaluate(x: Array) -> Array:
        centred = x - x.mean(axis=over, keepdims=True)
        deviation = np.sqrt(np.mean(centred * centred, axis=over, keepdims=True))
        return np.asarray(centred / (deviation + 1e-9))

    return opaque(evaluate)


@handles("LpNormalization", since=(1, 22), axes=axis_rules.same)
def lp_normalization(x: Input, *, axis: int = -1, p: int = 2) -> Rule:
    """Rows of zeros stay zeros."""
    where = axis_of(axis, variable(x, "input").ndim) + 1
    if p not in (1, 2):
        raise malformed(f"p {p} is not in the specification")

    def evaluate(x: Array) -> Array:
        norm = np.linalg.norm(x, ord=p, axis=where, keepdims=True)
        return np.asarray(x / np.where(norm == 0, 1.0, norm))

    return opaque(evaluate)


@handles("LRN", since=(1, 13), axes=axis_rules.same, channels_second=True)
def local_response_normalization(
    x: Input, *, size: int, alpha: float = 0.0001, beta: float = 0.75, bias: float = 1.0
) -> Rule:
    shape = variable(x, "X").shape
    if len(shape) < 2 or size < 1:
        raise malformed(f"size {size} on a tensor of shape {shape}")
    before, after = (min(n, shape[1]) for n in ((size - 1) // 2, size - 1 - (size - 1) // 2))

    def evaluate(x: Array) -> Array:
        widths: list[Any] = [(0, 0)] * x.ndim
        widths[2] = (before, after)
        squares = np.pad(x * x, widths)
        total = sum(squares[:, :, i : i + shape[1]] for i in range(before + after + 1))
        return np.asarray(x / (bias + alpha / size * total) ** beta)

    return opaque(evaluate)
