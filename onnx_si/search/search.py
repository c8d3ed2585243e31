"""Search the line for the truncation set, the most probable undecided cell first, with p-value bounds that are always true."""

import heapq
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from onnx_si.intervals import Intervals
from onnx_si.line.exact import ExactDomain, PiecewiseLinear, line_segment
from onnx_si.line.program import Program
from onnx_si.line.walker import Tally, walk
from onnx_si.search.event import RegionEvent
from onnx_si.search.problem import TestLine
from onnx_si.truncated import Alternative, decided, p_value_bounds

CELL = 0.5  # width of a cell in standard errors
FAR = 200.0  # standard errors around the statistic and zero after which a search that still learns nothing gives up


@dataclass(frozen=True)
class SearchOptions:
    """When to stop, and how much memory one tensor may take.

    `precision` is the wanted width of the p-value's bounds; with `decide_at` the search also stops when both bounds lie on one
    side of that level.
    """

    alternative: Alternative = "two-sided"
    precision: float = 1e-4
    decide_at: float | None = None
    budget_bytes: int = 64 << 20


@dataclass(frozen=True)
class Progress:
    """A look at a running search."""

    bounds: tuple[float, float]
    cells: int
    pieces: int
    seconds: float


@dataclass(frozen=True)
class Search:
    """What a search found: S for certain, what it left undecided, and what it cost."""

    inside: Intervals
    undecided: Intervals
    p_value_bounds: tuple[float, float]
    seconds: float
    forward_passes: float
    pieces: int
    cells: int
    complete: bool


@dataclass
class _State:
    """The set found so far; grows cell by cell."""

    inside: list[np.ndarray] = field(default_factory=list)
    unclear: list[np.ndarray] = field(default_factory=list)
    pieces: int = 0
    cells: int = 0


def search(
    program: Program,
    margin: str,
    line: TestLine,
    event: RegionEvent,
    options: SearchOptions,
    progress: Callable[[Progress], None] | None = None,
) -> Search:
    """Find S = {z : the region is the observed one} as far as the p-value needs it.

    Parameters
    ----------
    program : Program
        Bound at the image; its output `margin` decides the region.
    line : TestLine
    event : RegionEvent
    options : SearchOptions
    progress : callable, optional
        Called after every cell.

    Returns
    -------
    Search
        Whatever was not examined counts as undecided, the tails of the line included: the bounds are true.
    """
    started = time.perf_counter()
    tally, state = Tally(), _State()
    frontier = _Frontier(line)
    bounds = (0.0, 1.0)
    while True:
        cell = frontier.pop()
        if cell is None:
            break
        _resolve(program, margin, line, event, cell, options, tally, state)
        inside, undecided = _sets(state, frontier)
        bounds = p_value_bounds(line.distribution, inside, undecided, line.statistic, options.alternative)
        if progress is not None:
            progress(Progress(bounds, state.cells, state.pieces, time.perf_counter() - started))
        if bounds[1] - bounds[0] <= options.precision:
            break
        if options.decide_at is not None and decided(bounds, options.decide_at):
            break
    inside, undecided = _sets(state, frontier)
    return Search(
        inside,
        undecided,
        bounds,
        time.perf_counter() - started,
        tally.operations / max(1, program.cost),
        state.pieces,
        state.cells,
        bounds[1] - bounds[0] <= options.precision,
    )


class _Frontier:
    """The undecided cells, the most probable first; the two unbounded ones give off a bounded cell when their turn comes."""

    def __init__(self, line: TestLine):
        self._line = line
        self._heap: list[tuple[float, float, float]] = []
        step = CELL * line.standard_error
        low, high = line.statistic - step / 2, line.statistic + step / 2
        self._first: tuple[float, float] | None = (low, high)
        self._push(-math.inf, low)
        self._push(high, math.inf)

    def _push(self, low: float, high: float) -> None:
        log_mass = float(self._line.distribution.log_masses(np.array([[low, high]]))[0])
        heapq.heappush(self._heap, (-log_mass, low, high))

    def pop(self) -> tuple[float, float] | None:
        """The cell to examine next; None when everything reachable is done."""
        if self._first is not None:
            cell, self._first = self._first, None
            return cell
        if not self._heap:
            return None
        _, low, high = heapq.heappop(self._heap)
        step, far = CELL * self._line.standard_error, FAR * self._line.standard_error
        if math.isinf(low):
            if high < min(0.0, self._line.statistic) - far:
                return None
            self._push(-math.inf, high - step)
            return high - step, high
        if math.isinf(high):
            if low > max(0.0, self._line.statistic) + far:
                return None
            self._push(low + step, math.inf)
            return low, low + step
        return low, high

    def undecided(self) -> list[tuple[float, float]]:
        """Everything not yet handed out."""
        return [(low, high) for _, low, high in self._heap] + ([self._first] if self._first else [])


def _sets(state: _State, frontier: _Frontier) -> tuple[Intervals, Intervals]:
    def joined(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts) if parts else np.empty((0, 2))

    pending = np.array(frontier.undecided(), dtype=np.float64).reshape(-1, 2)
    return Intervals.of(joined(state.inside)), Intervals.of(np.concatenate([joined(state.unclear), pending]))


def _resolve(
    program: Program,
    margin: str,
    line: TestLine,
    event: RegionEvent,
    cell: tuple[float, float],
    options: SearchOptions,
    tally: Tally,
    state: _State,
) -> None:
    """Examine one cell exactly."""
    domain = ExactDomain(options.budget_bytes)
    start = line_segment(line.start, line.direction, *cell)
    for outputs in walk(program, domain.apply, start, tally):
        verdict = event.judge(outputs[margin])
        state.inside.append(verdict.inside)
        state.unclear.append(verdict.unclear)
        state.pieces += len(outputs[margin].knots) - 1
    state.cells += 1


def linear_piece(program: Program, margin: str, line: TestLine, event: RegionEvent, options: SearchOptions) -> Intervals:
    """The part of S on the one linear piece of the network around the observed statistic (over-conditioning).

    The cell around the statistic grows until the piece ends inside it, or reaches so far that its mass no longer counts.

    Source
    ------
    Duy and Takeuchi, "More powerful conditional selective inference", JMLR 23 (2022), section 2 (what they improve on).
    """
    at, domain = line.statistic, ExactDomain(options.budget_bytes)
    width = line.standard_error / 16
    while True:
        low, high = at - width, at + width
        cell = line_segment(line.start, line.direction, low, high)
        for outputs in walk(program, domain.apply, cell, Tally()):
            piece = _piece_at(outputs[margin], at)
            if piece is None:
                continue
            ends_inside = piece.knots[0] > low and piece.knots[-1] < high
            if ends_inside or width > FAR * line.standard_error:
                return Intervals.of(event.judge(piece).inside)
        width *= 4


def _piece_at(f: PiecewiseLinear, at: float) -> PiecewiseLinear | None:
    """The one linear piece that holds a point; None where the point lies elsewhere on the line."""
    if not f.knots[0] <= at < f.knots[-1]:
        return None
    index = int(f.knots.searchsorted(at, "right")) - 1
    return PiecewiseLinear(f.knots[index : index + 2], f.values[index : index + 2])
