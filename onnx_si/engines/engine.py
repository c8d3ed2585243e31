"""What an engine is asked, and what it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from onnx_si.domains.event import RegionEvent
from onnx_si.ground.intervals import Intervals
from onnx_si.ground.record import Record
from onnx_si.search import Progress, SearchOptions
from onnx_si.statistics.line import ImageLine

Watch = Callable[[Progress], None] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Spent(Record):
    """What an answer cost, and whether its bounds are as close as they were wanted.

    `seed` and `draws` are None where nothing was drawn, the others where the network was not followed.
    """

    engine: str
    seconds: float
    forward_passes: float
    complete: bool
    pieces: int | None = None
    cells: int | None = None
    fates: Mapping[str, int] | None = None
    peak_bytes: int | None = None
    draws: int | None = None
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The p-value of a line and an event, and what it cost.

    `inside` is S as far as it is known, `undecided` what is not; `costs` becomes the part `search` of a
    result's document. Where the bounds are apart, `p_value` is the one to be reported. `blur` has the ends of
    `inside`, each as the interval in which it lies for all that rounding allows; the bounds allow for it.
    `why` says why one that is not `complete` ended. An `approximate` S is no more than seen.
    """

    guarantee: str
    p_value: float
    p_value_bounds: tuple[float, float]
    inside: Intervals
    undecided: Intervals
    complete: bool
    costs: Spent
    blur: Intervals = field(default_factory=Intervals.empty)
    why: str | None = None
    approximate: bool = False

    @property
    def certain(self) -> Intervals:
        """What is in S wherever its ends lie."""
        return self.inside.subtract(self.blur)

    @property
    def possible(self) -> Intervals:
        """What may be in S besides that."""
        return self.undecided.union(self.blur)


class Engine(Protocol):
    """Follows a region along lines.

    `guarantee` is the word for what its p-values are.
    """

    @property
    def guarantee(self) -> str: ...

    def answer(
        self, line: ImageLine, event: RegionEvent, how: SearchOptions, progress: Watch = None
    ) -> Answer:
        """The p-value of the line's statistic, given that the event holds."""
        ...
