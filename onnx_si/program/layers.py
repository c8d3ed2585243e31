"""Sums of elements that have different factors, as sums of few layers in each of which an element has one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from onnx_si.rules.rules import Affine, Array

Index = NDArray[np.intp]
AT_ONCE = 1 << 21  # numbers that an op gives for unit vectors, at once
LARGEST = 1 << 27  # and of all of them together


@dataclass(frozen=True)
class Layer:
    """The part of a sum whose elements have one factor each (of several, one of each): weights by output and
    input, and the places of the factors.
    """

    weights: sparse.csr_array
    places: tuple[Index, ...]

    def of(self, coefficients: Array, shape: tuple[int, ...]) -> Array:
        """The part's sums (..., *shape) of numbers (degree + 1, intervals, ...)."""
        flat = coefficients.reshape(coefficients.shape[0] * coefficients.shape[1], -1)
        made = (self.weights @ flat.T).T
        return np.ascontiguousarray(made).reshape(*coefficients.shape[:2], *shape)


def layers_of(
    rule: Affine,
    position: int,
    shapes: Sequence[tuple[int, ...]],
    places: tuple[Index, ...],
    most: int,
) -> list[Layer] | None:
    """A sum of one of its inputs in layers; None where it has more than so many, or is too large."""
    outside = rule.linear(*(np.zeros((1, *shape)) for shape in shapes), *rule.weights)[0].shape
    count, size = int(np.prod(shapes[position])), int(np.prod(outside))
    if count * size > LARGEST:
        return None
    found = [
        np.concatenate(part) for part in zip(*_entries(rule, position, shapes, count, size), strict=True)
    ]
    source, target, weight = found if found else (np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))
    stacked = np.stack([place.ravel() for place in places])
    kinds, kind = np.unique(stacked, axis=1, return_inverse=True)
    pairs, pair = np.unique(target * kinds.shape[1] + kind[source], return_inverse=True)
    owner = pairs // kinds.shape[1]
    layer = np.arange(len(pairs)) - np.searchsorted(owner, owner)  # its number among those of the output
    if layer.max(initial=0) >= most:
        return None
    made = []
    for number in range(int(layer.max(initial=0)) + 1):
        mine, here = layer == number, layer[pair] == number
        matrix = sparse.csr_array((weight[here], (target[here], source[here])), shape=(size, count))
        place = np.zeros((len(places), size), np.intp)
        place[:, owner[mine]] = kinds[:, pairs[mine] % kinds.shape[1]]
        made.append(Layer(matrix, tuple(one.reshape(outside) for one in place)))
    return made


def _entries(
    rule: Affine, position: int, shapes: Sequence[tuple[int, ...]], count: int, size: int
) -> Iterator[tuple[Index, Index, Array]]:
    """Input, output and weight of everything that is added up."""
    step = max(1, AT_ONCE // max(size, count))
    for start in range(0, count, step):
        rows = min(step, count - start)
        units = np.zeros((rows, count))
        units[np.arange(rows), start + np.arange(rows)] = 1.0
        given = [np.zeros((rows, *shape)) for shape in shapes]
        given[position] = units.reshape(given[position].shape)
        made = rule.slope(*given).reshape(rows, size)
        row, target = np.nonzero(made)
        yield start + row, target, made[row, target]
