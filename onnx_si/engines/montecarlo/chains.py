"""Chains: what they draw is drawn first, so that one question answers for many of their steps.

A proposal does not depend on where a chain is. So those of several steps are known before anything is asked,
and whether they lie in S is asked of all at once; which of them are taken follows from the answers. Nothing
that is drawn or decided is another thing than if the chains had asked step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

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

    def of_chains(self, first: int, last: int) -> "States":
        """Those of some of several chains, where rows are steps."""
        return States(self.x[:, first:last], self.likelier[:, first:last], self.known[:, first:last])


@dataclass(frozen=True, kw_only=True)
class Rolls:
    """What the steps of several chains draw, before anything is made of it.

    `uniform` numbers are by step, by what they are for, by chain.
    """

    uniform: Array
    lots: tuple[Lots, ...]
    backward: bool = False


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The steps of several chains, before it is known which are taken; rows are steps.

    `inside` tells of each proposal whether it is in S (1) or not (0), and is not a number where that was not
    asked: it can't be taken from where the chain was expected.
    """

    to: States
    log_u: Array
    inside: Array
    lots: tuple[Lots, ...]


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

    def rolls(self, count: int, steps: int, rng: np.random.Generator, *, backward: bool = False) -> Rolls:
        """What so many steps of so many chains draw, in the order in which they would."""
        uniform, lots = np.empty((steps, 3, count)), list[Lots]()
        for step in range(steps):
            if backward:
                lots.append(Lots.of(count, rng, self.children))
            rng.random(out=uniform[step])
            if not backward:
                lots.append(Lots.of(count, rng, self.children))
        return Rolls(uniform=uniform, lots=tuple(lots), backward=backward)

    def draws(self, start: States, rows: Sequence[Rolls]) -> list[Draws]:
        """The steps of chains from some states through each of several rows, where the first is a way back
        behind it: which of their proposals are in S is asked about at once.
        """
        uniform = np.concatenate([row.uniform for row in rows], axis=2)
        to, log_u = self.at(self.proposals.draw(uniform[:, 0], uniform[:, 1])), np.log(uniform[:, 2])
        ends = list(accumulate((row.uniform.shape[2] for row in rows), initial=0))
        least = np.full(ends[-1], start.likelier.min())
        if rows[0].backward:
            least[ends[1] :] = min(least[0], to.likelier[:, : ends[1]].min())
        wanted = log_u < to.likelier - _least_before(to.likelier, least)
        inside = np.full(wanted.shape, np.nan)
        inside[wanted] = self.ask.again(to.x[wanted])
        return [
            Draws(
                to=to.of_chains(first, last),
                log_u=log_u[:, first:last],
                inside=inside[:, first:last],
                lots=row.lots,
            )
            for row, (first, last) in zip(rows, pairwise(ends), strict=True)
        ]

    def forward(self, states: States, draws: Draws) -> States:
        """Where chains from some states end."""
        for step, lots in enumerate(draws.lots):
            states = self._within(self._jumped(states, draws, step), lots)
        return states

    def backward(self, states: States, draws: Draws) -> States:
        """Each part is reversible, so the reversal of a chain is its parts in the reverse order."""
        for step, lots in enumerate(draws.lots):
            states = self._jumped(self._within(states, lots), draws, step)
        return states

    def _jumped(self, states: States, draws: Draws, step: int) -> States:
        """One step of each chain to its proposal (Metropolis-Hastings)."""
        to = draws.to
        taken = draws.log_u[step] < to.likelier[step] - states.likelier
        answers = draws.inside[step]
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


def _least_before(likelier: Array, least: Array) -> Array:
    """How unlikely a state that each proposal meets may be: as `least`, then as a proposal before it."""
    before = np.empty_like(likelier)
    before[0], before[1:] = least, likelier[:-1]
    return np.minimum.accumulate(before, axis=0, out=before)
