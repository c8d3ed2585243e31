"""What a part of a tensor needs: how the rule of an op is made again for a box of its output.

An op that is not listed here needs all of its inputs for any part of its output.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from onnx_si.kernels.windows import Axis
from onnx_si.ops.movement import reshaped
from onnx_si.ops.recipe import Box, Part, Recipe, shape_of, whole
from onnx_si.ops.resize import AlongAxes, Taken, interpolated, taken
from onnx_si.rules.registry import Input, Variable
from onnx_si.rules.rules import Affine, Rule


def crop(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """What a box of a node's output of the given shape needs; None where it needs everything."""
    how = CROPS.get(recipe.handler.op) if recipe.handler.domain == "" else None
    return None if how is None else how(recipe, rule, shape, box)


def _broadcast(shape: tuple[int, ...], box: Box) -> Box:
    """The part of an operand that numpy's broadcasting puts on a box."""
    behind = box[len(box) - len(shape) :]
    return tuple(slice(0, 1) if n == 1 else side for n, side in zip(shape, behind, strict=True))


def _cut(recipe: Recipe, boxes: tuple[Box, ...]) -> tuple[Input, ...]:
    """All inputs, the changing ones with the shapes of their boxes."""
    shapes = iter(boxes)
    return tuple(
        replace(value, shape=shape_of(next(shapes))) if isinstance(value, Variable) else value
        for value in recipe.inputs
    )


def _elementwise(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """Each output element depends on the elements that broadcasting puts beside it."""

    def cut(value: Input) -> Input:
        if value is None:
            return None
        side = _broadcast(value.shape, box)
        return (
            replace(value, shape=shape_of(side)) if isinstance(value, Variable) else np.asarray(value[side])
        )

    needs = tuple(_broadcast(value.shape, box) for value in recipe.changing)
    return Part(box, needs, lambda: recipe.again(tuple(map(cut, recipe.inputs))))


def _per_channel(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """Element by element, with one constant for each channel."""
    data, *constants = recipe.inputs
    if not isinstance(data, Variable) or len(recipe.changing) > 1:
        return None

    def build() -> Rule:
        cut = (None if c is None else np.asarray(c)[box[1]] for c in constants)
        return recipe.again((replace(data, shape=shape_of(box)), *cut))

    return Part(box, (box,), build)


def _windowed(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """Windows that slide over the spatial axes; all channels are made."""
    (data,), axes = recipe.changing, recipe.window.axes
    if any(axis.padded > axis.begin + axis.length + axis.end for axis in axes):
        return None  # a window hangs over the end; how its pads count differs between ops
    seen = [_seen(axis, side) for axis, side in zip(axes, box[2:], strict=True)]
    if any(side.start >= side.stop for side, _, _ in seen):
        return None  # these windows see pads only
    need = (*whole(data.shape[:2]), *(side for side, _, _ in seen))
    pads = [begin for _, begin, _ in seen] + [end for _, _, end in seen]
    return Part(
        (*whole(shape[:2]), *box[2:]),
        (need,),
        lambda: recipe.again(_cut(recipe, (need,)), pads=pads, auto_pad="NOTSET"),
    )


def _seen(axis: Axis, side: slice) -> tuple[slice, int, int]:
    """What the windows at the places `side` see of an axis, and the pads they see in front and behind."""
    start = side.start * axis.stride - axis.begin
    stop = (side.stop - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1 - axis.begin
    inside = slice(max(start, 0), min(stop, axis.length))
    return inside, inside.start - start, stop - inside.stop


def _reshaped(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
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
    target = shape_of(tuple(makes))
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


def _tiled(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """Axes of length one are repeated."""
    data, repeats = recipe.inputs
    if not isinstance(data, Variable) or not isinstance(repeats, np.ndarray):
        return None
    if any(n > 1 and times != 1 for n, times in zip(data.shape, repeats.tolist(), strict=True)):
        return None
    need = _broadcast(data.shape, box)
    counts = np.array(
        [have.stop - have.start if n == 1 else 1 for n, have in zip(data.shape, box, strict=True)]
    )
    return Part(box, (need,), lambda: recipe.again((replace(data, shape=shape_of(need)), counts)))


def _permuted(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    order = recipe.attributes.get("perm") or list(range(len(shape)))[::-1]
    sides = dict(zip(order, box, strict=True))
    need = tuple(sides[axis] for axis in range(len(shape)))
    return Part(box, (need,), lambda: recipe.again(_cut(recipe, (need,))))


def _joined(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """All of the joined axis is made; every input is cut along the others."""
    axis = recipe.attributes["axis"] % len(shape)

    def part(of: tuple[int, ...]) -> Box:
        return (*box[:axis], slice(0, of[axis]), *box[axis + 1 :])

    def cut(value: Input) -> Input:
        if value is None:
            return None
        side = part(value.shape)
        return replace(value, shape=shape_of(side)) if isinstance(value, Variable) else value[side]

    needs = tuple(part(value.shape) for value in recipe.changing)
    return Part(part(shape), needs, lambda: recipe.again(tuple(map(cut, recipe.inputs))))


def _product(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """A matrix product with a constant matrix, of which only rows (or columns) that are not zero count."""
    a, b = recipe.inputs
    if isinstance(a, Variable) and not isinstance(b, Variable) and b is not None and b.ndim == 2 <= a.ndim:
        matrix = b[:, box[-1]]
        rows = _support(np.any(matrix != 0, axis=1))
        need = (*box[:-1], rows)
        inputs: tuple[Input, ...] = (replace(a, shape=shape_of(need)), matrix[rows])
        return Part(box, (need,), lambda: recipe.again(inputs))
    if isinstance(b, Variable) and not isinstance(a, Variable) and a is not None and a.ndim == 2 <= b.ndim:
        matrix = a[box[-2]]
        columns = _support(np.any(matrix != 0, axis=0))
        need = (*box[:-2], columns, box[-1])
        inputs = (matrix[:, columns], replace(b, shape=shape_of(need)))
        return Part(box, (need,), lambda: recipe.again(inputs))
    return None


def _resampled(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """One matrix or list of indices for each resized axis."""
    need = list(box)
    if isinstance(rule, Affine) and isinstance(rule.linear, Taken):
        picked = {axis: index[box[axis]] for axis, index in rule.linear.indices.items()}
        for axis, index in picked.items():
            need[axis] = slice(int(index.min()), int(index.max()) + 1)
        return Part(
            box, (tuple(need),), lambda: taken({a: index - need[a].start for a, index in picked.items()})
        )
    if isinstance(rule, Affine) and isinstance(rule.linear, AlongAxes) and rule.offset is None:
        pairs = zip(rule.linear.axes, rule.weights, strict=True)
        rows = {axis: matrix[box[axis]] for axis, matrix in pairs}
        for axis, matrix in rows.items():
            need[axis] = _support(np.any(matrix != 0, axis=0))
        return Part(
            box, (tuple(need),), lambda: interpolated({a: matrix[:, need[a]] for a, matrix in rows.items()})
        )
    return None


def _spread(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """Transposed windows; all channels are made."""
    data, weight, *_ = recipe.inputs
    given = recipe.attributes
    if not isinstance(data, Variable) or not isinstance(weight, np.ndarray):
        return None
    if given.get("output_shape") or given.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    rank = len(shape) - 2
    steps, gaps = given.get("strides") or [1] * rank, given.get("dilations") or [1] * rank
    begins = (given.get("pads") or [0] * 2 * rank)[:rank]
    sides, before, behind = [], [], []
    for i, side in enumerate(box[2:]):
        reach = (weight.shape[2 + i] - 1) * gaps[i]
        first, last = side.start + begins[i], side.stop - 1 + begins[i]
        start = max(0, min(-((reach - first) // steps[i]), first // steps[i]))
        stop = min(data.shape[2 + i], last // steps[i] + 1)
        sides.append(slice(start, stop))
        before.append(first - start * steps[i])
        behind.append((stop - start - 1) * steps[i] + reach + 1 - before[-1] - (side.stop - side.start))
        if start >= stop or behind[-1] < 0:
            return None
    need = (*whole(data.shape[:2]), *sides)
    return Part(
        (*whole(shape[:2]), *box[2:]),
        (need,),
        lambda: recipe.again(_cut(recipe, (need,)), pads=before + behind, output_padding=None),
    )


def _support(used: np.ndarray) -> slice:
    """The shortest slice that holds everything that is used, at least one element."""
    places = np.flatnonzero(used)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 1)


ELEMENTWISE = frozenset(
    {"Abs", "Add", "Cast", "Clip", "Div", "Dropout", "Equal", "Greater", "GreaterOrEqual", "HardSigmoid"}
    | {"Identity", "LeakyRelu", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mul", "Neg", "Not", "PRelu"}
    | {"Relu", "Sub", "Sum", "Where"}
)

CROPS: dict[str, Callable[[Recipe, Rule, tuple[int, ...], Box], Part | None]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(("Conv", "MaxPool", "AveragePool"), _windowed),
    **dict.fromkeys(("Resize", "Upsample"), _resampled),
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze", "Flatten"), _reshaped),
    "BatchNormalization": _per_channel,
    "Concat": _joined,
    "ConvTranspose": _spread,
    "MatMul": _product,
    "Tile": _tiled,
    "Transpose": _permuted,
}
