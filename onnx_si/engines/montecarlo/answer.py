"""The p-value of a line and an event, by chains that ask a black box."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnx_si.engines.montecarlo.asker import Asker, Inside, Outside
from onnx_si.engines.montecarlo.chains import Chains, Draws, Rolls, States
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
COPIES = 4  # of the observed place that are asked about at once: its answer may not hang on its neighbours
BLOCK = 32  # chains that run side by side, at first; then as many as ran before
FEW = 64  # chains up to which several blocks are asked about together


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many chains, of how many steps each, and what is asked of their ends.

    Blocks of chains are asked about `together` up to so many chains.
    `around`: whether the estimate of S is to hold the stretch around the observed place, wherever that is.
    """

    draws: int = 999
    steps: int = 2
    alternative: Alternative = "two-sided"
    alpha: float = 0.05
    around: bool = True
    together: int = FEW


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


@dataclass(frozen=True)
class _Block:
    """Chains that are counted together: what they and the lots of their ends draw."""

    rolls: Rolls
    statistics: Callable[[Array], Array]
    lots: Array


@dataclass(kw_only=True)
class _Run:
    """Chains from the observed place back to the hub, and out of it: the first are asked about together."""

    chains: Chains
    start: States
    back: list[Rolls]
    asked: list[Draws] = field(default_factory=list)

    def ends(self, blocks: Sequence[_Block], stop: Stop) -> Array | None:
        """Where the chains of the first of some blocks that are asked about together end; None where they
        were stopped on their way.
        """
        found = list[Array]()

        def run() -> bool:
            if not self.asked:
                self._ask(blocks)
            draws, chains = self.asked.pop(0), self.chains
            found.append(chains.forward(self.start.repeated(draws.log_u.shape[1]), draws).x)
            return True

        try:
            stop.during(run)
        except Stopped:
            return None
        return found[0]

    def _ask(self, blocks: Sequence[_Block]) -> None:
        chains, back = self.chains, self.back
        draws = chains.draws(self.start, [*back, *(block.rolls for block in blocks)])
        if back:
            self.start, self.back = chains.backward(self.start, draws.pop(0)), []
        self.asked = draws


def monte_carlo(
    line: ImageLine,
    outside: Outside,
    plan: Plan,
    rng: np.random.Generator,
    progress: Callable[[Progress], None] | None = None,
    stop: Stop | None = None,
    inside: Inside | None = None,
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
    inside : callable, optional
        Places -> whether each is in S, as `Asker` wants it.

    Raises
    ------
    UnsupportedModel
        If the observed place itself does not give the observed region, each time it is asked about.
    """
    started = time.perf_counter()
    law, observed = law_of(line)
    ask = Asker(outside, law.place, law.low, law.high, inside)
    _require_steady(ask.beside(np.full(COPIES, observed), first_places(law)))
    grid = look(law, ask)
    local = Local.of(grid, law, ask)
    chains = Chains(law=law, ask=ask, proposals=Proposals.of(grid, law), local=local, children=Children(rng))
    # a draw from a stretch of S is as good as two: where the grid saw little, half of the steps will do
    steps = plan.steps if local.well_seen else max(1, plan.steps // 2)
    back = [chains.rolls(1, steps, rng, backward=True)]
    run = _Run(chains=chains, start=chains.at(np.array([observed])), back=back)
    count = Count.of(line.observed, float(rng.uniform()), plan.alternative, plan.draws, plan.alpha)
    stop, interrupted = stop or Stop(), False
    while count.seen < plan.draws and not count.stopped and not interrupted:
        blocks = _blocks(count, chains, plan, steps, rng)
        while blocks and not interrupted:
            ends = run.ends(blocks, stop)
            interrupted = ends is None
            if ends is None:
                break
            block = blocks.pop(0)
            count.add(block.statistics(law.place(ends)), block.lots)
            if progress is not None:
                seconds = time.perf_counter() - started
                progress(_progress(count, ask, seconds))
    if not count.seen:
        raise Stopped
    _require_steady(ask.again(np.array([observed])))
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


def _blocks(count: Count, chains: Chains, plan: Plan, steps: int, rng: np.random.Generator) -> list[_Block]:
    """The next chains, and while those are few the ones after them as well, if they will surely be wanted."""
    blocks, seen = list[_Block](), count.seen
    while not blocks or seen < min(plan.together, plan.draws, count.surely):
        size = min(max(BLOCK, seen), plan.draws - seen)
        rolls = chains.rolls(size, steps, rng)
        blocks.append(_Block(rolls, chains.law.statistics(size, rng), rng.uniform(size=size)))
        seen += size
    return blocks


def _progress(count: Count, ask: Asker, seconds: float) -> Progress:
    return Progress(
        bounds=count.interval, cells=0, pieces=0, seconds=seconds, chains=count.seen, passes=ask.passes
    )


def _require_steady(inside: NDArray[np.bool_]) -> None:
    """Whether copies of the observed place, which is asked about first and last, are all in S: a network that
    flickers has no region to condition on. Nothing that is told here of it reaches the chains.
    """
    if inside.all():
        return
    if len(inside) > 1 and not inside.any():
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
    seen = [tuple(ends) for ends in grid.estimate.tolist()]
    for stretches in local.stretches if local else ():
        ((low, high),) = stretches.of(np.array([observed])).tolist()
        if low <= observed <= high and low < high:
            seen.append((low, high))
    places = law.place(np.array(seen, dtype=np.float64).reshape(-1, 2))
    return Intervals.of(places)
