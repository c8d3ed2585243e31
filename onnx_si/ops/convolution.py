"""Conv and ConvTranspose in any number of spatial dimensions."""

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import double, malformed
from onnx_si.kernels.correlation import Correlation, Spreading
from onnx_si.kernels.windows import Axis, Window, window
from onnx_si.kernels.winograd import minimal_filter
from onnx_si.ops import crops
from onnx_si.ops.recipe import Recipe
from onnx_si.rules import axis_rules
from onnx_si.rules.boxes import Box, Part, whole
from onnx_si.rules.registry import Context, Input, Variable, constant, handles, optional, variable
from onnx_si.rules.rules import Affine, Array, Rule


def _bias(b: Input, channels: int, rank: int) -> Array | None:
    """The bias as an array that broadcasts over the spatial axes."""
    bias = optional(b, "B")
    if bias is None:
        return None
    if bias.shape != (channels,):
        raise malformed(f"bias of shape {bias.shape} for {channels} output channels")
    return double(bias).reshape(-1, *(1,) * rank)


@handles("Conv", since=(1, 11, 22), axes=axis_rules.windowed, crop=crops.windowed, channels_second=True)
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
        linear=Correlation(win, group),
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


def _part_of_spread(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """Transposed windows; all channels are made."""
    data, weight, *_ = recipe.inputs
    given = recipe.attributes
    if not isinstance(data, Variable) or not isinstance(weight, np.ndarray):
        return None
    if given.get("output_shape") or given.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    rank = len(shape) - 2
    steps, gaps = given.get("strides") or [1] * rank, given.get("dilations") or [1] * rank
    begins = (given.get("pads") or [0] * 2 * rank)[:rank]
    sides, before, behind = [], [], []
    for i, side in enumerate(box[2:]):
        reach = (weight.shape[2 + i] - 1) * gaps[i]
        first, last = side.start + begins[i], side.stop - 1 + begins[i]
        start = max(0, min(-((reach - first) // steps[i]), first // steps[i]))
        stop = min(data.shape[2 + i], last // steps[i] + 1)
        sides.append(slice(start, stop))
        before.append(first - start * steps[i])
        behind.append((stop - start - 1) * steps[i] + reach + 1 - before[-1] - (side.stop - side.start))
        if start >= stop or behind[-1] < 0:
            return None
    need = (*whole(data.shape[:2]), *sides)
    return Part(
        (*whole(shape[:2]), *box[2:]),
        (need,),
        lambda: recipe.again(crops.cut(recipe, (need,)), pads=before + behind, output_padding=None),
    )


@handles(
    "ConvTranspose", since=(1, 11, 22), axes=axis_rules.spread, crop=_part_of_spread, channels_second=True
)
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
    win = Window(
        tuple(
            Axis(length=inside, taps=taps, stride=step, dilation=gap, begin=front, end=back, output=whole)
            for inside, taps, step, gap, front, back, whole in zip(
                output, kernel, steps, gaps, begin, behind, spatial, strict=False
            )
        )
    )
    return Affine(
        linear=Spreading(win, group),
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
