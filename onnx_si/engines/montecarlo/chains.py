"""Chains: what they draw is drawn first, so that one question answers for many of their steps.

A proposal does not depend on where a chain is. So those of several steps are known before anything is asked,
and whether they lie in S is asked of all at once; which of them are taken follows from the answers. Nothing
that is drawn or decided is another thing than if the chains had asked step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.engines.montecarlo.asker import Asker
from onnx_si.engines.montecarlo.laws import Law
from onnx_si.engines.montecarlo.local import Local, Lots
from onnx_si.engines.montecarlo.proposals import Proposals
from onnx_si.ground.seeds import Children

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class States:
    """Of several chains: where each is, how much likelier its place is under the law than as a proposal (in
    logarithms), and whether the grid knows its cell.
    """

    x: Array
    likelier: Array
    known: Flags

    def repeated(self, count: int) -> "States":
        """So many chains from the place of a single one."""
        return States(self.x.repeat(count), self.likelier.repeat(count), self.known.repeat(count))


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What the steps of several chains draw; rows are steps."""

    to: States
    log_u: Array
    lots: tuple[Lots, ...]

    def wanted(self, least: Array) -> Flags:
        """Proposals that may be taken, if no state that they meet is less likely than `least` at first and
        then one of the proposals before.
        """
        before = np.minimum.accumulate(np.concatenate([least[None], self.to.likelier[:-1]]), axis=0)
        return np.asarray(self.log_u < self.to.likelier - before)


@dataclass(frozen=True, kw_only=True)
class Chains:
    """A step to a proposal, then one within the stretch; backwards in the other order."""

    law: Law
    ask: Asker
    proposals: Proposals
    local: Local
    children: Children

    def at(self, x: Array) -> States:
        """States of chains at some places."""
        return States(x, self.law.log_density(x) - self.proposals.log_density(x), self.local.knows(x))

    def draws(self, count: int, steps: int, rng: np.random.Generator, *, backward: bool = False) -> Draws:
        """What so many steps of so many chains draw, in the order in which they would."""
        uniform, lots = np.empty((steps, 3, count)), list[Lots]()
        for step in range(steps):
            if backward:
                lots.append(Lots.of(count, rng, self.children))
            rng.random(out=uniform[step])
            if not backward:
                lots.append(Lots.of(count, rng, self.children))
        to = self.at(self.proposals.draw(uniform[:, 0], uniform[:, 1]))
        return Draws(to=to, log_u=np.log(uniform[:, 2]), lots=tuple(lots))

    def inside(self, start: States, rows: Sequence[Draws]) -> list[Array]:
        """Which proposals are in S (1) or not (0), for chains that go through these draws one after the
        other; not a number for those that were not asked about.
        """
        least, asked = start.likelier.min(keepdims=True), list[Flags]()
        for draws in rows:
            asked.append(draws.wanted(np.broadcast_to(least, draws.log_u[0].shape)))
            least = np.minimum(least, draws.to.likelier.min())
        places = [draws.to.x[wanted] for draws, wanted in zip(rows, asked, strict=True)]
        answers = np.split(self.ask.again(np.concatenate(places)), np.cumsum([len(x) for x in places])[:-1])
        found = [np.full(wanted.shape, np.nan) for wanted in asked]
        for values, wanted, answer in zip(found, asked, answers, strict=True):
            values[wanted] = answer
        return found

    def forward(self, states: States, draws: Draws, inside: Array) -> States:
        """Where chains from some states end."""
        for step, lots in enumerate(draws.lots):
            states = self._within(self._jumped(states, draws, inside, step), lots)
        return states

    def backward(self, states: States, draws: Draws, inside: Array) -> States:
        """Each part is reversible, so the reversal of a chain is its parts in the reverse order."""
        for step, lots in enumerate(draws.lots):
            states = self._jumped(self._within(states, lots), draws, inside, step)
        return states

    def _jumped(self, states: States, draws: Draws, inside: Array, step: int) -> States:
        """One step of each chain to its proposal (Metropolis-Hastings)."""
        to = draws.to
        taken = draws.log_u[step] < to.likelier[step] - states.likelier
        answers = inside[step]
        late = taken & np.isnan(answers)  # behind a local step to a less likely state
        if late.any():
            answers[late] = self.ask.again(to.x[step][late])
        taken &= answers > 0
        return States(
            np.where(taken, to.x[step], states.x),
            np.where(taken, to.likelier[step], states.likelier),
            np.where(taken, to.known[step], states.known),
        )

    def _within(self, states: States, lots: Lots) -> States:
        """One step of each chain within its stretch, where the grid does not know it."""
        if states.known.all():
            return states
        x = self.local.step(states.x, lots)
        return states if x is states.x or np.array_equal(x, states.x) else self.at(x)
