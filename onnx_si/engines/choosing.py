"""The engine of a smooth network that nobody chose: proven bounds where they are cheap, else chains.

Which of the two answers is decided for each line by a forecast that is a function of the line and the event
alone (`search.forecasting`), never of the statistic or of a clock. Given region and line, which is what
both engines condition on, the choice is therefore fixed, and the p-value of the engine that is chosen is what
it would be if a user had named it beforehand: had the image lain elsewhere in S, the same one would have
answered. Nothing that is found out later changes it: a search that takes longer than expected ends with the
bounds that it has.
"""

import math
from dataclasses import dataclass, replace

from onnx_si.choices.guarantees import CERTIFIED, DRAWN
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.task import Task
from onnx_si.engines.engine import Answer, Engine, Watch
from onnx_si.engines.proving import Certified
from onnx_si.errors import Undefined, UnsupportedModel, UnsupportedOp
from onnx_si.program.program import Program
from onnx_si.search import Forecast, SearchOptions, forecast, least_cost
from onnx_si.statistics.line import ImageLine


@dataclass(frozen=True)
class Decision:
    """Who answers, why in words, and after how many cells a search ends."""

    engine: Engine
    why: str
    most_cells: float = math.inf

    @property
    def proven(self) -> bool:
        """Whether the certified engine answers."""
        return isinstance(self.engine, Certified)

    def asking(self, how: SearchOptions) -> SearchOptions:
        """What the engine is asked for."""
        return replace(how, most_cells=self.most_cells)


@dataclass(frozen=True, kw_only=True)
class Either:
    """Proven bounds if they are expected to take at most `limit` seconds, else chains.

    `why` says why the network is not followed exactly.
    """

    certified: Certified
    chains: Engine
    limit: float
    why: str

    @property
    def guarantee(self) -> str:
        """The weaker one: of an answer it says itself what it is."""
        return DRAWN.name

    def decided(self, line: ImageLine, event: RegionEvent, how: SearchOptions) -> Decision:
        """Who answers: a function of the line, the event and the options, not of the statistic."""
        try:
            domain, program = self.certified.domain.prepared(self.certified.program)
            task = Task(program=program, margin=self.certified.margin, line=line, event=event)
            expected = forecast(domain, task, self.limit, how)
        except Undefined as error:
            return self._by_chains(f"nothing can be proven on this line: {error}")
        if expected.seconds > self.limit:
            return self._by_chains(_too_long(expected, self.limit))
        why = (
            f"{self.why}; by a few cells, proven bounds are expected to take {expected.seconds:.2g} s "
            f"({expected.cells:.0f} cells, {expected.seconds_a_cell:.2g} s each) of at most {self.limit:g}"
        )
        return Decision(self.certified, why, how.tuning.slack * self.limit / expected.seconds_a_cell)

    def _by_chains(self, why: str) -> Decision:
        return Decision(self.chains, f"{self.why}; {why}")

    def answer(
        self, line: ImageLine, event: RegionEvent, how: SearchOptions, progress: Watch = None
    ) -> Answer:
        """That of the engine that is chosen.

        Raises
        ------
        UnsupportedModel
            As the engine that is chosen does.
        """
        found = self.decided(line, event, how)
        return found.engine.answer(line, event, found.asking(how), progress)


def out_of_question(program: Program, margin: str, limit: float, how: SearchOptions) -> str | None:
    """Why proven bounds are, for every image, by counted work; None where they are not."""
    try:
        certified = Certified(program, margin)
        expected = least_cost(*certified.domain.prepared(program), how)
    except UnsupportedOp as error:
        return f"nothing can be proven through '{error.findings[0].node}' ({error.findings[0].op})"
    except UnsupportedModel as error:
        return f"no bounds can be proven: {error}"
    return _too_long(expected, limit) if expected.seconds > limit else None


def _too_long(expected: Forecast, limit: float) -> str:
    """In words."""
    name, each = f"--engine {CERTIFIED.name}", f"{expected.seconds_a_cell:.2g} s a cell"
    if expected.too_coarse:
        return f"no bounds are proven ({name}): rounding leaves {expected.rounding:.1g} of the margins open"
    if math.isinf(expected.seconds):
        return f"proven bounds ({name}) would take more than {limit:g} s, at {each}"
    return f"proven bounds ({name}) would take {expected.seconds:.2g} s, at {each}: more than {limit:g}"
