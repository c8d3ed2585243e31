"""Pooling over regions of interest, and convolution at shifted places: exact where those are constant."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import double, malformed, shape_of, size
from onnx_si.kernels.windows import window
from onnx_si.ops.elementwise import computed
from onnx_si.ops.sampling import Sampler, Taps
from onnx_si.rules import axis_rules
from onnx_si.rules.composing import chain
from onnx_si.rules.registry import Context, Input, Variable, constant, handles, optional, variable
from onnx_si.rules.rules import Affine, Array, Composition, Maximum, Rule


def _sample_places(start: float, length: float, bins: int, ratio: int) -> Array:
    """Places (bins, samples) spread evenly over the bins of one axis of a region."""
    count = affordable((bins, ratio if ratio > 0 else max(math.ceil(length / bins), 0)))[1]
    return start + length / bins * (np.arange(bins)[:, None] + (np.arange(count) + 0.5) / max(count, 1))


def _region_taps(box: Array, bins: tuple[int, int], ratio: int, spatial: tuple[int, int]) -> Taps:
    """Four pixels around every sample (bins, 4 * samples); none counts for a sample far outside."""
    x0, y0, x1, y1 = box
    rows = _sample_places(y0, y1 - y0, bins[0], ratio)
    columns = _sample_places(x0, x1 - x0, bins[1], ratio)
    grid = (bins[0], bins[1], rows.shape[1], columns.shape[1])
    affordable((*grid, 8))
    at = np.stack(
        [np.broadcast_to(rows[:, None, :, None], grid), np.broadcast_to(columns[None, :, None, :], grid)], -1
    ).reshape(bins[0] * bins[1], -1, 2)
    limits = np.array(spatial, dtype=np.float64)
    counts = np.all((at >= -1) & (at <= limits), axis=-1)
    taps = Sampler("linear", "border", True).taps(np.clip(at, 0, limits - 1), spatial)
    weight = taps.weight * counts[..., None]
    return Taps(taps.index.reshape(len(at), -1), weight.reshape(len(at), -1))


@handles("RoiAlign", since=(10, 16, 22))
def roi_align(
    x: Input,
    rois: Input,
    batch_indices: Input,
    *,
    context: Context,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Rule | Composition:
    """The mean of samples in each bin, or (as runtimes do) the largest weighted pixel around the samples."""
    shape = variable(x, "X").shape
    boxes, images = double(constant(rois, "rois")), constant(batch_indices, "batch_indices").astype(np.intp)
    if len(shape) != 4 or boxes.shape != (len(images), 4) or mode not in ("avg", "max"):
        raise malformed(f"mode '{mode}', rois of shape {boxes.shape} on a tensor of shape {shape}")
    half_pixel = context.version >= 16 and coordinate_transformation_mode == "half_pixel"
    boxes = boxes * spatial_scale - (0.5 if half_pixel else 0.0)
    if not half_pixel:  # a region is at least one pixel wide
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1.0)
    bins, spatial = (output_height, output_width), (shape[2], shape[3])
    affordable((len(boxes), shape[1], *bins, max(sampling_ratio, 1) ** 2, 4))
    found = [_region_taps(box, bins, sampling_ratio, spatial) for box in boxes]
    most = max((taps.index.shape[1] for taps in found), default=0) or 1  # an empty region: one of weight 0
    affordable((len(found), size(bins), most))
    index, weight = (
        np.zeros((len(found), size(bins), most), np.intp),
        np.zeros((len(found), size(bins), most)),
    )
    for row, taps in enumerate(found):
        here = taps.index.shape[1]
        index[row, :, :here], weight[row, :, :here] = taps.index, taps.weight
        if mode == "avg":
            weight[row] /= max(here // 4, 1)
        elif here:  # nothing beyond the region's own samples counts
            index[row, :, here:], weight[row, :, here:] = taps.index[:, :1], taps.weight[:, :1]
    tapped = _Tapped(images, index, bins)
    if mode == "avg":
        return Affine(linear=tapped.summed, weights=(weight,), terms=most)
    return chain(Affine(linear=tapped, weights=(weight,)), Maximum(lambda x: np.moveaxis(x, -1, 0)))


@dataclass(frozen=True, eq=False)
class _Tapped:
    """Weighted pixels around the samples of each region: (batch, regions, channels, *bins, taps)."""

    images: NDArray[np.intp]
    index: NDArray[np.intp]
    bins: tuple[int, int]

    def __call__(self, x: Array, w: Array) -> Array:
        flat = x.reshape(*x.shape[:3], size(x.shape[3:]))
        y = np.zeros((len(x), len(self.images), x.shape[2], *self.index.shape[1:]), x.dtype)
        for i, (image, at, share) in enumerate(zip(self.images, self.index, w, strict=True)):
            y[:, i] = flat[:, image][..., at] * share
        return y.reshape(*y.shape[:3], *self.bins, y.shape[-1])

    def summed(self, x: Array, w: Array) -> Array:
        return np.asarray(self(x, w).sum(axis=-1))


def _bins(first: float, last: float, count: int, limit: int) -> list[range]:
    """The pixels of each bin of one axis of a region, between two whole places of which both belong to it.

    Raises
    ------
    Refusal
        If a runtime's float32 arithmetic puts the border of a bin elsewhere.
    """
    length = max(last - first + 1, 1)
    at = np.arange(count, dtype=np.int64)
    low, high = at * int(length) // count, -((at + 1) * -int(length) // count)
    width = np.float32(length) / np.float32(count)
    steps = at.astype(np.float32)
    if np.any(np.floor(steps * width) != low) or np.any(np.ceil((steps + 1) * width) != high):
        raise Refusal(
            f"{count} bins of {int(length)} pixels that float32 arithmetic gets wrong", "use RoiAlign"
        )
    begins, ends = (np.clip(side + int(first), 0, limit).tolist() for side in (low, high))
    return [range(begin, end) for begin, end in zip(begins, ends, strict=True)]


@handles("MaxRoiPool", since=(1, 22))
def max_roi_pool(x: Input, rois: Input, *, pooled_shape: list[int], spatial_scale: float = 1.0) -> Rule:
    """The largest pixel in each bin of a region whose corners are rounded to pixels; 0 in an empty bin."""
    shape, boxes = variable(x, "X").shape, double(constant(rois, "rois"))
    if len(shape) != 4 or boxes.ndim != 2 or boxes.shape[1] != 5 or len(pooled_shape) != 2:
        raise malformed(f"rois of shape {boxes.shape} on a tensor of shape {shape}")
    corners, images = boxes[:, 1:] * spatial_scale, boxes[:, 0].astype(np.intp)
    if np.any(corners % 1 == 0.5) or np.any(corners < 0) or np.any((images < 0) | (images >= shape[0])):
        raise malformed("a corner half way between two pixels or outside, or an image that does not exist")
    affordable((len(boxes), shape[1], *pooled_shape, *shape[2:]))
    found = [
        [(rows, columns) for rows in _bins(y0, y1, pooled_shape[0], shape[2]) for columns in across]
        for x0, y0, x1, y1 in np.round(corners)
        for across in [_bins(x0, x1, pooled_shape[1], shape[3])]
    ]
    most = max((len(rows) * len(columns) for bins in found for rows, columns in bins), default=1)
    index = np.full((len(boxes), size(tuple(pooled_shape)), max(most, 1)), size(shape[2:]))
    for box, bins in enumerate(found):
        for bin_, (rows, columns) in enumerate(bins):
            places = np.add.outer(np.array(rows) * shape[3], np.array(columns)).ravel()
            index[box, bin_, : places.size] = places
    return Maximum(_InBins(images, index, (pooled_shape[0], pooled_shape[1])))


@dataclass(frozen=True, eq=False)
class _InBins:
    """The pixels in each bin of each region on a new first axis; 0 in an empty bin."""

    images: NDArray[np.intp]
    index: NDArray[np.intp]
    bins: tuple[int, int]

    def __call__(self, x: Array) -> Array:
        flat = x.reshape(*x.shape[:3], size(x.shape[3:]))
        empty = (self.index == flat.shape[-1]).all(axis=-1)
        padded = np.concatenate([flat, np.full((*flat.shape[:3], 1), -np.inf, x.dtype)], axis=-1)
        y = np.zeros((len(x), len(self.images), x.shape[2], *self.index.shape[1:]), x.dtype)
        for i, (image, at) in enumerate(zip(self.images, self.index, strict=True)):
            y[:, i] = np.where(empty[i, :, None], 0.0, padded[:, image][..., at])
        return np.moveaxis(y.reshape(*y.shape[:3], *self.bins, y.shape[-1]), -1, 0)


@handles("DeformConv", since=(19, 22), axes=axis_rules.windowed, channels_second=True)
def deform_conv(
    x: Input,
    w: Input,
    offset: Input,
    b: Input = None,
    mask: Input = None,
    *,
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    offset_group: int = 1,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Rule:
    """Each tap of the kernel reads the image at its own shifted place, with a factor of its own."""
    shape, kernel = shape_of(x), tuple(kernel_shape or shape_of(w)[2:])
    win = window(Variable(shape), kernel, strides, dilations, pads, "NOTSET")
    rank, taps, places = win.rank, win.taps, size(win.output)
    if shape_of(offset) != (shape[0], offset_group * taps * rank, *win.output) or shape[1] % offset_group:
        raise malformed(f"offset of shape {shape_of(offset)} for a kernel {kernel} on shape {shape}")
    if shape_of(w)[1] * group != shape[1] or shape_of(w)[0] % group or shape_of(w)[2:] != kernel:
        raise malformed(f"weight {shape_of(w)} and group {group} on {shape[1]} channels")
    affordable((*shape_of(offset), 2**rank))
    affordable((shape[0], shape_of(w)[0], *win.output))
    steps = [np.arange(axis.output) * axis.stride - axis.begin for axis in win.axes]
    reach = [np.arange(axis.taps) * axis.dilation for axis in win.axes]
    first = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(1, places, rank)
    within = np.stack(np.meshgrid(*reach, indexing="ij"), -1).reshape(taps, 1, rank)
    shifted = Shifted(
        first=first, within=within, spatial=shape[2:], out=win.output, groups=(group, offset_group)
    )
    bias = optional(b, "B")
    addend = None if bias is None else double(bias).reshape(-1, *(1,) * rank)
    if any(isinstance(value, Variable) for value in (offset, mask, w)):
        return computed(partial(_with_own_taps, shifted=shifted, addend=addend), x, w, offset, mask)
    factor = optional(mask, "mask")
    fixed = shifted.taps(
        double(constant(offset, "offset"))[None], None if factor is None else double(factor)[None]
    )
    weights = (fixed.weight, double(constant(w, "W")))
    terms = shape_of(w)[1] * taps * 2**rank + 1
    linear = partial(_with_fixed_taps, shifted=shifted, taps=fixed)
    return Affine(linear=linear, weights=weights, offset=addend, terms=terms)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shifted:
    """A convolution whose taps are each moved by an offset of their own.

    They lie at `first` (1, out, rank) + `within` (taps, 1, rank); `groups` are those of the convolution and
    those of the offsets.
    """

    first: NDArray[np.intp]
    within: NDArray[np.intp]
    spatial: tuple[int, ...]
    out: tuple[int, ...]
    groups: tuple[int, int]

    def taps(self, offset: Array, mask: Array | None) -> Taps:
        """(batch, images * offset groups, taps * places, corners)"""
        taps, (places, rank) = len(self.within), self.first.shape[1:]
        sets = offset.shape[1] * self.groups[1]
        shifts = offset.reshape(len(offset), sets, taps, rank, places).swapaxes(3, 4)
        found = Sampler("linear", "zeros", True).taps(shifts + self.first + self.within, self.spatial)
        factor = 1.0 if mask is None else mask.reshape(len(mask), sets, taps, places, 1)
        flat = (sets, taps * places, found.index.shape[-1])
        weight = found.weight * factor
        index = np.broadcast_to(found.index, weight.shape)
        return Taps(index.reshape(-1, *flat), weight.reshape(-1, *flat))

    def convolved(self, x: Array, sampled: Taps, factors: Array, kernel: Array) -> Array:
        group, offset_group = self.groups
        images, channels = x.shape[1:3]
        grouped = x.reshape(len(x), images * offset_group, channels // offset_group, size(self.spatial))
        columns = sampled.collect(grouped, factors)
        columns = columns.reshape(len(columns), images, group, -1, size(self.out))
        matrices = kernel.reshape(len(kernel), 1, group, kernel.shape[1] // group, -1)
        y = np.matmul(matrices, columns)
        return np.asarray(y.reshape(len(y), images, kernel.shape[1], *self.out))


def _with_own_taps(
    x: Array, w: Array, offset: Array, mask: Array | None, shifted: Shifted, addend: Array | None
) -> Array:
    """Offsets for each point of the batch."""
    sampled = shifted.taps(offset, mask)
    return shifted.convolved(x, sampled, sampled.weight, w) + (0.0 if addend is None else addend)


def _with_fixed_taps(x: Array, factors: Array, w: Array, shifted: Shifted, taps: Taps) -> Array:
    return shifted.convolved(x, taps, factors, w[None])
