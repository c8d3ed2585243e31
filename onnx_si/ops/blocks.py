"""Moves of whole blocks: CenterCropPad, Col2Im, DepthToSpace and SpaceToDepth."""

import numpy as np

from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import malformed, size
from onnx_si.kernels.windows import window
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Input, Variable, axis_of, handles, integers, variable
from onnx_si.rules.rules import Affine, Array, Disputed, Rule
from onnx_si.rules.traits import Gradient


@handles("CenterCropPad", since=(18,), gradient=Gradient.MOVED)
def center_crop_pad(x: Input, wanted: Input, *, axes: list[int] | None = None) -> Rule:
    """The middle of each axis, or zeros around it; the odd element goes behind."""
    x = variable(x, "input_data")
    named = [axis_of(a, x.ndim) for a in axes] if axes is not None else list(range(x.ndim))
    lengths = integers(wanted, "shape")
    if len(lengths) != len(named):
        raise malformed(f"shape {lengths} for {len(named)} axes")
    crops, pads, shape = [slice(None)] * (x.ndim + 1), [(0, 0)] * (x.ndim + 1), list(x.shape)
    for axis, length in zip(named, lengths, strict=True):
        missing = length - x.shape[axis]
        shape[axis] = length
        if missing >= 0:
            pads[axis + 1] = (missing // 2, missing - missing // 2)
        else:
            crops[axis + 1] = slice(-missing // 2, -missing // 2 + length)
    affordable(tuple(shape))
    return Affine(linear=lambda x: np.pad(x[tuple(crops)], pads))


@handles("Col2Im", since=(18,))
def col2im(
    x: Input,
    image_shape: Input,
    block_shape: Input,
    *,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Rule:
    """Columns (images, channels * taps, places) added up where the windows overlap."""
    x, spatial, kernel = (
        variable(x, "input"),
        integers(image_shape, "image_shape"),
        integers(block_shape, "block_shape"),
    )
    taps = size(kernel)
    if x.ndim != 3 or not taps or x.shape[1] % taps:
        raise malformed(f"columns of shape {x.shape} for blocks {kernel}")
    images, channels = x.shape[0], x.shape[1] // taps
    win = window(Variable((images, channels, *spatial)), kernel, strides, dilations, pads, "NOTSET")
    if size(win.output) != x.shape[2]:
        raise malformed(f"{x.shape[2]} columns for {win.output} places")

    def added_up(x: Array) -> Array:
        columns = x.reshape(len(x), images, channels, taps, *win.output)
        padded = np.zeros((len(x), images, channels, *win.padded), x.dtype)
        for tap, view in enumerate(win.taps_of(padded)):
            view += columns[:, :, :, tap]
        return padded[win.crop]

    if win.rank != 2 and max(dilations or [1]) > 1:
        return Disputed(
            evaluate=added_up,
            reason=f"dilations {dilations} on {win.rank} axes: runtimes put the columns elsewhere",
        )
    return Affine(linear=added_up, terms=taps)


@handles(
    "DepthToSpace",
    since=(1, 11, 13, 28),
    axes=axis_rules.in_blocks,
    channels_second=True,
    gradient=Gradient.MOVED,
)
def depth_to_space(x: Input, *, blocksize: int, mode: str = "DCR") -> Rule:
    n, c, h, w = _image(x, mode, blocksize)
    b, depth = blocksize, c // blocksize**2
    if depth * b * b != c:
        raise malformed(f"blocks of {b} x {b} from {c} channels")
    blocks, order = (
        ((b, b, depth), (0, 1, 4, 5, 2, 6, 3)) if mode == "DCR" else ((depth, b, b), (0, 1, 2, 5, 3, 6, 4))
    )
    return Affine(
        linear=lambda x: (
            x.reshape(x.shape[0], n, *blocks, h, w)
            .transpose(order)
            .reshape(x.shape[0], n, depth, h * b, w * b)
        )
    )


@handles(
    "SpaceToDepth",
    since=(1, 13, 28),
    axes=axis_rules.in_blocks,
    channels_second=True,
    gradient=Gradient.MOVED,
)
def space_to_depth(x: Input, *, blocksize: int, mode: str = "DCR") -> Rule:
    n, c, h, w = _image(x, mode, blocksize)
    b = blocksize
    if h % b or w % b:
        raise malformed(f"blocks of {b} x {b} from {h} x {w} positions")
    order = (0, 1, 4, 6, 2, 3, 5) if mode == "DCR" else (0, 1, 2, 4, 6, 3, 5)
    return Affine(
        linear=lambda x: (
            x.reshape(x.shape[0], n, c, h // b, b, w // b, b)
            .transpose(order)
            .reshape(x.shape[0], n, c * b * b, h // b, w // b)
        )
    )


def _image(x: Input, mode: str, blocksize: int) -> tuple[int, int, int, int]:
    shape = variable(x, "input").shape
    if len(shape) != 4 or mode not in ("DCR", "CRD") or blocksize < 1:
        raise malformed(f"mode '{mode}', blocksize {blocksize} on a tensor of shape {shape}")
    n, c, h, w = shape
    return n, c, h, w
