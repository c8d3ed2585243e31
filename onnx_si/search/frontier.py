"""The undecided part of the line as cells, the most probable first."""

import heapq
import itertools
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import Distribution
from onnx_si.statistics.truncated.masses import log_sum


@dataclass(frozen=True, order=True, kw_only=True)
class Cell:
    """A bounded part of the line.

    `undecided` units were left open when it was enclosed (None: not tried yet); `probed` says that in its
    middle no pixel was found on the wrong side; pixels that are not `open` are known to be on their observed
    side on all of it; `led` that the largest value is that of the same pixel there as at the image. `unclear`
    says that rounding left it open in a part of the network: the whole is asked.
    """

    priority: float
    low: float
    high: float
    open: NDArray[np.bool_] = field(compare=False)
    undecided: int | None = field(default=None, compare=False)
    probed: bool = field(default=False, compare=False)
    unclear: bool = field(default=False, compare=False)
    led: bool = field(default=False, compare=False)

    @property
    def width(self) -> float:
        return self.high - self.low

    @property
    def middle(self) -> float:
        return 0.5 * (self.low + self.high)


class Frontier:
    """Cells still to be examined. The two unbounded ends give off bounded cells, twice as wide each time."""

    def __init__(self, line: ImageLine, pixels: NDArray[np.bool_], first: float, far: float):
        """All of the line, with `pixels` open; `first` is the width of the first cell and `far` how far to
        go, in standard errors.
        """
        self.everything = pixels
        self._line, self._distribution, self._far = line, line.distribution, far
        half = 0.5 * first * line.standard_error
        # The statistic's own cell comes first, however improbable: S contains it, and estimates need it.
        self._cells = [
            Cell(
                priority=-math.inf,
                low=line.statistic - half,
                high=line.statistic + half,
                open=self.everything,
            )
        ]
        self._left, self._right = line.statistic - half, line.statistic + half
        self._log_left, self._log_right = (
            self._log_mass(-math.inf, self._left),
            self._log_mass(self._right, math.inf),
        )
        self._step = [2 * half, 2 * half]

    def _log_mass(self, low: float, high: float) -> float:
        return float(self._distribution.log_masses(np.array([[low, high]]))[0])

    def push(
        self,
        cell: Cell,
        low: float | None = None,
        high: float | None = None,
        *,
        first: bool = False,
        **changes: Any,
    ) -> None:
        """Add a cell, or a part of it, with what changes; its mass is its priority, or it is `first`."""
        new = replace(
            cell, low=cell.low if low is None else low, high=cell.high if high is None else high, **changes
        )
        priority = -math.inf if first else -self._log_mass(new.low, new.high)
        heapq.heappush(self._cells, replace(new, priority=priority))

    def push_rest(self, cell: Cell, reached: float) -> None:
        """Add what an examination did not reach, the surroundings of the statistic first."""
        at, near = self._line.statistic, 0.25 * (reached - cell.low)
        places = [reached, cell.high]
        if reached < at < cell.high:
            places[1:1] = [max(at - near, reached), min(at + near, cell.high)]
        for low, high in itertools.pairwise(places):
            if low < high:
                self.push(cell, low, high, first=low < at < high, undecided=None, probed=False)

    @property
    def distribution(self) -> Distribution:
        """By which cells are ranked."""
        return self._distribution

    def reorder(self, distribution: Distribution) -> None:
        """Rank everything undecided by its probability under another distribution."""
        self._distribution = distribution
        masses = distribution.log_masses(np.array(self.undecided())).tolist()
        *cells, self._log_left, self._log_right = masses
        self._cells = [replace(cell, priority=-mass) for cell, mass in zip(self._cells, cells, strict=True)]
        heapq.heapify(self._cells)

    def split(self, cell: Cell) -> None:
        """Add both halves of a cell."""
        self.push(cell, high=cell.middle, undecided=None, probed=False)
        self.push(cell, low=cell.middle, undecided=None, probed=False)

    def pop(self, least_width: float = 0.0) -> Cell | None:
        """The most probable cell; None when everything within reach is examined.

        Cells that are newly cut off an unbounded end have at least the given width.
        """
        while True:
            best = -self._cells[0].priority if self._cells else -math.inf
            if max(self._log_left, self._log_right) <= best:
                return heapq.heappop(self._cells) if self._cells else None
            if not self._reach_out(least_width):
                return heapq.heappop(self._cells) if self._cells else None

    def log_within_reach(self) -> float:
        """Log mass of what may be settled yet: the cells, and ends that are not too far out."""
        at, far = self._line.statistic, self._far * self._line.standard_error
        left, right = self._left >= min(0.0, at) - far, self._right <= max(0.0, at) + far
        ends = [self._log_left] * left + [self._log_right] * right
        return log_sum(np.array([*ends, *(-cell.priority for cell in self._cells)]))

    def _reach_out(self, least_width: float) -> bool:
        """Cut a bounded cell off the more probable end; False where that end is too far away."""
        se, at = self._line.standard_error, self._line.statistic
        self._step = [max(step, min(least_width, 2 * se)) for step in self._step]
        if self._log_left >= self._log_right:
            if self._left < min(0.0, at) - self._far * se:
                self._log_left = -math.inf
                return not math.isinf(self._log_right)
            end, self._left = self._left, self._left - self._step[0]
            self._step[0] = min(2 * self._step[0], 2 * se + 0.25 * abs(self._left - at))
            self.push(Cell(priority=0.0, low=self._left, high=end, open=self.everything))
            self._log_left = self._log_mass(-math.inf, self._left)
        else:
            if self._right > max(0.0, at) + self._far * se:
                self._log_right = -math.inf
                return not math.isinf(self._log_left)
            start, self._right = self._right, self._right + self._step[1]
            self._step[1] = min(2 * self._step[1], 2 * se + 0.25 * abs(self._right - at))
            self.push(Cell(priority=0.0, low=start, high=self._right, open=self.everything))
            self._log_right = self._log_mass(self._right, math.inf)
        return True

    def undecided(self) -> list[tuple[float, float]]:
        """Everything not handed out: the cells and both unbounded ends."""
        cells = [(cell.low, cell.high) for cell in self._cells]
        return [*cells, (-math.inf, self._left), (self._right, math.inf)]
