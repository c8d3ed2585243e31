"""Sums and products along an axis up to each element: CumSum, CumProd."""

from collections.abc import Callable

import numpy as np

from onnx_si.ops.elementwise import opaque
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Input, axis_of, handles, integers, variable
from onnx_si.rules.rules import Affine, Array, Rule


def _running(
    x: Input, axis: Input, exclusive: int, reverse: int, accumulate: Callable[..., Array], start: float
) -> Callable[[Array], Array]:
    """An accumulation along an axis; an exclusive one leaves the element out and begins with `start`."""
    (named,) = integers(axis, "axis")
    where = axis_of(named, variable(x, "x").ndim) + 1

    def run(x: Array) -> Array:
        turned = np.moveaxis(np.flip(x, where) if reverse else x, where, -1)
        if exclusive:
            first = np.full((*turned.shape[:-1], min(1, turned.shape[-1])), start, x.dtype)
            turned = np.concatenate([first, turned[..., :-1]], axis=-1)
        total = np.moveaxis(accumulate(turned, axis=-1), -1, where)
        return np.flip(total, where) if reverse else total

    return run


@handles("CumSum", since=(11, 14), axes=axis_rules.same)
def cumulative_sum(x: Input, axis: Input, *, exclusive: int = 0, reverse: int = 0) -> Rule:
    run = _running(x, axis, exclusive, reverse, np.cumsum, 0.0)
    return Affine(linear=run, terms=max(variable(x, "x").shape, default=1))


@handles("CumProd", since=(26,))
def cumulative_product(x: Input, axis: Input, *, exclusive: int = 0, reverse: int = 0) -> Rule:
    return opaque(_running(x, axis, exclusive, reverse, np.cumprod, 1.0), "bilinear")
