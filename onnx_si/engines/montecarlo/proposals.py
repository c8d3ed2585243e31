"""Independence proposals from what the grid tells of S, and the step that takes them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.engines.montecarlo import tilted
from onnx_si.engines.montecarlo.asker import Asker
from onnx_si.engines.montecarlo.grid import Grid
from onnx_si.engines.montecarlo.laws import LOWEST, Law

Array = NDArray[np.float64]
ELSEWHERE = 0.15  # share of the proposals that lie where the grid saw nothing of S
AT_END = 0.5  # weight of a cell with one end in S, beside one with both
LEAST = 1e-3  # share of a cell's width that S may always have


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """The null law cell by cell, log-linear in each, and heavier where the grid saw S.

    Cells outside S are the likelier the more room for it the places around them leave.
    """

    grid: Grid
    tilts: Array
    log_heights: Array  # log density of a proposal at the lower end of each cell
    shares: Array

    @classmethod
    def of(cls, grid: Grid, law: Law) -> "Proposals":
        heights = np.maximum(law.log_density(grid.nodes), -700.0 + law.log_density(grid.nodes).max())
        widths = np.diff(grid.nodes)
        tilts = np.diff(heights)
        seen = grid.inside[:-1] | grid.inside[1:]
        masses = heights[:-1] + tilted.log_mass(widths, tilts)
        elsewhere = np.log(np.maximum(grid.room / widths, LEAST))
        weights = np.where(grid.certain, 0.0, np.where(seen, math.log(AT_END), elsewhere))
        weighted = masses + weights
        if seen.any() and not seen.all():
            shift = _log_sum(weighted[seen]) - _log_sum(weighted[~seen]) + np.log(ELSEWHERE / (1 - ELSEWHERE))
            weights = np.where(seen, weights, weights + shift)
            weighted = masses + weights
        total = _log_sum(weighted)
        return cls(
            grid=grid,
            tilts=tilts,
            log_heights=heights[:-1] + weights - total,
            shares=np.exp(weighted - total),
        )

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Proposals, whatever the state is."""
        cell = rng.choice(len(self.shares), count, p=self.shares / self.shares.sum())
        low = self.grid.nodes[cell]
        return tilted.draw(low, self.grid.nodes[cell + 1] - low, self.tilts[cell], rng)

    def log_density(self, x: Array) -> Array:
        """Log density of a proposal; `LOWEST` outside the grid, where none falls."""
        cell = self.grid.cell_of(x)
        low, high = self.grid.nodes[cell], self.grid.nodes[np.minimum(cell + 1, len(self.grid.nodes) - 1)]
        with np.errstate(all="ignore"):
            heights = self.log_heights[cell] + self.tilts[cell] * (x - low) / (high - low)
        return np.where(cell < 0, LOWEST, heights)


def jump(x: Array, proposals: Proposals, law: Law, ask: Asker, rng: np.random.Generator) -> Array:
    """One step of each chain to a proposal that does not depend on where it is (Metropolis-Hastings)."""
    to = proposals.draw(len(x), rng)
    log_u = np.log(rng.uniform(size=len(x)))
    gain = law.log_density(to) - proposals.log_density(to)
    have = law.log_density(x) - proposals.log_density(x)
    moves = np.flatnonzero(log_u < gain - have)
    moves = moves[ask.inside(to[moves])]
    result = x.copy()
    result[moves] = to[moves]
    return result


def _log_sum(values: Array) -> float:
    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum()))
