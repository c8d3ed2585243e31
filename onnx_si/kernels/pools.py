"""Sums and entries of windows, of all of space, or along axes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnx_si.kernels.windows import Window
from onnx_si.rules.rules import Array


def window_sum(x: Array, win: Window) -> Array:
    """The sum of each window; pads count as zero."""
    views = win.taps_of(win.pad(x, 0.0))
    total = np.array(next(views))
    for view in views:
        total += view
    return total


def spread_sum(y: Array, win: Window) -> Array:
    """The transpose of `window_sum`: what every window gets, at each of its places."""
    padded = np.zeros((*y.shape[: -win.rank], *win.padded), y.dtype)
    for view in win.taps_of(padded):
        view += y
    return padded[win.crop]


@dataclass(frozen=True)
class WindowSum:
    """`window_sum` as the linear part of a rule."""

    win: Window

    def __call__(self, x: Array) -> Array:
        return window_sum(x, self.win)

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
        return (spread_sum(y, self.win),)


@dataclass(frozen=True)
class WindowMean:
    """The sum of each window divided by what it counts."""

    win: Window

    def __call__(self, x: Array, counts: Array) -> Array:
        return window_sum(x, self.win) / counts

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]], counts: Array) -> tuple[Array, ...]:
        return (spread_sum(y / counts, self.win),)


@dataclass(frozen=True)
class WindowEntries:
    """The entries of each window, one array for each of its places; a pad is less than everything."""

    win: Window

    def __call__(self, x: Array) -> list[Array]:
        return list(self.win.taps_of(self.win.pad(x, -np.inf)))


@dataclass(frozen=True)
class DividedSum:
    """The sum over some axes, the batch axis counted, divided."""

    axes: tuple[int, ...]
    keepdims: bool

    def __call__(self, x: Array, divisor: Array) -> Array:
        return np.asarray(x.sum(axis=self.axes, keepdims=self.keepdims) / divisor)

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]], divisor: Array) -> tuple[Array, ...]:
        kept = y if self.keepdims else np.expand_dims(y, self.axes)
        return (np.broadcast_to(kept / divisor, (len(y), *shapes[0])),)


@dataclass(frozen=True)
class MeanByAxis:
    """The sum over some axes, one after the other (so that rounding grows by their lengths, not by their
    product), divided; the axes, the batch axis counted, stay.
    """

    axes: tuple[int, ...]

    def __call__(self, x: Array, divisor: Array) -> Array:
        for axis in self.axes:
            x = x.sum(axis=axis, keepdims=True)
        return x / divisor


@dataclass(frozen=True)
class LessMean:
    """A weight times x, plus its sum over some axes, divided."""

    axes: tuple[int, ...]

    def __call__(self, x: Array, one: Array, divisor: Array) -> Array:
        return x * one + MeanByAxis(self.axes)(x, divisor)


@dataclass(frozen=True)
class SpaceEntries:
    """All entries of space on a new first axis, for each channel."""

    count: int
    rank: int

    def __call__(self, x: Array) -> Array:
        lead = x.shape[:3]
        rows = np.moveaxis(x.reshape(*lead, self.count), -1, 0)
        return rows.reshape(self.count, *lead, *(1,) * self.rank)
