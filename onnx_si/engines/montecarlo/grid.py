"""A first look at the line: where S may be, as far as a grid of places can tell.

The grid is a function of the line and the event alone. Where on the line the observed place is enters
nowhere: neither the places that are asked about nor what is made of the answers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.engines.montecarlo.asker import Asker
from onnx_si.engines.montecarlo.laws import Law
from onnx_si.ground.intervals import Intervals

Array = NDArray[np.float64]

REACH, SPACING = 8.0, 0.1  # of the even part of the grid, in units of the law
FAR, OUTER = 64.0, 12  # how far places lie outside it, and how many on each side
HALVINGS = 6  # of a cell in which S begins or ends
ROUNDS, SPLIT = 4, 16  # cells outside S that are looked at once more: so often, so many each time
NEGLIGIBLE = 30.0  # log share of the most probable cell below which no cell is split


@dataclass(frozen=True)
class Grid:
    """Places in their order, and how many pixels are wrong at each."""

    nodes: Array
    wrong: NDArray[np.intp]

    @property
    def certain(self) -> NDArray[np.bool_]:
        """Cells with both ends in S."""
        return np.asarray((self.wrong[:-1] == 0) & (self.wrong[1:] == 0))

    @property
    def estimate(self) -> Intervals:
        """S as far as the grid tells, its ends halfway between a place in S and the next one outside."""
        nodes, inside = self.nodes, self.wrong == 0
        middles = 0.5 * (nodes[:-1] + nodes[1:])
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        ends = middles[edges].tolist()
        if len(inside) and inside[0]:
            ends.insert(0, nodes[0])
        if len(inside) and inside[-1]:
            ends.append(nodes[-1])
        return Intervals.of(np.array(ends, dtype=np.float64).reshape(-1, 2))

    def cell_of(self, x: Array) -> NDArray[np.intp]:
        """Number of the cell that holds each coordinate; -1 outside the grid."""
        cell = np.searchsorted(self.nodes, x, side="right") - 1
        cell = np.where(x == self.nodes[-1], len(self.nodes) - 2, cell)
        return np.where((cell < 0) | (cell > len(self.nodes) - 2), -1, cell)

    def holds(self, x: Array) -> NDArray[np.bool_]:
        """Whether a coordinate lies in a cell with both ends in S."""
        cell = self.cell_of(x)
        return np.asarray((cell >= 0) & self.certain[cell])

    def with_nodes(self, more: Array, ask: Asker) -> "Grid":
        """The grid with more places."""
        nodes = np.concatenate([self.nodes, more])
        wrong = np.concatenate([self.wrong, ask(more)])
        nodes, first = np.unique(nodes, return_index=True)
        return Grid(nodes, wrong[first])


def first_places(law: Law) -> Array:
    """An even grid around the centre of a law and a few places farther out."""
    count = round(2 * REACH / SPACING) + 1
    even = np.linspace(-REACH, REACH, count)
    outer = REACH * (FAR / REACH) ** (np.arange(1, OUTER + 1) / OUTER)
    places = law.centre + np.concatenate([-outer[::-1], even, outer])
    inner = places[(places > law.low) & (places < law.high)]
    bounds = [bound for bound in (law.low, law.high) if np.isfinite(bound) and abs(bound - law.centre) < FAR]
    return np.unique(np.concatenate([inner, bounds]))


def look(law: Law, ask: Asker) -> Grid:
    """Ask along the line: evenly, then where S begins and ends, then where it may hide."""
    places = first_places(law)
    grid = _with_ends(Grid(places, ask(places)), ask)
    for _ in range(ROUNDS):
        middles = _promising(grid, law)
        if not len(middles):
            break
        grid = _with_ends(grid.with_nodes(middles, ask), ask)
    return grid


def _with_ends(grid: Grid, ask: Asker) -> Grid:
    """The grid with the ends of S bisected."""
    edges = np.flatnonzero((grid.wrong[1:] == 0) != (grid.wrong[:-1] == 0))
    low, high = grid.nodes[edges], grid.nodes[edges + 1]
    wide = high - low > SPACING / 2**HALVINGS  # the others were bisected before
    low, high, inside_low = low[wide], high[wide], grid.wrong[edges[wide]] == 0
    asked = []
    for _ in range(HALVINGS if len(low) else 0):
        middle = 0.5 * (low + high)
        same = (ask(middle) == 0) == inside_low
        low, high = np.where(same, middle, low), np.where(same, high, middle)
        asked.append(middle)
    return grid.with_nodes(np.concatenate(asked), ask) if asked else grid


def _promising(grid: Grid, law: Law) -> Array:
    """Middles of cells outside S that are probable and have few pixels on the wrong side."""
    widths = np.diff(grid.nodes)
    middles = grid.nodes[:-1] + 0.5 * widths
    fewest = np.minimum(grid.wrong[:-1], grid.wrong[1:])
    out = (fewest > 0) & (widths > SPACING / 2**HALVINGS)
    masses = law.log_density(middles) + np.log(widths)
    score = masses - 2.0 * np.log(np.maximum(fewest, 1))
    score[~out | (masses < masses.max() - NEGLIGIBLE)] = -np.inf
    best = np.argsort(-score, kind="stable")[:SPLIT]
    return middles[best[np.isfinite(score[best])]]
