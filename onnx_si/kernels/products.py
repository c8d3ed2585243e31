"""Matrix products of tensors behind a batch axis, and with constant matrices."""

from dataclasses import dataclass

import numpy as np

from onnx_si.kernels.arrays import align, size
from onnx_si.rules.rules import Array


def times(a: Array, b: Array) -> Array:
    """a @ b behind the batch axis; a vector on the left is a row, one on the right a column."""
    row, column = a.ndim == 2, b.ndim == 2
    a, b = a[:, None, :] if row else a, b[:, :, None] if column else b
    ndim = max(a.ndim, b.ndim) - 1
    product: Array = np.matmul(align(a, ndim), align(b, ndim))
    product = product[..., 0, :] if row else product
    return product[..., 0] if column else product


def times_right(x: Array, w: Array) -> Array:
    """x @ w; by a matrix, one product over all rows of all points instead of one per point."""
    if w.ndim != 2:
        return times(x, w[None])
    lead = x.shape[:-1]
    return (x.reshape(size(lead), x.shape[-1]) @ w).reshape(*lead, w.shape[1])


def times_left(x: Array, w: Array) -> Array:
    """w @ x."""
    return x @ w.T if x.ndim == w.ndim == 2 else times(w[None], x)


def turned(x: Array, transpose: int) -> Array:
    """The last two axes exchanged if asked for."""
    return x.swapaxes(-1, -2) if transpose else x


@dataclass(frozen=True)
class TimesRight:
    """x @ w, with x turned first if asked for."""

    transpose: int = 0

    def __call__(self, x: Array, w: Array) -> Array:
        return times_right(turned(x, self.transpose), w)


@dataclass(frozen=True)
class TimesLeft:
    """w @ x, with x turned first if asked for."""

    transpose: int = 0

    def __call__(self, x: Array, w: Array) -> Array:
        return times_left(turned(x, self.transpose), w)


@dataclass(frozen=True)
class ScaledProduct:
    """factor * (a @ b), each of them turned first if asked for."""

    transpose_a: int
    transpose_b: int

    def __call__(self, a: Array, b: Array, factor: Array) -> Array:
        return factor * times(turned(a, self.transpose_a), turned(b, self.transpose_b))
