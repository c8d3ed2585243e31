"""Sliding windows over the spatial axes: the geometry that convolution and pooling share."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from types import EllipsisType

import numpy as np
from numpy.lib.stride_tricks import as_strided

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import malformed
from onnx_si.rules.registry import Variable
from onnx_si.rules.rules import Array


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One spatial axis, padded by `begin` and `end`, seen by `taps` positions at `output` places."""

    length: int
    taps: int
    stride: int
    dilation: int
    begin: int
    end: int
    output: int

    @property
    def padded(self) -> int:
        """Length with both pads and with what the last window needs behind them (ceil_mode)."""
        last = (self.output - 1) * self.stride + (self.taps - 1) * self.dilation + 1
        return max(self.begin + self.length + self.end, last)

    def seen_by(self, tap: int) -> slice:
        """What one tap sees of the padded axis, over all places of the window."""
        start = tap * self.dilation
        return slice(start, start + (self.output - 1) * self.stride + 1, self.stride)

    def counts(self, include_pads: bool) -> Array:
        """How many taps of each window lie on the axis, or on its pads too."""
        places = np.arange(self.output)[:, None] * self.stride + np.arange(self.taps) * self.dilation
        low, high = self.begin, self.begin + self.length
        if include_pads:
            low, high = 0, high + self.end
        return np.asarray(np.sum((places >= low) & (places < high), axis=1), dtype=np.float64)


@dataclass(frozen=True)
class Window:
    """A node's kernel, strides, dilations and pads, bound to a spatial size."""

    axes: tuple[Axis, ...]

    @cached_property
    def output(self) -> tuple[int, ...]:
        """Places of the window."""
        return tuple(axis.output for axis in self.axes)

    @cached_property
    def padded(self) -> tuple[int, ...]:
        """Spatial size of the padded input."""
        return tuple(axis.padded for axis in self.axes)

    @cached_property
    def crop(self) -> tuple[EllipsisType | slice, ...]:
        """The input within the padded input."""
        return (..., *(slice(axis.begin, axis.begin + axis.length) for axis in self.axes))

    @cached_property
    def views(self) -> tuple[tuple[EllipsisType | slice, ...], ...]:
        """For each tap, in row-major order, what it sees of the padded input."""
        taps = itertools.product(*(range(axis.taps) for axis in self.axes))
        return tuple((..., *(a.seen_by(t) for a, t in zip(self.axes, at, strict=True))) for at in taps)

    @property
    def rank(self) -> int:
        return len(self.axes)

    @cached_property
    def taps(self) -> int:
        """Positions in one window."""
        return math.prod(axis.taps for axis in self.axes)

    @cached_property
    def tiles(self) -> bool:
        """Whether every place of the padded input is seen by one tap of one window."""
        return all(
            axis.stride == axis.taps
            and (axis.taps == 1 or axis.dilation == 1)
            and axis.padded == axis.output * axis.taps
            for axis in self.axes
        )

    def pad(self, x: Array, fill: float) -> Array:
        """Pad the trailing (spatial) axes."""
        if all(axis.padded == axis.length for axis in self.axes):
            return x
        padded = np.full((*x.shape[: -self.rank], *self.padded), fill, x.dtype)
        padded[self.crop] = x
        return padded

    def taps_of(self, padded: Array) -> Iterator[Array]:
        """What each tap sees of the padded input."""
        return (padded[view] for view in self.views)

    def gathered(self, padded: Array, position: int) -> Array:
        """What every tap sees of the padded input, copied; the taps are the axis at `position`, which is
        among those in front of space.
        """
        shape, strides = padded.shape[: -self.rank], padded.strides[: -self.rank]
        along = list(zip(self.axes, padded.strides[-self.rank :], strict=True))
        view = as_strided(
            padded,
            (*shape[:position], *(axis.taps for axis in self.axes), *shape[position:], *self.output),
            (
                *strides[:position],
                *(step * axis.dilation for axis, step in along),
                *strides[position:],
                *(step * axis.stride for axis, step in along),
            ),
            writeable=False,
        )
        return view.reshape(*shape[:position], self.taps, *shape[position:], *self.output)

    def counts(self, include_pads: bool) -> Array:
        """How many taps of each window lie on the input, or on its pads too; what hangs over never counts."""
        return reduce(np.multiply.outer, (axis.counts(include_pads) for axis in self.axes))


def blocks(count: int, bytes_each: int, room: int) -> Iterator[slice]:
    """Cut `count` things of some bytes each into runs that fit into a room, one at least."""
    step = max(1, room // max(1, bytes_each))
    return (slice(i, min(i + step, count)) for i in range(0, count, step))


def window(
    x: Variable,
    kernel: tuple[int, ...],
    strides: list[int] | None,
    dilations: list[int] | None,
    pads: list[int] | None,
    auto_pad: str,
    ceil_mode: int = 0,
) -> Window:
    """Bind a node's attributes to a tensor (batch, channels, *spatial) (ONNX spec, Conv and MaxPool)."""
    spatial = x.shape[2:]
    rank = len(spatial)
    steps, gaps, flat = strides or [1] * rank, dilations or [1] * rank, pads or [0] * 2 * rank
    if rank == 0 or {len(kernel), len(steps), len(gaps), len(flat) // 2} != {rank}:
        raise malformed(f"kernel {kernel}, strides {steps}, dilations {gaps}, pads {flat} on shape {x.shape}")
    if min(*kernel, *steps, *gaps) < 1 or min(flat) < 0:
        raise Refusal(
            f"kernel {kernel}, strides {steps}, dilations {gaps}, pads {flat}", "export with pads >= 0"
        )
    if auto_pad not in ("NOTSET", "", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise malformed(f"auto_pad '{auto_pad}' is not in the specification")
    if auto_pad == "VALID":
        flat, ceil_mode = [0] * 2 * rank, 0
    axes = []
    for i, (length, taps, stride, dilation) in enumerate(zip(spatial, kernel, steps, gaps, strict=True)):
        reach = (taps - 1) * dilation + 1
        if auto_pad.startswith("SAME"):
            begin, end, output = _same(length, reach, stride, more_behind=auto_pad == "SAME_UPPER")
        else:
            begin, end = flat[i], flat[i + rank]
            output = _places(length, reach, stride, begin, end, bool(ceil_mode))
        seen = min(taps, -(-(begin + length + end) // dilation))  # what lies behind both is never seen
        axes.append(
            Axis(
                length=length,
                taps=seen,
                stride=stride,
                dilation=dilation,
                begin=begin,
                end=end,
                output=output,
            )
        )
    result = Window(tuple(axes))
    if min(result.output) < 1:
        raise Refusal(f"kernel {kernel} does not fit into {spatial}", "use a larger image")
    affordable((*x.shape[:2], *result.padded))
    affordable((*x.shape[:2], *result.output))
    return result


def _same(length: int, reach: int, stride: int, more_behind: bool) -> tuple[int, int, int]:
    """Pads that make as many places as strides fit into the input; the odd one behind or in front."""
    output = -(-length // stride)
    total = (output - 1) * stride + reach - length
    if total < -1:
        raise Refusal(f"auto_pad with a stride of {stride} beyond the kernel", "runtimes differ; export pads")
    less, more = max(total, 0) // 2, (max(total, 0) + 1) // 2
    return (less, more, output) if more_behind else (more, less, output)


def _places(length: int, reach: int, stride: int, begin: int, end: int, ceil: bool) -> int:
    """Places of the window on a padded axis; one that starts behind input and front pad is dropped."""
    room = begin + length + end - reach
    if not ceil:
        return room // stride + 1
    output = -(-room // stride) + 1
    return output - ((output - 1) * stride >= begin + length)
