"""MaxPool, AveragePool and their global forms."""

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.ops.arrays import size
from onnx_si.ops.registry import Context, Input, Variable, first_only, handles, variable
from onnx_si.ops.rules import Affine, Array, Maximum, Rule
from onnx_si.ops.windows import Window, window


@handles("MaxPool", since=(1, 8, 10, 11, 12, 22))
def max_pool(
    x: Input,
    *,
    context: Context,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    storage_order: int = 0,
    strides: list[int] | None = None,
) -> Rule:
    first_only(context)
    win = window(
        variable(x, "X").shape[2:],
        tuple(kernel_shape),
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
    )
    return Maximum(lambda x: np.stack(list(win.taps_of(win.pad(x, -np.inf)))))


@handles("AveragePool", since=(1, 7, 10, 11, 19, 22))
def average_pool(
    x: Input,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Rule:
    x = variable(x, "X")
    win = window(
        x.shape[2:],
        tuple(kernel_shape),
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
    )
    return Affine(
        lambda x, share: _window_sum(x, win) * share,
        weights=(1 / _counts(win, bool(count_include_pad)),),
        terms=win.taps,
    )


def _window_sum(x: Array, win: Window) -> Array:
    views = win.taps_of(win.pad(x, 0.0))
    total = np.array(next(views))
    for view in views:
        total += view
    return total


def _counts(win: Window, include_pad: bool) -> Array:
    """How many positions each window averages over; what hangs over in ceil_mode never counts."""
    ones = np.ones(win.input)
    if include_pad:
        ones = np.pad(ones, list(zip(win.begin, win.end, strict=True)), constant_values=1.0)
        ones = np.pad(ones, [(0, o) for o in win.overhang])
    else:
        ones = win.pad(ones, 0.0)
    return np.sum(list(win.taps_of(ones)), axis=0)


def _spatial(x: Variable) -> tuple[int, ...]:
    if x.ndim < 3:
        raise Refusal(f"a tensor of shape {x.shape} has no spatial axes", "check the exported model")
    return tuple(range(3, x.ndim + 1))


@handles("GlobalAveragePool", since=(1, 22))
def global_average_pool(x: Input) -> Rule:
    x = variable(x, "X")
    axes, count = _spatial(x), size(x.shape[2:])
    share = np.float64(1 / count)
    return Affine(lambda x, w: x.sum(axis=axes, keepdims=True) * w, weights=(share,), terms=count)


@handles("GlobalMaxPool", since=(1, 22))
def global_max_pool(x: Input) -> Rule:
    x = variable(x, "X")
    _spatial(x)
    ones = (1,) * (x.ndim - 2)
    return Maximum(lambda x: np.moveaxis(x.reshape(*x.shape[:3], -1), -1, 0).reshape(-1, *x.shape[:3], *ones))
