"""What attention is made of, for the certified engine: products, a softmax over the keys that are seen."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnx_si.kernels.arrays import double
from onnx_si.ops.elementwise import jointly_linear, weighted_sum
from onnx_si.ops.linear import matmul
from onnx_si.ops.made_of import EXPONENTIAL, MOST_PAIRS, RECIPROCAL, Sketch
from onnx_si.ops.smooth import TANH
from onnx_si.rules.registry import Input, Variable
from onnx_si.rules.rules import Array

BARRED = -1e30  # what is added to a score that shall not count: far more than scores differ by
MOST_APART = 500.0  # of what is added to others, whose exponentials are compared


@dataclass
class Mixing:
    """An attention in the making. An operand is the number of a tensor of the sketch, or a constant."""

    inputs: tuple[Input, ...]
    sketch: Sketch = field(init=False)

    def __post_init__(self) -> None:
        self.sketch = Sketch([value.shape for value in self.inputs if isinstance(value, Variable)])

    def operand(self, position: int) -> int | Array | None:
        """An input of the op."""
        value = self.inputs[position]
        if isinstance(value, Variable):
            return self.position(position)
        return None if value is None else double(value)

    def position(self, position: int) -> int:
        """Which of the changing inputs one is."""
        return sum(isinstance(other, Variable) for other in self.inputs[:position])

    def shape_of(self, x: int | Array) -> tuple[int, ...]:
        """The shape of an operand."""
        return self.sketch.shapes[x] if isinstance(x, int) else x.shape

    def seen_as(self, x: int | Array) -> Input:
        """An operand as an input of rules."""
        return self.sketch.of(x) if isinstance(x, int) else x

    def joined(self, join: Callable[..., Array], *xs: int | Array) -> int | Array:
        """What is only moved and put together."""
        if not any(isinstance(x, int) for x in xs):
            return np.asarray(join(*(np.asarray(x)[None] for x in xs))[0])
        rule = jointly_linear(join, *map(self.seen_as, xs))
        reads = tuple(x for x in xs if isinstance(x, int))
        shape = join(*(np.zeros((1, *self.shape_of(x))) for x in xs)).shape[1:]
        return self.sketch.add(rule, reads, shape)

    def product(self, a: int | Array, b: int | Array) -> int | Array:
        """A matrix product."""
        if not isinstance(a, int) and not isinstance(b, int):
            return np.asarray(np.matmul(a, b))
        shape = np.matmul(np.zeros(self.shape_of(a)), np.zeros(self.shape_of(b))).shape
        reads = tuple(x for x in (a, b) if isinstance(x, int))
        return self.sketch.add(matmul(self.seen_as(a), self.seen_as(b)), reads, shape)


def softened(sketch: Sketch, scores: int, cap: float) -> int:
    """Scores that come no nearer to a cap than a hyperbolic tangent lets them."""
    return sketch.scaled(sketch.each(TANH, sketch.divided(scores, cap)), np.asarray(cap))


def biased(sketch: Sketch, scores: int, bias: Array) -> tuple[int, NDArray[np.bool_]] | None:
    """Scores with a constant (..., queries, keys) added, and the keys that count; None where exponentials of
    what is added are too far apart to be compared. A key that is barred beside others is left out: its share
    underflows. Were scores as large as that, their exponentials would overflow, and nothing would be told.
    """
    bias = np.broadcast_to(bias, sketch.shapes[scores])
    seen = bias > BARRED
    finite, alone = np.where(seen, bias, 0.0), ~seen.any(axis=-1)
    if np.abs(finite).max(initial=0.0) > MOST_APART or np.isfinite(bias[alone]).any():
        return None
    return (sketch.shifted(scores, finite) if finite.any() else scores), seen


def shares(sketch: Sketch, scores: int, seen: NDArray[np.bool_]) -> int:
    """The softmax of the last axis over the keys that are seen; zeros where there is none."""
    *_, count = sketch.shapes[scores]
    last = len(sketch.shapes[scores]) - 1
    kept = seen.astype(np.float64)
    alone = np.asarray(1.0 - seen.any(axis=-1, keepdims=True))
    if count <= MOST_PAIRS:
        own = sketch.moved(lambda x: x[..., :, None], scores)
        others = sketch.moved(lambda x: x[..., None, :], scores)
        sizes = sketch.each(EXPONENTIAL, sketch.combined(others, own, (1.0, -1.0)))
        total = sketch.mean(sketch.scaled(sizes, kept[..., None, :]), (last + 1,), divided=False)
        total = sketch.moved(lambda x: x[..., 0], total)
        total = sketch.shifted(total, np.broadcast_to(alone, sketch.shapes[total]))
        return sketch.scaled(sketch.each(RECIPROCAL, total), kept)
    sizes = sketch.scaled(sketch.each(EXPONENTIAL, scores), kept)
    total = sketch.shifted(sketch.mean(sizes, (last,), divided=False), alone)
    return sketch.product(sizes, sketch.each(RECIPROCAL, total))


def added(sketch: Sketch, scores: int, mask: int) -> int:
    """Scores plus a mask that changes."""
    lined_up = (1,) * (len(sketch.shapes[scores]) - len(sketch.shapes[mask])) + sketch.shapes[mask]
    mask = sketch.moved(lambda x: x.reshape(len(x), *lined_up), mask)
    pair = (sketch.of(scores), sketch.of(mask))
    return sketch.add(weighted_sum(pair, (1.0, 1.0)), (scores, mask), sketch.shapes[scores])
