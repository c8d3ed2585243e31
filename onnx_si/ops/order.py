"""Which element is the largest or smallest: ArgMax, ArgMin, TopK."""

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.kernels.arrays import malformed
from onnx_si.ops import crops
from onnx_si.ops.recipe import Recipe
from onnx_si.ops.reduction import along
from onnx_si.rules import axis_rules
from onnx_si.rules.boxes import Box, Part
from onnx_si.rules.composing import chain
from onnx_si.rules.registry import Context, Input, axis_of, handles, integers, variable
from onnx_si.rules.rules import Affine, Array, Composition, Disputed, Gated, Rule, Stage, Winner
from onnx_si.rules.traits import Decision


def _arg_extreme(x: Input, axis: int, keepdims: int, last: int, sign: int) -> Rule | Composition:
    """The first index among equals, or the last one."""
    x = variable(x, "data")
    where = axis_of(axis, x.ndim)
    candidates = along(x, (where,), bool(keepdims))
    if not last:
        return Winner(candidates, sign, x.tie)
    end = float(x.shape[where] - 1)
    backwards = Winner(lambda x: candidates(x)[::-1], sign, x.tie)
    return chain(
        backwards, Affine(linear=lambda i, w: i * w, weights=(np.asarray(-1.0),), offset=np.asarray(end))
    )


def _part_of_choice(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part:
    """All candidates of each choice."""
    (data,) = recipe.changing
    where, sides = axis_of(recipe.attributes.get("axis", 0), data.ndim), list(box)
    if recipe.attributes.get("keepdims", 1):
        del sides[where]
    sides.insert(where, slice(0, data.shape[where]))
    needs = (tuple(sides),)
    return Part(box, needs, lambda: recipe.again(crops.cut(recipe, needs)))


@handles(
    "ArgMax",
    since=(1, 11, 12, 13),
    axes=axis_rules.chosen,
    decides=Decision.LARGEST,
    crop=_part_of_choice,
)
def arg_max(x: Input, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Rule | Composition:
    return _arg_extreme(x, axis, keepdims, select_last_index, +1)


@handles(
    "ArgMin",
    since=(1, 11, 12, 13),
    axes=axis_rules.chosen,
    decides=Decision.SMALLEST,
    crop=_part_of_choice,
)
def arg_min(x: Input, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Rule | Composition:
    return _arg_extreme(x, axis, keepdims, select_last_index, -1)


ANY_ORDER = "sorted 0 leaves the order open: runtimes differ, here it is that of sorted 1"
MOST = 256  # elements that TopK follows one after the other


@handles("TopK", since=(1, 10, 11, 24), axes=axis_rules.sorted_along)
def top_k(
    x: Input,
    count: Input = None,
    *,
    context: Context,
    axis: int = -1,
    k: int = 0,
    largest: int = 1,
    sorted: int = 1,
) -> Composition:
    """Winner after winner, each among what the ones before left over: values, or their indices."""
    x = variable(x, "X")
    (wanted,) = (k,) if count is None else integers(count, "K")
    where = axis_of(axis, x.ndim)
    if not 0 < wanted <= x.shape[where]:
        raise malformed(f"the {wanted} largest of {x.shape[where]}")
    if wanted > MOST:
        raise Refusal(f"{wanted} elements", f"at most {MOST} are followed")
    behind = where + 1
    best = Winner(lambda x: np.moveaxis(x, behind, 0), 1 if largest else -1, x.tie)
    others = Gated(evaluate=lambda x, winner: _without(x, winner, behind), gates=(1,))
    stages, rest, winners = [], 0, []
    for _ in range(wanted):
        stages.append(Stage(best, (rest,)))
        winners.append(len(stages))
        stages.append(Stage(others, (rest, winners[-1])))
        rest = len(stages)
    stages[-1] = Stage(
        Gated(evaluate=lambda *ws: _places(ws, behind), gates=tuple(range(wanted))), tuple(winners)
    )
    if context.output == 0:
        stages.append(Stage(Gated(evaluate=lambda x, i: _picked(x, i, behind), gates=(1,)), (0, len(stages))))
    if wanted > 1 and not sorted:
        last = stages[-1]
        stages[-1] = Stage(Disputed(evaluate=last.rule.evaluate, reason=ANY_ORDER), last.inputs)
    return Composition(tuple(stages))


def _picked(x: Array, index: Array, axis: int) -> Array:
    return np.take_along_axis(x, index.astype(np.intp), axis=axis)


def _without(x: Array, winner: Array, axis: int) -> Array:
    """The tensor with one element of each row along an axis left out."""
    kept = np.arange(x.shape[axis] - 1).reshape(-1, *(1,) * (x.ndim - axis - 1))
    return _picked(x, kept + (kept >= np.expand_dims(winner, axis)), axis)


def _places(winners: tuple[Array, ...], axis: int) -> Array:
    """Indices into the whole row from those into what was left over each time."""
    found = []
    for rank, place in enumerate(winners):
        for earlier in reversed(winners[:rank]):
            place = place + (place >= earlier)
        found.append(place)
    return np.stack(found, axis=axis)
