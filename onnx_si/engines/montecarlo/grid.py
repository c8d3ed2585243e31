"""A first look at the line: where S may be, as far as a grid of places can tell.

The grid is a function of the line and the event alone. Where on the line the observed place is enters
nowhere: neither the places that are asked about nor what is made of the answers.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onnx_si.engines.montecarlo import tilted
from onnx_si.engines.montecarlo.asker import Asker
from onnx_si.engines.montecarlo.bracket import SPACING, Bracket
from onnx_si.engines.montecarlo.laws import Law

Array = NDArray[np.float64]

REACH = 8.0  # of the even part of the grid, in units of the law
FAR, OUTER = 1024.0, 16  # how far places lie outside it, and how many on each side
_EVEN = np.linspace(-REACH, REACH, round(2 * REACH / SPACING) + 1)
_BEYOND = REACH * (FAR / REACH) ** (np.arange(1, OUTER + 1) / OUTER)
AROUND = np.concatenate([-_BEYOND[::-1], _EVEN, _BEYOND])
DEEPEST = 1e6  # below the law's peak its logarithm counts as flat: more than at the grid's ends
ROUNDS, SPLIT = 8, 16  # cells outside S that are looked at once more: so often, so many each time
STEEPER = 1.5  # times what is seen around a cell, for how fast the map may change in it
MOST = math.log(4.0)  # odds of what lies between places of S against what lies beside one
LITTLE = math.log(0.01)  # share of what is known of S that is not worth a look


@dataclass(frozen=True)
class Grid:
    """Places in their order, and how far outside of S each is."""

    nodes: Array
    off: Array

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Places in S."""
        return np.asarray(self.off <= 0)

    @cached_property
    def certain(self) -> NDArray[np.bool_]:
        """Cells with both ends in S."""
        return self.inside[:-1] & self.inside[1:]

    @property
    def estimate(self) -> Array:
        """S as far as the grid tells: ends (n, 2), halfway between a place in S and the next one outside."""
        nodes, inside = self.nodes, self.inside
        middles = 0.5 * (nodes[:-1] + nodes[1:])
        ends = middles[inside[1:] != inside[:-1]].tolist()
        if inside[0]:
            ends.insert(0, nodes[0])
        if inside[-1]:
            ends.append(nodes[-1])
        return np.array(ends, dtype=np.float64).reshape(-1, 2)

    @cached_property
    def room(self) -> Array:
        """How much of each cell outside S may be in it after all, as far as the places around it tell.

        If the map changes no faster than `STEEPER` times what is seen around a cell, its distance from S
        falls to (a + b - L width) / 2 at most, from a and b at the ends, and S is no wider than that below
        zero over L.
        """
        widths = np.diff(self.nodes)
        slopes = np.abs(np.diff(self.off)) / widths
        padded = np.concatenate([slopes[:1], slopes, slopes[-1:]])
        steepest = STEEPER * np.maximum(np.maximum(padded[:-2], padded[2:]), slopes)
        lowest = 0.5 * (self.off[:-1] + self.off[1:] - steepest * widths)
        with np.errstate(all="ignore"):
            room = np.where(steepest > 0, -2.0 * lowest / steepest, 0.0)
        return np.asarray(np.clip(room, 0.0, widths))

    def cell_of(self, x: Array) -> NDArray[np.intp]:
        """Number of the cell that holds each coordinate; -1 outside the grid."""
        return cell_of(x, self.nodes)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Cells with an end in S."""
        return self.inside[:-1] | self.inside[1:]

    def is_well_seen(self, law: Law) -> bool:
        """Whether most of what was seen of S lies between places of it, not beside a single one."""
        heights = law.log_density(self.nodes)
        heights = np.maximum(heights, heights.max() - DEEPEST)
        masses = heights[:-1] + tilted.log_mass(np.diff(self.nodes), np.diff(heights))
        within = np.logaddexp.reduce(masses[self.certain], initial=-np.inf)
        beside = np.logaddexp.reduce(masses[self.seen & ~self.certain], initial=-np.inf)
        return bool(within > beside + MOST)

    def holds(self, x: Array, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether a coordinate lies in one of some cells."""
        cell = self.cell_of(x)
        return np.asarray((cell >= 0) & cells[cell])

    def with_nodes(self, more: Array, ask: Asker) -> "Grid":
        """The grid with more places."""
        nodes, first = np.unique(np.concatenate([self.nodes, more]), return_index=True)
        return Grid(nodes, np.concatenate([self.off, ask(more)])[first])


def cell_of(x: Array, nodes: Array) -> NDArray[np.intp]:
    """Number of the cell between neighbouring nodes that holds each coordinate; -1 outside all."""
    cell = np.asarray(nodes.searchsorted(x, side="right") - 1)
    cell[x == nodes[-1]] = len(nodes) - 2
    cell[cell > len(nodes) - 2] = -1
    return cell


def first_places(law: Law) -> Array:
    """An even grid around the centre of a law and a few places farther out."""
    places = law.centre + AROUND
    if law.low < places[0] and places[-1] < law.high:
        return places
    inner = places[(places > law.low) & (places < law.high)]
    bounds = [bound for bound in (law.low, law.high) if np.isfinite(bound) and abs(bound - law.centre) < FAR]
    return np.unique(np.concatenate([inner, bounds]))


def look(law: Law, ask: Asker) -> Grid:
    """Ask along the line: evenly, then where S begins and ends, then where it may hide."""
    places = first_places(law)
    grid = _with_ends(Grid(places, ask(places)), law, ask)
    for _ in range(ROUNDS):
        middles = _promising(grid, law)
        if not len(middles):
            break
        grid = _with_ends(grid.with_nodes(middles, ask), law, ask)
    return grid


def _with_ends(grid: Grid, law: Law, ask: Asker) -> Grid:
    """The grid with the ends of S bisected."""
    edges = np.flatnonzero(grid.inside[1:] != grid.inside[:-1])
    nodes, off = grid.nodes.tolist(), grid.off.tolist()
    brackets = [
        Bracket(low=nodes[i], high=nodes[i + 1], off_low=off[i], off_high=off[i + 1], centre=law.centre)
        for i in edges.tolist()
    ]
    left = [one for one in brackets if one.high - one.low > one.narrow]  # the others were bisected before
    asked = list[float]()
    while left:
        ahead = [x for one in left for x in one.ahead()]
        answers = dict(zip(ahead, ask(np.array(ahead)).tolist(), strict=True))
        asked += [x for one in left for x in one.bisected(answers)]
        left = [one for one in left if one.is_wide]
    return grid.with_nodes(np.array(asked), ask) if asked else grid


def _promising(grid: Grid, law: Law) -> Array:
    """Middles of the cells outside S that may hold the most of it."""
    widths = np.diff(grid.nodes)
    middles = grid.nodes[:-1] + 0.5 * widths
    heights = law.log_density(middles)
    out = ~grid.inside[:-1] & ~grid.inside[1:] & (widths > 1e-9 * (1.0 + np.abs(middles)))
    with np.errstate(divide="ignore"):
        score = np.where(out, heights + np.log(grid.room), -np.inf)
        known = (heights + np.log(widths))[grid.certain]
    score[score < np.logaddexp.reduce(known, initial=-np.inf) + LITTLE] = -np.inf
    best = np.argsort(-score, kind="stable")[:SPLIT]
    return middles[best[np.isfinite(score[best])]]
