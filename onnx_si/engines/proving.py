"""The certified engine: S between bounds that are proven on cells of the line, for smooth networks."""

from dataclasses import dataclass, field

from onnx_si.domains.domain import Bracketing
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.standard import smooth
from onnx_si.engines.engine import Answer, Watch
from onnx_si.engines.searched import answered
from onnx_si.program.program import Program
from onnx_si.search import SearchOptions, bracketed
from onnx_si.statistics.line import ImageLine


@dataclass(frozen=True)
class Certified:
    """Encloses the output `margin` of a program of rules that `domain` knows."""

    program: Program
    margin: str
    domain: Bracketing = field(default_factory=smooth)

    def __post_init__(self) -> None:
        """Refuse a program of which nothing can be proven.

        Raises
        ------
        UnsupportedOp
            With every node that stands in the way.
        """
        self.domain.require_followed(self.program)

    @property
    def guarantee(self) -> str:
        """What the domain earns."""
        return self.domain.guarantee

    def answer(
        self, line: ImageLine, event: RegionEvent, how: SearchOptions, progress: Watch = None
    ) -> Answer:
        """Search the line for S; the p-value reported is the upper bound, with its ends as found.

        Raises
        ------
        UnsupportedModel
            If nothing but rounding decides the region where it was observed.
        """
        domain, program = self.domain.prepared(self.program)
        found = bracketed(domain, program, self.margin, line, event, how, progress)
        return answered(found, self.guarantee)
