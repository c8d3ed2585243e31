"""Independence proposals from what the grid tells of S."""

import math
from dataclasses import dataclass, replace
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
NOTHING = 746.0  # exp of less than minus this is zero
WIDEST = 0.25  # units of the law over which its logarithm is as good as straight


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """A density piece by piece, log-linear in each, from a law and a weight for each cell of a grid.

    Cells outside S are the likelier the more room for it the places around them leave. A wide cell of the
    grid is several pieces: in one, a state in its middle would be left too seldom.
    """

    nodes: Array  # ends of the pieces
    tilts: Array
    log_heights: Array  # log density at the lower end of each
    cell: NDArray[np.intp]

    @classmethod
    def of(cls, law: Law, nodes: Array) -> "Pieces":
        """The law itself, between the nodes of a grid."""
        nodes, cell = _pieces(nodes)
        heights = law.log_density(nodes)
        heights = np.maximum(heights, heights.max() - DEEPEST)
        return cls(nodes=nodes, tilts=np.diff(heights), log_heights=heights[:-1], cell=cell)

    def masses(self) -> Array:
        """Logarithm of the mass of each."""
        return self.log_heights + tilted.log_mass(np.diff(self.nodes), self.tilts)

    def weighted(self, weights: Array) -> "Pieces":
        """With more or less of each cell, in logarithms."""
        return replace(self, log_heights=self.log_heights + weights[self.cell])

    def log_density(self, x: Array) -> Array:
        """Its logarithm; `LOWEST` outside the pieces."""
        piece = cell_of(x, self.nodes)
        low, high = self.nodes[piece], self.nodes[np.minimum(piece + 1, len(self.nodes) - 1)]
        with np.errstate(all="ignore"):
            heights = self.log_heights[piece] + self.tilts[piece] * (x - low) / (high - low)
        return np.where(piece < 0, LOWEST, heights)


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """The null law piece by piece, and heavier where the grid saw S.

    Parameters
    ----------
    law : Law
    grid : Grid
    near : Pieces
        Those that may be drawn: of all others the share is nothing in double precision.
    shares : array
        Of the near ones.
    weights : array
        Of all cells of the grid, in logarithms.
    """

    law: Law
    grid: Grid
    near: Pieces
    shares: Array
    weights: Array

    @classmethod
    def of(cls, grid: Grid, law: Law, nothing: float = NOTHING) -> "Proposals":
        """`nothing`: minus the logarithm of a share that is none."""
        seen = grid.seen
        elsewhere = np.log(np.maximum(grid.room / np.diff(grid.nodes), LEAST))
        weights = np.where(grid.certain, 0.0, np.where(seen, math.log(AT_END), elsewhere))
        cells = _likely(grid, law, weights, nothing)
        near = Pieces.of(law, grid.nodes[cells.start : cells.stop + 1])
        masses, seen_near = near.masses(), seen[cells][near.cell]
        weighted = masses + weights[cells][near.cell]
        if seen_near.any() and not seen_near.all():
            shift = _log_sum(weighted[seen_near]) - _log_sum(weighted[~seen_near])
            weights = np.where(seen, weights, weights + (shift + math.log(ELSEWHERE / (1 - ELSEWHERE))))
            weighted = masses + weights[cells][near.cell]
        total = _log_sum(weighted)
        weights = weights - total
        return cls(
            law=law,
            grid=grid,
            near=near.weighted(weights[cells]),
            shares=np.exp(weighted - total),
            weights=weights,
        )

    @cached_property
    def _cumulated(self) -> Array:
        """Of the shares, as numpy's own `choice` has it, which would make it anew for every step."""
        cumulated = (self.shares / self.shares.sum()).cumsum()
        return np.asarray(cumulated / cumulated[-1])

    @cached_property
    def _all(self) -> Pieces:
        return Pieces.of(self.law, self.grid.nodes).weighted(self.weights)

    def draw(self, pieces: Array, within: Array) -> Array:
        """Proposals, whatever the states are: of uniform numbers for the piece, and for where in it."""
        near, piece = self.near, self._cumulated.searchsorted(pieces, side="right")
        low = near.nodes[piece]
        return tilted.draw(low, near.nodes[piece + 1] - low, near.tilts[piece], within)

    def log_density(self, x: Array) -> Array:
        """Log density of a proposal; `LOWEST` outside the grid, where none falls."""
        low, high = self.near.nodes[0], self.near.nodes[-1]
        near = ((low <= x) & (x <= high)).all()
        return self.near.log_density(x) if near else self._all.log_density(x)


def _likely(grid: Grid, law: Law, weights: Array, nothing: float) -> slice:
    """The cells between the first and the last that has a share of the proposals, if a law falls off to both
    sides of its centre: those in S have one part of them, the others the rest.
    """
    heights, nodes = law.log_density(grid.nodes), grid.nodes
    widths = np.log(np.diff(nodes))
    least = np.minimum(heights[:-1], heights[1:]) + widths + weights
    most = np.maximum(heights[:-1], heights[1:]) + widths
    likely = (nodes[:-1] <= law.centre) & (law.centre <= nodes[1:])
    for part in (grid.seen, ~grid.seen):
        likely |= part & (most > least.max(where=part, initial=-np.inf) - nothing)
    found = np.flatnonzero(likely)
    return slice(int(found[0]), int(found[-1]) + 1)


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
