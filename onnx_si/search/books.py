"""The search of whoever resolves cells: one step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onnx_si.ground.intervals import Intervals
from onnx_si.rules.rules import Array
from onnx_si.search.found import RESOLVED
from onnx_si.search.frontier import Cell
from onnx_si.search.leader import OverLeader
from onnx_si.search.ledger import NOTHING, Ledger
from onnx_si.search.parts import Part, Parts, merged
from onnx_si.search.policy import Action, Policy
from onnx_si.search.screen import Left, Screen


@dataclass(kw_only=True)
class Run(Ledger):
    """A search that resolves cells, or leaves some out by what is claimed of them.

    `parts` leave out what is not in S; `covers` settle what is, where `leader` leads if there is one.
    """

    policy: Policy
    parts: Parts
    covers: Parts
    leader: OverLeader | None
    together: int
    screen: Screen
    covering: Screen
    led_between: tuple[tuple[float, float], Mapping[str, Any]] | None = None

    def step(self) -> bool:
        """Examine the most probable cells; False when nothing is left."""
        claim: list[Cell] = []
        probe: list[Cell] = []
        resolve: list[Cell] = []
        first: Cell | None = None
        least, splits = self._surely_matters(), 0
        while (
            splits < self.options.tuning.most_splits
            and max(len(claim), len(probe)) < self.policy.batch
            and len(resolve) < self.together
        ):
            cell = self.frontier.pop(self.policy.least_width())
            if cell is None:
                break
            first = first or cell
            if cell.priority > max(first.priority + self.options.tuning.comparable, least):
                self.frontier.push(cell)
                break
            match self.policy.decide(cell) if self.options.domains.claiming else Action.RESOLVE:
                case Action.PROBE:
                    probe.append(cell)
                case Action.CLAIM:
                    claim.append(cell)
                case Action.SPLIT if cell.low < cell.middle < cell.high:
                    self.frontier.split(cell)
                    self.fates["split"] += 1
                    splits += 1
                case Action.PARTS:
                    self._in_parts(cell)
                    break
                case Action.RESOLVE | Action.SPLIT:
                    resolve.append(cell)
        if resolve:
            self._resolve(resolve)
        if probe:
            self._probe(probe)
        if claim:
            self._claim(claim)
        return first is not None

    def _surely_matters(self) -> float:
        """Priority of a cell as probable as may be left of S at the most."""
        if not self.inside:
            return -math.inf
        known = self.frontier.distribution.log_mass(Intervals.of(np.concatenate(self.inside)))
        return -known - self.log_left

    def _resolve(self, batch: list[Cell]) -> None:
        """Settle cells with the whole network."""
        found = self.examiner.resolve_each(self.task, [(cell.low, cell.high) for cell in batch])
        for cell, seen in zip(batch, found, strict=True):
            self.inside.append(seen.inside)
            self.unclear.append(seen.unclear)
            self.blurred.append(seen.blurred)
            self.policy.learn_resolved(cell, seen.cost_in_knots, seen.reached)
            self.frontier.push_rest(cell, seen.reached)
            self.fates[RESOLVED] += 1

    def _probe(self, batch: list[Cell]) -> None:
        """Look at the middle of each cell; a pixel on the wrong side there cuts the cell down."""
        self.policy.learn_batch(len(batch))
        wrong = self.examiner.wrong(self.parts.task, [cell.middle for cell in batch])
        found = np.any(wrong.reshape(len(batch), -1), axis=1)
        for cell, success in zip(batch, found, strict=True):
            self.policy.probed.learn(cell.width, bool(success))
            if not success:
                self.frontier.push(cell, probed=True)
        chosen = [cell for cell, success in zip(batch, found, strict=True) if success]
        if chosen:
            self._sieve(chosen, wrong[found])

    def _sieve(self, batch: list[Cell], wrong: Array) -> None:
        """Keep of each cell what a part of the map allows that is wrong in its middle."""
        side = self.policy.side_of_part(max(cell.width for cell in batch))
        for part, chosen in self.parts.witnesses(batch, wrong, side):
            for cell in merged(chosen):
                for low, high in self._allowed(part, cell, cell.low, cell.high, self.parts, self.screen):
                    open_ = part.taken_from(cell.open) if self.policy.settles else cell.open
                    self.frontier.push(cell, low, high, open=open_, probed=False, undecided=None)
                self.fates["sieved"] += 1

    def _in_parts(self, cell: Cell) -> None:
        """Settle a cell on which only few pixels are open, one box after the other."""
        left = Intervals.of([(cell.low, cell.high)])
        for part in map(self.covers.of, self.policy.cheapest_cover(cell).boxes):
            known = [
                self._allowed(part, cell, low, high, self.covers, self.covering).bounds
                for low, high in left.bounds.tolist()
            ]
            left = Intervals.of(np.concatenate([NOTHING, *known]))
        self.inside.append(left.bounds)
        self.fates["in_parts"] += 1

    def _allowed(
        self, part: Part, cell: Cell, low: float, high: float, parts: Parts, screen: Screen
    ) -> Intervals:
        """Where a part's pixels are on their observed side; what is unclear is left to the whole network."""
        found, policy = list[Array](), self.policy
        inside, left = list[tuple[float, float]](), [Left(low, high)]
        if self.options.domains.claiming and policy.resolved.length:
            guessed = not policy.parts.length  # how many knots a part has
            if guessed and screen.is_worth(part, low, high):
                start = min(low + policy.tuning.first_knots / policy.part_density, high)
                found.append(self._followed(part, cell, low, start, screen))
                low = start
            inside, left = screen(part, low, high)
        found.append(np.array(inside).reshape(-1, 2))
        for stretch in left:
            smaller = parts.within(part, stretch.open)
            if smaller is not None:
                found.append(self._allowed(smaller, cell, stretch.low, stretch.high, parts, screen).bounds)
            elif stretch.low < stretch.high:
                found.append(self._followed(part, cell, stretch.low, stretch.high, screen))
        return Intervals.of(np.concatenate(found))

    def _followed(self, part: Part, cell: Cell, low: float, high: float, screen: Screen) -> Array:
        seen = self.examiner.resolve(part.task, low, high, self._shared(part, low, high))
        self.policy.parts.learn(seen.cost_in_knots, seen.reached - low)
        screen.learn(part, seen.cost_in_knots)
        if seen.reached < high:
            self.frontier.push(cell, seen.reached, high, open=self.frontier.everything, undecided=None)
        for start, end in seen.unclear:
            self.frontier.push(cell, start, end, open=self.frontier.everything, unclear=True)
        return seen.inside

    def _shared(self, part: Part, low: float, high: float) -> Mapping[str, Any]:
        """What the leader is between two places, which the parts of a cover all ask."""
        alone = None if self.leader is None else self.leader.alone
        if alone is None or part.task.whole is None:
            return {}
        if self.led_between is None or self.led_between[0] != (low, high):
            self.led_between = (low, high), self.examiner.carried(alone, low, high)
        return self.led_between[1]

    def _claim(self, batch: list[Cell]) -> None:
        """Discard or accept cells as a whole, or learn which pixels and units are open."""
        self.policy.learn_batch(len(batch))
        for cell, seen in zip(
            batch, self.examiner.claim(self.task, [(c.low, c.high) for c in batch]), strict=True
        ):
            led = cell.led or (self.leader is not None and self.leader.leads(seen.leaders))
            rest = replace(cell, undecided=seen.undecided, open=seen.open & cell.open, led=led)
            success = True
            if seen.outside:
                self.fates["discarded"] += 1
            elif self.task.event.local and not rest.open.any():
                self.inside.append(np.array([[cell.low, cell.high]]))
                self.fates["accepted"] += 1
            else:
                success = bool(self.policy.cheapest_cover(rest).boxes)
                self.frontier.push(rest)
                self.fates["undecided"] += 1
            self.policy.learn_claimed(cell, success)
