"""How far a deployed model of a lower precision may be off at a point of the line, to first order.

A tolerance, not a bound: jumps and choices are taken as the centre decides them, and those that rounding may
decide otherwise are marked.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.walker import Tally, walk
from onnx_si.program.program import Program
from onnx_si.rules.rules import (
    Affine,
    Array,
    Bilinear,
    Gated,
    Kinked,
    Maximum,
    Opaque,
    Quotient,
    Rule,
    Smooth,
    Step,
    Winner,
)


@dataclass(frozen=True)
class Rounded:
    """Values (n, *shape) at n points, and how far rounding may have moved each."""

    values: Array
    errors: Array

    @property
    def points(self) -> int:
        return 2 * len(self.values)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.errors.nbytes

    def split(self, at: float) -> tuple["Rounded", "Rounded"]:
        """Never asked for: single points are not split."""
        raise AssertionError("points are not split")


@dataclass
class RoundingDomain:
    """Applies rules to `Rounded` values; `open` marks points at which rounding may decide a jump or a choice.

    Numbers that are exactly equal there are equal by construction: they open nothing.
    """

    unit: float
    open: NDArray[np.bool_]

    def apply(self, rule: Rule, xs: list[Rounded]) -> Rounded:
        """The rule's output at every point, with its errors; by its parts where it has some."""
        if isinstance(rule, Opaque) and rule.parts is not None:
            made = list(xs)
            for stage in rule.parts.stages:
                made.append(self.apply(stage.rule, [made[i] for i in stage.inputs]))
            return made[-1]
        values = rule.evaluate(*(x.values for x in xs))
        match rule:
            case Affine():
                errors = rule.spread(*(self._grown(x, rule.terms) for x in xs))
                errors = errors if rule.offset is None else errors + self.unit * np.abs(rule.offset)
            case Step():
                self._steps(rule, xs)
                errors = np.zeros_like(values)
            case Winner():
                self._choice(rule, xs)
                errors = np.zeros_like(values)
            case Maximum():
                errors = _of_candidates(rule, xs).max(axis=0)
            case Gated():
                errors = self._gated(rule, xs)
            case Bilinear():
                errors = self._product(rule, xs)
            case Kinked() | Smooth() | Quotient() | Opaque():
                errors = _by_difference(rule, values, xs) + 4 * self.unit * np.abs(values)
        return Rounded(values, np.broadcast_to(errors, values.shape))

    def _grown(self, x: Rounded, terms: int) -> Array:
        """The errors with those of a sum of so many products to come."""
        return x.errors + self.unit * math.sqrt(terms + 4) * np.abs(x.values)

    def _product(self, rule: Bilinear, xs: list[Rounded]) -> Array:
        """What the errors of each factor do to the other one."""
        a, b = xs[0], xs[-1]
        grown = self._grown(a, rule.terms)
        errors = rule.spread(grown, np.abs(b.values) + b.errors) + rule.spread(np.abs(a.values), b.errors)
        return errors if rule.offset is None else errors + self.unit * np.abs(rule.offset)

    def _gated(self, rule: Gated, xs: list[Rounded]) -> Array:
        """What the errors of the others do behind the gates, and, in a product, the errors of the gates."""
        if rule.product is not None:
            sizes, absolute = [np.abs(x.values) for x in xs], [np.abs(weight) for weight in rule.weights]
            off = [x.errors if i in rule.gates else self._grown(x, rule.terms) for i, x in enumerate(xs)]
            parts = [rule.product(*sizes[:i], one, *sizes[i + 1 :], *absolute) for i, one in enumerate(off)]
            errors: Array = np.add.reduce(parts)
            return errors if rule.offset is None else errors + self.unit * np.abs(rule.offset)
        gates = [x.values if i in rule.gates else None for i, x in enumerate(xs)]
        zeros = (np.zeros_like(x.values) if gate is None else gate for x, gate in zip(xs, gates, strict=True))
        grown = (
            self._grown(x, rule.terms) if gate is None else gate for x, gate in zip(xs, gates, strict=True)
        )
        return np.abs(rule.evaluate(*grown) - rule.evaluate(*zeros))

    def _steps(self, rule: Step, xs: list[Rounded]) -> None:
        values = [x.values for x in xs]
        allowed = _moved(rule.switches, [self._grown(x, 1) for x in xs])
        for switch, error in zip(rule.switches(*values), allowed, strict=True):
            away = np.abs(switch)
            if rule.spacing is not None:
                spacing = rule.spacing(*values)
                with np.errstate(divide="ignore", invalid="ignore"):
                    away = np.abs(switch - np.round(switch / spacing) * spacing)
            self._mark((away > 0) & (away <= error))

    def _choice(self, rule: Winner, xs: list[Rounded]) -> None:
        candidates = rule.sign * np.asarray(rule.candidates(*(x.values for x in xs)))
        errors = _of_candidates(rule, [Rounded(x.values, self._grown(x, 1)) for x in xs])
        best = candidates.argmax(axis=0)[None]
        behind = np.take_along_axis(candidates, best, axis=0) - candidates
        self._mark(
            np.any((behind > 0) & (behind <= errors + np.take_along_axis(errors, best, axis=0)), axis=0)
        )

    def _mark(self, near: NDArray[np.bool_]) -> None:
        self.open |= near.reshape(len(self.open), -1).any(axis=1)


def rounded_at(program: Program, images: Array, unit: float) -> tuple[dict[str, Rounded], NDArray[np.bool_]]:
    """The outputs of a program for images (n, *shape) in a precision, with their errors; and for which of the
    images rounding may decide a jump.

    An error starts as the rounding of the image, spreads by the absolute weights of every op, and grows with
    the size of the terms that the op adds up and the root of their number, by which roundings of changing
    signs grow.

    Parameters
    ----------
    program : Program
    images : array
    unit : float
        Machine epsilon of the precision.

    Source
    ------
    Higham, "Accuracy and Stability of Numerical Algorithms", section 3.3 (running error analysis); Higham and
    Mary, SIAM Journal on Scientific Computing 41 (2019), A2815 (the root of the number of terms).
    """
    domain = RoundingDomain(unit, np.zeros(len(images), np.bool_))
    start = Rounded(images, unit * np.abs(images))
    with np.errstate(invalid="ignore", over="ignore"):
        (outputs,) = walk(program, domain.apply, start, Tally())
    return outputs, domain.open


def _of_candidates(rule: Maximum | Winner, xs: list[Rounded]) -> Array:
    """The error of each candidate."""
    constant = np.asarray(rule.candidates(*(np.zeros_like(x.values) for x in xs)))
    errors = np.abs(np.asarray(rule.candidates(*(x.errors for x in xs))) - constant)
    return np.where(np.isfinite(errors), errors, 0.0)


def _moved(function: Callable[..., tuple[Array, ...]], errors: Sequence[Array]) -> list[Array]:
    """What errors of the inputs do to affine functions, one input at a time."""
    nothing = [np.zeros_like(error) for error in errors]
    still = function(*nothing)
    total = [np.zeros_like(value) for value in still]
    for i, error in enumerate(errors):
        alone = function(*nothing[:i], error, *nothing[i + 1 :])
        total = [sum_ + np.abs(a - b) for sum_, a, b in zip(total, alone, still, strict=True)]
    return total


def _by_difference(rule: Kinked | Smooth | Quotient | Opaque, values: Array, xs: list[Rounded]) -> Array:
    above = rule.evaluate(*(x.values + x.errors for x in xs))
    below = rule.evaluate(*(x.values - x.errors for x in xs))
    return np.maximum(np.abs(above - values), np.abs(below - values))
