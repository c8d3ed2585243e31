"""The engine of a thinned test: the tested part is independent of the selection, so nothing is searched."""

from dataclasses import dataclass
from typing import ClassVar

from onnx_si.choices.guarantees import THINNED
from onnx_si.domains.event import RegionEvent
from onnx_si.engines.engine import Answer, Spent, Watch
from onnx_si.ground.intervals import Intervals
from onnx_si.search import SearchOptions
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import p_value_bounds


@dataclass(frozen=True)
class Thinned:
    """An ordinary test: S is the whole line, whatever the event is.

    Parameters
    ----------
    passes : int
        Runs of the model that the selection took.
    seed : int
    """

    passes: int
    seed: int
    guarantee: ClassVar[str] = THINNED.name

    def answer(
        self, line: ImageLine, event: RegionEvent, how: SearchOptions, progress: Watch = None
    ) -> Answer:
        """The p-value of the statistic's own distribution."""
        whole, nothing = Intervals.line(), Intervals.empty()
        bounds = p_value_bounds(line.distribution, whole, nothing, line.statistic, how.alternative)
        return Answer(
            guarantee=self.guarantee,
            p_value=bounds[1],
            p_value_bounds=bounds,
            inside=whole,
            undecided=nothing,
            complete=True,
            costs=Spent(
                engine="none",
                seconds=0.0,
                forward_passes=self.passes,
                seed=self.seed,
                complete=True,
            ),
        )
