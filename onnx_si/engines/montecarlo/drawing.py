"""The Monte-Carlo engine as tests ask it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from onnx_si.choices.guarantees import DRAWN
from onnx_si.domains.event import RegionEvent
from onnx_si.engines.engine import Answer, Spent, Watch
from onnx_si.engines.montecarlo.answer import Plan, monte_carlo
from onnx_si.engines.montecarlo.asker import Inside, Outside
from onnx_si.ground.intervals import Intervals
from onnx_si.search import SearchOptions
from onnx_si.search.stop import WHY as INTERRUPTED
from onnx_si.statistics.line import ImageLine

Box = Callable[[ImageLine, RegionEvent], tuple[Outside, Inside]]


@dataclass(frozen=True, kw_only=True)
class MonteCarlo:
    """Asks a black box whether places of a line have the observed region.

    Parameters
    ----------
    box : callable
        (line, event) -> how far outside of S places of the line are, and whether they are in it.
    plan : Plan
    seed : int
        What the generator was made of, to be told.
    rng : Generator
        Every question has draws of its own.
    """

    box: Box
    plan: Plan
    seed: int
    rng: np.random.Generator
    guarantee: ClassVar[str] = DRAWN.name

    def answer(
        self, line: ImageLine, event: RegionEvent, how: SearchOptions, progress: Watch = None
    ) -> Answer:
        """Run the chains; the bounds are an interval for what infinitely many of them would give.

        Raises
        ------
        UnsupportedModel
            If the observed place itself does not give the observed region.
        """
        plan = replace(self.plan, alternative=how.alternative)
        outside, inside = self.box(line, event)
        rng = self.rng.spawn(1)[0]
        found = monte_carlo(line, outside, plan, rng, progress, how.stop, inside)
        return Answer(
            guarantee=self.guarantee,
            p_value=found.p_value,
            p_value_bounds=found.interval,
            inside=found.estimate,
            undecided=Intervals.empty(),
            complete=not found.interrupted,
            why=INTERRUPTED if found.interrupted else None,
            approximate=True,
            costs=Spent(
                engine=self.guarantee,
                seconds=found.seconds,
                forward_passes=found.passes,
                draws=found.draws,
                seed=self.seed,
                complete=not found.interrupted,
            ),
        )
