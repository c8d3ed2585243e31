"""Ops that give a tensor whose shape depends on values: computed at the image, never along a line."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import Filled, Silent, filled, malformed
from onnx_si.rules.registry import Context, Input, handles
from onnx_si.rules.rules import Array, Opaque, comparable


def at_one_point(function: Callable[..., Array], *inputs: Input) -> Opaque:
    """A function of whole inputs (None where one is left out) whose output's shape depends on them."""
    return Opaque(evaluate=Silent(_AtOnePoint(function, filled(*inputs))))


@dataclass(frozen=True, eq=False)
class _AtOnePoint:
    function: Callable[..., Array]
    inputs: Filled

    def __call__(self, *xs: Array) -> Array:
        if any(len(x) != 1 for x in xs):
            raise AssertionError("an output without a fixed shape was asked for at several points")
        values = (None if value is None else value[0] for value in self.inputs(*xs))
        return np.asarray(self.function(*values), dtype=np.float64)[None]


@handles("NonZero", since=(9, 13))
def non_zero(x: Input) -> Opaque:
    return at_one_point(lambda x: np.stack(np.nonzero(np.atleast_1d(x))), x)


@handles("Range", since=(11, 27))
def range_(start: Input, limit: Input, delta: Input, *, stash_type: int = 1) -> Opaque:
    def numbers(start: Array, limit: Array, delta: Array) -> Array:
        count = max(int(np.ceil((limit - start) / delta).item()), 0) if np.all(delta) else -1
        affordable((count,))
        return np.asarray(start + delta * np.arange(count))

    return at_one_point(numbers, start, limit, delta)


@handles("ConstantOfShape", since=(9, 20, 21, 23, 24, 25))
def constant_of_shape(shape: Input, *, value: NDArray[np.generic] | None = None) -> Opaque:
    filling = 0.0 if value is None else float(np.asarray(value, dtype=np.float64).item())
    return at_one_point(lambda n: np.full(affordable(tuple(n.astype(np.int64).tolist())), filling), shape)


@handles("Unique", since=(11, 28))
def unique(x: Input, *, context: Context, axis: int | None = None, sorted: int = 1) -> Opaque:
    """The values, where each was met first, which one each element is, and how often it occurs."""

    def found(x: Array) -> Array:
        comparable(x)
        results = np.unique(
            x, return_index=True, return_inverse=True, return_counts=True, axis=axis, equal_nan=True
        )
        values, first, inverse, counts = results
        order = np.arange(len(first)) if sorted else np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        along = 0 if axis is None else axis
        parts = (np.take(values, order, axis=along), first[order], place[inverse.ravel()], counts[order])
        return np.asarray(parts[context.output])

    return at_one_point(found, x)


def _corners(boxes: Array, centred: bool) -> Array:
    """Lowest y and x, highest y and x of each box."""
    if centred:
        x, y, w, h = boxes.T
        return np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=1)
    a, b = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=1)


def _overlap(box: Array, others: Array) -> Array:
    """Area of the intersection over area of the union."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.prod(np.maximum(sides, 0.0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    union = areas - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


@handles("NonMaxSuppression", since=(10, 11))
def non_max_suppression(
    boxes: Input,
    scores: Input,
    most: Input = None,
    overlap: Input = None,
    least_score: Input = None,
    *,
    center_point_box: int = 0,
) -> Opaque:
    """For each image and class the boxes in order of their scores that overlap no better one."""

    def one_class(corners: Array, scores: Array, count: int, share: float, least: float) -> list[int]:
        chosen: list[int] = []
        for box in np.argsort(-scores, kind="stable"):
            if len(chosen) == count or not scores[box] > least:
                break
            if not np.any(_overlap(corners[box], corners[chosen]) > share):
                chosen.append(int(box))
        return chosen

    def suppress(
        boxes: Array, scores: Array, most: Array | None, overlap: Array | None, least: Array | None
    ) -> Array:
        if boxes.ndim != 3 or scores.ndim != 3 or boxes.shape[2] != 4:
            raise malformed(f"boxes of shape {boxes.shape} and scores of shape {scores.shape}")
        count, share = (0.0 if v is None else float(np.ravel(v)[0]) for v in (most, overlap))
        floor = -np.inf if least is None else float(np.ravel(least)[0])
        found = [
            (image, kind, box)
            for image, of_image in enumerate(scores)
            for kind, of_class in enumerate(of_image)
            for box in one_class(
                _corners(boxes[image], bool(center_point_box)), of_class, int(count), share, floor
            )
        ]
        return np.array(found, dtype=np.float64).reshape(-1, 3)

    return at_one_point(suppress, boxes, scores, most, overlap, least_score)
