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
from onnx_si.rules.rules import Affine, Array, Gated, Kinked, Maximum, Rule, Step, Winner

SHARE = 2.0**-30  # relative error that is made in every number
SAFETY = 2.0**12  # times the error found: sums of many terms, fast products, values elsewhere on the line
ENOUGH = (
    2.0**6
)  # the same for the ends of S. Seen against 80 bits: up to 3 times, where 3 x 3 convolutions of
GROWTH = 8.0  # 128 channels and more are done fast, 10; in this many standard errors errors may double
EPS = float(np.finfo(np.float64).eps)
ROOM = 64 << 20  # bytes of tensors of all images that are looked at
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
        near = sum(float(self._near[name][0]) if name in self._near else math.inf for name in names)
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
    def _near(self) -> Mapping[str, Array]:
        """What is guessed at the nearest image first; of a large network, at that one only."""
        return self._nearest[1] if self._is_large else self._seen

    @cached_property
    def _seen(self) -> Mapping[str, Array]:
        """What is guessed at each image, the nearest first; nothing where none of them is defined."""
        if self._is_large:
            return self._one_by_one()
        for some in (self._images, *self._images[:, None]):
            with suppress(Undefined):
                return disturbed(self.program, some)
        return {}

    @cached_property
    def _images(self) -> Array:
        return np.stack([self.start + self.direction * (self.at + n * self.scale) for n in LOOKS])

    @cached_property
    def _is_large(self) -> bool:
        """Whether tensors of several images are not held at the same time."""
        return 16 * len(LOOKS) * max(self.program.held, default=0) > ROOM

    @cached_property
    def _nearest(self) -> tuple[int, Mapping[str, Array]]:
        """The number of the nearest image that is defined, and what is guessed there."""
        for number, image in enumerate(self._images[:, None]):
            with suppress(Undefined):
                return number, disturbed(self.program, image)
        return len(LOOKS), {}

    def _one_by_one(self) -> Mapping[str, Array]:
        """What is guessed at each image of a large network."""
        number, nearest = self._nearest
        found = [nearest]
        for image in self._images[number + 1 :, None]:
            with suppress(Undefined):
                found.append(disturbed(self.program, image))
        return {name: np.concatenate([seen[name] for seen in found]) for name in nearest}

    @cached_property
    def _sizes(self) -> tuple[float, float]:
        start, direction = (float(np.abs(x).max(initial=0.0)) for x in (self.start, self.direction))
        return start, direction


def disturbed(program: Program, images: Array) -> Mapping[str, Array]:
    """Errors (n,) by tensor, from a walk with a relative error of `SHARE` in every number of n images.

    Operands of a difference get errors of their own, so a difference of equal numbers carries what they
    carry, however small it is itself. Of a tensor that is zero for an image, as behind units that are off,
    what it is made of tells. Behind a jump no unit is off for good: there each gets the errors that it would
    have if it were on, for elsewhere on the line it may be, and what it was made of may be far larger.

    Raises
    ------
    Undefined
        If an op is not defined for one of the images.
    """
    rng, errors, count = np.random.default_rng(0), dict[str, Array](), len(images)
    behind_jumps = set[str]()

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

    def opened(made: Array, rule: Rule, xs: list[Array], gates: list[Array]) -> Array:
        errors_of = [np.abs(x[count:] - x[:count]) for x in xs]
        if isinstance(rule, Kinked):
            reach = errors_of[0]
        else:
            most = [e.max(axis=tuple(range(1, e.ndim)), initial=0.0, where=np.isfinite(e)) for e in errors_of]
            factor = max((float(np.abs(gate).max(initial=1.0)) for gate in gates), default=1.0)
            reach = (factor * np.max(most, axis=0)).reshape(-1, *(1,) * (made.ndim - 1))
        noise = reach * rng.uniform(-1.0, 1.0, made[:count].shape)
        less = np.abs(made[count:] - made[:count]) < np.abs(noise)
        return np.where(less & np.isfinite(made[:count]), made[:count] + noise, made[count:])

    steps = iter(program.instructions)

    def apply(rule: Rule, inputs: list[Points]) -> Points:
        step, steady = next(steps), rule.gates if isinstance(rule, Gated) else ()
        jumps = isinstance(rule, Step | Winner)
        if jumps or not behind_jumps.isdisjoint(step.inputs):
            behind_jumps.add(step.output)
        if jumps:
            plain = rule.evaluate(*(x.values[:count] for x in inputs))
            return noted(step.output, np.concatenate([plain, plain]))
        xs = [
            np.concatenate([x.values[:count]] * 2) if i in steady else x.values for i, x in enumerate(inputs)
        ]
        made = np.array(rule.evaluate_fast(*xs) if isinstance(rule, Affine) else rule.evaluate(*xs))
        made[count:] = shaken(made[count:])
        data = [x for i, x in enumerate(xs) if i not in steady]
        if data and isinstance(rule, Gated | Kinked | Maximum) and step.output in behind_jumps:
            made[count:] = opened(made, rule, data, [xs[i] for i in steady])
        return noted(step.output, made, tuple(name for i, name in enumerate(step.inputs) if i not in steady))

    with np.errstate(invalid="ignore", over="ignore"):
        first = noted(program.input, np.concatenate([images, shaken(images)]))
        for _ in walk(program, apply, first, Tally()):
            pass
    return errors
