"""Elements picked by index from anywhere: GatherElements, GatherND."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import Applied, filled, malformed, shape_of
from onnx_si.kernels.sorting import Picked
from onnx_si.ops.choice import inside
from onnx_si.rules.registry import Input, Variable, axis_of, constant, handles
from onnx_si.rules.rules import Affine, Array, Gated, Rule
from onnx_si.rules.traits import Gradient

Index = NDArray[np.intp]
Shape = tuple[int, ...]


def places(index: Index, length: int) -> Index:
    """Indices counted from 0."""
    index = inside(index, length)
    return np.where(index < 0, index + length, index)


def along_axis(index: Index, shape: Shape, axis: int) -> Index:
    """Flat places that GatherElements reads: the index replaces one coordinate of its own position."""
    if index.ndim != len(shape) or any(
        n > m for a, (n, m) in enumerate(zip(index.shape, shape, strict=True)) if a != axis
    ):
        raise malformed(f"indices of shape {index.shape} on a tensor of shape {shape}")
    at: list[Index] = list(np.indices(index.shape, sparse=True))
    at[axis] = places(index, shape[axis])
    return np.asarray(np.ravel_multi_index(np.broadcast_arrays(*at), shape)) if index.size else index


def along_first_axes(index: Index, shape: Shape, batch_dims: int) -> Index:
    """Flat places that GatherND reads: each row of the index names a slice behind the batch axes."""
    depth = index.shape[-1] if index.ndim else 0
    if not 0 <= batch_dims < max(index.ndim, 1) or not 1 <= depth <= len(shape) - batch_dims:
        raise malformed(f"indices of shape {index.shape} on a tensor of shape {shape}")
    if index.shape[:batch_dims] != shape[:batch_dims]:
        raise malformed(f"indices of shape {index.shape} on a tensor of shape {shape}")
    lead = index.shape[:-1]
    named = [places(index[..., i], shape[batch_dims + i]) for i in range(depth)]
    batch = [np.arange(n).reshape(-1, *(1,) * (len(lead) - 1 - i)) for i, n in enumerate(shape[:batch_dims])]
    inner = shape[batch_dims + depth :]
    first = np.zeros(lead, dtype=np.intp)
    for position, length in zip([*batch, *named], shape, strict=False):
        first = first * length + position
    width = math.prod(inner)
    return (first[..., None] * width + np.arange(width)).reshape((*lead, *inner))


def picked(x: Input, index: Input, to_places: Callable[[Index], Index]) -> Rule:
    """Elements at flat places, which may change where the index jumps."""
    if not isinstance(index, Variable):
        at = to_places(constant(index, "indices").astype(np.intp))
        affordable(at.shape)
        return Affine(linear=Picked(at))
    if not index.stepwise:
        raise Refusal("the indices change continuously", "only indices from ArgMax or comparisons are exact")
    gates = (1,) if isinstance(x, Variable) else (0,)
    return Gated(evaluate=Applied(PickedEach(to_places), filled(x, index)), gates=gates)


@dataclass(frozen=True, eq=False)
class PickedEach:
    """Elements at flat places, other ones at each point of the batch."""

    to_places: Callable[[Index], Index]

    def __call__(self, data: Array, indices: Array) -> Array:
        flat = np.broadcast_to(data.reshape(len(data), -1), (len(indices), data[0].size))
        rows = zip(flat, indices, strict=True)
        return np.stack([row[self.to_places(i.astype(np.intp))] for row, i in rows])


@handles("GatherElements", since=(11, 13), gradient=Gradient.MOVED)
def gather_elements(x: Input, indices: Input, *, axis: int = 0) -> Rule:
    shape = shape_of(x)
    where = axis_of(axis, len(shape))
    return picked(x, indices, partial(along_axis, shape=shape, axis=where))


@handles("GatherND", since=(11, 12, 13), gradient=Gradient.MOVED)
def gather_nd(x: Input, indices: Input, *, batch_dims: int = 0) -> Rule:
    shape = shape_of(x)
    return picked(x, indices, partial(along_first_axes, shape=shape, batch_dims=batch_dims))
