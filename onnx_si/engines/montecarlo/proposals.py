"""Independence proposals from what the grid tells of S."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onnx_si.engines.montecarlo import tilted
from onnx_si.engines.montecarlo.grid import DEEPEST, Grid, cell_of
from onnx_si.engines.montecarlo.laws import LOWEST, Law

Array = NDArray[np.float64]
ELSEWHERE = 0.15  # share of the proposals that lie where the grid saw nothing of S
AT_END = 0.5  # weight of a cell with one end in S, beside one with both
LEAST = 1e-3  # share of a cell's width that S may always have
WIDEST = 0.25  # units of the law over which its logarithm is as good as straight


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """The null law piece by piece, log-linear in each, and heavier where the grid saw S.

    Cells outside S are the likelier the more room for it the places around them leave. A wide cell of the
    grid is several pieces: in one, a state in its middle would be left too seldom.
    """

    nodes: Array  # ends of the pieces
    tilts: Array
    log_heights: Array  # log density of a proposal at the lower end of each cell
    shares: Array

    @classmethod
    def of(cls, grid: Grid, law: Law) -> "Proposals":
        nodes, cell = _pieces(grid.nodes)
        heights = law.log_density(nodes)
        heights = np.maximum(heights, heights.max() - DEEPEST)
        tilts = np.diff(heights)
        masses = heights[:-1] + tilted.log_mass(np.diff(nodes), tilts)
        elsewhere = np.log(np.maximum(grid.room / np.diff(grid.nodes), LEAST))
        weights = np.where(grid.certain, 0.0, np.where(grid.seen, math.log(AT_END), elsewhere))[cell]
        seen = grid.seen[cell]
        weighted = masses + weights
        if seen.any() and not seen.all():
            shift = _log_sum(weighted[seen]) - _log_sum(weighted[~seen]) + np.log(ELSEWHERE / (1 - ELSEWHERE))
            weights = np.where(seen, weights, weights + shift)
            weighted = masses + weights
        total = _log_sum(weighted)
        return cls(
            nodes=nodes,
            tilts=tilts,
            log_heights=heights[:-1] + weights - total,
            shares=np.exp(weighted - total),
        )

    @cached_property
    def _cumulated(self) -> Array:
        """Of the shares, as numpy's own `choice` has it, which would make it anew for every step."""
        cumulated = (self.shares / self.shares.sum()).cumsum()
        return np.asarray(cumulated / cumulated[-1])

    def draw(self, pieces: Array, within: Array) -> Array:
        """Proposals, whatever the states are: of uniform numbers for the piece, and for where in it."""
        piece = self._cumulated.searchsorted(pieces, side="right")
        low = self.nodes[piece]
        return tilted.draw(low, self.nodes[piece + 1] - low, self.tilts[piece], within)

    def log_density(self, x: Array) -> Array:
        """Log density of a proposal; `LOWEST` outside the grid, where none falls."""
        piece = cell_of(x, self.nodes)
        low, high = self.nodes[piece], self.nodes[np.minimum(piece + 1, len(self.nodes) - 1)]
        with np.errstate(all="ignore"):
            heights = self.log_heights[piece] + self.tilts[piece] * (x - low) / (high - low)
        return np.where(piece < 0, LOWEST, heights)


def _pieces(nodes: Array) -> tuple[Array, NDArray[np.intp]]:
    """Cells cut into equal pieces that are narrow enough; the number of each one's cell."""
    counts = np.maximum(1, np.ceil(np.diff(nodes) / WIDEST - 1e-9)).astype(np.intp)
    cell = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts)
    low, high = nodes[cell], nodes[cell + 1]
    cut = np.where(within == 0, low, low + (high - low) * within / counts[cell])
    return np.append(cut, nodes[-1]), cell


def _log_sum(values: Array) -> float:
    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum()))
