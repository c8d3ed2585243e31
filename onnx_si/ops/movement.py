"""Ops that only move values: shapes, axes, joins, pads, repeats."""

import math
from dataclasses import replace
from typing import Literal, cast

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import common_shape, double, expand, malformed, shape_of, size
from onnx_si.kernels.sorting import Joined, Padded, Permuted, Repeated, Reshaped
from onnx_si.ops import crops
from onnx_si.ops.recipe import Recipe
from onnx_si.rules import axis_rules
from onnx_si.rules.boxes import Box, Part, whole
from onnx_si.rules.boxes import shape_of as lengths
from onnx_si.rules.registry import Input, Variable, axis_of, constant, handles, integers, variable
from onnx_si.rules.rules import Affine, Rule
from onnx_si.rules.traits import Gradient, Moves


def reshaped(shape: tuple[int, ...]) -> Affine:
    """The same values in row-major order in another shape."""
    return Affine(linear=Reshaped(shape))


def part_of_reshaped(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """Axes are renamed, merged or cut up; only the first axis of a merged group is cut."""
    (data,) = recipe.changing
    groups = _groups(data.shape, shape)
    if groups is None:
        return None
    need, makes = list(whole(data.shape)), list(whole(shape))
    for inside, outside in groups:
        long_in = [axis for axis in inside if data.shape[axis] > 1]
        long_out = [axis for axis in outside if shape[axis] > 1]
        if not long_in or (len(long_in) > 1 and len(long_out) > 1):
            continue  # all of it
        first_in, first_out = long_in[0], long_out[0]
        step_in = math.prod(data.shape[axis] for axis in long_in[1:])
        step_out = math.prod(shape[axis] for axis in long_out[1:])
        side = box[first_out]
        low, high = side.start * step_out // step_in, -(-side.stop * step_out // step_in)
        need[first_in] = slice(low, high)
        makes[first_out] = slice(low * step_in // step_out, high * step_in // step_out)
    target = lengths(tuple(makes))
    return Part(tuple(makes), (tuple(need),), lambda: reshaped(target))


def _groups(before: tuple[int, ...], after: tuple[int, ...]) -> list[tuple[list[int], list[int]]] | None:
    """The shortest runs of axes before and after a reshape that hold as many elements."""
    if 0 in before:
        return None
    found, i, j = [], 0, 0
    while i < len(before) or j < len(after):
        inside, outside, have, want = [i] if i < len(before) else [], [j] if j < len(after) else [], 1, 1
        have = math.prod(before[a] for a in inside)
        want = math.prod(after[a] for a in outside)
        i, j = i + len(inside), j + len(outside)
        while have != want:
            if have < want:
                inside.append(i)
                have *= before[i]
                i += 1
            else:
                outside.append(j)
                want *= after[j]
                j += 1
        found.append((inside, outside))
    return found


@handles(
    "Reshape",
    since=(5, 13, 14, 19, 21, 23, 24, 25),
    axes=axis_rules.by_reshape,
    crop=part_of_reshaped,
    moves=Moves.REGROUPS,
    gradient=Gradient.REGROUPED,
)
def reshape(x: Input, shape: Input, *, allowzero: int = 0) -> Rule:
    x, wanted = variable(x, "data"), list(integers(shape, "shape"))
    if not allowzero:
        if any(n == 0 and i >= x.ndim for i, n in enumerate(wanted)):
            raise malformed(f"shape {wanted} copies an axis that {x.shape} does not have")
        wanted = [x.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    if -1 in wanted:
        known = size(tuple(n for n in wanted if n != -1))
        wanted[wanted.index(-1)] = size(x.shape) // known if known else 0
    if min(wanted, default=0) < 0 or size(tuple(wanted)) != size(x.shape):
        raise Refusal(
            f"a tensor of shape {x.shape} can't be reshaped to {wanted}",
            "bind the axis that was fixed at export",
        )
    return reshaped(tuple(wanted))


@handles(
    "Flatten",
    since=(1, 9, 11, 13, 21, 23, 24, 25),
    axes=axis_rules.by_reshape,
    crop=part_of_reshaped,
    moves=Moves.REGROUPS,
    gradient=Gradient.REGROUPED,
)
def flatten(x: Input, *, axis: int = 1) -> Rule:
    x = variable(x, "input")
    cut = x.ndim if axis == x.ndim else axis_of(axis, x.ndim)
    return reshaped((size(x.shape[:cut]), size(x.shape[cut:])))


@handles(
    "Squeeze",
    since=(1, 11, 13, 21, 23, 24, 25),
    axes=axis_rules.by_reshape,
    crop=part_of_reshaped,
    moves=Moves.REGROUPS,
    gradient=Gradient.REGROUPED,
)
def squeeze(x: Input, axes_input: Input = None, *, axes: list[int] | None = None) -> Rule:
    x = variable(x, "data")
    named = axes if axes_input is None else integers(axes_input, "axes")
    if named is None:
        named = [axis for axis, length in enumerate(x.shape) if length == 1]
    drop = {axis_of(axis, x.ndim) for axis in named}
    if any(x.shape[axis] != 1 for axis in drop):
        raise malformed(f"squeeze of axes {sorted(drop)} of shape {x.shape}")
    return reshaped(tuple(n for i, n in enumerate(x.shape) if i not in drop))


@handles(
    "Unsqueeze",
    since=(1, 11, 13, 21, 23, 24, 25),
    axes=axis_rules.by_reshape,
    crop=part_of_reshaped,
    moves=Moves.REGROUPS,
    gradient=Gradient.REGROUPED,
)
def unsqueeze(x: Input, axes_input: Input = None, *, axes: list[int] | None = None) -> Rule:
    x = variable(x, "data")
    named = integers(axes_input, "axes") if axes_input is not None else tuple(axes or ())
    ndim = x.ndim + len(named)
    new = {axis_of(axis, ndim) for axis in named}
    if len(new) != len(named):
        raise malformed(f"unsqueeze names an axis twice: {named}")
    rest = iter(x.shape)
    return reshaped(tuple(1 if i in new else next(rest) for i in range(ndim)))


def _part_of_permuted(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    order = recipe.attributes.get("perm") or list(range(len(shape)))[::-1]
    sides = dict(zip(order, box, strict=True))
    need = tuple(sides[axis] for axis in range(len(shape)))
    return Part(box, (need,), lambda: recipe.again(crops.cut(recipe, (need,))))


@handles(
    "Transpose",
    since=(1, 13, 21, 23, 24, 25),
    axes=axis_rules.permuted,
    crop=_part_of_permuted,
    moves=Moves.PERMUTES,
)
def transpose(x: Input, *, perm: list[int] | None = None) -> Rule:
    ndim = variable(x, "data").ndim
    order = list(range(ndim))[::-1] if perm is None else perm
    if sorted(order) != list(range(ndim)):
        raise malformed(f"perm {order} of {ndim} axes")
    behind_batch = (0, *(axis + 1 for axis in order))
    return Affine(linear=Permuted(behind_batch))


def _part_of_joined(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """All of the joined axis is made; every input is cut along the others."""
    axis = recipe.attributes["axis"] % len(shape)

    def part(of: tuple[int, ...]) -> Box:
        return (*box[:axis], slice(0, of[axis]), *box[axis + 1 :])

    def cut(value: Input) -> Input:
        if value is None:
            return None
        side = part(value.shape)
        return replace(value, shape=lengths(side)) if isinstance(value, Variable) else value[side]

    needs = tuple(part(value.shape) for value in recipe.changing)
    return Part(part(shape), needs, lambda: recipe.again(tuple(map(cut, recipe.inputs))))


@handles(
    "Concat",
    since=(4, 11, 13),
    axes=axis_rules.concatenated,
    crop=_part_of_joined,
    no_larger=True,
    gradient=Gradient.MOVED,
)
def concat(*inputs: Input, axis: int) -> Rule:
    shapes = [shape_of(value) for value in inputs]
    where = axis_of(axis, len(shapes[0]))
    if len({(*shape[:where], *shape[where + 1 :], len(shape)) for shape in shapes}) > 1:
        raise malformed(f"concat of shapes {' and '.join(map(str, shapes))} on axis {where}")
    affordable((*shapes[0][:where], sum(shape[where] for shape in shapes), *shapes[0][where + 1 :]))
    gaps = tuple(None if isinstance(value, Variable) else shape_of(value) for value in inputs)
    join = Joined(gaps, where + 1)
    if all(gap is None for gap in gaps):
        return Affine(linear=join)
    at_zero = [
        np.zeros(v.shape) if isinstance(v, Variable) else double(constant(v, "inputs")) for v in inputs
    ]
    return Affine(linear=join, offset=np.concatenate(at_zero, axis=where))


@handles("Expand", since=(8, 13), axes=axis_rules.expanded, gradient=Gradient.MOVED)
def expand_(x: Input, shape: Input) -> Rule:
    wanted = common_shape(variable(x, "input").shape, integers(shape, "shape"))
    return Affine(linear=lambda x: expand(x, wanted))


def _part_of_tiled(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """Axes of length one are repeated."""
    data, repeats = recipe.inputs
    if not isinstance(data, Variable) or not isinstance(repeats, np.ndarray):
        return None
    if any(n > 1 and times != 1 for n, times in zip(data.shape, repeats.tolist(), strict=True)):
        return None
    need = crops.broadcast(data.shape, box)
    counts = np.array(
        [have.stop - have.start if n == 1 else 1 for n, have in zip(data.shape, box, strict=True)]
    )
    return Part(box, (need,), lambda: recipe.again((replace(data, shape=lengths(need)), counts)))


@handles("Tile", since=(6, 13), axes=axis_rules.repeated, crop=_part_of_tiled, gradient=Gradient.MOVED)
def tile(x: Input, repeats: Input) -> Rule:
    shape, times = variable(x, "input").shape, integers(repeats, "repeats")
    if len(times) != len(shape):
        raise malformed(f"{len(times)} repeats of a tensor of shape {shape}")
    affordable(tuple(n * t for n, t in zip(shape, times, strict=True)))
    return Affine(linear=Repeated(tuple(times)))


@handles("Pad", since=(2, 11, 13, 18, 19, 21, 23, 24, 25), axes=axis_rules.padded, gradient=Gradient.MOVED)
def pad(
    x: Input,
    pads_input: Input = None,
    value_input: Input = None,
    axes: Input = None,
    *,
    mode: str = "constant",
    pads: list[int] | None = None,
    value: float = 0.0,
) -> Rule:
    x = variable(x, "data")
    flat = integers(pads_input, "pads") if pads is None else tuple(pads)
    named = (
        [axis_of(axis, x.ndim) for axis in integers(axes, "axes")]
        if axes is not None
        else list(range(x.ndim))
    )
    if len(flat) != 2 * len(named):
        raise malformed(f"{len(flat)} pads for {len(named)} axes")
    widths, crops = [(0, 0)] * (x.ndim + 1), [slice(None)] * (x.ndim + 1)
    for i, axis in enumerate(named):
        before, after = flat[i], flat[i + len(named)]
        _check_pads(mode, x.shape[axis], before, after)
        widths[axis + 1] = (max(before, 0), max(after, 0))
        crops[axis + 1] = slice(max(-before, 0), x.shape[axis] - max(-after, 0))
    affordable(tuple(n + sum(width) for n, width in zip(x.shape, widths[1:], strict=True)))
    crop = tuple(crops)
    if mode != "constant":
        return Affine(linear=lambda x: np.pad(x, widths, mode=cast(Literal["edge"], mode)))
    fill = value if value_input is None else float(double(constant(value_input, "constant_value")).sum())
    offset = np.pad(np.zeros(x.shape)[crop[1:]], widths[1:], constant_values=fill) if fill else None
    return Affine(linear=Padded(crop, tuple(widths)), offset=offset)


def _check_pads(mode: str, length: int, before: int, after: int) -> None:
    """Negative pads crop; reflections and repetitions longer than the tensor differ between runtimes."""
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise malformed(f"mode '{mode}' is not in the specification")
    if max(-before, 0) + max(-after, 0) > length:
        raise malformed(f"pads {before} and {after} cut more than {length} elements")
    if mode != "constant" and min(before, after) < 0:
        raise Refusal(f"negative pads in mode {mode}", "export a Slice instead")
    longest = {"reflect": length - 1, "wrap": length, "edge": length and math.inf}.get(mode, math.inf)
    if max(before, after) > longest:
        raise Refusal(f"pads {before} and {after} in mode {mode} on {length} elements", "pad in two steps")
