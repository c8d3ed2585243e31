"""Shapes of arrays that carry a batch axis in front of the tensor's own axes."""

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.ground.once import asked
from onnx_si.rules.registry import Input, Variable, constant
from onnx_si.rules.rules import Array

SMALL = 1 << 16  # elements of a constant that is as soon converted as looked up
_Doubles = dict[int, tuple["weakref.ref[NDArray[Any]]", "weakref.ref[Array]"]]


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
    return np.asarray(value, dtype=np.float64) if value.size <= SMALL else _shared(value)


def _shared(value: NDArray[Any]) -> Array:
    """A large constant in float64: one array for all who ask while someone holds it.

    Several walks over the nodes of one model do, and its weights take twice the file each time.
    """
    if value.dtype == np.float64:
        return value
    made: _Doubles = asked((), "doubles", dict)
    source, double = made.get(id(value), (None, None))
    found = None if source is None or double is None or source() is not value else double()
    if found is None:
        found = np.asarray(value, dtype=np.float64)
        made[id(value)] = weakref.ref(value), weakref.ref(found)
    return found


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


@dataclass(frozen=True, eq=False)
class Filled:
    """(*xs) -> every input of an op with a batch axis: a constant has a batch of one, None stays."""

    changes: tuple[bool, ...]
    fixed: tuple[Array | None, ...]

    def __call__(self, *xs: Array) -> list[Any]:
        changing = iter(xs)
        return [
            next(changing) if varies else value
            for varies, value in zip(self.changes, self.fixed, strict=True)
        ]


def filled(*inputs: Input) -> Filled:
    """Inputs, of which the constant ones are kept."""
    fixed = (
        None if value is None or isinstance(value, Variable) else double(value)[None] for value in inputs
    )
    return Filled(tuple(isinstance(value, Variable) for value in inputs), tuple(fixed))


@dataclass(frozen=True, eq=False)
class LinedUp:
    """(*xs) -> all inputs of an op lined up for broadcasting; constants have a batch of one."""

    ndim: int
    fixed: tuple[Array | None, ...]

    def __call__(self, *xs: Array) -> list[Array]:
        changing = iter(xs)
        return [align(next(changing), self.ndim) if value is None else value for value in self.fixed]


def operands(*inputs: Input) -> LinedUp:
    """Inputs that broadcast against each other, of which the constant ones are kept."""
    ndim = len(broadcast_shape(*inputs))
    fixed = (
        None if isinstance(value, Variable) else align(double(constant(value, "of the op"))[None], ndim)
        for value in inputs
    )
    return LinedUp(ndim, tuple(fixed))


@dataclass(frozen=True, eq=False)
class Applied:
    """A function of all inputs of an op, as one of those that change."""

    function: Callable[..., Array]
    inputs: Filled | LinedUp

    def __call__(self, *xs: Array) -> Array:
        return self.function(*self.inputs(*xs))


@dataclass(frozen=True, eq=False)
class Constant:
    """The same array, whatever an op reads."""

    value: Array

    def __call__(self, *xs: Array) -> Array:
        return self.value


@dataclass(frozen=True)
class Silent:
    """Outside its domain a function gives inf or nan, without a warning."""

    function: Callable[..., Array]

    def __call__(self, *xs: Any) -> Array:
        with np.errstate(all="ignore"):
            return self.function(*xs)
