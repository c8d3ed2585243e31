"""How much rounding each tensor of a program carries, estimated by making many small errors on purpose."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from onnx_si.domains.walker import Tally, walk
from onnx_si.errors import Undefined
from onnx_si.program.program import Program
from onnx_si.rules.rules import Array, Gated, Rule, Step, Winner

SHARE = 2.0**-30  # relative error that is made in every number
SAFETY = 2.0**12  # times the error found: sums of many terms, fast products, values elsewhere on the line
ENOUGH = (
    2.0**6
)  # the same for the ends of S. Seen against 80 bits: up to 3 times, where 3 x 3 convolutions of
GROWTH = 8.0  # 128 channels and more are done fast, 10; in this many standard errors errors may double
EPS = float(np.finfo(np.float64).eps)
REACH = 1.0  # standard errors from the statistic to the point that is looked at, where no image is all zero


@dataclass(frozen=True)
class _Disturbed:
    """A tensor at points as it is, and with errors."""

    plain: Array
    disturbed: Array

    @property
    def points(self) -> int:
        return 2 * len(self.plain)

    @property
    def nbytes(self) -> int:
        return 2 * self.plain.nbytes

    def split(self, at: float) -> tuple["_Disturbed", "_Disturbed"]:
        """Never asked for: single points are not split."""
        raise AssertionError("points are not split")


@dataclass(frozen=True)
class Carried:
    """By tensor, how far a number of it may be from the true one near `at`; it grows by `scale` along the
    line.
    """

    errors: Mapping[str, float]
    at: float
    scale: float

    def near(self, names: tuple[str, ...], low: float, high: float, degree: int = 1) -> float:
        """A generous bound of what rounding does to differences of numbers of some tensors, of a degree."""
        return (1 + self._distance(low, high)) ** degree * sum(self.errors.get(name, 0.0) for name in names)

    def between(self, names: tuple[str, ...], low: float, high: float, degree: int = 1) -> float:
        """A bound of the same that leaves less room, for what is measured and not only asked about."""
        grown = (1 + self._distance(low, high) / GROWTH) ** degree
        return ENOUGH / SAFETY * grown * sum(self.errors.get(name, 0.0) for name in names)

    def _distance(self, low: float, high: float) -> float:
        return max(abs(low - self.at), abs(high - self.at)) / self.scale


def carried(program: Program, start: Array, direction: Array, at: float, error: float) -> Carried:
    """Walk through the program with a relative error of `SHARE` in every number, near the statistic.

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

    def noted(name: str, plain: Array, disturbed: Array) -> _Disturbed:
        with np.errstate(invalid="ignore"):
            apart = np.abs(disturbed - plain)
        largest = float(apart.max(initial=0.0, where=np.isfinite(apart)))
        errors[name] = SAFETY * EPS / SHARE * largest
        return _Disturbed(plain, disturbed)

    names = iter([step.output for step in program.instructions])

    def apply(rule: Rule, inputs: list[_Disturbed]) -> _Disturbed:
        name, plain = next(names), rule.evaluate(*(x.plain for x in inputs))
        if isinstance(rule, Step | Winner):
            return noted(name, plain, plain)
        gates = rule.gates if isinstance(rule, Gated) else ()
        made = rule.evaluate(*(x.plain if i in gates else x.disturbed for i, x in enumerate(inputs)))
        return noted(name, plain, shaken(made))

    scale = REACH * error
    first = (start + direction * (at + scale))[None]
    with np.errstate(invalid="ignore", over="ignore"), suppress(Undefined):  # the search will tell
        for _ in walk(program, apply, noted(program.input, first, shaken(first)), Tally()):
            pass
    return Carried(errors, at, scale)
