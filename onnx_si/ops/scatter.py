"""Elements written by index: ScatterElements, ScatterND, TensorScatter, MaxUnpool."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from onnx_si.errors import Refusal, Undefined
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import Applied, filled, malformed, shape_of, size
from onnx_si.ops.elementwise import computed, jointly_linear
from onnx_si.ops.gather import Index, Shape, along_axis, along_first_axes
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Input, Variable, axis_of, constant, handles, integers, optional
from onnx_si.rules.rules import Array, Composition, Disputed, Gated, Maximum, Rule, Stage


def put(start: Array, flat: Index, new: Array, reduction: str) -> Array:
    """A copy of `start` (batch, size) with updates (batch, places) at its flat places."""
    y = np.array(start, dtype=np.result_type(start, new))
    if reduction == "none":
        y[:, flat] = new
    else:
        (np.add if reduction == "add" else np.multiply).at(y.T, flat, new.T)
    return y


def written(data: Input, updates: Input, at: Index, reduction: str = "none") -> Rule:
    """Updates put at flat places of the data, or added to, multiplied with or compared with what is there."""
    shape, flat = shape_of(data), at.ravel()
    if at.shape != shape_of(updates):
        raise malformed(f"updates of shape {shape_of(updates)} for places of shape {at.shape}")
    most = int(np.bincount(flat).max(initial=0))
    write = partial(_put_into, flat=flat, shape=shape, reduction=reduction)
    match reduction:
        case "none" if most > 1:
            raise Refusal("several updates of one element", "runtimes differ; use a reduction")
        case "none" | "add":
            return jointly_linear(write, data, updates, terms=most + 1)
        case "max" | "min":
            return _extreme(data, updates, flat, most, +1 if reduction == "max" else -1)
        case "mul":
            return computed(write, data, updates, kind="bilinear")
    raise malformed(f"reduction '{reduction}' is not in the specification")


def _put_into(base: Array, new: Array, flat: Index, shape: Shape, reduction: str) -> Array:
    batch = max(len(base), len(new))
    start = np.broadcast_to(base.reshape(len(base), -1), (batch, size(shape)))
    new = np.broadcast_to(new.reshape(len(new), -1), (batch, flat.size))
    return put(start, flat, new, reduction).reshape(batch, *shape)


def scattered(
    data: Input, indices: Input, updates: Input, to_places: Callable[[Index], Index], reduction: str = "none"
) -> Rule:
    """Updates at the flat places that indices name; these may change where the indices jump."""
    if not isinstance(indices, Variable) or reduction not in ("none", "add"):
        return written(data, updates, to_places(constant(indices, "indices").astype(np.intp)), reduction)
    if not indices.stepwise:
        raise Refusal("the indices change continuously", "only indices from ArgMax or comparisons are exact")
    each = Applied(_WrittenEach(to_places, shape_of(data), reduction), filled(data, indices, updates))
    gate = int(isinstance(data, Variable))
    return Gated(evaluate=each, gates=(gate,), terms=size(shape_of(updates)) + 1)


@dataclass(frozen=True, eq=False)
class _WrittenEach:
    """Updates at flat places, other ones at each point of the batch."""

    to_places: Callable[[Index], Index]
    shape: Shape
    reduction: str

    def __call__(self, *values: Array) -> Array:
        batch = max(map(len, values))
        return np.stack([self._one(*(v[min(i, len(v) - 1)] for v in values)) for i in range(batch)])

    def _one(self, base: Array, index: Array, new: Array) -> Array:
        at = self.to_places(index.astype(np.intp))
        if at.shape != new.shape:
            raise malformed(f"updates of shape {new.shape} for places of shape {at.shape}")
        flat, values = at.ravel(), new.reshape(1, -1)
        y = put(base.reshape(1, -1), flat, values, self.reduction)
        if self.reduction == "none" and not np.array_equal(y[:, flat], values):
            raise Undefined("several updates of one element that differ", "runtimes differ; use a reduction")
        return y.reshape(self.shape)


def _extreme(data: Input, updates: Input, flat: Index, most: int, sign: int) -> Maximum:
    """Candidates of each element: the data, its first update, its second one, ..."""
    shape = shape_of(data)
    affordable((most + 1, *shape))
    order = np.argsort(flat, kind="stable")
    fresh = np.append(True, np.diff(flat[order]) != 0)
    first = np.maximum.accumulate(np.where(fresh, np.arange(flat.size), 0)) if flat.size else order
    rank = np.empty(flat.size, dtype=np.intp)
    rank[order] = np.arange(flat.size) - first
    rivals = partial(_rivals, shape=shape, flat=flat, rank=rank, most=most, missing=-np.inf * sign)
    return Maximum(Applied(rivals, filled(data, updates)), sign)


def _rivals(
    base: Array, new: Array, shape: Shape, flat: Index, rank: Index, most: int, missing: float
) -> Array:
    batch = max(len(base), len(new))
    y = np.full((most + 1, batch, size(shape)), missing, np.result_type(base, new))
    y[0] = base.reshape(len(base), -1)
    y[1 + rank, :, flat] = new.reshape(len(new), -1).T
    return y.reshape(most + 1, batch, *shape)


@handles("ScatterElements", since=(11, 13, 16, 18), axes=axis_rules.same)
def scatter_elements(
    data: Input, indices: Input, updates: Input, *, axis: int = 0, reduction: str = "none"
) -> Rule:
    shape = shape_of(data)
    where = axis_of(axis, len(shape))
    return scattered(data, indices, updates, partial(along_axis, shape=shape, axis=where), reduction)


@handles("Scatter", since=(9,))
def scatter(data: Input, indices: Input, updates: Input, *, axis: int = 0) -> Rule:
    return scatter_elements(data, indices, updates, axis=axis)


@handles("ScatterND", since=(11, 13, 16, 18), axes=axis_rules.same)
def scatter_nd(data: Input, indices: Input, updates: Input, *, reduction: str = "none") -> Rule:
    to_places = partial(along_first_axes, shape=shape_of(data), batch_dims=0)
    return scattered(data, indices, updates, to_places, reduction)


@handles("TensorScatter", since=(24,))
def tensor_scatter(
    past: Input, update: Input, starts: Input = None, *, axis: int = -2, mode: str = "linear"
) -> Rule:
    """Each image's update is written from its own start on, behind the end from the front if circular."""
    shape, new = shape_of(past), shape_of(update)
    where = axis_of(axis, len(shape))
    first = optional(starts, "write_indices")
    begin = np.zeros(shape[:1], dtype=np.intp) if first is None else first.astype(np.intp)
    if where == 0 or begin.shape != shape[:1] or mode not in ("linear", "circular"):
        raise malformed(f"axis {axis}, mode '{mode}', {begin.size} write_indices for {shape[0]} images")
    at = begin[:, None] + np.arange(new[where])
    if mode == "linear" and at.size and not 0 <= at.min() <= at.max() < shape[where]:
        raise malformed(f"an update up to position {at.max()} of {shape[where]}")
    along = np.moveaxis((at % shape[where]).reshape(*at.shape, *(1,) * (len(shape) - 2)), 1, where)
    return written(past, update, along_axis(np.broadcast_to(along, new), shape, where))


@handles("MaxUnpool", since=(9, 11, 22), channels_second=True)
def max_unpool(
    x: Input,
    indices: Input,
    wanted: Input = None,
    *,
    kernel_shape: list[int],
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Rule | Composition:
    """Values go to their flat places in the output."""
    shape = shape_of(x)
    rank = len(kernel_shape)
    if len(shape) != rank + 2:
        raise malformed(f"kernel {kernel_shape} on a tensor of shape {shape}")
    steps, flat = strides or [1] * rank, pads or [0] * 2 * rank
    spatial = tuple(
        (n - 1) * step - flat[i] - flat[i + rank] + kernel
        for i, (n, step, kernel) in enumerate(zip(shape[2:], steps, kernel_shape, strict=True))
    )
    inferred = affordable((*shape[:2], *spatial))

    given = inferred if wanted is None else affordable(integers(wanted, "output_shape"))
    if len(given) != rank + 2 or given[:2] != shape[:2] or size(given) < size(inferred):
        raise malformed(f"output_shape {given} for values in a tensor of shape {inferred}")
    holds = all(np.greater_equal(given, inferred))
    counted_in = inferred if holds else given  # where it holds them not, only runtimes have a reading
    places = partial(_counted_in, shape=counted_in)
    rule = scattered(np.zeros(counted_in), indices, x, places)  # reads the indices first
    both = isinstance(x, Variable) and isinstance(indices, Variable)
    if given == inferred:
        return Composition((Stage(rule, (1, 0)),)) if both else rule
    behind = tuple((0, more) for more in np.subtract(given, counted_in).tolist())
    return Disputed(
        evaluate=partial(_padded, rule=rule, turned=both, pads=((0, 0), *behind)),
        reason=f"output_shape {given}: runtimes count places in it, the standard in {inferred}",
    )


def _counted_in(at: Index, shape: Shape) -> Index:
    """Places that are inside of an output of a shape."""
    if at.size and not 0 <= at.min() <= at.max() < size(shape):
        raise Undefined(f"indices up to {at.max()} in an output of shape {shape}", "export it again")
    return at


def _padded(*xs: Array, rule: Rule, turned: bool, pads: tuple[tuple[int, int], ...]) -> Array:
    """What a rule gives, with zeros behind; `turned`, it reads the inputs in the other order."""
    return np.pad(rule.evaluate(*(xs[::-1] if turned else xs)), pads)
