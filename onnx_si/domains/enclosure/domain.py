"""Enclosures as a domain of the search: what is proven of a cell is proven with all rounding."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnx_si.choices.guarantees import CERTIFIED
from onnx_si.domains.domain import Claim, Cost
from onnx_si.domains.enclosure.backwards import Trace, followed_back
from onnx_si.domains.enclosure.certified import NOBODY, EnclosureDomain
from onnx_si.domains.enclosure.value import Enclosure, cells
from onnx_si.domains.enclosure.verdict import certify, clarity, clearer
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally, walk
from onnx_si.program.program import Program
from onnx_si.rules.rules import Array

ARRAYS = 5  # of every tensor that following one back needs: centre, slope, radius, factor, what it is off by


@dataclass(frozen=True)
class Enclosures:
    """Carries a centre, a slope and a radius on every cell.

    Where no pixel is proven to be on the wrong side, but one is so in the middle of the cell and would be if
    its radius were smaller by a factor of `hope`, that one is followed back, if the tensors of all cells fit
    into `trace_bytes`; and so are those of a part of the map that are not proven to be on their own side,
    where they are `few`.
    """

    hope: float = 32.0
    few: int = 4
    trace_bytes: int = 128 << 20
    guarantee: ClassVar[str] = CERTIFIED.name
    cost: ClassVar[Cost] = Cost(passes=4.0, calls=3.0)  # centre, slope, radius; a way back

    def start(self, task: Task, ends: Sequence[tuple[float, float]]) -> Enclosure:
        """The images on cells."""
        low, high = np.array(ends).T
        return cells(task.line.start, task.line.direction, low, high)

    def claim(
        self, task: Task, ends: Sequence[tuple[float, float]], budget_bytes: int, tally: Tally
    ) -> list[Claim]:
        """Enclose cells (low, high) in one batch; of a cell in which a gate is open nothing is claimed.

        An image of which a margin is no number is refused, whatever the others are. So where one may be, a
        cell on which a pixel is on the wrong side elsewhere is not in S, but no pixel is on its own side.
        """
        distance = task.distance
        program = task.program if distance is None else distance.program
        name = task.margin if distance is None else distance.margin
        trace = Trace() if self._fits(program, len(ends), budget_bytes) else None
        values, first = EnclosureDomain(len(ends), program=program, trace=trace), self.start(task, ends)
        (outputs,) = walk(program, values.apply, first, tally, values.watch)
        margin = outputs[name]
        outside, open_ = certify(task.event, margin, zero=distance is None)
        if distance is not None:
            values.lost |= values.no_numbers  # what it is a distance of may be a number all the same
        open_[values.lost], found = True, clarity(task.event, margin)
        flat = open_.reshape(len(ends), -1)
        if trace is not None:
            few = self.few if task.whole is not None else 0
            cell, pixel = self._hopeful(found, flat, outside | values.lost, few)
            radius = followed_back(program, first, trace, name, cell, pixel)
            tally.operations += len(cell) * program.cost
            clear = clearer(margin, cell, pixel, radius)
            found[cell, pixel] = np.copysign(clear, found[cell, pixel])
            proven = clear > 1
            outside[cell[proven & (found[cell, pixel] > 0)]] = True
            flat[cell[proven], pixel[proven]] &= found[cell[proven], pixel[proven]] > 0
        flat[values.no_numbers] = True
        leaders = [
            {} if lost else _of(values.leaders, i) for i, lost in enumerate(values.lost | values.no_numbers)
        ]
        wrong, right = found.max(axis=1, initial=0.0), -np.where(found == 0, -np.inf, found).max(axis=1)
        return [
            Claim(
                outside=bool(out and not lost),
                open=pixels,
                undecided=int(undecided),
                clear=float(how),
                leaders=found_to_lead,
            )
            for out, lost, pixels, undecided, how, found_to_lead in zip(
                outside,
                values.lost,
                open_,
                values.undecided,
                np.where(wrong > 0, wrong, np.where(np.isfinite(right), right, 0.0)),
                leaders,
                strict=True,
            )
        ]

    def _hopeful(
        self, found: Array, open_: NDArray[np.bool_], done: NDArray[np.bool_], few: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Cells and pixels that are worth following back: the most clearly wrong one where one is wrong in
        the middle; all that are open where none is, and they are few.
        """
        near = np.abs(found) * self.hope > 1
        rows, worst = np.arange(len(found)), found.argmax(axis=1)
        wrong = np.zeros_like(near)
        wrong[rows, worst] = near[rows, worst] & (found[rows, worst] > 0)
        right = (open_.sum(axis=1) <= few) & ~(found > 0).any(axis=1) & (near | ~open_).all(axis=1)
        cell, pixel = np.nonzero((wrong | (right[:, None] & open_)) & ~done[:, None])
        return cell, pixel

    def _fits(self, program: Program, count: int, budget_bytes: int) -> bool:
        elements = sum(math.prod(step.shape) for step in program.instructions)
        return 8 * ARRAYS * count * elements <= min(self.trace_bytes, budget_bytes // 4)


def _of(leaders: Mapping[str, NDArray[np.intp]], cell: int) -> dict[str, int]:
    """The proven ones in a cell."""
    return {name: int(found[cell]) for name, found in leaders.items() if found[cell] != NOBODY}
