"""Local steps: a new place in the same stretch of S, however narrow it is.

Where a narrow stretch of S around the observed place escapes the grid, something must find its scale. A scale
learned from the observed place would spoil the exchangeability, so it is looked up for every state alike: the
line is cut into dyadic cells (in two ways, one shifted by a third, so that no stretch sits across a cut in
both), and the stretch of a state is grown from the largest cell that holds it and has its ends and its middle
in S. That is a function of the line and the state alone, and what was asked for one state serves all others.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnx_si.engines.montecarlo import tilted
from onnx_si.engines.montecarlo.asker import Asker
from onnx_si.engines.montecarlo.grid import Grid
from onnx_si.engines.montecarlo.laws import Law
from onnx_si.ground.seeds import Children

Array = NDArray[np.float64]
Cell = tuple[int, int]
LARGEST, SMALLEST = 3, -36  # cells are 2^3 to 2^-36 units of the law wide
PARTS = np.array([0.0, 0.5, 1.0])[:, None]  # ends and middle
AT_ONCE = 8  # sizes of cells that are worked out together, before they are asked about one after the other
THIRD = 2.0**LARGEST / 3.0
STRIDES = 3  # how often a stretch is grown by as much again, on each side
STEEPEST = 700.0  # logarithm of the ratio of densities at the ends of a stretch: exp of it is finite
HALVINGS = 5  # of the last stride, for the stretch's end


@dataclass
class Stretches:
    """The stretch of S that belongs to a place: found by asking, and remembered by its cell."""

    ask: Asker
    shift: float
    known: dict[Cell, tuple[float, float]] = field(default_factory=dict)

    def of(self, x: Array) -> Array:
        """Ends (n, 2) of the stretch of each place of S; no width where its cells are too narrow."""
        places = x.tolist()
        cells = self._cells(list(dict.fromkeys(places)))  # chains that stand at one place ask the same
        self._grow([cell for cell in dict.fromkeys(cells.values()) if cell and cell not in self.known])
        held = {at: (at, at) if cell is None else self.known[cell] for at, cell in cells.items()}
        ends = [held[at] for at in places]
        return np.array(ends, dtype=np.float64).reshape(-1, 2)

    def _points(self, x: Array, levels: NDArray[np.intp]) -> tuple[Array, Array]:
        """Of the cell of each level that holds each place: its number, and its ends and middle.

        The lower end of a cell is the same number for every level that has this end.
        """
        size = 2.0 ** levels[:, None]
        index = np.floor((x - self.shift) / size)
        index -= index * size + self.shift > x  # of rounding
        return index, (index[:, None] + PARTS) * size[:, None] + self.shift

    def _cells(self, places: list[float]) -> dict[float, Cell | None]:
        """The largest cell of each place with ends and middle in S, (level, index); None if there is none."""
        found: dict[float, Cell | None] = dict.fromkeys(places)
        x = np.array(places)
        for top in range(LARGEST, SMALLEST - 1, -AT_ONCE):
            if not len(x):
                break
            levels = np.arange(top, max(top - AT_ONCE, SMALLEST - 1), -1)
            index, points = self._points(x, levels)
            left = np.arange(len(x))
            for row, level in enumerate(levels.tolist()):
                good = self.ask.inside(points[row][:, left]).all(axis=0)
                if good.any():
                    held = zip(x[left[good]].tolist(), index[row, left[good]].tolist(), strict=True)
                    found.update((place, (level, int(number))) for place, number in held)
                    left = left[~good]
                    if not len(left):
                        break
            x = x[left]
        return found

    def _grow(self, cells: list[Cell]) -> None:
        """Grow cells to both sides as long as places are in S, and bisect where they end."""
        if not cells:
            return
        levels, numbers = np.array(cells, dtype=np.float64).T
        count, size = len(cells), 2.0 ** np.concatenate([levels, levels])
        signs = np.repeat([-1.0, 1.0], count)
        ends = self._ends(np.concatenate([numbers, numbers + 1.0]), size, signs).tolist()
        self.known.update(zip(cells, zip(ends[:count], ends[count:], strict=True), strict=True))

    def _ends(self, index: Array, size: Array, sign: Array) -> Array:
        """The last place in S that was found going away from each cell."""
        inside, outside = index, np.full(len(index), np.nan)
        for stride in range(STRIDES):
            growing = np.isnan(outside)
            beyond = inside + sign * 2.0**stride
            good = self._are_in(beyond * size, growing)
            outside = np.where(growing & ~good, beyond, outside)
            inside = np.where(good, beyond, inside)
        open_ = ~np.isnan(outside)
        for _ in range(HALVINGS):
            middle = 0.5 * (inside + outside)
            good = self._are_in(middle * size, open_)
            inside, outside = np.where(good, middle, inside), np.where(open_ & ~good, middle, outside)
        return np.asarray(inside * size + self.shift)

    def _are_in(self, unshifted: Array, asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Of the places that are asked about, those in S."""
        good = np.zeros(len(asked), dtype=bool)
        good[asked] = self.ask.inside(unshifted[asked] + self.shift)
        return good


@dataclass(frozen=True, kw_only=True)
class Lots:
    """What a local step of each of several chains draws, whether it is taken or not."""

    way: NDArray[np.integer]
    u: Array
    child: Callable[[], np.random.Generator]

    @classmethod
    def of(cls, count: int, rng: np.random.Generator, children: Children) -> "Lots":
        way = rng.integers(2, size=count)
        return cls(way=way, u=rng.random(count), child=children.next())


@dataclass(frozen=True, kw_only=True)
class Local:
    """Steps within a stretch of S that the grid did not see; in `known` cells proposals from it do better."""

    stretches: tuple[Stretches, Stretches]
    grid: Grid
    known: NDArray[np.bool_]
    well_seen: bool
    law: Law
    ask: Asker

    @classmethod
    def of(cls, grid: Grid, law: Law, ask: Asker) -> "Local":
        well_seen = grid.is_well_seen(law)
        known = grid.seen if well_seen else grid.certain
        both = Stretches(ask, 0.0), Stretches(ask, THIRD)
        return cls(stretches=both, grid=grid, known=known, well_seen=well_seen, law=law, ask=ask)

    def knows(self, x: Array) -> NDArray[np.bool_]:
        """Which states lie in cells that the grid knows: they stay."""
        return self.grid.holds(x, self.known)

    def step(self, x: Array, lots: Lots) -> Array:
        """One step of each chain (Metropolis-Hastings): a draw from its stretch.

        The ways to cut the line are chosen between by lot. A state in a cell that the grid knows stays, and
        no step leads into such a cell: that is as reversible as any other step that is not taken.
        """
        outside = ~self.knows(x)
        if not outside.any():
            return x
        drawn, log_u = lots.child(), np.log(lots.u)
        result = x.copy()
        for number, stretches in enumerate(self.stretches):
            rows = np.flatnonzero(outside & (lots.way == number))
            if len(rows):
                result[rows] = self._moved(x[rows], stretches, drawn, log_u[rows])
        return result

    def _moved(self, x: Array, stretches: Stretches, rng: np.random.Generator, log_u: Array) -> Array:
        ends = stretches.of(x)
        to = _drawn(ends, self.law, rng)
        possible = (ends[:, 1] > ends[:, 0]) & (ends[:, 0] <= x) & (x <= ends[:, 1])
        possible &= ~self.grid.holds(to, self.known)
        rows = np.flatnonzero(possible)
        rows = rows[self.ask.inside(to[rows])]
        back = stretches.of(to[rows])
        covers = (back[:, 0] <= x[rows]) & (x[rows] <= back[:, 1])
        rows, back = rows[covers], back[covers]
        there = self.law.log_density(to[rows]) - _log_density(to[rows], ends[rows], self.law)
        here = self.law.log_density(x[rows]) - _log_density(x[rows], back, self.law)
        accepted = rows[log_u[rows] < there - here]
        result = x.copy()
        result[accepted] = to[accepted]
        return result


def _tilts(ends: Array, law: Law) -> Array:
    """The law's own slope in the middle half of a stretch, as far as it has one, over all of it."""
    quarter = 0.25 * (ends[:, 1] - ends[:, 0])
    low, high = law.log_density(ends[:, 0] + quarter), law.log_density(ends[:, 1] - quarter)
    return np.asarray(np.clip(2.0 * (high - low), -STEEPEST, STEEPEST))


def _drawn(ends: Array, law: Law, rng: np.random.Generator) -> Array:
    return tilted.draw(ends[:, 0], ends[:, 1] - ends[:, 0], _tilts(ends, law), rng.random(len(ends)))


def _log_density(x: Array, ends: Array, law: Law) -> Array:
    return tilted.log_density(x, ends[:, 0], ends[:, 1] - ends[:, 0], _tilts(ends, law))
