"""What a value domain is: one object that says what it costs and what it earns, and answers for cells.

Each has a folder: the values that it carries, how they start on a cell, `apply` for every rule, and its
verdict on an event. Domains answer one of three questions, and the search asks whoever does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally
from onnx_si.ground.intervals import Intervals
from onnx_si.program.program import Program
from onnx_si.rules.rules import Array


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a cell costs: forward passes, more of them for every knot, and calls of rules.

    `calls` are those of one walk, in those of a walk that resolves a cell.
    """

    passes: float
    per_knot: float = 0.0
    calls: float = 1.0

    def of(self, knots: float) -> float:
        """Forward passes of a cell with so many knots."""
        return self.passes + self.per_knot * knots


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Where the event holds on a part of the line, and how many knots there were.

    `blurred` has the ends of what is inside, each as the interval in which it lies; a part of a task leaves
    them to the whole. Only what lies below `reached` was examined. `paid` are the knots that its work was
    for, where that is told: a margin that jumps has few of those of the tensors in front of it.
    """

    inside: Array
    unclear: Array
    blurred: Array
    knots: int
    reached: float
    paid: int | None = None

    @property
    def cost_in_knots(self) -> int:
        """Knots that were paid for."""
        return self.knots if self.paid is None else self.paid


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What is proven of one cell: never in S; which pixels may be on the wrong side; units left open.

    `clear` is how far a pixel is on the wrong side in the middle of the cell, in what it can move on the way
    to its ends: the most of any pixel, above 1 where that is a proof. Where none is, it is how far the least
    clear one is on its own side. `leaders` has the element that is proven to be the largest on all of
    the cell, by the tensor of the one largest value of many.
    """

    outside: bool
    open: NDArray[np.bool_]
    undecided: int
    clear: float = 0.0
    leaders: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Bracket:
    """Of a cell: stretches on which the event holds for certain, and such on which it is open; on the rest it
    does not hold. `remainder` is what margins are uncertain by, as a share of the largest: a small one that
    a narrower cell has as well is rounding.
    """

    inside: tuple[tuple[float, float], ...]
    open: tuple[tuple[float, float], ...]
    remainder: float = 0.0


class Domain(Protocol):
    """A kind of value. `guarantee` is the word for a p-value whose S it has settled."""

    @property
    def guarantee(self) -> str: ...

    @property
    def cost(self) -> Cost: ...


class Resolving(Domain, Protocol):
    """Tells where in a cell the event holds."""

    def resolve(
        self,
        task: Task,
        ends: tuple[float, float],
        budget_bytes: int,
        tally: Tally,
        known: Mapping[str, Any] | None = None,
    ) -> Seen:
        """Examine a part of the line; its tensors together stay within the budget while it can be split.
        Values of some tensors there may be known, by `carried`.
        """
        ...

    def carried(
        self, task: Task, ends: tuple[float, float], budget_bytes: int, tally: Tally
    ) -> Mapping[str, Any]:
        """The values of a task's margin on a part of the line, for other tasks that compute the same tensor;
        nothing where the part has to be split.
        """
        ...

    def piece(self, task: Task, reach: float, budget_bytes: int) -> Intervals:
        """Where the event holds on the one piece around the statistic; none reaches beyond `reach`."""
        ...


class Claiming(Domain, Protocol):
    """Proves something of whole cells."""

    def claim(
        self, task: Task, ends: Sequence[tuple[float, float]], budget_bytes: int, tally: Tally
    ) -> list[Claim]:
        """Look at cells in one batch."""
        ...


class Bracketing(Domain, Protocol):
    """Tells where in cells the event holds, does not hold, and is open, so that narrower cells tell more.

    `finer` is who can be asked where rounding is all that is left open, if there is anyone.
    """

    @property
    def finer(self) -> "Bracketing | None": ...

    def require_followed(self, program: Program) -> None:
        """Raise one `UnsupportedOp` with every node of which nothing can be proven."""
        ...

    def prepared(self, program: Program) -> tuple["Bracketing", Program]:
        """The domain and the program as the one follows the other best."""
        ...

    def bracket(self, task: Task, ends: Sequence[tuple[float, float]], tally: Tally) -> list[Bracket]:
        """Look at cells in one batch."""
        ...


class Pointing(Domain, Protocol):
    """Tells what margins are at single places; proves nothing beside them."""

    def margins(self, task: Task, places: Sequence[float], tally: Tally) -> Array:
        """The margins (places, *map)."""
        ...

    def changes(self, task: Task, places: tuple[float, float], tally: Tally) -> int:
        """How many units are on another piece at the second of two places."""
        ...


@dataclass(frozen=True, kw_only=True)
class Domains:
    """Who a search asks. Without a `claiming` domain every cell is resolved."""

    resolving: Resolving
    claiming: Claiming | None
    pointing: Pointing

    @property
    def guarantee(self) -> str:
        """What is found is worth what resolves the ends of S: claims only leave out cells without one."""
        return self.resolving.guarantee
