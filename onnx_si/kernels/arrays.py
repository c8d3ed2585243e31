"""Shapes of arrays that carry a batch axis in front of the tensor's own axes."""

import math
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.rules.registry import Input, Variable, constant
from onnx_si.rules.rules import Array


def align(x: Array, ndim: int) -> Array:
    """Insert axes behind the batch axis until the tensor has `ndim` dimensions."""
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


def double(value: NDArray[Any]) -> Array:
    """A constant in float64; refuses text."""
    if value.dtype.kind in "OSU":
        raise Refusal("a constant holds text, not numbers", "choose an output that needs no text")
    return np.asarray(value, dtype=np.float64)


def size(shape: tuple[int, ...]) -> int:
    """Number of elements."""
    return math.prod(shape)


def malformed(reason: str) -> Refusal:
    """A node whose inputs and attributes don't fit together at this image's shape."""
    return Refusal(reason, "check the exported model and the image's shape")


def common_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """ONNX multidirectional broadcasting; refuses shapes that don't fit, and a result too large."""
    lengths = []
    for column in zip_longest(*(shape[::-1] for shape in shapes), fillvalue=1):
        wanted = {length for length in column if length != 1}
        if len(wanted) > 1:
            raise malformed(f"shapes {' and '.join(map(str, shapes))} do not broadcast")
        lengths.append(wanted.pop() if wanted else 1)
    return affordable(tuple(lengths[::-1]))


def broadcast_shape(*inputs: Input) -> tuple[int, ...]:
    """Common shape of inputs, changing or constant."""
    return common_shape(*map(shape_of, inputs))


def filled(*inputs: Input) -> Callable[..., list[Any]]:
    """Make the function (*xs) -> every input with a batch axis: a constant has a batch of one, None stays."""
    fixed = [
        None if value is None or isinstance(value, Variable) else double(value)[None] for value in inputs
    ]
    changes = [isinstance(value, Variable) for value in inputs]

    def fill(*xs: Array) -> list[Any]:
        changing = iter(xs)
        return [next(changing) if varies else value for varies, value in zip(changes, fixed, strict=True)]

    return fill


def operands(*inputs: Input) -> Callable[..., list[Array]]:
    """Make the function (*xs) -> all inputs lined up for broadcasting; constants have a batch of one."""
    ndim = len(broadcast_shape(*inputs))
    fixed = [
        None if isinstance(value, Variable) else align(double(constant(value, "of the op"))[None], ndim)
        for value in inputs
    ]

    def line_up(*xs: Array) -> list[Array]:
        changing = iter(xs)
        return [align(next(changing), ndim) if value is None else value for value in fixed]

    return line_up
