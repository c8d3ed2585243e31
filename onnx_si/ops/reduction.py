"""Reductions over axes: ReduceSum, ReduceMean, ReduceMax, ReduceMin."""

from collections.abc import Callable

import numpy as np
from onnx import helper

from onnx_si.errors import Refusal
from onnx_si.kernels.arrays import size
from onnx_si.kernels.pools import DividedSum
from onnx_si.ops.elementwise import identity
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Input, Variable, axis_of, handles, integers, variable
from onnx_si.rules.rules import Affine, Array, Maximum, Rule
from onnx_si.rules.traits import Average, Gradient


def reduced_axes(x: Variable, axes: Input, attribute: list[int] | None, noop: int) -> tuple[int, ...]:
    """Axes to reduce, counted from 0: an input in newer opsets, an attribute before; none named means all."""
    named = integers(axes, "axes") if axes is not None else tuple(attribute or ())
    if not named:
        return () if noop else tuple(range(x.ndim))
    return tuple(sorted({axis_of(axis, x.ndim) for axis in named}))


def length_of(x: Variable, axes: tuple[int, ...]) -> int:
    """How many elements one output is made of."""
    return size(tuple(x.shape[axis] for axis in axes))


def summed(x: Variable, axes: tuple[int, ...], keepdims: bool, divisor: float = 1.0) -> Affine:
    """The sum over the axes, divided."""
    behind_batch = tuple(axis + 1 for axis in axes)
    return Affine(
        linear=DividedSum(behind_batch, keepdims),
        weights=(np.asarray(divisor),),
        terms=length_of(x, axes),
    )


@handles("ReduceSum", since=(1, 11, 13), axes=axis_rules.reduced, averages=Average.AXES)
def reduce_sum(
    x: Input,
    axes_input: Input = None,
    *,
    axes: list[int] | None = None,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Rule:
    x = variable(x, "data")
    over = reduced_axes(x, axes_input, axes, noop_with_empty_axes)
    return summed(x, over, bool(keepdims)) if over else identity(x)


@handles("ReduceMean", since=(1, 11, 13, 18), axes=axis_rules.reduced, averages=Average.AXES)
def reduce_mean(
    x: Input,
    axes_input: Input = None,
    *,
    axes: list[int] | None = None,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Rule:
    x = variable(x, "data")
    over = reduced_axes(x, axes_input, axes, noop_with_empty_axes)
    if not over:
        return identity(x)
    if x.integer:
        raise Refusal("the mean of integers is truncated", "cast to floating point first")
    if not length_of(x, over):
        raise Refusal("the mean over no elements", "check the exported model")
    return summed(x, over, bool(keepdims), float(length_of(x, over)))


def along(x: Variable, axes: tuple[int, ...], keepdims: bool) -> Callable[[Array], Array]:
    """Candidates for a maximum over the axes: they become one axis in front of the batch axis."""
    count = length_of(x, axes)
    if not count:
        raise Refusal("the maximum over no elements", "check the exported model")
    rest = tuple(axis for axis in range(x.ndim) if axis not in axes)
    order = (*(axis + 1 for axis in axes), 0, *(axis + 1 for axis in rest))
    kept = [1 if axis in axes else length for axis, length in enumerate(x.shape)]
    shape = tuple(kept) if keepdims else tuple(x.shape[axis] for axis in rest)
    return lambda x: x.transpose(order).reshape(count, x.shape[0], *shape)


def _reduce_extreme(
    x: Input, axes_input: Input, axes: list[int] | None, keepdims: int, noop: int, sign: int
) -> Rule | Array:
    """Over no elements the result is the least, or largest, value of the type."""
    x = variable(x, "data")
    over = reduced_axes(x, axes_input, axes, noop)
    if not over:
        return identity(x)
    if not length_of(x, over):
        return np.full(
            np.zeros(x.shape).sum(axis=over, keepdims=bool(keepdims)).shape, _last(x.element, -sign)
        )
    return Maximum(along(x, over, bool(keepdims)), sign)


def _last(element: int, sign: int) -> float:
    """The largest (sign +1) or least value of an element type."""
    dtype = helper.tensor_dtype_to_np_dtype(element)
    if dtype.kind in "iu":
        return float(np.iinfo(dtype).max if sign > 0 else np.iinfo(dtype).min)
    return float(sign > 0) if dtype.kind == "b" else sign * np.inf


@handles("ReduceMax", since=(1, 11, 12, 13, 18, 20), axes=axis_rules.reduced, gradient=Gradient.TO_WINNER)
def reduce_max(
    x: Input,
    axes_input: Input = None,
    *,
    axes: list[int] | None = None,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Rule | Array:
    return _reduce_extreme(x, axes_input, axes, keepdims, noop_with_empty_axes, +1)


@handles("ReduceMin", since=(1, 11, 12, 13, 18, 20), axes=axis_rules.reduced, gradient=Gradient.TO_WINNER)
def reduce_min(
    x: Input,
    axes_input: Input = None,
    *,
    axes: list[int] | None = None,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Rule | Array:
    return _reduce_extreme(x, axes_input, axes, keepdims, noop_with_empty_axes, -1)
