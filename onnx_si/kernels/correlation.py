"""Correlation with kernels in any number of spatial dimensions, as matrix products over gathered windows."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import as_strided

from onnx_si.kernels.windows import Window, blocks
from onnx_si.rules.rules import Array

BLOCK_BYTES = 4 << 20  # gathered windows of one matrix product; about what a core's cache holds
CACHED_BYTES = 1 << 20  # of channels that are read once, and of what is made of them
TAPS_BYTES = 2 << 20  # of channels that are read once for each tap
SHIFT_BYTES = 512 << 10  # of what is shifted and added at a time; the cache next to the core
SMALL_IMAGES, MANY_CHANNELS = 256, 64  # places and channels of which the latter are better in a row
FEW_PLACES = 64  # of an image: a product for each image would be slower than one for all
LARGE_WINDOWS = 160 << 10  # windows of one channel that are not worth gathering for one product each

Product = Callable[[Array, Array, Window, int, Array], None]
"""(padded, w, window, group, out), which it fills."""


def correlate(x: Array, w: Array, win: Window, group: int) -> Array:
    """Cross-correlation; x (..., C, *spatial), w (O, C/group, *kernel) -> (..., O, *output)."""
    lead, channels = x.shape[: -win.rank - 1], x.shape[-win.rank - 1]
    images = math.prod(lead)
    x = x.reshape(images, channels, *x.shape[-win.rank :])
    out = np.empty((images, w.shape[0], *win.output), x.dtype)
    bytes_each = 8 * channels * win.taps * math.prod(win.output)
    product = _way(len(w), channels, win, group, bytes_each)
    if product is _by_rows:
        bytes_each //= win.axes[0].taps
    for block in blocks(images, bytes_each, BLOCK_BYTES):
        product(win.pad(x[block], 0.0), w, win, group, out[block])
    return out.reshape(*lead, w.shape[0], *win.output)


def _way(maps: int, channels: int, win: Window, group: int, bytes_each: int) -> Product:
    """How products are taken, by what was the fastest at such sizes; `bytes_each` are those of an image's
    windows.
    """
    places, large = math.prod(win.output), bytes_each > BLOCK_BYTES
    if win.taps == 1:
        return _gathered
    if group > 1:
        each_alone = maps == group == channels
        if each_alone and places <= SMALL_IMAGES and channels >= MANY_CHANNELS:
            return _by_channels
        shifts = each_alone and _moves_by_one(win) and 8 * win.taps * places > LARGE_WINDOWS
        return _by_shifts if shifts else _by_groups
    if places <= FEW_PLACES:
        return _together
    if large and _moves_by_one(win) and win.taps * maps <= channels:
        return _by_maps
    if large and _moves_by_one(win) and 2 * maps <= channels:
        return _by_taps
    if _has_rows(maps, channels, win):
        return _by_rows
    return _in_strips if large else _gathered


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


def _together(padded: Array, w: Array, win: Window, group: int, out: Array) -> None:
    """One product for all images: of a few places each it would be small."""
    columns = win.gathered(padded.swapaxes(0, 1), 1).reshape(padded.shape[1] * win.taps, -1)
    product = w.reshape(len(w), -1) @ columns
    out[...] = product.reshape(len(w), len(padded), *win.output).swapaxes(0, 1)


def _moves_by_one(win: Window) -> bool:
    return all(axis.stride == 1 for axis in win.axes)


def _by_maps(padded: Array, w: Array, win: Window, group: int, out: Array) -> None:
    """What the channels give to each tap, for some places of the first axis at a time; shifted and added."""
    first, *others = win.axes
    reach, rest = (first.taps - 1) * first.dilation, math.prod(win.padded[1:])
    weights = np.moveaxis(w.reshape(len(w), padded.shape[1], -1), 2, 0).reshape(-1, padded.shape[1])
    for image, made in zip(padded, out, strict=True):
        for strip in blocks(first.output, 8 * padded.shape[1] * rest, CACHED_BYTES):
            count = strip.stop - strip.start
            seen = image[:, strip.start : strip.start + count + reach]
            given = (weights @ seen.reshape(len(seen), -1)).reshape(win.taps, len(w), *seen.shape[1:])
            part = Window((replace(first, output=count), *others))
            made[:, strip] = given[0][part.views[0]]
            for tap, view in zip(given[1:], part.views[1:], strict=True):
                made[:, strip] += tap[view]


def _by_taps(padded: Array, w: Array, win: Window, group: int, out: Array) -> None:
    """A product with what each tap sees, none of which is gathered, for some places of the first axis at a
    time; added up.
    """
    rows, rest = (-1, *win.padded[1:]), math.prod(win.padded[1:])
    weights = np.ascontiguousarray(np.moveaxis(w.reshape(len(w), padded.shape[1], -1), 2, 0))
    inside = (slice(None), slice(None), *(slice(n) for n in win.output[1:]))
    for image, made in zip(padded, out, strict=True):
        seen = [shifted[0] for shifted in _shifted(image[None], win)]
        for strip in blocks(win.output[0], 8 * len(image) * rest, TAPS_BYTES):
            start, stop = strip.start * rest, min(strip.stop * rest, seen[0].shape[1])
            total = np.empty((len(w), (strip.stop - strip.start) * rest), padded.dtype)
            added = total[:, : stop - start]
            np.matmul(weights[0], seen[0][:, start:stop], out=added)
            product = np.empty_like(added)
            for matrix, shifted in zip(weights[1:], seen[1:], strict=True):
                added += np.matmul(matrix, shifted[:, start:stop], out=product)
            made[:, strip] = total.reshape(len(w), *rows)[inside]


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


def _has_rows(maps: int, channels: int, win: Window) -> bool:
    """Whether less is read and written if the taps along the first axis are not gathered: what each of them
    sees is a run of what the first one sees.
    """
    first = win.axes[0]
    return first.stride == 1 < first.taps and maps < channels * (win.taps // first.taps)


def _by_rows(padded: Array, w: Array, win: Window, group: int, out: Array) -> None:
    """Windows gathered along all axes but the first, and a product for each tap along that one, added up; for
    as many of its places at a time as stay in the cache.
    """
    first, *others = win.axes
    rest = math.prod(axis.output for axis in others)
    reach, depth = (first.taps - 1) * first.dilation, padded.shape[1] * (win.taps // first.taps)
    by_tap = w.reshape(len(w), padded.shape[1], first.taps, -1).transpose(2, 0, 1, 3)
    weights = by_tap.reshape(first.taps, len(w), depth)
    flat, product = out.reshape(*out.shape[:2], -1), None
    for strip in blocks(first.output, 8 * depth * rest, BLOCK_BYTES):
        count = strip.stop - strip.start
        rows = Window((replace(first, taps=1, output=count + reach), *others))
        columns = _columns(padded[:, :, strip.start : strip.stop + reach], rows)
        columns = columns.reshape(len(padded), depth, -1)
        total = flat[:, :, strip.start * rest : strip.stop * rest]
        for tap, matrix in enumerate(weights):
            start = tap * first.dilation * rest
            seen = columns[:, :, start : start + count * rest]
            if not tap:
                np.matmul(matrix, seen, out=total)
                continue
            if product is None or product.shape != total.shape:
                product = np.empty_like(total)
            total += np.matmul(matrix, seen, out=product)


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
    inside = (slice(None), *(slice(n) for n in win.output))
    some = list(blocks(group, 8 * math.prod(rows), SHIFT_BYTES))
    largest = some[0].stop if some else 0
    total = np.empty((largest, math.prod(rows)), padded.dtype)
    product = np.empty_like(total)
    for image, made in zip(padded, out, strict=True):
        for block in some:
            first, *others = _shifted(image[None, block], win)
            count, length = first.shape[1:]
            added, more = total[:count, :length], product[:count, :length]
            np.multiply(first[0], weights[block, 0], out=added)
            for tap, shifted in enumerate(others, start=1):
                added += np.multiply(shifted[0], weights[block, tap], out=more)
            made[block] = total[:count].reshape(count, *rows)[inside]


def _by_channels(padded: Array, w: Array, win: Window, group: int, out: Array) -> None:
    """Channels side by side: where images are small there are more of them in a row than places."""
    rank = win.rank
    tap, place, channels = [*range(rank)], [*range(rank, 2 * rank)], [2 * rank]
    last, first = (*range(1, rank + 1), 0), (rank, *range(rank))
    taps = [axis.taps for axis in win.axes]
    weights = np.ascontiguousarray(w.reshape(group, *taps).transpose(last))
    for image, made in zip(padded, out, strict=True):
        for some in blocks(group, 8 * math.prod(win.padded), CACHED_BYTES):
            moved = np.ascontiguousarray(image[some].transpose(last))
            along = list(zip(win.axes, moved.strides[:rank], strict=True))
            steps = [step * axis.dilation for axis, step in along] + [
                step * axis.stride for axis, step in along
            ]
            shape, strides = (*taps, *win.output, moved.shape[-1]), (*steps, moved.itemsize)
            seen = as_strided(moved, shape, strides, writeable=False)
            terms = (seen, tap + place + channels, weights[..., some], tap + channels)
            made[some] = np.einsum(*terms, place + channels).transpose(first)


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


def spread_out(x: Array, w: Array, win: Window, group: int) -> Array:
    """Transpose of `correlate`: x (..., C, *win.output), w (C, M/group, *kernel) -> (..., M, *spatial)."""
    back = _the_other_way(win)
    if back is not None:
        return correlate(x, _turned(w, group), back, group)
    lead, channels = x.shape[: -win.rank - 1], x.shape[-win.rank - 1]
    images, maps = math.prod(lead), w.shape[1] * group
    x = x.reshape(images, group, channels // group, math.prod(win.output))
    matrices = w.reshape(group, channels // group, w.shape[1] * win.taps).transpose(0, 2, 1)
    spatial = tuple(axis.length for axis in win.axes)
    out = np.empty((images, maps, *spatial), x.dtype)
    for block in blocks(images, 8 * maps * win.taps * math.prod(win.output), BLOCK_BYTES):
        columns = np.matmul(matrices, x[block]).reshape(-1, maps, win.taps, *win.output)
        if win.tiles:
            out[block] = _side_by_side(columns, win)[win.crop]
            continue
        padded = np.zeros((columns.shape[0], maps, *win.padded), x.dtype)
        for tap, view in enumerate(win.taps_of(padded)):
            view += columns[:, :, tap]
        out[block] = padded[win.crop]
    return out.reshape(*lead, maps, *spatial)


def _side_by_side(columns: Array, win: Window) -> Array:
    """What windows (images, maps, taps, *places) that tile the padded input put there: no sums."""
    shape, rank = columns.shape[:2], win.rank
    apart = columns.reshape(*shape, *(axis.taps for axis in win.axes), *win.output)
    woven = [axis + shift for axis in range(2, 2 + rank) for shift in (rank, 0)]
    return apart.transpose(0, 1, *woven).reshape(*shape, *win.padded)


def _the_other_way(win: Window) -> Window | None:
    """The window that the transpose slides, where it moves by one place; None where it leaves places out."""
    axes = []
    for axis in win.axes:
        reach = (axis.taps - 1) * axis.dilation
        begin, end = reach - axis.begin, reach - axis.end
        whole = axis.begin + axis.length + axis.end == axis.output + reach
        if axis.stride > 1 or min(begin, end) < 0 or not whole:
            return None
        axes.append(replace(axis, length=axis.output, begin=begin, end=end, output=axis.length))
    return Window(tuple(axes))


def _turned(w: Array, group: int) -> Array:
    """Kernels (C, M/group, *kernel) as those of the other way (M, C/group, *kernel), back to front."""
    parts = w.reshape(group, len(w) // group, *w.shape[1:]).swapaxes(1, 2)
    return np.flip(parts.reshape(-1, *parts.shape[2:]), tuple(range(2, w.ndim)))


@dataclass(frozen=True)
class Correlation:
    """`correlate` as the linear part of a rule."""

    win: Window
    group: int

    def __call__(self, x: Array, w: Array) -> Array:
        return correlate(x, w, self.win, self.group)

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]], w: Array) -> tuple[Array, ...]:
        return (spread_out(y, w, self.win, self.group),)


@dataclass(frozen=True)
class Spreading:
    """`spread_out` as the linear part of a rule."""

    win: Window
    group: int

    def __call__(self, x: Array, w: Array) -> Array:
        return spread_out(x, w, self.win, self.group)

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]], w: Array) -> tuple[Array, ...]:
        return (correlate(y, w, self.win, self.group),)
