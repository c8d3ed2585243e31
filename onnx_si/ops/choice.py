"""Ops that pick values: Slice, Split, Gather."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal, Undefined
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import double, malformed, shape_of
from onnx_si.kernels.sorting import PickedAlong, Sliced
from onnx_si.ops.recipe import Recipe
from onnx_si.rules import axis_rules, boxes
from onnx_si.rules.registry import Context, Input, Variable, axis_of, constant, handles, integers, variable
from onnx_si.rules.rules import Affine, Array, Disputed, Gated, Rule
from onnx_si.rules.traits import Gradient, Moves

LARGEST = (2**31 - 1, 2**63 - 1)
"""Ends that exporters write for 'to the end'."""


def sliced(x: Variable, cuts: dict[int, slice]) -> Affine:
    """Slices of named axes."""
    index = (slice(None), *(cuts.get(axis, slice(None)) for axis in range(x.ndim)))
    return Affine(linear=Sliced(index))


@handles("Split", since=(2, 11, 13, 18), axes=axis_rules.parted, moves=Moves.PICKS, gradient=Gradient.MOVED)
def split(
    x: Input,
    lengths_input: Input = None,
    *,
    context: Context,
    axis: int = 0,
    split: list[int] | None = None,
    num_outputs: int | None = None,
) -> Rule:
    x = variable(x, "input")
    where = axis_of(axis, x.ndim)
    length, parts = x.shape[where], num_outputs or context.outputs
    lengths = integers(lengths_input, "split") if lengths_input is not None else tuple(split or ())
    if not lengths:
        each = -(-length // parts)
        lengths = (each,) * (parts - 1) + (length - each * (parts - 1),)
        if context.version < 18 and length % parts:
            raise malformed(f"{length} elements can't be split into {parts} equal parts")
    if sum(lengths) != length or min(lengths) < 0 or len(lengths) != context.outputs:
        raise malformed(f"{length} elements split into {lengths} for {context.outputs} outputs")
    start = sum(lengths[: context.output])
    return sliced(x, {where: slice(start, start + lengths[context.output])})


@handles(
    "Slice",
    since=(1, 10, 11, 13),
    axes=axis_rules.sliced,
    moves=Moves.PICKS,
    no_larger=True,
    gradient=Gradient.MOVED,
)
def slice_(
    x: Input,
    starts_input: Input = None,
    ends_input: Input = None,
    axes_input: Input = None,
    steps_input: Input = None,
    *,
    starts: list[int] | None = None,
    ends: list[int] | None = None,
    axes: list[int] | None = None,
) -> Rule:
    """Limits are inputs from opset 10 on and attributes before."""
    x = variable(x, "data")
    first = integers(starts_input, "starts") if starts is None else tuple(starts)
    last = integers(ends_input, "ends") if ends is None else tuple(ends)
    named = integers(axes_input, "axes") if axes_input is not None else tuple(axes or range(len(first)))
    steps = integers(steps_input, "steps") if steps_input is not None else (1,) * len(first)
    if {len(last), len(named), len(steps)} != {len(first)} or 0 in steps:
        raise malformed(f"slice from {first} to {last} of axes {named} with steps {steps}")
    cuts = {}
    for start, end, axis, step in zip(first, last, named, steps, strict=True):
        where = axis_of(axis, x.ndim)
        cuts[where] = _cut(start, end, step, x.shape[where])
    rule = sliced(x, cuts)
    if any(step < 0 and end in LARGEST for end, step in zip(last, steps, strict=True)):
        return Disputed(
            evaluate=rule.evaluate,
            reason="a backward slice to the largest integer: runtimes go on to element 0",
        )
    return rule


def _cut(start: int, end: int, step: int, length: int) -> slice:
    """Python's slice for ONNX's clamped start and end; a backward slice may end before element 0."""
    start, end = (n + length if n < 0 else n for n in (start, end))
    if step > 0:
        return slice(min(max(start, 0), length), min(max(end, 0), length), step)
    end = min(max(end, -1), length - 1)
    return slice(min(max(start, 0), length - 1), None if end < 0 else end, step)


def _part_of_picked(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: boxes.Box) -> boxes.Part | None:
    """The stretch of the axis that holds what stored indices pick."""
    data, indices = recipe.inputs
    if not isinstance(data, Variable) or indices is None or isinstance(indices, Variable):
        return None
    where, index = axis_of(recipe.attributes.get("axis", 0), data.ndim), np.asarray(indices)
    chosen = index[box[where : where + index.ndim]]
    if not chosen.size:
        return None
    chosen = np.where(chosen < 0, chosen + data.shape[where], chosen).astype(np.int64)
    first, last = int(chosen.min()), int(chosen.max())
    need = (*box[:where], slice(first, last + 1), *box[where + index.ndim :])
    inputs = (replace(data, shape=boxes.shape_of(need)), chosen - first)
    return boxes.Part(box, (need,), lambda: recipe.again(inputs))


@handles(
    "Gather",
    since=(1, 11, 13),
    axes=axis_rules.gathered,
    moves=Moves.PICKS,
    gradient=Gradient.MOVED,
    crop=_part_of_picked,
)
def gather(x: Input, indices: Input, *, axis: int = 0) -> Rule:
    shape, picked = shape_of(x), shape_of(indices)
    where = axis_of(axis, len(shape))
    affordable((*shape[:where], *picked, *shape[where + 1 :]))
    if not isinstance(indices, Variable):
        index = np.asarray(constant(indices, "indices"), dtype=np.intp)
        if index.size and not -shape[where] <= index.min() <= index.max() < shape[where]:
            raise malformed(f"indices from {index.min()} to {index.max()} on {shape[where]} elements")
        return Affine(linear=PickedAlong(index, where + 1))
    if not indices.stepwise:
        raise Refusal("the indices change continuously", "only indices from ArgMax or comparisons are exact")
    if isinstance(x, Variable):
        return Gated(evaluate=lambda x, i: _pick_each(x, inside(i, shape[where]), where), gates=(1,))
    table = double(constant(x, "data"))
    return Gated(
        evaluate=partial(_taken_from, table=table, axis=where),
        gates=(0,),
    )


def inside(indices: NDArray[Any], length: int) -> NDArray[np.intp]:
    """Indices as integers; there is no result for one outside."""
    if indices.size and not -length <= indices.min() <= indices.max() < length:
        found = f"indices from {indices.min():g} to {indices.max():g} on {length} elements"
        raise Undefined(found, "clip them in front of the op")
    return indices.astype(np.intp)


def _taken_from(indices: Array, table: Array, axis: int) -> Array:
    """Slices of a constant, other ones at each point of the batch."""
    found = np.take(table, inside(indices, table.shape[axis]), axis=axis)
    return np.moveaxis(found, axis, 0)


def _pick_each(x: Array, indices: NDArray[np.intp], axis: int) -> Array:
    """Each point of the batch with its own indices."""
    points = np.arange(len(x)).reshape(-1, *(1,) * (indices.ndim - 1))
    picked = np.moveaxis(x, axis + 1, 1)[points, indices]
    return np.moveaxis(picked, range(1, indices.ndim), range(axis + 1, axis + indices.ndim))
