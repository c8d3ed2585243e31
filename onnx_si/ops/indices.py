"""Masks and picks that constants steer: OneHot, Trilu, Compress, ReverseSequence."""

from functools import partial

import numpy as np

from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import Applied, filled, malformed, shape_of, size
from onnx_si.kernels.sorting import Masked, Picked, PickedAlong
from onnx_si.ops.opaque import at_one_point
from onnx_si.ops.rounding import stairs
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Input, Variable, axis_of, constant, handles, integers, variable
from onnx_si.rules.rules import Affine, Array, Composition, Gated, Rule, Stage


@handles("OneHot", since=(9, 11, 28), axes=axis_rules.one_hot)
def one_hot(indices: Input, depth: Input, values: Input, *, axis: int = -1) -> Rule | Composition:
    """Indices are cut to whole numbers, negative ones count from the end, none outside is marked."""
    where = axis_of(axis, len(shape_of(indices)) + 1)
    if isinstance(depth, Variable):
        return at_one_point(
            lambda i, n, v: _marked(i[None], v[None], int(n.item()), where)[0], indices, depth, values
        )
    (length,) = integers(depth, "depth")
    affordable((*shape_of(indices), length))
    write = Applied(partial(_marked, length=length, axis=where), filled(indices, values))
    if not isinstance(indices, Variable):
        return Affine(linear=write)
    cut = Stage(stairs(np.trunc), (0,))
    both = isinstance(values, Variable)
    marks = Gated(evaluate=write, gates=(0,))
    return Composition((cut, Stage(marks, (2, 1) if both else (1,))))


def _marked(at: Array, values: Array, length: int, axis: int) -> Array:
    """values[:, 1] where the index along the new axis is `at`, elsewhere values[:, 0]."""
    positions, cut = np.arange(length), np.trunc(at)[..., None]
    marked = np.moveaxis((cut == positions) | (cut == positions - length), -1, axis + 1)
    off, on = (values[:, i].reshape(-1, *(1,) * (marked.ndim - 1)) for i in (0, 1))
    return np.where(marked, on, off)


@handles("Trilu", since=(14,))
def trilu(x: Input, diagonal: Input = None, *, upper: int = 1) -> Rule:
    x = variable(x, "input")
    (k,) = (0,) if diagonal is None else integers(diagonal, "k")
    if x.ndim < 2:
        raise malformed(f"Trilu of shape {x.shape}")
    kept = np.triu(np.ones(x.shape[-2:], dtype=bool), k) if upper else np.tril(np.ones(x.shape[-2:], bool), k)
    return Affine(linear=Masked(kept))


@handles("Compress", since=(9, 11, 28))
def compress(x: Input, condition: Input, *, axis: int | None = None) -> Rule:
    if isinstance(condition, Variable):
        return at_one_point(lambda x, chosen: np.compress(chosen != 0, x, axis=axis), x, condition)
    chosen = constant(condition, "condition").astype(bool)
    shape = variable(x, "input").shape
    if axis is None:
        flat = np.nonzero(chosen[: size(shape)])[0]
        return Affine(linear=Picked(flat))
    where = axis_of(axis, len(shape))
    kept = np.nonzero(chosen[: shape[where]])[0]
    return Affine(linear=PickedAlong(kept, where + 1))


@handles("ReverseSequence", since=(10, 28))
def reverse_sequence(x: Input, lengths: Input, *, batch_axis: int = 1, time_axis: int = 0) -> Rule:
    """The first elements of each row along the time axis, as many as its length says, turned round."""
    shape = variable(x, "input").shape
    batch, time = axis_of(batch_axis, len(shape)), axis_of(time_axis, len(shape))
    each = integers(lengths, "sequence_lens")
    if batch == time or len(each) != shape[batch] or not all(0 <= n <= shape[time] for n in each):
        raise malformed(f"lengths {each} along axis {time} of shape {shape}")
    step = np.arange(shape[time])
    rows = np.stack([np.where(step < n, n - 1 - step, step) for n in each])
    at = list(np.indices(shape, sparse=True))
    at[time] = rows[at[batch], at[time]]
    flat = np.ravel_multi_index(np.broadcast_arrays(*at), shape)
    return Affine(linear=Picked(flat))
