"""Shapes of arrays that carry a batch axis in front of the tensor's own axes."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onnx_si.ops.registry import Input, Variable
from onnx_si.ops.rules import Affine, Array


def align(x: Array, ndim: int) -> Array:
    """Insert axes behind the batch axis until the tensor has `ndim` dimensions (numpy's broadcasting from the right)."""
    missing = ndim - (x.ndim - 1)
    return x.reshape(x.shape[:1] + (1,) * missing + x.shape[1:]) if missing > 0 else x


def expand(x: Array, shape: tuple[int, ...]) -> Array:
    """Broadcast the tensor behind the batch axis to `shape`, as a view where it can be."""
    if x.shape[1:] == shape:
        return x
    return np.broadcast_to(align(x, len(shape)), x.shape[:1] + shape)


def shape_of(value: Input) -> tuple[int, ...]:
    """Shape of an input, changing or constant."""
    return () if value is None else tuple(value.shape)


def double(value: NDArray[np.generic]) -> Array:
    """A constant in float64."""
    return np.asarray(value, dtype=np.float64)


def size(shape: tuple[int, ...]) -> int:
    """Number of elements."""
    return math.prod(shape)


def joint(linear: Callable[..., Array], inputs: tuple[Input, ...], terms: int = 1) -> Affine:
    """Rule of an op that is linear in all its inputs together, some of which are constant.

    The constants' own share becomes the offset: the op on the constants with zeros for the variables.
    """
    if all(isinstance(value, Variable) for value in inputs):
        return Affine(linear, terms=terms)

    def fill(xs: tuple[Array, ...], with_constants: bool) -> list[Array]:
        rest, batch = iter(xs), (xs[0].shape[0] if xs else 1)
        filled = []
        for value in inputs:
            if isinstance(value, Variable):
                filled.append(next(rest) if xs else np.zeros((1, *value.shape)))
            else:
                content = double(value) if with_constants and value is not None else np.zeros(())
                filled.append(np.broadcast_to(content, (batch, *shape_of(value))))
        return filled

    offset = linear(*fill((), True))[0]
    return Affine(lambda *xs: linear(*fill(xs, False)), offset=offset, terms=terms)
