"""Rational arithmetic, op by op: moves of values, reductions, the places of maxima."""

import math
from fractions import Fraction

import numpy as np


def numbers(x):
    return [int(v) for v in x.ravel()]


def reduction(function):
    def run(x, axes=None, *, keepdims=1, noop_with_empty_axes=0, wanted=1):
        places = range(x.ndim) if axes is None else [a % x.ndim for a in numbers(axes)]
        return reduced(x, places, function, keepdims)

    return run


def reduced(x, axes, function, keepdims):
    axes = sorted(axes)
    rest = [a for a in range(x.ndim) if a not in axes]
    flat = np.transpose(x, [*rest, *axes]).reshape([x.shape[a] for a in rest] + [-1])
    out = np.empty(flat.shape[:-1], object)
    for place in np.ndindex(out.shape):
        out[place] = function(list(flat[place]))
    return out.reshape([1 if a in axes else x.shape[a] for a in range(x.ndim)]) if keepdims else out


def place_of(best):
    def run(x, *, axis=0, keepdims=1, select_last_index=0, wanted=1):
        def place(row):
            value = best(row)
            found = [i for i, v in enumerate(row) if v == value]
            return found[-1] if select_last_index else found[0]

        return reduced(x, [axis % x.ndim], place, keepdims)

    return run


def top_k(x, k, *, axis=-1, largest=1, wanted=2, **_):
    (count,) = numbers(k)
    rows = np.moveaxis(x, axis, -1)
    values, places = (np.empty((*rows.shape[:-1], count), object) for _ in range(2))
    for at in np.ndindex(rows.shape[:-1]):
        row = rows[at]
        order = sorted(range(len(row)), key=lambda i: (-row[i] if largest else row[i], i))[:count]
        values[at], places[at] = row[order], order
    return np.moveaxis(values, -1, axis), np.moveaxis(places, -1, axis)


def hardmax(x, *, axis=-1, wanted=1):
    place = place_of(max)(x, axis=axis)
    index = np.arange(x.shape[axis]).reshape([-1 if a == axis % x.ndim else 1 for a in range(x.ndim)])
    return np.frompyfunc(lambda p, i: Fraction(int(p == i)), 2, 1)(place, index)


def lp_norm(x, *, axis=-1, p=2, wanted=1):
    if p != 1:
        raise NotImplementedError("roots are not rational")
    return x / reduced(x, [axis % x.ndim], lambda row: sum(map(abs, row)), 1)


def cumsum(x, axis, *, exclusive=0, reverse=0, wanted=1):
    (axis,) = numbers(axis)
    rows = np.moveaxis(x, axis, 0)
    rows = rows[::-1] if reverse else rows
    total = np.cumsum(rows, axis=0)
    total = total - rows if exclusive else total
    return np.moveaxis(total[::-1] if reverse else total, 0, axis)


def split(x, sizes=None, *, axis=0, num_outputs=None, wanted=2):
    length = x.shape[axis]
    if sizes is None:
        each = math.ceil(length / (num_outputs or wanted))
        ends = [min(length, each * (i + 1)) for i in range(wanted)]
    else:
        ends = np.cumsum(numbers(sizes)).tolist()
    return tuple(np.split(x, ends[:-1], axis=axis))


def slices(x, starts, ends, axes=None, steps=None, *, wanted=1):
    starts, ends = numbers(starts), numbers(ends)
    axes = range(len(starts)) if axes is None else numbers(axes)
    steps = [1] * len(starts) if steps is None else numbers(steps)
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(index)]


def pad(x, pads, value=None, axes=None, *, mode=b"constant", wanted=1):
    pads = numbers(pads)
    widths = list(zip(pads[: x.ndim], pads[x.ndim :], strict=True))
    if mode == b"constant":
        fill = Fraction(0) if value is None else value.ravel()[0]
        return np.pad(x, widths, constant_values=fill)
    return np.pad(x, widths, mode={b"reflect": "reflect", b"edge": "edge", b"wrap": "wrap"}[mode])


def reshape(x, shape, *, allowzero=0, wanted=1):
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(numbers(shape))])


def flatten(x, *, axis=1, wanted=1):
    return x.reshape(math.prod(x.shape[:axis]), -1)


def squeeze(x, axes, *, wanted=1):
    return np.squeeze(x, tuple(numbers(axes)))


def unsqueeze(x, axes, *, wanted=1):
    return np.expand_dims(x, tuple(numbers(axes)))


def gather_elements(x, index, *, axis=0, wanted=1):
    return np.take_along_axis(x, index.astype(np.int64), axis)


def scatter_elements(x, index, updates, *, axis=0, reduction=b"none", wanted=1):
    out = x.copy()
    for at in np.ndindex(index.shape):
        to = list(at)
        to[axis] = int(index[at])
        new = updates[at]
        out[tuple(to)] = out[tuple(to)] + new if reduction == b"add" else new
    return out


def scatter_nd(x, index, updates, *, reduction=b"none", wanted=1):
    out = x.copy()
    for at in np.ndindex(index.shape[:-1]):
        out[tuple(int(i) for i in index[at])] = updates[at]
    return out


def gather_nd(x, index, *, batch_dims=0, wanted=1):
    rows = [x[tuple(int(i) for i in index[at])] for at in np.ndindex(index.shape[:-1])]
    return np.array(rows, object).reshape(*index.shape[:-1], *x.shape[index.shape[-1] :])


def one_hot(index, depth, values, *, axis=-1, wanted=1):
    count, (off, on) = numbers(depth)[0], values.ravel()
    out = [np.frompyfunc(lambda v, i=i: on if v % count == i else off, 1, 1)(index) for i in range(count)]
    return np.stack(out, axis=axis)


def depth_to_space(x, *, blocksize, mode=b"DCR", wanted=1):
    n, c, h, w = x.shape
    b = blocksize
    if mode == b"DCR":
        y = x.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape(n, c // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return y.reshape(n, c // b**2, h * b, w * b)


def space_to_depth(x, *, blocksize, wanted=1):
    n, c, h, w = x.shape
    b = blocksize
    return x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(n, -1, h // b, w // b)


def trilu(x, k=None, *, upper=1, wanted=1):
    shift = 0 if k is None else numbers(k)[0]
    rows, columns = np.indices(x.shape[-2:])
    keep = columns - rows >= shift if upper else columns - rows <= shift
    return np.where(keep, x, Fraction(0))


def expand(x, shape, *, wanted=1):
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(numbers(shape))))


def concat(*xs, axis, wanted=1):
    return np.concatenate(xs, axis=axis)


def gather(x, index, *, axis=0, wanted=1):
    return np.take(x, index.astype(np.int64), axis=axis)


def transpose(x, *, perm=None, wanted=1):
    return np.transpose(x, perm)


OPS = {
    "ArgMax": place_of(max),
    "ArgMin": place_of(min),
    "Compress": lambda x, keep, *, axis, wanted=1: np.compress(keep.astype(bool), x, axis=axis),
    "Concat": concat,
    "CumSum": cumsum,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "Hardmax": hardmax,
    "LpNormalization": lp_norm,
    "OneHot": one_hot,
    "Pad": pad,
    "ReduceL1": reduction(lambda row: sum(map(abs, row))),
    "ReduceMax": reduction(max),
    "ReduceMean": reduction(lambda row: sum(row) / len(row)),
    "ReduceMin": reduction(min),
    "ReduceSum": reduction(sum),
    "ReduceSumSquare": reduction(lambda row: sum(v * v for v in row)),
    "Reshape": reshape,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Slice": slices,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": lambda x, times, *, wanted=1: np.tile(x, numbers(times)),
    "TopK": top_k,
    "Transpose": transpose,
    "Trilu": trilu,
    "Unsqueeze": unsqueeze,
}
