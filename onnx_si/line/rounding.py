"""How far a deployed model of a lower precision may be off at a point of the line, to first order.

A tolerance, not a bound: jumps and choices are taken as the centre decides them, and what they do where
rounding decides is found out by rounding the image in several ways.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from onnx_si.line.program import Program
from onnx_si.line.walker import Tally, walk
from onnx_si.ops.rules import Affine, Array, Curved, Gated, Kinked, Maximum, Rule, Step, Winner


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


def rounded_at(program: Program, images: Array, unit: float) -> dict[str, Rounded]:
    """The outputs of a program for images (n, *shape) in a precision, with their errors.

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
    start = Rounded(images, unit * np.abs(images))
    with np.errstate(invalid="ignore", over="ignore"):
        (outputs,) = walk(program, _in_precision(unit), start, Tally())
    return outputs


def _in_precision(unit: float) -> Callable[[Rule, list[Rounded]], Rounded]:
    def apply(rule: Rule, xs: list[Rounded]) -> Rounded:
        values = rule.evaluate(*(x.values for x in xs))
        match rule:
            case Affine():
                errors = rule.spread(*(_grown(x, _growth(rule.terms, unit)) for x in xs))
                errors = errors if rule.offset is None else errors + unit * np.abs(rule.offset)
            case Step() | Winner():
                errors = np.zeros_like(values)
            case Maximum():
                errors = _largest(rule, xs)
            case Gated():
                errors = _of_gated(rule, xs, unit)
            case Kinked() | Curved():
                errors = _by_difference(rule, values, xs) + 4 * unit * np.abs(values)
        return Rounded(values, np.broadcast_to(errors, values.shape))

    return apply


def _growth(terms: int, unit: float) -> float:
    """Rounding of a sum of so many products, in shares of the sum of their sizes."""
    return unit * math.sqrt(terms + 4)


def _grown(x: Rounded, share: float) -> Array:
    return x.errors + share * np.abs(x.values)


def _largest(rule: Maximum, xs: list[Rounded]) -> Array:
    """The largest error of a candidate: whichever wins."""
    constant = np.asarray(rule.candidates(*(np.zeros_like(x.values) for x in xs)))
    errors = np.abs(np.asarray(rule.candidates(*(x.errors for x in xs))) - constant)
    return np.asarray(np.where(np.isfinite(errors), errors, 0.0).max(axis=0))


def _of_gated(rule: Gated, xs: list[Rounded], unit: float) -> Array:
    """What the errors of the others do behind the gates, and, in a product, the errors of the gates."""
    gates, share = set(rule.gates), _growth(rule.terms, unit)
    if rule.product is not None:
        sizes, absolute = [np.abs(x.values) for x in xs], [np.abs(weight) for weight in rule.weights]
        off = [x.errors if i in gates else _grown(x, share) for i, x in enumerate(xs)]
        parts = [rule.product(*sizes[:i], one, *sizes[i + 1 :], *absolute) for i, one in enumerate(off)]
        errors: Array = np.add.reduce(parts)
        return errors if rule.offset is None else errors + unit * np.abs(rule.offset)
    still = rule.evaluate(*(x.values if i in gates else np.zeros_like(x.values) for i, x in enumerate(xs)))
    grown = rule.evaluate(*(x.values if i in gates else _grown(x, share) for i, x in enumerate(xs)))
    return np.abs(grown - still)


def _by_difference(rule: Kinked | Curved, values: Array, xs: list[Rounded]) -> Array:
    above = rule.evaluate(*(x.values + x.errors for x in xs))
    below = rule.evaluate(*(x.values - x.errors for x in xs))
    return np.maximum(np.abs(above - values), np.abs(below - values))
