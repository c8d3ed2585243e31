"""Normalisations by statistics of the image itself: evaluated in float64, never analysed exactly."""

from typing import Any

import numpy as np

from onnx_si.kernels.arrays import double, malformed, shape_of, size
from onnx_si.ops.elementwise import computed, opaque
from onnx_si.ops.made_of import ABSOLUTE, ROOT, Sketch, over_size, powers, standardised, with_constants
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Context, Input, Variable, axis_of, constant, handles, variable
from onnx_si.rules.rules import Affine, Array, Composition, Rule


def doubled(value: Input) -> Array:
    """A constant input in float64."""
    return double(constant(value, "of the op"))


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

    return computed(evaluate, x, scale, bias, parts=_channel_parts(x, scale, bias, shape, epsilon))


def _channel_parts(
    x: Input, factor: Input, shift: Input, grouped: tuple[int, ...], epsilon: float
) -> Composition | None:
    """Groups (images, groups, ...) standardised, then a factor and a constant for each channel."""
    if not isinstance(x, Variable) or isinstance(factor, Variable) or isinstance(shift, Variable):
        return None
    sketch, shape = Sketch([x.shape]), x.shape
    groups = sketch.moved(lambda y: y.reshape(len(y), *grouped), 0)
    made = standardised(sketch, groups, tuple(range(2, len(grouped))), epsilon)
    made = sketch.moved(lambda y: y.reshape(len(y), *shape), made)
    behind = (-1, *(1,) * (len(shape) - 2))
    return with_constants(sketch, made, doubled(factor).reshape(behind), doubled(shift).reshape(behind))


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

    grouped = (shape[0], num_groups, size(shape[1:]) // num_groups)
    return computed(evaluate, x, scale, bias, parts=_channel_parts(x, scale, bias, grouped, epsilon))


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
    parts = None
    if isinstance(x, Variable) and context.output:
        sketch, over = Sketch([x.shape]), tuple(range(first, x.ndim))
        if context.output == 1:
            sketch.mean(0, over)
        else:
            spread = sketch.mean(sketch.square(sketch.centred(0, over)), over)
            sketch.each(powers(-0.5, epsilon), spread)
        parts = sketch.finish()
    elif isinstance(x, Variable) and _fixed(scale, bias):
        sketch = Sketch([x.shape])
        made = standardised(sketch, 0, tuple(range(first, x.ndim)), epsilon)
        parts = with_constants(sketch, made, doubled(scale), None if bias is None else doubled(bias))
    return computed(evaluate, x, scale, bias, parts=parts)


def _fixed(*inputs: Input) -> bool:
    return not any(isinstance(value, Variable) for value in inputs)


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

    parts = None
    if isinstance(x, Variable) and _fixed(scale):
        sketch = Sketch([x.shape])
        made = over_size(sketch, 0, tuple(range(first, x.ndim)), epsilon)
        parts = with_constants(sketch, made, doubled(scale), None)
    return computed(evaluate, x, scale, parts=parts)


@handles("MeanVarianceNormalization", since=(9, 13), axes=axis_rules.same)
def mean_variance_normalization(x: Input, *, axes: list[int] | None = None) -> Rule:
    ndim = variable(x, "X").ndim
    over = tuple(axis_of(axis, ndim) + 1 for axis in ([0, 2, 3] if axes is None else axes))

    def evaluate(x: Array) -> Array:
        centred = x - x.mean(axis=over, keepdims=True)
        deviation = np.sqrt(np.mean(centred * centred, axis=over, keepdims=True))
        return np.asarray(centred / (deviation + 1e-9))

    sketch = Sketch([variable(x, "X").shape])
    axes_ = tuple(axis - 1 for axis in over)
    made = sketch.centred(0, axes_)
    size_ = sketch.each(ROOT, sketch.mean(sketch.square(made), axes_))
    sketch.product(made, sketch.each(powers(-1.0, 1e-9), size_))
    return opaque(evaluate, parts=sketch.finish())


@handles("LpNormalization", since=(1, 22), axes=axis_rules.same)
def lp_normalization(x: Input, *, axis: int = -1, p: int = 2) -> Rule:
    """Rows of zeros stay zeros."""
    where = axis_of(axis, variable(x, "input").ndim) + 1
    if p not in (1, 2):
        raise malformed(f"p {p} is not in the specification")

    def evaluate(x: Array) -> Array:
        norm = np.linalg.norm(x, ord=p, axis=where, keepdims=True)
        return np.asarray(x / np.where(norm == 0, 1.0, norm))

    sketch = Sketch([variable(x, "input").shape])
    terms = sketch.square(0) if p == 2 else sketch.each(ABSOLUTE, 0)
    total = sketch.mean(terms, (where - 1,), divided=False)
    sketch.product(0, sketch.each(powers(-1.0 / p), total))
    return opaque(evaluate, parts=sketch.finish())


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

    def near(x: Array) -> Array:
        widths: list[Any] = [(0, 0)] * x.ndim
        widths[2] = (before, after)
        padded = np.pad(x, widths)
        return np.asarray(sum(padded[:, :, i : i + shape[1]] for i in range(before + after + 1)))

    sketch = Sketch([shape])
    total = sketch.add(Affine(linear=near, terms=before + after + 1), (sketch.square(0),), shape)
    total = sketch.scaled(total, np.asarray(alpha / size))
    sketch.product(0, sketch.each(powers(-beta, bias), total))
    return opaque(evaluate, parts=sketch.finish())
