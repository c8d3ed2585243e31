"""Radii of single elements by following them back: errors of one origin cancel, instead of adding up.

Forward, what a unit is off by is spread through the absolute weights of every layer behind it. Here one
element's weight for each of these errors is found, by one walk from it to the image: a sum over the layers
between two tensors has signs, and most of it cancels. An element y of the program is, for every point of the
cell, centre + slope * t + the sum over all instructions of (its weight for what they make) * (what that is
off by there), so the sum of absolute products bounds how far it is from centre + slope * t.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.enclosure.bends import Bent
from onnx_si.domains.enclosure.value import UNIT, Enclosure
from onnx_si.program.program import Program
from onnx_si.rules.reversible import Reversible, moves
from onnx_si.rules.rules import Affine, Array

Index = NDArray[np.intp]
LARGEST = 1e150  # beyond it products of what underflowed could count
NOTHING = 1e-100  # far more than they can come to below


@dataclass
class Trace:
    """What a walk left: the values that it made, in order, and how ops with bends made them."""

    made: list[Enclosure] = field(default_factory=list)
    bent: dict[int, Bent] = field(default_factory=dict)

    def note(self, bent: Bent) -> None:
        """Of the value that is made next."""
        self.bent[len(self.made)] = bent


def followed_back(
    program: Program, first: Enclosure, trace: Trace, margin: str, cells: Index, elements: Index
) -> Array:
    """Radii of one element of a tensor for each of some cells of a batch.

    Parameters
    ----------
    program : Program
    first : Enclosure
        The image on the cells.
    trace : Trace
        Of the walk with it.
    margin : str
        The tensor.
    cells, elements : arrays (n,)
        Cells, and the flat index of an element of the tensor for each.

    Returns
    -------
    array (n,)
        Infinite where a number on the way is too large for this.
    """
    if not len(cells):
        return np.empty(0)
    return _Way(program, first, trace, cells).back(margin, elements)


class _Way:
    """One walk back: `radius` is what was added up, `fine` the cells of ordinary numbers, `terms` what bounds
    the roundings of all sums.
    """

    def __init__(self, program: Program, first: Enclosure, trace: Trace, cells: Index):
        self.program, self.trace, self.cells = program, trace, cells
        self.everything = np.array_equal(cells, np.arange(len(first.centre)))
        self.values = {program.input: first} | {
            step.output: value for step, value in zip(program.instructions, trace.made, strict=True)
        }
        self.half = self._of(first.half_width)
        self.radius, self.fine = np.zeros(len(cells)), np.ones(len(cells), dtype=bool)
        self.terms = 0

    def _of(self, values: NDArray[Any]) -> NDArray[Any]:
        """The chosen cells' part of something."""
        return values if self.everything else values[self.cells]

    def back(self, margin: str, elements: Index) -> Array:
        """Walk from the elements of the margin to the image."""
        rows, end = np.arange(len(self.cells)), self.values[margin]
        start = np.zeros((len(rows), *end.centre.shape[1:]))
        start.reshape(len(rows), -1)[rows, elements] = 1.0
        forward = self._of(end.radius).reshape(len(rows), -1)[rows, elements]
        weights = {margin: start}
        for position in range(len(self.program.instructions) - 1, -1, -1):
            step = self.program.instructions[position]
            weight = weights.pop(step.output, None)
            if weight is None:
                continue
            self.terms += weight[0].size + len(self.program.instructions) + 16
            for name, part in zip(step.inputs, self._through(position, weight), strict=False):
                weights[name] = weights[name] + part if name in weights else part
        for name, weight in weights.items():
            self._stop(name, weight)
        # What a computed weight is off by is less than so many roundings of absolute weights, as sums of
        # absolute products are; and those, times what the tensor is off by, add up to the forward radius.
        share = 4 * UNIT * self.terms
        radius = self.radius * (1 + share) + share * forward + NOTHING
        return np.where(self.fine & np.isfinite(radius), np.minimum(radius, forward), np.inf)

    def _through(self, position: int, weight: Array) -> Sequence[Array]:
        """The weights of an instruction's inputs; none where it is not followed any further."""
        step = self.program.instructions[position]
        ways, rule = self.program.ways_back, step.rule
        shapes = [self.program.shapes[name] for name in step.inputs]
        if isinstance(rule, Affine) and step.output in ways.gains:
            self._round(step.inputs, rule, ways.gains[step.output], weight)
            return cast(Reversible, rule.linear).back(weight, shapes, *rule.weights)
        bent = self.trace.bent.get(position)
        if bent is None or (bent.leader is not None and step.output not in ways.sources):
            self._stop(step.output, weight)
            return ()
        self.fine &= np.all([self._of(self.values[n].largest[2]) < LARGEST for n in step.inputs], axis=0)
        self.radius += self._weighed(weight, bent)
        if bent.leader is None:
            assert bent.factor is not None
            return (weight * self._of(bent.factor),)
        return self._to_leaders(ways.sources[step.output], self._of(bent.leader), weight, shapes)

    def _weighed(self, weight: Array, bent: Bent) -> Array:
        """The sum of absolute weights times what an op with bends is off by, for each cell."""
        flat, (cell, element) = weight.reshape(len(weight), -1), bent.places
        if self.everything:
            row, local = cell, bent.local
        else:
            start, end = (cell.searchsorted(self.cells, side) for side in ("left", "right"))
            row = np.repeat(np.arange(len(weight)), end - start)
            behind = np.cumsum(end - start) - (end - start)
            chosen = np.arange(len(row)) + np.repeat(start - behind, end - start)
            element, local = element[chosen], bent.local[chosen]
        return np.asarray(np.bincount(row, np.abs(flat[row, element]) * local, len(weight)), np.float64)

    def _to_leaders(
        self, sources: Index, leader: Index, weight: Array, shapes: Sequence[tuple[int, ...]]
    ) -> Sequence[Array]:
        """The weight of each maximum for the candidate that leads; one that is constant is off by nothing."""
        sizes = [math.prod(shape) for shape in shapes]
        found = np.take_along_axis(sources[:, None], leader[None], axis=0)[0].reshape(len(weight), -1)
        count = 1 + sum(sizes)
        places = found + 1 + count * np.arange(len(weight))[:, None]
        flat = np.bincount(places.ravel(), weight.ravel(), count * len(weight))
        total: Array = flat.astype(np.float64, copy=False).reshape(len(weight), count)
        parts = np.split(total[:, 1:], np.cumsum(sizes)[:-1], axis=1)
        return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]

    def _stop(self, name: str, weight: Array) -> None:
        """Here the forward radius counts."""
        count, radius = len(weight), self._of(self.values[name].radius)
        self.radius += np.vecdot(np.abs(weight).reshape(count, -1), radius.reshape(count, -1))

    def _round(self, names: Sequence[str], rule: Affine, gain: float, weight: Array) -> None:
        """What an affine op rounds at most, as in `spreading.affine`."""
        if moves(rule):
            return
        size = np.max([self._of(self.values[name].size) for name in names], axis=0)
        offset = 0.0 if rule.offset is None else float(np.abs(rule.offset).max(initial=0.0))
        error = 8 * UNIT * ((rule.terms + 4) * gain * size + offset)
        self.fine &= error < LARGEST
        self.radius += error * np.abs(weight).reshape(len(weight), -1).sum(axis=1)
