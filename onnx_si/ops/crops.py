"""What a part of a tensor needs: how the rule of an op is made again for a box of its output.

A handler names the function that tells it (`crop=`); an op that names none needs all of its inputs for any
part of its output. Here are the functions that several ops share, and what the others are made of.
"""

from dataclasses import replace

import numpy as np

from onnx_si.kernels.windows import Axis
from onnx_si.ops.recipe import Recipe
from onnx_si.rules.boxes import Box, Part, shape_of, whole
from onnx_si.rules.registry import Input, Variable
from onnx_si.rules.rules import Affine, Rule


def crop(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """What a box of a node's output of the given shape needs; None where it needs everything."""
    how = recipe.handler.traits.crop
    return None if how is None else how(recipe, rule, shape, box)


def broadcast(shape: tuple[int, ...], box: Box) -> Box:
    """The part of an operand that numpy's broadcasting puts on a box."""
    behind = box[len(box) - len(shape) :]
    return tuple(slice(0, 1) if n == 1 else side for n, side in zip(shape, behind, strict=True))


def cut(recipe: Recipe, boxes: tuple[Box, ...]) -> tuple[Input, ...]:
    """All inputs, the changing ones with the shapes of their boxes."""
    shapes = iter(boxes)
    return tuple(
        replace(value, shape=shape_of(next(shapes))) if isinstance(value, Variable) else value
        for value in recipe.inputs
    )


def elementwise(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """Each output element depends on the elements that broadcasting puts beside it."""

    def beside(value: Input) -> Input:
        if value is None:
            return None
        side = broadcast(value.shape, box)
        return (
            replace(value, shape=shape_of(side)) if isinstance(value, Variable) else np.asarray(value[side])
        )

    needs = tuple(broadcast(value.shape, box) for value in recipe.changing)
    return Part(box, needs, lambda: recipe.again(tuple(map(beside, recipe.inputs))))


def windowed(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
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
        lambda: recipe.again(_known(cut(recipe, (need,)), rule), pads=pads, auto_pad="NOTSET"),
    )


def _known(inputs: tuple[Input, ...], rule: Rule) -> tuple[Input, ...]:
    """Inputs, the kernel as the rule has it: in float64."""
    if len(inputs) < 2 or not isinstance(rule, Affine) or len(rule.weights) != 1:
        return inputs
    (weight,), (data, kernel, *rest) = rule.weights, inputs
    same = isinstance(kernel, np.ndarray) and kernel.shape == weight.shape
    return (data, weight, *rest) if same else inputs


def _seen(axis: Axis, side: slice) -> tuple[slice, int, int]:
    """What the windows at the places `side` see of an axis, and the pads they see in front and behind."""
    start = side.start * axis.stride - axis.begin
    stop = (side.stop - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1 - axis.begin
    inside = slice(max(start, 0), min(stop, axis.length))
    return inside, inside.start - start, stop - inside.stop


def support(used: np.ndarray) -> slice:
    """The shortest slice that holds everything that is used, at least one element."""
    places = np.flatnonzero(used)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 1)
