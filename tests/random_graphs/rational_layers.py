"""Rational arithmetic, op by op: windows over two axes of space, and resampling."""

import math
from fractions import Fraction

import numpy as np

ZERO, HALF = Fraction(0), Fraction(1, 2)


def windows(x, kernel, strides=None, pads=None, dilations=None, fill=ZERO):
    """All windows of (N, C, H, W), as (N, C, rows, columns, *kernel); padding is `fill`."""
    strides, dilations = strides or [1, 1], dilations or [1, 1]
    top, left, bottom, right = pads or [0] * 4
    x = np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)], constant_values=fill)
    index = []
    for size, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        count = (size - (k - 1) * d - 1) // s + 1
        index.append(np.arange(count)[:, None] * s + np.arange(k) * d)
    rows, columns = index
    return x[:, :, rows[:, None, :, None], columns[None, :, None, :]]


def conv(x, w, b=None, *, group=1, pads=None, strides=None, dilations=None, wanted=1, **_):
    seen = windows(x, w.shape[2:], strides, pads, dilations)
    n, _, rows, columns = seen.shape[:4]
    parts = []
    for seen_by, weight in zip(np.split(seen, group, axis=1), np.split(w, group, axis=0), strict=True):
        flat = seen_by.transpose(0, 2, 3, 1, 4, 5).reshape(n * rows * columns, -1)
        parts.append(flat.dot(weight.reshape(len(weight), -1).T).reshape(n, rows, columns, -1))
    y = np.concatenate(parts, axis=-1).transpose(0, 3, 1, 2)
    return y if b is None else y + b.reshape(1, -1, 1, 1)


def conv_integer(x, w, x_zero=None, w_zero=None, *, wanted=1, **attributes):
    x = x if x_zero is None else x - x_zero
    w = w if w_zero is None else w - w_zero
    padded = windows(x, w.shape[2:], attributes.get("strides"), attributes.get("pads"), None, 0)
    return np.tensordot(padded, w, axes=([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2)


def conv_transpose(x, w, b=None, *, strides=(1, 1), pads=(0, 0, 0, 0), wanted=1, **_):
    n, _, h, width = x.shape
    kh, kw = w.shape[2:]
    out = np.full((n, w.shape[1], (h - 1) * strides[0] + kh, (width - 1) * strides[1] + kw), ZERO, object)
    for i, j in np.ndindex(h, width):
        at = np.s_[:, :, i * strides[0] : i * strides[0] + kh, j * strides[1] : j * strides[1] + kw]
        out[at] = out[at] + np.tensordot(x[:, :, i, j], w, axes=([1], [0]))
    top, left, bottom, right = pads
    out = out[:, :, top : out.shape[2] - bottom, left : out.shape[3] - right]
    return out if b is None else out + b.reshape(1, -1, 1, 1)


def _each_window(seen, function):
    out = np.empty(seen.shape[:4], object)
    for at in np.ndindex(out.shape):
        out[at] = function([v for v in seen[at].ravel() if v is not None])
    return out


def max_pool(x, *, kernel_shape, strides=None, pads=None, dilations=None, wanted=1, **_):
    return _each_window(windows(x, kernel_shape, strides, pads, dilations, None), max)


def average_pool(x, *, kernel_shape, strides=None, pads=None, count_include_pad=0, wanted=1, **_):
    fill = ZERO if count_include_pad else None
    return _each_window(windows(x, kernel_shape, strides, pads, None, fill), lambda row: sum(row) / len(row))


def lp_pool(x, *, kernel_shape, strides=None, pads=None, p=2, wanted=1, **_):
    if p != 1:
        raise NotImplementedError("roots are not rational")
    return _each_window(windows(x, kernel_shape, strides, pads), lambda row: sum(map(abs, row)))


def everywhere(function):
    def run(x, *, wanted=1, **_):
        flat = x.reshape(*x.shape[:2], -1)
        return np.apply_along_axis(lambda row: function(list(row)), 2, flat).reshape(*x.shape[:2], 1, 1)

    return run


def batch_norm(x, scale, shift, mean, variance, *, wanted=1, **_):
    """The generator's variances are squares less epsilon, so that the root is rational."""
    root = np.array([Fraction(round(math.sqrt(v) * 64), 64) for v in variance], object)
    factor = (scale / root).reshape(1, -1, 1, 1)
    return (x - mean.reshape(1, -1, 1, 1)) * factor + shift.reshape(1, -1, 1, 1)


def _place(out, scale, length, wanted, kind):
    """Where output pixel `out` lies among the `length` pixels of the input."""
    if kind == "align_corners":
        return ZERO if wanted == 1 else Fraction(out * (length - 1), wanted - 1)
    if kind == "asymmetric":
        return Fraction(out) / scale
    if kind == "pytorch_half_pixel" and wanted == 1:
        return ZERO
    return (out + HALF) / scale - HALF


def _nearest(place, mode):
    if mode == "floor":
        return math.floor(place)
    if mode == "ceil":
        return math.ceil(place)
    return math.ceil(place - HALF) if mode == "round_prefer_floor" else math.floor(place + HALF)


def _matrix(length, wanted, scale, mode, kind, nearest):
    rows = np.full((wanted, length), ZERO, object)
    for out in range(wanted):
        place = _place(out, scale, length, wanted, kind)
        if mode == "nearest":
            rows[out, min(length - 1, max(0, _nearest(place, nearest)))] = Fraction(1)
            continue
        below = math.floor(place)
        for pixel, weight in ((below, 1 - (place - below)), (below + 1, place - below)):
            rows[out, min(length - 1, max(0, pixel))] += weight
    return rows


def resize(
    x,
    roi=None,
    scales=None,
    sizes=None,
    *,
    mode=b"nearest",
    coordinate_transformation_mode=b"half_pixel",
    nearest_mode=b"round_prefer_floor",
    wanted=1,
):
    for axis, length in enumerate(x.shape):
        if sizes is not None:
            out = int(sizes[axis])
            scale = Fraction(out, length)
        else:
            scale = Fraction(scales[axis])
            out = math.floor(length * scale)
        if out == length and scale == 1:
            continue
        rows = _matrix(
            length, out, scale, mode.decode(), coordinate_transformation_mode.decode(), nearest_mode.decode()
        )
        x = np.moveaxis(np.tensordot(x, rows, axes=([axis], [1])), -1, axis)
    return x


OPS = {
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Conv": conv,
    "ConvInteger": conv_integer,
    "ConvTranspose": conv_transpose,
    "GlobalAveragePool": everywhere(lambda row: sum(row) / len(row)),
    "GlobalLpPool": everywhere(lambda row: sum(map(abs, row))),
    "GlobalMaxPool": everywhere(max),
    "LpPool": lp_pool,
    "MaxPool": max_pool,
    "Resize": resize,
}
