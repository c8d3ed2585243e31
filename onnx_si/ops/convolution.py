"""Conv and ConvTranspose in any number of spatial dimensions, as matrix products over gathered windows."""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.ops.arrays import double
from onnx_si.ops.registry import Input, constant, handles, optional, variable
from onnx_si.ops.rules import Affine, Array, Rule
from onnx_si.ops.windows import Window, window

BLOCK_BYTES = 4 << 20  # gathered windows of one matrix product; about what a core's cache holds


def _blocks(count: int, bytes_each: int) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // max(1, bytes_each))
    return (slice(i, min(i + step, count)) for i in range(0, count, step))


def _per_channel(bias: Array | None, rank: int) -> Array | None:
    return None if bias is None else bias.reshape(-1, *(1,) * rank)


def correlate(x: Array, w: Array, win: Window, group: int) -> Array:
    """Cross-correlation; x (..., C, *spatial), w (O, C/group, *kernel) -> (..., O, *output)."""
    rank = len(win.kernel)
    lead, channels = x.shape[: -rank - 1], x.shape[-rank - 1]
    x = x.reshape(-1, channels, *x.shape[-rank:])
    out = np.empty((x.shape[0], w.shape[0], *win.output))
    depth = w.shape[1] * win.taps
    pixels = math.prod(win.output)
    for block in _blocks(x.shape[0], 8 * channels * win.taps * pixels):
        padded = win.pad(x[block], 0.0)
        size = padded.shape[0]
        if w.shape[1] == 1 and group == channels == w.shape[0]:
            _depthwise(padded, w, win, out[block])
            continue
        columns = np.empty((size, channels, win.taps, *win.output))
        for tap, view in enumerate(win.taps_of(padded)):
            columns[:, :, tap] = view
        columns = columns.reshape(size, group, depth, pixels)
        product = np.matmul(w.reshape(group, -1, depth), columns)
        out[block] = product.reshape(size, w.shape[0], *win.output)
    return out.reshape(*lead, w.shape[0], *win.output)


def _depthwise(padded: Array, w: Array, win: Window, out: Array) -> None:
    """One filter per channel: a weighted sum of shifted views, written into `out`."""
    out[...] = 0.0
    taps = w.reshape(w.shape[0], -1)
    for tap, view in enumerate(win.taps_of(padded)):
        out += view * taps[:, tap].reshape(-1, *(1,) * len(win.kernel))


@handles("Conv", since=(1, 11, 22))
def conv(
    x: Input,
    w: Input,
    b: Input = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Rule:
    x, weight, bias = variable(x, "X"), double(constant(w, "W")), optional(b, "B")
    channels, spatial = x.shape[1], x.shape[2:]
    if weight.shape[1] * group != channels or weight.shape[0] % group:
        raise Refusal(f"weight {weight.shape} and group {group} on {channels} channels", "check the exported model")
    win = window(spatial, weight.shape[2:], strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad)
    return Affine(
        lambda x, w: correlate(x, w, win, group),
        weights=(weight,),
        offset=_per_channel(None if bias is None else double(bias), len(spatial)),
        terms=weight.shape[1] * win.taps + 1,
    )


def spread_out(x: Array, w: Array, win: Window, group: int) -> Array:
    """The transpose of `correlate`: x (..., C, *win.output), w (C, M/group, *kernel) -> (..., M, *win.input)."""
    rank = len(win.kernel)
    lead, channels = x.shape[: -rank - 1], x.shape[-rank - 1]
    x = x.reshape(-1, group, channels // group, math.prod(win.output))
    matrices = w.reshape(group, channels // group, -1).transpose(0, 2, 1)
    maps = w.shape[1] * group
    padded_shape = [n + b + e + o for n, b, e, o in zip(win.input, win.begin, win.end, win.overhang, strict=True)]
    crop = tuple(slice(b, b + n) for b, n in zip(win.begin, win.input, strict=True))
    out = np.empty((x.shape[0], maps, *win.input))
    for block in _blocks(x.shape[0], 8 * maps * win.taps * math.prod(win.output)):
        columns = np.matmul(matrices, x[block]).reshape(-1, maps, win.taps, *win.output)
        padded = np.zeros((columns.shape[0], maps, *padded_shape))
        for tap, offsets in enumerate(itertools.product(*map(range, win.kernel))):
            padded[win.slices(offsets)] += columns[:, :, tap]
        out[block] = padded[(..., *crop)]
    return out.reshape(*lead, maps, *win.input)


@handles("ConvTranspose", since=(1, 11, 22))
def conv_transpose(
    x: Input,
    w: Input,
    b: Input = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    output_padding: list[int] | None = None,
    output_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Rule:
    x, weight, bias = variable(x, "X"), double(constant(w, "W")), optional(b, "B")
    spatial, kernel = x.shape[2:], weight.shape[2:]
    rank = len(spatial)
    if weight.shape[0] != x.shape[1] or x.shape[1] % group:
        raise Refusal(f"weight {weight.shape} and group {group} on {x.shape[1]} channels", "check the exported model")
    steps, gaps = tuple(strides or [1] * rank), tuple(dilations or [1] * rank)
    extra = tuple(output_padding or [0] * rank)
    full = [s * (n - 1) + e + (k - 1) * d + 1 for s, n, e, k, d in zip(steps, spatial, extra, kernel, gaps, strict=True)]
    if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(output_shape or [n * s for n, s in zip(spatial, steps, strict=True)])[-rank:]
        total = [f - o for f, o in zip(full, wanted, strict=True)]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        begin, end = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
    else:
        flat = [0] * 2 * rank if auto_pad == "VALID" else list(pads or [0] * 2 * rank)
        begin, end = flat[:rank], flat[rank:]
    output = tuple(f - b - e for f, b, e in zip(full, begin, end, strict=True))
    if min(*begin, *end) < 0 or min(output) < 1:
        raise Refusal(f"pads {begin} and {end} give the output size {output}", "export with pads >= 0")
    win = Window(output, tuple(kernel), steps, gaps, tuple(begin), tuple(end), tuple(spatial))
    return Affine(
        lambda x, w: spread_out(x, w, win, group),
        weights=(weight,),
        offset=_per_channel(None if bias is None else double(bias), rank),
        terms=weight.shape[0] // group * win.taps + 1,
    )
