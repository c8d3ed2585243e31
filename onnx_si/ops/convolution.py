"""Conv and ConvTranspose in any number of spatial dimensions, as matrix products over gathered windows."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import double, malformed
from onnx_si.kernels.windows import Axis, Window, blocks, window
from onnx_si.kernels.winograd import minimal_filter
from onnx_si.rules.registry import Context, Input, constant, handles, optional, variable
from onnx_si.rules.rules import Affine, Array, Rule

BLOCK_BYTES = 4 << 20  # gathered windows of one matrix product; about what a core's cache holds
SHIFT_BYTES = 256 << 10  # of what is shifted and added at a time; the cache next to the core
LARGE_WINDOWS = 160 << 10  # windows of one channel that are not worth gathering for one product each


def _bias(b: Input, channels: int, rank: int) -> Array | None:
    """The bias as an array that broadcasts over the spatial axes."""
    bias = optional(b, "B")
    if bias is None:
        return None
    if bias.shape != (channels,):
        raise malformed(f"bias of shape {bias.shape} for {channels} output channels")
    return double(bias).reshape(-1, *(1,) * rank)


def correlate(x: Array, w: Array, win: Window, group: int) -> Array:
    """Cross-correlation; x (..., C, *spatial), w (O, C/group, *kernel) -> (..., O, *output)."""
    lead, channels = x.shape[: -win.rank - 1], x.shape[-win.rank - 1]
    images = math.prod(lead)
    x = x.reshape(images, channels, *x.shape[-win.rank :])
    out = np.empty((images, w.shape[0], *win.output), x.dtype)
    bytes_each = 8 * channels * win.taps * math.prod(win.output)
    product = _gathered
    if group > 1 and win.taps > 1:
        product = _by_groups
        each_alone = len(w) == group == channels and all(axis.stride == 1 for axis in win.axes)
        if each_alone and 8 * win.taps * math.prod(win.output) > LARGE_WINDOWS:
            product = _by_shifts
    elif bytes_each > BLOCK_BYTES and win.taps > 1:
        product = _in_strips
    for block in blocks(images, bytes_each, BLOCK_BYTES):
        product(win.pad(x[block], 0.0), w, win, group, out[block])
    return out.reshape(*lead, w.shape[0], *win.output)


def _columns(padded: Array, win: Window) -> Array:
    """All windows side by side: (images, C, taps, places)."""
    images, channels = padded.shape[:2]
    if win.taps == 1:
        return padded[win.views[0]].reshape(images, channels, 1, -1)
    return win.gathered(padded, 2).reshape(images, channels, win.taps, -1)


def _multiply(w: Array, columns: Array, group: int, out: Array) -> None:
    """One matrix product per image and group, written into `out` (images, O, places)."""
    images, channels, taps, places = columns.shape
    depth = channels // group * taps
    np.matmul(
        w.reshape(group, len(w) // group, depth),
        columns.reshape(images, group, depth, places),
        out=out.reshape(images, group, len(w) // group, places),
    )


def _gathered(padded: Array, w: Array, win: Window, group: int, out: Array) -> None:
    _multiply(w, _columns(padded, win), group, out.reshape(*out.shape[:2], -1))


def _in_strips(padded: Array, w: Array, win: Window, group: int, out: Array) -> None:
    """Windows gathered for a few places of the first axis at a time, so that they stay in the cache."""
    first, *others = win.axes
    rest = math.prod(axis.output for axis in others)
    flat = out.reshape(*out.shape[:2], -1)
    for strip in blocks(first.output, 8 * padded.shape[1] * win.taps * rest, BLOCK_BYTES):
        start, count = strip.start * first.stride, strip.stop - strip.start
        reach = (count - 1) * first.stride + (first.taps - 1) * first.dilation + 1
        part = Window((replace(first, output=count), *others))
        columns = _columns(padded[:, :, start : start + reach], part)
        _multiply(w, columns, group, flat[:, :, strip.start * rest : strip.stop * rest])


def _by_groups(padded: Array, w: Array, win: Window, group: int, out: Array) -> None:
    """Windows gathered for a few groups of channels at a time; their products are so small that this counts.

    Windows that move by one place are gathered in runs over the ends of rows, which are dropped afterwards.
    """
    runs = all(axis.stride == 1 for axis in win.axes)
    rows = (win.output[0], *win.padded[1:]) if runs else win.output
    inside = (slice(None), slice(None), *(slice(n) for n in win.output))
    images, depth, maps = len(padded), padded.shape[1] // group, len(w) // group
    for some in blocks(group, 4 * 8 * images * depth * win.taps * math.prod(rows), BLOCK_BYTES):
        read, written = (
            slice(some.start * depth, some.stop * depth),
            slice(some.start * maps, some.stop * maps),
        )
        columns = (_runs if runs else _columns)(padded[:, read], win)
        count = columns.shape[1] // depth
        product = np.empty((images, count * maps, math.prod(rows)), padded.dtype)
        _multiply(w[written], columns, count, product)
        out[:, written] = product.reshape(images, -1, *rows)[inside]


def _by_shifts(padded: Array, w: Array, win: Window, group: int, out: Array) -> None:
    """The image shifted by each tap, times the tap's weights, added up: one channel is seen by one map."""
    rows, weights = (win.output[0], *win.padded[1:]), w.reshape(group, win.taps, 1)
    inside = (slice(None), slice(None), *(slice(n) for n in win.output))
    for some in blocks(group, 8 * len(padded) * math.prod(rows), SHIFT_BYTES):
        total = np.zeros((len(padded), some.stop - some.start, math.prod(rows)), padded.dtype)
        product: Array | None = None
        for tap, shifted in enumerate(_shifted(padded[:, some], win)):
            product = np.multiply(shifted, weights[some, tap], out=product)
            total[..., : shifted.shape[-1]] += product
        out[:, some] = total.reshape(len(padded), -1, *rows)[inside]


def _shifted(padded: Array, win: Window) -> Iterator[Array]:
    """What each tap sees of windows that move by one place: a run over all rows and their ends."""
    steps = [math.prod(win.padded[axis + 1 :]) for axis in range(win.rank)]
    length = 1 + sum((axis.output - 1) * step for axis, step in zip(win.axes, steps, strict=True))
    flat = padded.reshape(*padded.shape[:2], -1)
    for place in itertools.product(*(range(axis.taps) for axis in win.axes)):
        start = sum(t * axis.dilation * step for t, axis, step in zip(place, win.axes, steps, strict=True))
        yield flat[:, :, start : start + length]


def _runs(padded: Array, win: Window) -> Array:
    """All windows and, between them, what lies over the ends of rows: (images, C, taps, places)."""
    places = win.output[0] * math.prod(win.padded[1:])
    columns = np.zeros((*padded.shape[:2], win.taps, places), padded.dtype)
    for tap, shifted in enumerate(_shifted(padded, win)):
        columns[:, :, tap, : shifted.shape[-1]] = shifted
    return columns


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
    x, weight = variable(x, "X"), double(constant(w, "W"))
    _check_weight(x.shape, weight, kernel_shape, group)
    if weight.shape[1] * group != x.shape[1] or weight.shape[0] % group:
        raise malformed(f"weight {weight.shape} and group {group} on {x.shape[1]} channels")
    win = window(x, weight.shape[2:], strides, dilations, pads, auto_pad)
    affordable((x.shape[0], weight.shape[0], *win.output))
    return Affine(
        lambda x, w: correlate(x, w, win, group),
        weights=(weight,),
        offset=_bias(b, weight.shape[0], win.rank),
        terms=weight.shape[1] * win.taps + 1,
        fast=minimal_filter(weight, win, group),
    )


def _check_weight(shape: tuple[int, ...], weight: Array, kernel: list[int] | None, group: int) -> None:
    if weight.ndim != len(shape) or len(shape) < 3 or group < 1 or not weight.size:
        raise malformed(f"weight {weight.shape} and group {group} on a tensor of shape {shape}")
    if kernel and tuple(kernel) != weight.shape[2:]:
        raise malformed(f"kernel_shape {kernel} and a weight of shape {weight.shape}")


def spread_out(x: Array, w: Array, win: Window, group: int) -> Array:
    """Transpose of `correlate`: x (..., C, *win.output), w (C, M/group, *kernel) -> (..., M, *spatial)."""
    lead, channels = x.shape[: -win.rank - 1], x.shape[-win.rank - 1]
    images, maps = math.prod(lead), w.shape[1] * group
    x = x.reshape(images, group, channels // group, math.prod(win.output))
    matrices = w.reshape(group, channels // group, w.shape[1] * win.taps).transpose(0, 2, 1)
    spatial = tuple(axis.length for axis in win.axes)
    out = np.empty((images, maps, *spatial), x.dtype)
    for block in blocks(images, 8 * maps * win.taps * math.prod(win.output), BLOCK_BYTES):
        columns = np.matmul(matrices, x[block]).reshape(-1, maps, win.taps, *win.output)
        padded = np.zeros((columns.shape[0], maps, *win.padded), x.dtype)
        for tap, view in enumerate(win.taps_of(padded)):
            view += columns[:, :, tap]
        out[block] = padded[win.crop]
    return out.reshape(*lead, maps, *spatial)


@handles("ConvTranspose", since=(1, 11, 22))
def conv_transpose(
    x: Input,
    w: Input,
    b: Input = None,
    *,
    context: Context,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    output_padding: list[int] | None = None,
    output_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Rule:
    x, weight = variable(x, "X"), double(constant(w, "W"))
    _check_weight(x.shape, weight, kernel_shape, group)
    if weight.shape[0] != x.shape[1] or x.shape[1] % group:
        raise malformed(f"weight {weight.shape} and group {group} on {x.shape[1]} channels")
    spatial, kernel = x.shape[2:], weight.shape[2:]
    rank, maps = len(spatial), weight.shape[1] * group
    steps, gaps, extra = strides or [1] * rank, dilations or [1] * rank, output_padding or [0] * rank
    if {len(steps), len(gaps), len(extra)} != {rank} or min(*steps, *gaps) < 1 or min(extra) < 0:
        raise malformed(f"strides {steps}, dilations {gaps}, output_padding {extra} on shape {x.shape}")
    full = [
        s * (n - 1) + e + (k - 1) * d + 1
        for s, n, e, k, d in zip(steps, spatial, extra, kernel, gaps, strict=True)
    ]
    if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = (output_shape or [n * s for n, s in zip(spatial, steps, strict=True)])[-rank:]
        begin, end = _crops(full, wanted, auto_pad, context.version)
        if min(end) < 0 and auto_pad.startswith("SAME"):
            raise Refusal(
                "an output longer than auto_pad fills", "runtimes differ; export with output_padding"
            )
    else:
        flat = [0] * 2 * rank if auto_pad == "VALID" else pads or [0] * 2 * rank
        begin, end = flat[:rank], flat[rank:]
    output = [f - b - e for f, b, e in zip(full, begin, end, strict=True)]
    if min(begin) < 0 or min(end) < -1 or min(output) < 1:
        raise Refusal(f"pads {begin} and {end} give the output size {output}", "export with pads >= 0")
    affordable((x.shape[0], maps, *full))
    behind = [max(e, 0) for e in end]
    win = Window(tuple(map(Axis, output, kernel, steps, gaps, begin, behind, spatial)))
    return Affine(
        lambda x, w: spread_out(x, w, win, group),
        weights=(weight,),
        offset=_bias(b, maps, rank),
        terms=weight.shape[0] // group * win.taps + 1,
    )


def _crops(full: list[int], wanted: list[int], auto_pad: str, version: int) -> tuple[list[int], list[int]]:
    """Pads that leave the wanted output; an odd one goes behind for SAME_UPPER, else in front.

    One element that is missing is a zero behind (a pad of -1); more are placed differently by runtimes.
    """
    total = [f - w for f, w in zip(full, wanted, strict=True)]
    if version < 11 and any(t % 2 for t in total):
        raise Refusal(
            f"an odd total of pads {total}", "opset < 11 and runtimes split it differently; export again"
        )
    less, more = [max(t, 0) // 2 for t in total], [max(t, 0) - max(t, 0) // 2 for t in total]
    if min(total) < 0:
        return more, [min(t, u) for t, u in zip(total, less, strict=True)]
    return (less, more) if auto_pad == "SAME_UPPER" else (more, less)
