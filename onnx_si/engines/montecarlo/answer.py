"""The p-value of a line and an event, by chains that ask a black box."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.engines.montecarlo.asker import Asker, Outside
from onnx_si.engines.montecarlo.chains import Chains, Draws, States
from onnx_si.engines.montecarlo.counts import Count
from onnx_si.engines.montecarlo.grid import Grid, first_places, look
from onnx_si.engines.montecarlo.laws import Law, law_of
from onnx_si.engines.montecarlo.local import Local
from onnx_si.engines.montecarlo.proposals import Proposals
from onnx_si.errors import UnsupportedModel
from onnx_si.ground.intervals import Intervals
from onnx_si.ground.seeds import Children
from onnx_si.search import Progress, Stop
from onnx_si.search.stop import Stopped
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import Alternative

Array = NDArray[np.float64]
NOTHING: Array = np.empty(0)
COPIES = 4  # of the observed place that are asked about at once: its answer may not hang on its neighbours
BLOCK = 32  # chains that run side by side, at first; then as many as ran before


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many chains, of how many steps each, and what is asked of their ends.

    `around`: whether the estimate of S is to hold the stretch around the observed place, wherever that is.
    """

    draws: int = 999
    steps: int = 2
    alternative: Alternative = "two-sided"
    alpha: float = 0.05
    around: bool = True


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What the chains gave.

    `interval` is the central 99 % interval of the p-value that infinitely many chains from this hub would
    give, `draws` the chains that were looked at, fewer than planned where it was `interrupted`, `passes` the
    places that the black box was asked about, and `estimate` S as far as the grid, and the stretch around the
    observed place where it is asked for, tell: approximate.
    """

    p_value: float
    interval: tuple[float, float]
    draws: int
    passes: int
    seconds: float
    estimate: Intervals
    interrupted: bool = False


@dataclass
class _Run:
    """Chains from the observed place back to the hub, and out of it: the first are asked about together."""

    chains: Chains
    start: States
    back: Draws | None

    def ends(self, draws: Draws, stop: Stop) -> Array | None:
        """Where chains from the hub end; None where they were stopped on their way."""
        found = list[Array]()

        def run() -> bool:
            found.append(self._ends(draws))
            return True

        try:
            stop.during(run)
        except Stopped:
            return None
        return found[0]

    def _ends(self, draws: Draws) -> Array:
        chains, back = self.chains, self.back
        *before, inside = chains.inside(self.start, (draws,) if back is None else (back, draws))
        if back is not None:
            self.start, self.back = chains.backward(self.start, back, before[0]), None
        return chains.forward(self.start.repeated(draws.log_u.shape[1]), draws, inside).x


def monte_carlo(
    line: ImageLine,
    outside: Outside,
    plan: Plan,
    rng: np.random.Generator,
    progress: Callable[[Progress], None] | None = None,
    stop: Stop | None = None,
) -> Drawn:
    """The p-value of a line and an event.

    Parameters
    ----------
    line : ImageLine
    outside : callable
        Places of the line -> how far outside of S each is, as `Asker` wants it.
    plan : Plan
    rng : Generator
    progress : callable, optional
    stop : Stop, optional
        Ends it with the chains that are finished; before the first of them there is nothing to tell.

    Raises
    ------
    UnsupportedModel
        If the observed place itself does not give the observed region, each time it is asked about.
    """
    started = time.perf_counter()
    law, observed = law_of(line)
    ask = Asker(outside, law.place, law.low, law.high)
    _require_steady(ask, observed, COPIES, first_places(law))
    grid = look(law, ask)
    local = Local.of(grid, law, ask)
    chains = Chains(law=law, ask=ask, proposals=Proposals.of(grid, law), local=local, children=Children(rng))
    # a draw from a stretch of S is as good as two: where the grid saw little, half of the steps will do
    steps = plan.steps if grid.is_well_seen(law) else max(1, plan.steps // 2)
    run = _Run(chains, chains.at(np.array([observed])), chains.draws(1, steps, rng, backward=True))
    count = Count.of(line.observed, float(rng.uniform()), plan.alternative, plan.draws, plan.alpha)
    stop, interrupted = stop or Stop(), False
    while count.seen < plan.draws and not count.stopped:
        size = min(max(BLOCK, count.seen), plan.draws - count.seen)
        ends = run.ends(chains.draws(size, steps, rng), stop)
        interrupted = ends is None
        if ends is None:
            break
        count.add(law.statistics(law.place(ends), rng), rng.uniform(size=size))
        if progress is not None:
            seconds = time.perf_counter() - started
            progress(
                Progress(
                    bounds=count.interval,
                    cells=0,
                    pieces=0,
                    seconds=seconds,
                    chains=count.seen,
                    passes=ask.passes,
                )
            )
    if not count.seen:
        raise Stopped
    _require_steady(ask, observed, 1)
    estimate = _seen(grid, local if plan.around else None, observed, law)
    seconds = time.perf_counter() - started
    return Drawn(
        p_value=count.p_value,
        interval=count.interval,
        draws=count.seen,
        passes=ask.passes,
        seconds=seconds,
        estimate=estimate,
        interrupted=interrupted,
    )


def _require_steady(ask: Asker, observed: float, copies: int, others: Array = NOTHING) -> None:
    """Ask about the observed place, first and last: a network that flickers has no region to condition on.

    Nothing that is told here of the observed place reaches the chains. What is to be asked about others is
    asked with it.
    """
    inside = ask.again(np.concatenate([np.full(copies, observed), others]))[:copies]
    if inside.all():
        return
    if copies > 1 and not inside.any():
        raise UnsupportedModel(
            "nothing but rounding decides the region of this image: computed again from the line it is "
            "another one; choose another map (--saliency) or threshold"
        )
    raise UnsupportedModel(
        "the region of this image flickers: run again, beside other images or later, it is another one; "
        "leave --provider out (the processor gives the same numbers each time), or choose another map "
        "(--saliency) or threshold"
    )


def _seen(grid: Grid, local: Local | None, observed: float, law: Law) -> Intervals:
    """S as it was seen: what the grid tells, and, from the local steps, the stretch of the observed place.

    This looks at where the observed place is, and so comes after the chains, not before them.
    """
    seen = [tuple(ends) for ends in grid.estimate.bounds.tolist()]
    for stretches in local.stretches if local else ():
        ((low, high),) = stretches.of(np.array([observed])).tolist()
        if low <= observed <= high and low < high:
            seen.append((low, high))
    places = law.place(np.array(seen, dtype=np.float64).reshape(-1, 2))
    return Intervals.of(places)
