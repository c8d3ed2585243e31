"""How much rounding each tensor of a program carries along a line: proven by the weights, or estimated.

Proofs add up absolute values (`growth.py`), which in deep networks are far larger than their sums; there the
estimate counts, as behind jumps.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from onnx_si.domains.points.value import Points
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
LOOKS = (1.0, -2.5, 4.0)  # standard errors from the statistic to the images that are looked at


@dataclass(frozen=True, kw_only=True)
class Carried:
    """How far the numbers of each tensor of a network may be from the true ones, along a line of images.

    `at` is the statistic, `scale` a standard error: an estimate is made near it, and taken to grow by as much
    with every standard error from it, to the power `degree` for polynomials.
    """

    program: Program
    start: Array
    direction: Array
    at: float
    scale: float
    degree: int = 1

    def proven(self, names: tuple[str, ...], low: float, high: float) -> float:
        """A bound of the rounding in numbers of some tensors between two points; infinite where unknown."""
        size = self._sizes[0] + self._sizes[1] * max(abs(low), abs(high))
        return sum(self.program.growth.of(name, size) for name in names)

    def estimated(self, names: tuple[str, ...], low: float, high: float) -> float:
        """A generous guess of it, by many small errors made on purpose."""
        return (1 + self._distance(low, high)) ** self.degree * self._sum(names)

    def between(self, names: tuple[str, ...], low: float, high: float) -> float:
        """An estimate of the same that leaves less room, for what is measured and not only asked about."""
        near = sum(float(self._seen[name][0]) if name in self._seen else math.inf for name in names)
        return ENOUGH / SAFETY * (1 + self._distance(low, high) / GROWTH) ** self.degree * near

    def _distance(self, low: float, high: float) -> float:
        return max(abs(low - self.at), abs(high - self.at)) / self.scale

    def _sum(self, names: tuple[str, ...]) -> float:
        return sum(self.errors.get(name, math.inf) for name in names)

    @cached_property
    def names(self) -> frozenset[str]:
        """The tensors of the network."""
        return frozenset((self.program.input, *(step.output for step in self.program.instructions)))

    @cached_property
    def errors(self) -> Mapping[str, float]:
        """What is guessed, by tensor: the largest at any image that was looked at."""
        return {name: float(found.max()) for name, found in self._seen.items()}

    @cached_property
    def _seen(self) -> Mapping[str, Array]:
        """What is guessed at each image, the nearest first; nothing where none of them is defined."""
        images = np.stack([self.start + self.direction * (self.at + n * self.scale) for n in LOOKS])
        for some in (images, *images[:, None]):
            with suppress(Undefined):
                return disturbed(self.program, some)
        return {}

    @cached_property
    def _sizes(self) -> tuple[float, float]:
        start, direction = (float(np.abs(x).max(initial=0.0)) for x in (self.start, self.direction))
        return start, direction


def disturbed(program: Program, images: Array) -> Mapping[str, Array]:
    """Errors (n,) by tensor, from a walk with a relative error of `SHARE` in every number of n images.

    Operands of a difference get errors of their own, so a difference of equal numbers carries what they
    carry, however small it is itself. Of a tensor that is zero for an image, as behind units that are off,
    what it is made of tells.

    Raises
    ------
    Undefined
        If an op is not defined for one of the images.
    """
    rng, errors, count = np.random.default_rng(0), dict[str, Array](), len(images)

    def shaken(values: Array) -> Array:
        noise: Array = rng.random(values.shape, np.float32).astype(np.float64)
        noise -= 0.5
        noise *= 2 * SHARE
        noise += 1
        noise *= values
        return noise

    def noted(name: str, values: Array, sources: tuple[str, ...] = ()) -> Points:
        apart = np.abs(values[count:] - values[:count]).reshape(count, -1)
        largest = SAFETY * EPS / SHARE * apart.max(axis=1, initial=0.0, where=np.isfinite(apart))
        if sources and not largest.all():
            behind = np.max([errors[source] for source in sources], axis=0)
            largest = np.where(largest > 0, largest, behind)
        errors[name] = largest
        return Points(values)

    steps = iter(program.instructions)

    def apply(rule: Rule, inputs: list[Points]) -> Points:
        step, steady = next(steps), rule.gates if isinstance(rule, Gated) else ()
        if isinstance(rule, Step | Winner):
            plain = rule.evaluate(*(x.values[:count] for x in inputs))
            return noted(step.output, np.concatenate([plain, plain]))
        xs = [
            np.concatenate([x.values[:count]] * 2) if i in steady else x.values for i, x in enumerate(inputs)
        ]
        made = np.array(rule.evaluate(*xs))
        made[count:] = shaken(made[count:])
        return noted(step.output, made, tuple(name for i, name in enumerate(step.inputs) if i not in steady))

    with np.errstate(invalid="ignore", over="ignore"):
        first = noted(program.input, np.concatenate([images, shaken(images)]))
        for _ in walk(program, apply, first, Tally()):
            pass
    return errors
