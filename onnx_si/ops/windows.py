"""Sliding windows over the spatial axes: the geometry that convolution and pooling share."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.ops.rules import Array


@dataclass(frozen=True)
class Window:
    """Kernel, strides, dilations and pads of one node, bound to a spatial size.

    `begin` and `end` are the pads that the node asks for; `output` is the number of positions on each axis; the last windows
    may reach beyond the padded input (ceil_mode), by `overhang`.
    """

    input: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    output: tuple[int, ...]

    @property
    def overhang(self) -> tuple[int, ...]:
        """Positions needed behind the padded input."""
        return tuple(
            max(0, (o - 1) * s + (k - 1) * d + 1 - (n + b + e))
            for o, s, k, d, n, b, e in zip(
                self.output, self.strides, self.kernel, self.dilations, self.input, self.begin, self.end, strict=True
            )
        )

    @property
    def taps(self) -> int:
        """Positions in one window."""
        return math.prod(self.kernel)

    def pad(self, x: Array, fill: float) -> Array:
        """Pad the trailing (spatial) axes as the node asks."""
        widths = [(b, e + o) for b, e, o in zip(self.begin, self.end, self.overhang, strict=True)]
        if not any(map(any, widths)):
            return x
        return np.pad(x, [(0, 0)] * (x.ndim - len(widths)) + widths, constant_values=fill)

    def taps_of(self, padded: Array) -> Iterator[Array]:
        """For each kernel position, in row-major order, the view of the padded input that it sees."""
        for offsets in itertools.product(*map(range, self.kernel)):
            yield padded[self.slices(offsets)]

    def slices(self, offsets: tuple[int, ...]) -> tuple[object, ...]:
        """Index of what one kernel position sees, behind any leading axes."""
        spatial = tuple(
            slice(t * d, t * d + (o - 1) * s + 1, s)
            for t, d, s, o in zip(offsets, self.dilations, self.strides, self.output, strict=True)
        )
        return (..., *spatial)


def window(
    input: tuple[int, ...],
    kernel: tuple[int, ...],
    *,
    strides: list[int] | None = None,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
) -> Window:
    """Bind a node's attributes to a spatial input size (ONNX spec, Conv and MaxPool)."""
    rank = len(input)
    if len(kernel) != rank:
        raise Refusal(f"kernel {kernel} on {rank} spatial axes", "check the exported model")
    steps, gaps = tuple(strides or [1] * rank), tuple(dilations or [1] * rank)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, gaps, strict=True)]
    if auto_pad in ("NOTSET", ""):
        flat = tuple(pads or [0] * 2 * rank)
        if min(flat) < 0:
            raise Refusal(f"negative pads {flat}", "export with pads >= 0")
        begin, end = flat[:rank], flat[rank:]
        round_up = math.ceil if ceil_mode else math.floor
        output = [
            round_up((n + b + e - r) / s) + 1 for n, b, e, r, s in zip(input, begin, end, reach, steps, strict=True)
        ]
        if ceil_mode:  # a window that starts behind the input and its front pad is dropped
            output = [o - ((o - 1) * s >= n + b) for o, s, n, b in zip(output, steps, input, begin, strict=True)]
    elif auto_pad == "VALID":
        begin = end = (0,) * rank
        output = [(n - r) // s + 1 for n, r, s in zip(input, reach, steps, strict=True)]
    elif auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output = [-(-n // s) for n, s in zip(input, steps, strict=True)]
        total = [
            max(0, (o - 1) * s + r - n) for o, s, r, n in zip(output, steps, reach, input, strict=True)
        ]
        small, large = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        begin, end = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
    else:
        raise Refusal(f"auto_pad '{auto_pad}' is not in the specification", "check the exported model")
    if min(output) < 1:
        raise Refusal(f"kernel {kernel} does not fit into {input}", "use a larger image")
    return Window(input, tuple(kernel), steps, gaps, tuple(begin), tuple(end), tuple(output))
