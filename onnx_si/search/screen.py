"""Enclosures of a part of the network on short stretches of the line: what they settle needs no knots.

Far from S a pixel is on the wrong side by far, and networks of many layers still have hundreds of knots for
each standard error there. An enclosure of a wide cell says nothing after so many layers; of a cell that holds
some tens of knots it says all that is asked, at a tenth of the price of following them.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnx_si.search.examine import Examiner
from onnx_si.search.parts import Part
from onnx_si.search.policy import Policy
from onnx_si.search.tuning import Tuning

Stretch = tuple[float, float]


class Left(NamedTuple):
    """A stretch that is open, and which pixels of the part are so there; None: all of them."""

    low: float
    high: float
    open: NDArray[np.bool_] | None = None


@dataclass(kw_only=True)
class Screen:
    """Encloses a stretch of the line cell by cell, as wide as the last ones succeeded.

    `credit` are the forward passes that enclosures may still lose: what they save is added, and a share of
    the work that resolves cells.
    """

    examiner: Examiner
    policy: Policy
    whole_cost: int
    width: float | None = None
    credit: float = field(init=False)

    def __post_init__(self) -> None:
        self.credit = self.policy.tuning.first_screen_credit

    def __call__(self, part: Part, low: float, high: float) -> tuple[list[Stretch], list[Left]]:
        """Stretches on all of which the part's pixels are on their observed side, and those that are open;
        on the others one of its pixels is on the wrong side.
        """
        tuning, share, batch = self.policy.tuning, self._share(part), self._batch(part)
        price, saved = self._price(part), self._saved(part)
        inside, left, todo = list[Stretch](), list[Left](), [(low, high)]
        if not self.is_worth(part, low, high):
            return inside, [Left(low, high)]
        least = 2 * price / saved
        width = max(least, tuning.first_screen * least if self.width is None else self.width)
        allowed = max(tuning.at_stake * saved * (high - low), tuning.screen_tries * price)
        before = self.credit
        count = 1 if self.width is None else tuning.screened_first
        while todo and self.credit > max(0.0, before - allowed):
            cells = _next_cells(todo, width, min(count, batch))
            wide, known = list[float](), self.credit
            for (start, end), seen in zip(cells, self.examiner.claim(part.task, cells), strict=True):
                settles = seen.outside or not seen.open.any()
                fits = _that_fits(end - start, seen.clear, tuning)
                if np.count_nonzero(seen.open) <= tuning.mostly * seen.open.size:
                    fits = max(fits, 0.5 * (end - start))
                if settles and not seen.outside:
                    inside.append((start, end))
                elif not settles and end - start > (1 if 2 * fits >= end - start else 2) * least:
                    todo += _pieces(start, end, max(fits, least))
                elif not settles:
                    left.append(Left(start, end, seen.open))
                self.credit += settles * saved * (end - start) - price
                wide.append(fits)
            count = 2 * count if self.credit > known else tuning.screened_first
            if width == least and len(cells) > 1 and self.credit < known:
                break  # cells so narrow that they are worth next to nothing fail as often
            self.width = width = max(least, sorted(wide)[len(wide) // 4])
        left = _joined(left + [Left(*stretch) for stretch in todo])
        self.credit -= max(0, len(left) - 1) * self._apart(share)
        return inside, left

    def is_worth(self, part: Part, low: float, high: float) -> bool:
        """Whether a stretch is wide enough for cells of the first width, by what is known of knots."""
        first = self.policy.tuning.first_screen * 2 * self._price(part)
        return self._saved(part) * (high - low) > first

    def _price(self, part: Part) -> float:
        """Forward passes of a claim about one cell of a batch."""
        claiming = self.examiner.domains.claiming
        assert claiming is not None, "nobody claims anything"
        calls = claiming.cost.calls * self.policy.overhead / self._batch(part)
        return claiming.cost.passes * self._share(part) + calls

    def _saved(self, part: Part) -> float:
        """Forward passes for a length of the line that is not resolved."""
        share = self._share(part)
        return self.examiner.domains.resolving.cost.per_knot * self.policy.knots_of_part(share, 1.0) * share

    def learn(self, part: Part, knots: int) -> None:
        """A part was resolved on a stretch."""
        passes = self._share(part) * self.examiner.domains.resolving.cost.of(knots)
        self.credit += self.policy.tuning.lost_at_most * passes

    def _apart(self, share: float) -> float:
        """What it costs that a stretch is resolved for itself."""
        return self.examiner.domains.resolving.cost.passes * share + self.policy.overhead

    def _share(self, part: Part) -> float:
        return part.task.program.cost / max(1, self.whole_cost)

    def _batch(self, part: Part) -> int:
        tuning = self.policy.tuning
        largest = max((math.prod(step.shape) for step in part.task.program.instructions), default=1)
        return max(1, min(tuning.batch, tuning.batch_bytes // (8 * largest)))


def _joined(stretches: list[Left]) -> list[Left]:
    """In order, neighbours as one."""
    found = list[Left]()
    for low, high, open_ in sorted(stretches, key=lambda stretch: stretch.low):
        if found and found[-1].high == low:
            low, _, before = found.pop()
            open_ = None if open_ is None or before is None else open_ | before
        found.append(Left(low, high, open_))
    return found


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


def _that_fits(width: float, clear: float, tuning: Tuning) -> float:
    """The width at which a cell would just have been settled, by how clear one was: what speaks against it
    grows with a power of the width.
    """
    if clear >= 1:
        return width * float(min(16.0, clear**tuning.grows))
    return width * (max(0.25, (clear - tuning.close) / (1 - tuning.close)) if clear > 0 else 0.5)


def _pieces(start: float, end: float, width: float) -> list[Stretch]:
    """A stretch in equal pieces of about a width, two at least, the first one last."""
    count = max(2, math.ceil((end - start) / width))
    places = [start + (end - start) * i / count for i in range(count)] + [end]
    return [(low, high) for low, high in pairwise(places) if low < high][::-1]
