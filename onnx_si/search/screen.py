"""Enclosures of a part of the network on short stretches of the line: what they settle needs no knots.

Far from S a pixel is on the wrong side by far, and networks of many layers still have hundreds of knots for
each standard error there. An enclosure of a wide cell says nothing after so many layers; of a cell that holds
some tens of knots it says all that is asked, at a tenth of the price of following them.
"""

import math
from dataclasses import dataclass

from onnx_si.search.examine import Examiner
from onnx_si.search.parts import Part
from onnx_si.search.policy import ENCLOSING, ENCLOSURE, LOST_AT_MOST, PASSES_PER_KNOT, Policy

FIRST_CREDIT = 6.0  # forward passes that failed enclosures may cost before any succeeded
AT_STAKE = 0.15  # share of what following a stretch would cost that its enclosures may lose
FIRST_WIDTH = 4.0  # widths of the narrowest cell that is worth an enclosure
BATCH, BATCH_BYTES = 8, 1 << 20  # cells enclosed together, as far as they stay in the processor's cache

Stretch = tuple[float, float]


@dataclass
class Screen:
    """Encloses a stretch of the line cell by cell, as wide as the last ones succeeded.

    `credit` are the forward passes that enclosures may still lose: what they save is added, and a share of
    the exact work.
    """

    examiner: Examiner
    policy: Policy
    whole_cost: int
    width: float | None = None
    credit: float = FIRST_CREDIT

    def __call__(self, part: Part, low: float, high: float) -> tuple[list[Stretch], list[Stretch]]:
        """Stretches on all of which the part's pixels are on their observed side, and those that are open;
        on the others one of its pixels is on the wrong side.
        """
        share = part.task.program.cost / max(1, self.whole_cost)
        batch = _batch(part)
        price = ENCLOSURE * share + ENCLOSING * self.policy.overhead / batch
        saved = PASSES_PER_KNOT * self.policy.knots_of_part(share, 1.0) * share
        least = 2 * price / saved if saved > 0 else math.inf
        inside, left, todo = list[Stretch](), list[Stretch](), [(low, high)]
        if not high - low > FIRST_WIDTH * least:
            return inside, todo
        width = max(least, FIRST_WIDTH * least if self.width is None else self.width)
        before, allowed = self.credit, AT_STAKE * saved * (high - low)
        while todo and self.credit > max(0.0, before - allowed):
            cells = _next_cells(todo, width, batch if self.width is not None else 1)
            settled = 0
            for (start, end), seen in zip(cells, self.examiner.enclose(part.task, cells), strict=True):
                middle = 0.5 * (start + end)
                settles = seen.outside or not seen.open.any()
                if settles and not seen.outside:
                    inside.append((start, end))
                elif not settles and end - start > 2 * least and start < middle < end:
                    todo += [(middle, end), (start, middle)]
                elif not settles:
                    left.append((start, end))
                self.credit += settles * saved * (end - start) - price
                settled += settles
            if settled == len(cells):
                width *= 2
            elif 2 * settled < len(cells):
                width = max(least, 0.5 * width)
            self.width = width
        return inside, sorted(left + todo)

    def learn(self, share: float, knots: int) -> None:
        """A part was examined exactly."""
        self.credit += LOST_AT_MOST * share * (2 + PASSES_PER_KNOT * knots)


def _next_cells(todo: list[Stretch], width: float, count: int) -> list[Stretch]:
    """Cells of about a width, taken from the stretches that are left; a short rest is joined to the last."""
    cells = list[Stretch]()
    while todo and len(cells) < count:
        start, end = todo.pop()
        stop = start + width
        if start < stop and stop + 0.5 * width < end:
            todo.append((stop, end))
            end = stop
        cells.append((start, end))
    return cells


def _batch(part: Part) -> int:
    largest = max((math.prod(step.shape) for step in part.task.program.instructions), default=1)
    return max(1, min(BATCH, BATCH_BYTES // (8 * largest)))
