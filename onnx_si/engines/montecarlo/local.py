"""Local steps: a new place in the same stretch of S, however narrow it is.

Where a narrow stretch of S around the observed place escapes the grid, something must find its scale. A scale
learned from the observed place would spoil the exchangeability, so it is looked up for every state alike: the
line is cut into dyadic cells (in two ways, one shifted by a third, so that no stretch sits across a cut in
both), and the stretch of a state is grown from the largest cell that holds it and has its ends and its middle
in S. That is a function of the line and the state alone, and what was asked for one state serves all others.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnx_si.engines.montecarlo import tilted
from onnx_si.engines.montecarlo.asker import Asker
from onnx_si.engines.montecarlo.grid import Grid
from onnx_si.engines.montecarlo.laws import Law

Array = NDArray[np.float64]
LARGEST, SMALLEST = 3, -36  # cells are 2^3 to 2^-36 units of the law wide
THIRD = 2.0**LARGEST / 3.0
STRIDES = 3  # how often a stretch is grown by as much again, on each side
STEEPEST = 700.0  # logarithm of the ratio of densities at the ends of a stretch: exp of it is finite
HALVINGS = 5  # of the last stride, for the stretch's end


@dataclass
class Stretches:
    """The stretch of S that belongs to a place: found by asking, and remembered by its cell."""

    ask: Asker
    shift: float
    known: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)

    def of(self, x: Array) -> Array:
        """Ends (n, 2) of the stretch of each place of S; no width where its cells are too narrow."""
        cells = self._cells(x)
        self._grow([cell for cell in dict.fromkeys(cells) if cell is not None and cell not in self.known])
        ends = [
            (at, at) if cell is None else self.known[cell] for cell, at in zip(cells, x.tolist(), strict=True)
        ]
        return np.array(ends, dtype=np.float64).reshape(-1, 2)

    def _point(self, index: Array, level: int) -> Array:
        """The lower end of a cell: the same number for every level that has this end."""
        return np.asarray(index * 2.0**level + self.shift)

    def _cells(self, x: Array) -> list[tuple[int, int] | None]:
        """The largest cell of each place with ends and middle in S, (level, index); None if there is none."""
        found: list[tuple[int, int] | None] = [None] * len(x)
        left = np.arange(len(x))
        for level in range(LARGEST, SMALLEST - 1, -1):
            if not len(left):
                break
            index = np.floor((x[left] - self.shift) / 2.0**level)
            index -= self._point(index, level) > x[left]  # of rounding
            three = np.stack([self._point(index + part, level) for part in (0.0, 0.5, 1.0)])
            good = np.all(self.ask.inside(three), axis=0)
            for place, number in zip(left[good].tolist(), index[good].tolist(), strict=True):
                found[place] = (level, int(number))
            left = left[~good]
        return found

    def _grow(self, cells: list[tuple[int, int]]) -> None:
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
class Local:
    """Steps within a stretch of S that the grid did not see; in `known` cells proposals from it do better."""

    stretches: tuple[Stretches, Stretches]
    grid: Grid
    known: NDArray[np.bool_]
    law: Law
    ask: Asker

    @classmethod
    def of(cls, grid: Grid, law: Law, ask: Asker) -> "Local":
        known = grid.seen if grid.is_well_seen(law) else grid.certain
        both = Stretches(ask, 0.0), Stretches(ask, THIRD)
        return cls(stretches=both, grid=grid, known=known, law=law, ask=ask)

    def step(self, x: Array, rng: np.random.Generator) -> Array:
        """One step of each chain (Metropolis-Hastings): a draw from its stretch.

        The ways to cut the line are chosen between by lot. A state in a cell that the grid knows stays, and
        no step leads into such a cell: that is as reversible as any other step that is not taken.
        """
        way = rng.integers(2, size=len(x))
        u, log_u = rng.spawn(1)[0], np.log(rng.uniform(size=len(x)))
        outside = ~self.grid.holds(x, self.known)
        if not outside.any():
            return x
        result = x.copy()
        for number, stretches in enumerate(self.stretches):
            rows = np.flatnonzero(outside & (way == number))
            if len(rows):
                result[rows] = self._moved(x[rows], stretches, u, log_u[rows])
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
    return tilted.draw(ends[:, 0], ends[:, 1] - ends[:, 0], _tilts(ends, law), rng)


def _log_density(x: Array, ends: Array, law: Law) -> Array:
    return tilted.log_density(x, ends[:, 0], ends[:, 1] - ends[:, 0], _tilts(ends, law))
