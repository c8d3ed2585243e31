"""Parts of the map: one pixel on the wrong side shows a cell to lie outside S, and for a few pixels a cone of
the network is enough.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.domain import Domains
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally
from onnx_si.program.cone import Rules, cone, cost_of_box
from onnx_si.program.program import Program
from onnx_si.rules.boxes import Box, whole
from onnx_si.rules.rules import Array, Step, Winner
from onnx_si.search.frontier import Cell
from onnx_si.search.policy import bounding, box_around
from onnx_si.search.tuning import Tuning

AGREEMENT = 1e-9  # share of the largest margin by which a cone may differ from the whole network


@dataclass(frozen=True)
class Part:
    """A box of the map, and the task that decides it."""

    box: Box
    task: Task

    def taken_from(self, pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Pixels of the map less those of the box."""
        left = pixels.copy()
        left[self.box] = False
        return left


@dataclass(kw_only=True)
class Shares:
    """Sides of boxes in the middle of a map, the smallest first, and what their cones cost, in forward
    passes; told as far as somebody asks.
    """

    program: Program
    margin: str
    shape: tuple[int, ...]
    tuning: Tuning
    known: list[tuple[int, float]] = field(default_factory=list)
    boxes: dict[tuple[tuple[int, int], ...], float] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[int, float]]:
        smallest = self.tuning.smallest_side
        side, share = smallest, 0.0
        while side == smallest or (side < max(self.shape) and share <= self.tuning.worthwhile):
            if not self.known or self.known[-1][0] < side:
                box = box_around([n // 2 for n in self.shape], side, self.shape)
                cost = cost_of_box(self.program, self.margin, box)
                self.known.append((side, cost / max(1, self.program.cost)))
            share = self.known[side.bit_length() - smallest.bit_length()][1]
            yield side, share
            side *= 2

    def of(self, box: Box) -> float:
        """What the cone of one box costs, in forward passes."""
        key = tuple((edge.start, edge.stop) for edge in box)
        if key not in self.boxes:
            cost = cost_of_box(self.program, self.margin, box)
            self.boxes[key] = cost / max(1, self.program.cost)
        return self.boxes[key]


@dataclass(kw_only=True)
class Parts:
    """The boxes of a task's map that were used so far."""

    task: Task
    domains: Domains
    tuning: Tuning
    made: dict[tuple[tuple[int, int], ...], Part] = field(default_factory=dict)
    rules: Rules = field(default_factory=dict, init=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The map's."""
        return self.task.event.observed.shape

    @cached_property
    def shares(self) -> "Shares":
        """Sides of boxes in the middle of the map and what their cones cost, in forward passes."""
        return Shares(
            program=self.task.program, margin=self.task.margin, shape=self.shape, tuning=self.tuning
        )

    def witnesses(self, cells: list[Cell], wrong: Array, side: int) -> Iterator[tuple[Part, list[Cell]]]:
        """Parts around the pixels that are farthest on the wrong side in the most probable cells, each with
        the cells that it cuts down, until every cell has one.

        Parameters
        ----------
        cells : list of Cell
        wrong : array (cells, *map)
            How far pixels are on the wrong side in the middle of the cells; at least one pixel of each.
        side : int
            Of the boxes.
        """
        left = list(range(len(cells)))
        deepest = wrong.reshape(len(cells), -1).max(axis=1).reshape(-1, *(1,) * len(self.shape))
        shares = (wrong > 0) + 0.5 * wrong / deepest  # depth decides between pixels that are wrong as often
        while left:
            weights = np.array([-cells[i].priority for i in left])
            votes: Array = np.tensordot(np.exp(weights - weights.max()), shares[left], axes=1)
            part = self.around([int(p) for p in np.unravel_index(votes.argmax(), votes.shape)], side)
            seen = np.any(wrong[(slice(None), *part.box)].reshape(len(cells), -1) > 0, axis=1)
            yield part, [cells[i] for i in left if seen[i]]
            left = [i for i in left if not seen[i]]

    def around(self, pixel: list[int], side: int) -> Part:
        """The part of the aligned grid that holds a pixel."""
        return self.of(box_around(pixel, side, self.shape))

    def within(self, part: Part, pixels: NDArray[np.bool_] | None) -> Part | None:
        """The part of some pixels of a part's box, where it costs so much less that it is worth making; None
        where the whole network stands for it, too.
        """
        if pixels is None:
            return None
        inner = zip(bounding(pixels), part.box, strict=True)
        box = tuple(slice(side.start + edge.start, side.stop + edge.start) for side, edge in inner)
        if self.shares.of(box) > self.tuning.worthwhile * self.shares.of(part.box):
            return None
        found = self.of(box)
        return found if found.box == box else None

    def of(self, box: Box) -> Part:
        """The part of a box of the map."""
        key = tuple((edge.start, edge.stop) for edge in box)
        if key not in self.made:
            self.made[key] = self._cut(box)
        return self.made[key]

    def _cut(self, box: Box) -> Part:
        """The task on a box of the map; all of it where rounding puts a pixel of the image, or a unit that
        jumps, on the other side.

        Raises
        ------
        AssertionError
            If the cone does not agree with the whole network at the image: a fault in `ops/crops.py`.
        """
        task = self.task
        small = cone(task.program, task.margin, box, self.rules)
        line, (margin,) = task.line.part(small.reads), small.program.outputs
        event = task.event.part(box)
        cut = Task(program=small.program, margin=margin, line=line, event=event, whole=task)
        (found,) = self.domains.pointing.margins(cut, [line.statistic], Tally())
        known = task.program.values[task.margin][box]
        differs = np.abs(found - known).max() > AGREEMENT * (1 + np.abs(known).max())
        if differs and not any(isinstance(step.rule, Step | Winner) for step in small.program.instructions):
            raise AssertionError(f"the cone of {box} differs from the whole network")
        if differs or event.wrong(found[None]).any():
            return Part(whole(self.shape), task)
        return Part(box, cut)


def merged(batch: list[Cell]) -> list[Cell]:
    """Neighbours that know the same joined, so that they are walked through together."""
    ordered = sorted(batch, key=lambda cell: cell.low)
    result = ordered[:1]
    for cell in ordered[1:]:
        last = result[-1]
        if cell.low == last.high and cell.open is last.open and cell.led == last.led:
            result[-1] = replace(last, high=cell.high)
        else:
            result.append(cell)
    return result
