"""The ways to look at the line: resolved, claimed, at single points; by the whole network or a part of it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from onnx_si.domains.domain import Claim, Domains, Seen
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally
from onnx_si.ground.budget import LEAST
from onnx_si.ground.deadline import Deadline, TimeUp
from onnx_si.ground.machine import cores
from onnx_si.rules.rules import Array


@dataclass(kw_only=True)
class Examiner:
    """Examines parts of the line and counts what that costs.

    After the deadline an examination that resolves cells ends where it is, and any other raises TimeUp.
    """

    domains: Domains
    budget_bytes: int
    deadline: Deadline = field(default_factory=Deadline)
    tally: Tally = field(init=False)
    pieces: int = 0

    def __post_init__(self) -> None:
        self.tally = self._new_tally()

    def _new_tally(self) -> Tally:
        return Tally(pulse=self.deadline.check) if self.deadline.limits else Tally()

    def count(self, other: "Examiner") -> None:
        """Take over what another one has counted."""
        self.tally.operations += other.tally.operations
        self.tally.peak_bytes = max(self.tally.peak_bytes, other.tally.peak_bytes)
        other.tally.operations = 0

    def resolve(self, task: Task, low: float, high: float, known: Mapping[str, Any] | None = None) -> Seen:
        """Where the event holds between two points of the line; some tensors may be known there."""
        (seen,) = self.resolve_each(task, [(low, high)], known)
        return seen

    def carried(self, task: Task, low: float, high: float) -> Mapping[str, Any]:
        """The values of a task's margin between two points of the line, for others that compute the same."""
        try:
            return self.domains.resolving.carried(task, (low, high), self.budget_bytes, self.tally)
        except (MemoryError, TimeUp):
            return {}

    def resolve_each(
        self,
        task: Task,
        parts: Sequence[tuple[float, float]],
        known: Mapping[str, Any] | None = None,
    ) -> list[Seen]:
        """The same for several parts of the line, at the same time where there are cores for it; in smaller
        pieces where memory runs out."""
        while True:
            try:
                return self._resolved(task, parts, known)
            except MemoryError:
                if self.budget_bytes <= LEAST:
                    raise
            self.budget_bytes //= 2  # here, where what was made is free again

    def _resolved(
        self, task: Task, parts: Sequence[tuple[float, float]], known: Mapping[str, Any] | None
    ) -> list[Seen]:
        tallies = [self._new_tally() for _ in parts]
        judged = task.judge.tally.operations

        at_once = min(len(parts), cores())

        def one(ends: tuple[float, float], tally: Tally) -> Seen:
            return self.domains.resolving.resolve(task, ends, self.budget_bytes // at_once, tally, known)

        if len(parts) == 1:
            found = [one(parts[0], tallies[0])]
        else:
            with ThreadPoolExecutor(at_once) as pool:
                found = list(pool.map(one, parts, tallies))
        self.tally.operations += sum(tally.operations for tally in tallies)
        self.tally.operations += task.judge.tally.operations - judged
        together = sum(sorted(tally.peak_bytes for tally in tallies)[-cores() :])
        self.tally.peak_bytes = max(self.tally.peak_bytes, together)
        self.pieces += sum(seen.knots + 1 for seen in found)
        if task.jumps:
            found = [self._with_work(task, *one) for one in zip(found, tallies, strict=True)]
        return found

    def _with_work(self, task: Task, seen: Seen, tally: Tally) -> Seen:
        """With the knots that its work was for."""
        cost, passes = self.domains.resolving.cost, tally.operations / max(1, task.program.cost)
        per_knot = cost.per_knot or 1.0
        return replace(seen, paid=max(seen.knots, round((passes - cost.passes) / per_knot)))

    def claim(self, task: Task, ends: Sequence[tuple[float, float]]) -> list[Claim]:
        """What is proven of cells; of half of them at a time where memory runs out."""
        assert self.domains.claiming is not None, "nobody claims anything"
        try:
            return self.domains.claiming.claim(task, ends, self.budget_bytes, self.tally)
        except MemoryError:
            if len(ends) == 1:
                raise
        half = len(ends) // 2
        return [*self.claim(task, ends[:half]), *self.claim(task, ends[half:])]

    def changes(self, task: Task, low: float, high: float) -> int:
        """How many units are on another piece at the second of two places."""
        return self.domains.pointing.changes(task, (low, high), self.tally)

    def wrong(self, task: Task, places: Sequence[float]) -> Array:
        """How far pixels are on the wrong side at single points: (points, *map)."""
        if task.distance is not None:  # tells how far; it is asked for a guess only
            task = replace(task, program=task.distance.program, margin=task.distance.margin)
        return task.event.wrong(self.domains.pointing.margins(task, places, self.tally))
