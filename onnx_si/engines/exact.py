"""The exact engine: S found piece by piece, so that its bounds are proven."""

from dataclasses import dataclass, replace

from onnx_si.domains.domain import Domains
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.standard import STANDARD
from onnx_si.engines.engine import Answer, Watch
from onnx_si.engines.searched import answered
from onnx_si.ground.intervals import Intervals
from onnx_si.program.program import Program
from onnx_si.search import SearchOptions, linear_piece, search
from onnx_si.statistics.line import ImageLine


@dataclass(frozen=True)
class Exact:
    """Follows the output `margin` of a program that is piecewise linear on the line."""

    program: Program
    margin: str
    domains: Domains = STANDARD

    @property
    def guarantee(self) -> str:
        """What the domains earn that the search asks."""
        return self.domains.guarantee

    def answer(
        self, line: ImageLine, event: RegionEvent, how: SearchOptions, progress: Watch = None
    ) -> Answer:
        """Search the line for S; the p-value reported is the upper bound, with its ends as found.

        Raises
        ------
        UnsupportedModel
            If nothing but rounding decides the region where it was observed.
        """
        found = search(self.program, self.margin, line, event, replace(how, domains=self.domains), progress)
        return answered(found, self.guarantee, pieces=found.pieces)

    def piece(self, line: ImageLine, event: RegionEvent, how: SearchOptions) -> Intervals:
        """The one linear piece around the statistic, for over-conditioning."""
        return linear_piece(self.program, self.margin, line, event, replace(how, domains=self.domains))
