"""Linear parts that can be followed back: from a weight for every output to the weights of the inputs."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from onnx_si.rules.rules import Affine, Array


@runtime_checkable
class Reversible(Protocol):
    """The linear part of an `Affine` whose transpose is known."""

    def back(self, y: Array, shapes: Sequence[tuple[int, ...]], *weights: Array) -> tuple[Array, ...]:
        """What each input gets of y, so that the sums of y * linear(*xs) and of all back * x are the same.

        Parameters
        ----------
        y : array (batch, *output)
        shapes : sequence of tuples
            Of the inputs, without the batch axis.
        weights : arrays
            As the linear part is given them.
        """
        ...


def moves(rule: Affine) -> bool:
    """Whether each output is one input, or nothing: that rounds nothing."""
    return (
        rule.terms == 1 and not rule.weights and rule.offset is None and isinstance(rule.linear, Reversible)
    )


def folded(y: Array, shape: tuple[int, ...]) -> Array:
    """The transpose of broadcasting from a shape behind the batch axis: what was repeated is summed."""
    missing = y.ndim - 1 - len(shape)
    if missing:
        y = y.sum(axis=tuple(range(1, 1 + missing)))
    short = tuple(i + 1 for i, n in enumerate(shape) if n == 1 and y.shape[i + 1] != 1)
    return y.sum(axis=short, keepdims=True) if short else y
