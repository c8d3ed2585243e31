"""A margin that says which class wins, as the distance between scores: its sign is the same where it has one.

Where the number of the winning class decides on which side of zero a margin is, the largest score of the
classes that put it above, less the largest of all others, is above zero only where one of the first wins, and
below only where another does. It is continuous, and tells how far from its end a claim is. At zero, where
scores are equal, it says nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from onnx_si.kernels.pointwise import WeightedSum
from onnx_si.program.instruction import Instruction, cost_of, needed, with_deaths
from onnx_si.program.program import Program
from onnx_si.rules.reversible import moves
from onnx_si.rules.rules import FEW_CANDIDATES, Affine, Array, Candidates, Maximum, Rule, Step, Winner


@dataclass(frozen=True, eq=False)
class Some:
    """Some of a decision's candidates."""

    of: Callable[..., Candidates]
    chosen: tuple[int, ...]

    def __call__(self, *xs: Array) -> Candidates:
        found = self.of(*xs)
        return [found[i] for i in self.chosen]


@dataclass(frozen=True)
class Continuous:
    """The program of such a distance, and its name there."""

    program: Program
    margin: str


def continuous(program: Program, margin: str) -> Continuous | None:
    """The distance between scores for a margin that a choice of classes decides; None where none does."""
    made = {step.output: step for step in program.instructions}
    chain = list(_chain(made, margin))
    if len(chain) < 2 or not isinstance(chain[-1].rule, Winner):
        return None
    *behind, winner = chain
    rule = winner.rule
    assert isinstance(rule, Winner)
    shapes = [program.shapes[name] for name in winner.inputs]
    count = len(rule.candidates(*(np.zeros((1, *shape)) for shape in shapes)))
    if count > FEW_CANDIDATES:
        return None
    above = _above(behind, winner.shape, count)
    if above is None:
        return None
    sides = above, tuple(i for i in range(count) if i not in above)
    steps = [*_distance(winner, rule, sides, f"{margin}@apart")]
    for step in reversed(behind):
        if isinstance(step.rule, Affine) and moves(step.rule):
            name = f"{step.output}@distance"
            steps.append(replace(step, inputs=(steps[-1].output,), output=name, limits=None))
    return _with(program, steps)


def _chain(made: dict[str, Instruction], name: str) -> Iterator[Instruction]:
    """The instructions from a margin back to a choice: single numbers all the way, once through a step."""
    stepped = False
    while name in made:
        step = made[name]
        yield step
        if isinstance(step.rule, Winner) or len(step.inputs) != 1:
            return
        if isinstance(step.rule, Step) and not stepped:
            stepped = True
        elif not (isinstance(step.rule, Affine) and (moves(step.rule) or _in_place(step, made))):
            return
        (name,) = step.inputs


def _in_place(step: Instruction, made: dict[str, Instruction]) -> bool:
    """Whether each element is one of the input, in its place, with a constant."""
    assert isinstance(step.rule, Affine)
    same = step.inputs[0] in made and made[step.inputs[0]].shape == step.shape
    return same and isinstance(step.rule.linear, WeightedSum)


def _above(behind: Sequence[Instruction], shape: tuple[int, ...], count: int) -> tuple[int, ...] | None:
    """The classes that put every margin above zero, if all others put none there."""
    numbers = np.arange(count, dtype=np.float64).reshape(-1, *(1,) * len(shape))
    values = np.broadcast_to(numbers, (count, *shape))
    for step in reversed(behind):
        values = step.rule.evaluate(values)
    side = (values > 0).reshape(count, -1)
    if not (side == side[:, :1]).all() or side[:, 0].all() or not side[:, 0].any():
        return None
    return tuple(np.flatnonzero(side[:, 0]).tolist())


def _distance(
    winner: Instruction, rule: Winner, sides: tuple[tuple[int, ...], ...], name: str
) -> Iterator[Instruction]:
    """The best of each side, and how far apart they are."""
    names = [f"{name}{i}" for i in range(len(sides))]
    for side, output in zip(sides, names, strict=True):
        yield _like(winner, Maximum(Some(rule.candidates, side), rule.sign), winner.inputs, output)
    weights = (np.asarray(float(rule.sign)), np.asarray(-float(rule.sign)))
    apart = Affine(linear=WeightedSum(winner.shape), weights=weights, terms=2)
    yield _like(winner, apart, tuple(names), name)


def _like(step: Instruction, rule: Rule, inputs: tuple[str, ...], output: str) -> Instruction:
    return replace(step, rule=rule, inputs=inputs, output=output, cost=cost_of(rule, step.shape), limits=None)


def _with(program: Program, steps: Sequence[Instruction]) -> Continuous:
    """What the last of some more instructions needs."""
    every, name = [*program.instructions, *steps], steps[-1].output
    used = needed({step.output: step.inputs for step in every}, (name,))
    kept = with_deaths([step for step in every if step.output in used], (name,))
    return Continuous(replace(program, instructions=kept, outputs=(name,)), name)
