"""Correlation with 3 x 3 kernels in a quarter of the products: Winograd's minimal filtering F(4 x 4, 3 x 3).

Rounding grows by about fifty against the direct sum, so it serves where values carry no error bounds.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from onnx_si.kernels.windows import Window, blocks
from onnx_si.rules.rules import Array

TILE = 4
SEEN = TILE + 2
# polynomials in the points 0, 1, -1, 2, -2 and infinity (Winograd 1980; Lavin and Gray 2016, section 4)
INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=np.float64,
)
KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=np.float64
)

LEAST_CHANNELS = 48  # with fewer, moving the tiles costs more than the products save
BLOCK_BYTES = 4 << 20  # tiles of one round; about what a core's cache holds
LARGEST_KERNELS = 256 << 20


def minimal_filter(weight: Array, win: Window, group: int) -> Callable[[Array], Array] | None:
    """Correlation with weight (O, C, 3, 3) by tiles; None where the direct sum is as fast or needed.

    Weights with zeros or with many equal values (quantised ones) are left to the direct sum: their terms
    cancel exactly there, and steps that follow tell an exact zero from a rounded one.
    """
    plain = all((axis.taps, axis.stride, axis.dilation) == (3, 1, 1) for axis in win.axes)
    if win.rank != 2 or group != 1 or not plain or min(weight.shape[:2]) < LEAST_CHANNELS:
        return None
    rows, columns = (-(-n // TILE) for n in win.output)
    saves = 2 * SEEN**2 * rows * columns <= 9 * win.output[0] * win.output[1]
    if not saves or 8 * SEEN**2 * weight.shape[0] * weight.shape[1] > LARGEST_KERNELS:
        return None
    return MinimalFilter(weight, win) if _looks_trained(weight) else None


def _looks_trained(weight: Array) -> bool:
    one = weight[0]
    return bool(weight.all()) and 10 * len(np.unique(one)) >= 9 * one.size


@dataclass(frozen=True, eq=False)
class Transformed:
    """The kernels of a weight, made when they are needed."""

    weight: Array

    @cached_property
    def kernels(self) -> Array:
        """At every pair of points: (36, O, C)."""
        outputs, channels = self.weight.shape[:2]
        moved = KERNEL @ self.weight @ KERNEL.T
        return np.ascontiguousarray(moved.reshape(outputs, channels, SEEN**2).transpose(2, 0, 1))


@dataclass(frozen=True)
class MinimalFilter:
    """Calls map (..., C, H, W) to (..., O, *win.output). What `made` has is shared with others."""

    weight: Array
    win: Window
    made: Transformed | None = None

    @cached_property
    def _made(self) -> Transformed:
        return Transformed(self.weight) if self.made is None else self.made

    @property
    def kernels(self) -> Array:
        """The kernels at every pair of points: (36, O, C)."""
        return self._made.kernels

    def like(self, other: "MinimalFilter") -> "MinimalFilter":
        """The same with the kernels of another one, whose weight is equal."""
        return replace(self, weight=other.weight, made=other._made)

    def __call__(self, x: Array) -> Array:
        lead, x = x.shape[:-3], x.reshape(-1, *x.shape[-3:])
        (rows, columns), (height, width) = self.tiles, self.win.output
        room = max(BLOCK_BYTES, self.kernels.nbytes // 4)
        row_bytes = 8 * SEEN**2 * max(self.weight.shape[:2]) * columns
        out = np.empty((len(x), len(self.weight), height, width))
        for images in blocks(len(x), row_bytes * rows, room):
            padded, made = self._padded(x[images]), out[images].transpose(1, 0, 2, 3)
            for strip in blocks(rows, row_bytes, room):
                seen = padded[:, :, TILE * strip.start : TILE * strip.stop + SEEN - TILE]
                for row, lines in enumerate(self._correlated(seen)):
                    target = made[:, :, TILE * strip.start + row : TILE * strip.stop : TILE]
                    target[...] = lines[:, :, : target.shape[2], :width]
            self._clear_dark(padded, out[images])
        return out.reshape(*lead, *out.shape[1:])

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        rows, columns = self.win.output
        return -(-rows // TILE), -(-columns // TILE)

    def _padded(self, x: Array) -> Array:
        """Images (n, C, H, W) as (C, n, H', W'), filled up to whole tiles."""
        sides = (TILE * count + SEEN - TILE for count in self.tiles)
        padded = np.zeros((x.shape[1], len(x), *sides))
        padded[self.win.crop] = x.transpose(1, 0, 2, 3)
        return padded

    def _correlated(self, seen: Array) -> Array:
        """The four rows of every row of tiles: (4, O, n, rows, W') from (C, n, 4 rows + 2, W)."""
        channels, images, height, width = seen.shape
        rows, columns = height // TILE, width // TILE
        across = np.empty((SEEN, channels, images, rows, width))
        for i in range(SEEN):
            across[i] = seen[:, :, i : i + TILE * (rows - 1) + 1 : TILE]
        across = (INPUT @ across.reshape(SEEN, -1)).reshape(across.shape)
        tiles = np.empty((SEEN, SEEN, channels, images, rows, columns))
        for j in range(SEEN):
            tiles[:, j] = across[..., j : j + TILE * (columns - 1) + 1 : TILE]
        products = self.kernels @ (INPUT @ tiles.reshape(SEEN, SEEN, -1)).reshape(SEEN**2, channels, -1)
        made = (OUTPUT @ products.reshape(SEEN, SEEN, -1)).reshape(SEEN, TILE, -1, images, rows, columns)
        lines = np.empty((*made[:, 0].shape[:-1], TILE * columns))
        for j in range(TILE):
            lines[..., j::TILE] = made[:, j]
        return (OUTPUT @ lines.reshape(SEEN, -1)).reshape(TILE, *lines.shape[1:])

    def _clear_dark(self, padded: Array, out: Array) -> None:
        """Exact zeros where a window sees only zeros, as the direct sum has them."""
        light = padded.any(axis=0)
        if light.all():
            return
        height, width = self.win.output
        seen = sliding_window_view(light, (3, 3), axis=(1, 2))[:, :height, :width].any(axis=(3, 4))
        out.transpose(0, 2, 3, 1)[~seen] = 0.0
