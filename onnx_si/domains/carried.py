"""How much rounding each tensor of a program carries along a line: proven by the weights, or estimated.

Proofs add up absolute values (`growth.py`), which in deep networks are far larger than their sums; there the
estimate counts, as behind jumps.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from onnx_si.domains.walker import Tally, walk
from onnx_si.errors import Undefined
from onnx_si.program.program import Program
from onnx_si.rules.rules import Array, Gated, Rule, Step, Winner

SHARE = 2.0**-30  # relative error that is made in every number
SAFETY = 2.0**12  # times the error found: sums of many terms, fast products, values elsewhere on the line
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Carried:
    """How far the numbers of each tensor of a network may be from the true ones, along a line of images.

    `at` is the statistic, `scale` a standard error: an estimate holds there, and is taken to grow by as much
    with every standard error from it.
    """

    program: Program
    start: Array
    direction: Array
    at: float
    scale: float

    def proven(self, names: tuple[str, ...], low: float, high: float) -> float:
        """A bound of the rounding in numbers of some tensors between two points; infinite where unknown."""
        size = self._sizes[0] + self._sizes[1] * max(abs(low), abs(high))
        return sum(self.program.growth.of(name, size) for name in names)

    def estimated(self, names: tuple[str, ...], low: float, high: float) -> float:
        """A generous guess of it, by many small errors made on purpose."""
        far = 1 + max(abs(low - self.at), abs(high - self.at)) / self.scale
        return far * sum(self.errors.get(name, 0.0) for name in names)

    @cached_property
    def names(self) -> frozenset[str]:
        """The tensors of the network."""
        return frozenset((self.program.input, *(step.output for step in self.program.instructions)))

    @cached_property
    def errors(self) -> Mapping[str, float]:
        """What is guessed, by tensor."""
        return disturbed(self.program, self.start + self.direction * (self.at + self.scale))

    @cached_property
    def _sizes(self) -> tuple[float, float]:
        start, direction = (float(np.abs(x).max(initial=0.0)) for x in (self.start, self.direction))
        return start, direction


@dataclass(frozen=True)
class _Disturbed:
    """A tensor at an image as it is and, in a second row, with errors."""

    values: Array

    @property
    def points(self) -> int:
        return len(self.values)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def split(self, at: float) -> tuple["_Disturbed", "_Disturbed"]:
        """Never asked for: single points are not split."""
        raise AssertionError("points are not split")


def disturbed(program: Program, image: Array) -> Mapping[str, float]:
    """Walk through the program with a relative error of `SHARE` in every number.

    Operands of a difference get errors of their own, so a difference of equal numbers carries what they
    carry, however small it is itself.
    """
    rng, errors = np.random.default_rng(0), dict[str, float]()

    def shaken(values: Array) -> Array:
        noise: Array = rng.random(values.shape, np.float32).astype(np.float64)
        noise -= 0.5
        noise *= 2 * SHARE
        noise += 1
        noise *= values
        return noise

    def noted(name: str, values: Array) -> _Disturbed:
        with np.errstate(invalid="ignore"):
            apart = np.abs(values[1] - values[0])
        largest = float(apart.max(initial=0.0, where=np.isfinite(apart)))
        errors[name] = SAFETY * EPS / SHARE * largest
        return _Disturbed(values)

    names = iter([step.output for step in program.instructions])

    def apply(rule: Rule, inputs: list[_Disturbed]) -> _Disturbed:
        name, steady = next(names), rule.gates if isinstance(rule, Gated) else ()
        xs = [x.values[[0, 0]] if i in steady else x.values for i, x in enumerate(inputs)]
        if isinstance(rule, Step | Winner):
            return noted(name, np.array(rule.evaluate(*(x.values[:1] for x in inputs)))[[0, 0]])
        made = np.array(rule.evaluate(*xs))
        made[1] = shaken(made[1])
        return noted(name, made)

    first = np.stack([image, shaken(image)])
    with np.errstate(invalid="ignore", over="ignore"), suppress(Undefined):  # the search will tell
        for _ in walk(program, apply, noted(program.input, first), Tally()):
            pass
    return errors
