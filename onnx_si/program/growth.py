"""How much rounding tensors may carry anywhere on the line, proven from the network alone.

For every image of at most a size r, a tensor is at most a * r + b, and what the exact domain computes of it
is off by at most another such sum. Both are found by one walk, once for a network: sizes and errors spread by
the absolute weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from onnx_si.program.instruction import Instruction
from onnx_si.rules.rules import Affine, Array, Kinked, Maximum, Rule

EPS = float(np.finfo(np.float64).eps)  # twice the rounding of one operation
HANDLING = 64  # roundings of a tensor's size that its own knots, others and breakpoints cost
OUTWARDS = 1 + 2.0**-20  # what rounding does to these bounds themselves
LEAST = 1e-250  # covers underflow


@dataclass(frozen=True)
class _Grown:
    """Rows (a, b) of a tensor's size and of its error: arrays (2, *shape), for images of size r a * r + b.

    A size also bounds r times the slope of the tensor in the image: the rounding of a place on the line.
    """

    size: Array
    error: Array

    @property
    def largest(self) -> tuple[float, float]:
        """The rows' largest errors."""
        a, b = self.error.reshape(2, -1).max(axis=1, initial=0.0)
        return float(a), float(b)


@dataclass(frozen=True)
class Growth:
    """The bounds for the tensors of a network; none behind a jump, or a sum that is taken in a faster way."""

    input: str
    shape: tuple[int, ...]
    instructions: tuple[Instruction, ...]

    def of(self, name: str, size: float) -> float:
        """How far a tensor may be off, for images of at most a size; infinite where nothing is proven."""
        a, b = self._errors.get(name, (np.inf, np.inf))
        bound = (a * size + b) * OUTWARDS
        return bound if np.isfinite(bound) else np.inf

    @cached_property
    def _errors(self) -> Mapping[str, tuple[float, float]]:
        image = np.stack([np.ones(self.shape), np.zeros(self.shape)])
        live = {self.input: _Grown(image, 4 * EPS * image)}
        found = {self.input: live[self.input].largest}
        with np.errstate(invalid="ignore", over="ignore"):
            for step in self.instructions:
                if not all(name in live for name in step.inputs):
                    continue
                made = _through(step.rule, [live[name] for name in step.inputs], step.shape)
                if made is not None:
                    live[step.output] = made
                    found[step.output] = made.largest
                for name in step.dead:
                    live.pop(name, None)
        return found


def _through(rule: Rule, xs: list[_Grown], shape: tuple[int, ...]) -> _Grown | None:
    """The output's bounds; None where nothing is proven."""
    match rule:
        case Affine(fast=None):
            made = _affine(rule, xs, shape)
        case Kinked():
            made = _kinked(rule, xs[0])
        case Maximum():
            made = _maximum(rule, xs)
        case _:
            return None
    if not (np.isfinite(made.size).all() and np.isfinite(made.error).all()):
        return None
    return _Grown(made.size * OUTWARDS, made.error * OUTWARDS + LEAST)


def _affine(rule: Affine, xs: list[_Grown], shape: tuple[int, ...]) -> _Grown:
    """A sum of n products is off by at most n roundings of the sum of absolute products (Higham, "Accuracy
    and Stability of Numerical Algorithms", section 3.1), in whatever order it is taken.
    """
    own = EPS * (rule.terms + 4 + HANDLING)
    both = rule.spread(*(np.concatenate([x.size, x.error + own * x.size]) for x in xs))
    both = np.broadcast_to(both, (4, *shape))
    size, error = both[:2], both[2:]
    if rule.offset is not None:
        constant = np.zeros_like(size)
        constant[1] = np.abs(rule.offset)
        size, error = size + constant, error + 4 * EPS * constant
    return _Grown(size, error)


def _kinked(rule: Kinked, x: _Grown) -> _Grown:
    steepest, at_zero = steepness(rule, x.size.shape[1:])
    size = steepest * x.size
    size[1] += at_zero
    return _Grown(size, steepest * (x.error + HANDLING * EPS * x.size) + 8 * EPS * size)


def steepness(rule: Kinked, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The steepest slope of a rule for each element of a tensor, and its distance from zero at zero."""
    points = np.sort(np.stack([np.broadcast_to(point, shape) for point in rule.breakpoints]), axis=0)
    away = 1 + np.abs(points)
    places = np.concatenate([points[:1] - away[:1], points, points[-1:] + away[-1:]])
    values = np.stack([rule.evaluate(np.array(place)[None])[0] for place in places])
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.abs(np.diff(values, axis=0) / np.diff(places, axis=0))
    slopes = np.where(np.diff(places, axis=0) > 0, slopes, 0.0)
    at_zero = np.abs(rule.evaluate(np.zeros((1, *shape)))[0])
    return slopes.max(axis=0), at_zero


def _maximum(rule: Maximum, xs: list[_Grown]) -> _Grown:
    """Of one candidate, whichever: how they change hands is known up to some roundings of their size."""
    constant = _candidates(rule, [np.zeros_like(x.size[:1]) for x in xs])
    missing = ~np.isfinite(constant)
    moved = [
        np.where(missing, 0.0, np.abs(_candidates(rule, rows) - np.where(missing, 0.0, constant)))
        for rows in ([x.size for x in xs], [x.error for x in xs])
    ]
    size, error = (rows.max(axis=0) for rows in moved)
    size[1] += np.where(missing, 0.0, np.abs(constant)).max(axis=0)[0]
    return _Grown(size, error + HANDLING * EPS * size)


def _candidates(rule: Maximum, rows: list[Array]) -> Array:
    return np.asarray(rule.candidates(*rows))
