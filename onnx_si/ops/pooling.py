"""MaxPool, AveragePool, their global forms, and LpPool."""

from functools import partial

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import malformed, size
from onnx_si.kernels.pools import DividedSum, SpaceEntries, WindowEntries, WindowMean, WindowSum, window_sum
from onnx_si.kernels.windows import Window, window
from onnx_si.ops import crops, made_of
from onnx_si.ops.elementwise import opaque, root, squared
from onnx_si.rules import axis_rules
from onnx_si.rules.composing import chain
from onnx_si.rules.registry import Context, Input, Variable, handles, variable
from onnx_si.rules.rules import Affine, Array, Composition, Gated, Kinked, Maximum, Rule, Winner
from onnx_si.rules.traits import Average, Gradient


@handles(
    "MaxPool",
    since=(1, 8, 10, 11, 12, 22),
    axes=axis_rules.pooled,
    crop=crops.windowed,
    channels_second=True,
    gradient=Gradient.TO_WINNER,
)
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
) -> Rule | Composition:
    """The second output is the place of each maximum in the flattened input."""
    x = variable(x, "X")
    win = _pooling_window(x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    affordable((win.taps, *x.shape[:2], *win.output))
    if context.output == 0:
        return Maximum(WindowEntries(win))
    order = (0, 1, *range(x.ndim - 1, 1, -1)) if storage_order else tuple(range(x.ndim))
    lengths = tuple(x.shape[axis] for axis in order)
    flat = np.arange(size(x.shape), dtype=np.float64).reshape(lengths).transpose(order)
    places = np.stack(list(win.taps_of(win.pad(flat, -1.0))))
    return chain(
        Winner(WindowEntries(win), tie=x.tie),
        Gated(evaluate=partial(_place_of, places=places), gates=(0,)),
    )


def _place_of(i: Array, places: Array) -> Array:
    """The i-th of the places that each window has."""
    return np.asarray(np.take_along_axis(places[:, None], i.astype(np.intp)[None], axis=0)[0])


@handles(
    "AveragePool",
    since=(7, 10, 11, 19, 22),
    axes=axis_rules.pooled,
    crop=crops.windowed,
    channels_second=True,
    averages=Average.WINDOWS,
)
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
    win = _pooling_window(variable(x, "X"), kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    counts = win.counts(bool(count_include_pad))
    return Affine(linear=WindowMean(win), weights=(counts,), terms=win.taps)


def _pooling_window(
    x: Variable,
    kernel: list[int],
    strides: list[int] | None,
    dilations: list[int] | None,
    pads: list[int] | None,
    auto_pad: str,
    ceil_mode: int,
) -> Window:
    """A pooling node's window; refused where onnxruntime departs from the specification."""
    if auto_pad.startswith("SAME") and max(dilations or [1]) > 1:
        raise Refusal("auto_pad with dilations", "runtimes pad differently; export explicit pads")
    win = window(x, tuple(kernel), strides, dilations, pads, auto_pad, ceil_mode)
    if auto_pad == "VALID" and ceil_mode:
        rounded_up = window(x, tuple(kernel), strides, dilations, None, "NOTSET", ceil_mode)
        if rounded_up.output != win.output:
            raise Refusal("auto_pad VALID with ceil_mode", "runtimes round differently; export explicit pads")
    if not win.counts(include_pads=False).all():
        raise Refusal("a window lies on pads alone", "export with pads smaller than the kernel")
    return win


def _spatial_size(x: Variable) -> int:
    if x.ndim < 3 or not size(x.shape[2:]):
        raise malformed(f"a tensor of shape {x.shape} has no spatial axes")
    return size(x.shape[2:])


@handles("LpPool", since=(2, 11, 18, 22), axes=axis_rules.pooled, channels_second=True)
def lp_pool(
    x: Input,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: list[int] | None = None,
    p: int = 2,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Rule | Composition:
    """The norm of each window: piecewise linear for p = 1."""
    win = _pooling_window(variable(x, "X"), kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    if p < 1:
        raise malformed(f"p {p} is not in the specification")
    if p == 1:
        return chain(Kinked(np.abs, (np.zeros(()),)), Affine(linear=WindowSum(win), terms=win.taps))
    x = variable(x, "X")
    if p == 2 and not x.stepwise:
        return chain(squared(x), Affine(linear=WindowSum(win), terms=win.taps), root(x))
    return opaque(
        lambda x: window_sum(np.abs(x) ** p, win) ** (1 / p),
        parts=made_of.norm_of_windows(x, win, p, (*x.shape[:2], *win.output)),
    )


@handles("GlobalLpPool", since=(2, 22), axes=axis_rules.space_gone, channels_second=True)
def global_lp_pool(x: Input, *, p: int = 2) -> Rule | Composition:
    return lp_pool(x, kernel_shape=list(variable(x, "X").shape[2:]), p=p)


@handles(
    "GlobalAveragePool",
    since=(1, 22),
    axes=axis_rules.space_gone,
    channels_second=True,
    averages=Average.SPACE,
)
def global_average_pool(x: Input) -> Rule:
    x = variable(x, "X")
    axes, count = tuple(range(3, x.ndim + 1)), _spatial_size(x)
    return Affine(linear=DividedSum(axes, keepdims=True), weights=(np.asarray(float(count)),), terms=count)


@handles(
    "GlobalMaxPool",
    since=(1, 22),
    axes=axis_rules.space_gone,
    channels_second=True,
    gradient=Gradient.TO_WINNER,
)
def global_max_pool(x: Input) -> Rule:
    x = variable(x, "X")
    return Maximum(SpaceEntries(_spatial_size(x), x.ndim - 2))
