"""What a search is asked for, how it stands, and what it found."""

import math
from dataclasses import dataclass, field

from onnx_si.domains.domain import Domains
from onnx_si.domains.standard import STANDARD
from onnx_si.ground.deadline import Deadline
from onnx_si.ground.intervals import Intervals
from onnx_si.search.stop import Stop
from onnx_si.search.tuning import Costs, Tuning
from onnx_si.statistics.truncated import Alternative

RESOLVED = "exact"  # what a document calls the cells that were resolved
FATES = (RESOLVED, "discarded", "accepted", "undecided", "sieved", "in_parts", "split")


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """When to stop, and how much memory all tensors on the line may take together.

    `precision` is the wanted width of the p-value's bounds; with `decide_at` the search also stops when
    both bounds lie on one side of that level. With `interval_level` it goes on from the wanted precision
    until the confidence interval of that level is settled too, for at most the work done so far and a
    little more; with `tipping_at` until it is known at which size of the noise the decision at that level
    turns, for a part of the work done so far. `domains` are who is asked about the line, `costs` and
    `tuning` the numbers that choose what is asked next.
    `stop` ends it at any moment, and so does the `deadline`; a search by brackets ends after `most_cells`.
    """

    alternative: Alternative = "two-sided-abs"
    precision: float = 1e-4
    decide_at: float | None = None
    budget_bytes: int = 1 << 30
    interval_level: float | None = None
    tipping_at: float | None = None
    most_cells: float = math.inf
    domains: Domains = STANDARD
    costs: Costs = field(default_factory=Costs)
    tuning: Tuning = field(default_factory=Tuning)
    stop: Stop = field(default_factory=Stop, compare=False)
    deadline: Deadline = field(default_factory=Deadline)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A look at a running search, or at chains that run: `passes` of the model so far.

    `settled` is the share of the line's probability that is decided, `precision` the width of the bounds that
    is wanted.
    """

    bounds: tuple[float, float]
    cells: int
    pieces: int
    seconds: float
    chains: int = 0
    passes: int = 0
    settled: float | None = None
    precision: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a search found: S for certain, what it left undecided, and what it cost.

    `fates` counts cells: resolved, discarded or accepted by a claim, left undecided by one, cut
    down by a part of the map, settled by a few parts of it, split. `peak_bytes` is the memory of all tensors
    alive at the same time, at most.

    `blur` has the ends of `inside`, each as the interval in which it lies for all that rounding allows; the
    bounds allow for it. `p_value` is what the upper bound is with the ends where they were found. `why` says
    in words why a search that is not `complete` ended.
    """

    inside: Intervals
    undecided: Intervals
    p_value_bounds: tuple[float, float]
    seconds: float
    forward_passes: float
    pieces: int
    cells: int
    fates: dict[str, int]
    peak_bytes: int
    complete: bool
    p_value: float = math.nan
    blur: Intervals = field(default_factory=Intervals.empty)
    why: str | None = None
