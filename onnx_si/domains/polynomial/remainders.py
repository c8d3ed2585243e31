"""Rules on polynomials with remainders, for a batch of cells."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.enclosure.certified import EnclosureDomain
from onnx_si.domains.enclosure.value import Enclosure, wide
from onnx_si.domains.polynomial.bent import kinked, maximum
from onnx_si.domains.polynomial.gains import Gains
from onnx_si.domains.polynomial.interpolated import curved
from onnx_si.domains.polynomial.value import Polynomial, bounded, constant, without_remainder
from onnx_si.domains.polynomial.weighted import affine, bilinear, gated
from onnx_si.kernels.balls import UNIT, UP
from onnx_si.kernels.long import narrowed
from onnx_si.program.ranges import Limits, beyond
from onnx_si.rules.rules import (
    Affine,
    Bilinear,
    Composition,
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


@dataclass
class PolynomialDomain:
    """Applies rules to the values of one batch of cells.

    `lost` marks cells of which nothing is known: a gate is undecided there, or a number is none.
    """

    size: int
    gains: Gains = field(default_factory=Gains)
    lost: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.lost = np.zeros(self.size, dtype=bool)

    def apply(self, rule: Rule, inputs: list[Polynomial]) -> Polynomial:
        """The rule's output on every cell; a cell on which it is no number is lost."""
        with np.errstate(all="ignore"):
            found = self._apply(rule, inputs)
            self._lose(~np.isfinite(found.radius + found.largest))
            return found

    def watch(self, x: Polynomial, limits: Limits) -> None:
        """A cell on which whole numbers may leave their type's range is lost."""
        self.lost |= beyond(*x.bounds, limits)

    def _lose(self, where: NDArray[np.bool_]) -> None:
        self.lost |= where.reshape(self.size, -1).any(axis=1)

    def _apply(self, rule: Rule, xs: list[Polynomial]) -> Polynomial:
        match rule:
            case Affine():
                return affine(rule, xs, self.gains)
            case Kinked():
                return kinked(rule, xs[0])
            case Maximum():
                return maximum(rule, xs, self.gains)
            case Step() | Winner():
                return self._decided(rule, xs)
            case Gated():
                return gated(rule, xs) if rule.product is not None else self._selected(rule, xs)
            case Bilinear():
                return bilinear(rule, xs)
            case Smooth():
                return curved(rule, xs[0])
            case Quotient():
                return self._composed(self.gains.parts_of(rule, xs[-1].radius.shape[1:]), xs)
            case Opaque():
                return self._opaque(rule, xs)

    def _decided(self, rule: Step | Winner, xs: Sequence[Polynomial]) -> Polynomial:
        """As the enclosing domain decides it, which sees a line and a radius."""
        values = EnclosureDomain(self.size)
        found = values.apply(rule, [as_line(x) for x in xs])
        self.lost |= values.lost
        return constant(xs[0].basis, found.centre)

    def _selected(self, rule: Gated, xs: Sequence[Polynomial]) -> Polynomial:
        """By gates that are certain on the whole cell."""
        gates = set(rule.gates)
        for gate in gates:
            self._lose((xs[gate].radius > 0) | (xs[gate].spread > 0))
        first = [x.stack[0] for x in xs]
        zero = [at if i in gates else np.zeros_like(at) for i, at in enumerate(first)]
        base = rule.evaluate(*map(narrowed, zero))
        unit = xs[0].basis.unit
        gamma = unit * (rule.terms + 4)
        grown = [
            narrowed(at) if i in gates else x.radius * UP + gamma * x.basis.lebesgue * x.largest
            for i, (at, x) in enumerate(zip(first, xs, strict=True))
        ]
        radius = np.abs(rule.evaluate(*grown) - base) * UP + 8 * UNIT * np.abs(base)
        return bounded(xs[0].basis, rule.evaluate(*(x.values for x in xs)), radius)

    def _opaque(self, rule: Opaque, xs: Sequence[Polynomial]) -> Polynomial:
        """By its parts; of one that has none nothing is known."""
        if rule.parts is None:
            self.lost[:] = True
            return constant(xs[0].basis, rule.evaluate(*(x.stack[0] for x in xs)))
        if rule.steepness is None:
            return self._composed(rule.parts, xs)
        (x,) = xs
        low, high = x.bounds
        least = np.maximum(np.maximum(low, -high), 0.0)
        alone = self._composed(rule.parts, [without_remainder(x)])
        norm = rule.steepness(least) * x.norm * UP
        radius = (alone.radius + wide(norm, alone.radius)) * UP
        apart = self._composed(rule.parts, xs)  # by elements: what is off in one place is not off everywhere
        if np.array_equal(apart.values, alone.values):
            radius = np.fmin(radius, apart.radius)
        return bounded(x.basis, alone.values, radius, (alone.norm + norm) * UP)

    def _composed(self, parts: Composition, xs: Sequence[Polynomial]) -> Polynomial:
        made = list(xs)
        for stage in parts.stages:
            made.append(self._apply(stage.rule, [made[i] for i in stage.inputs]))
        return made[-1]


def as_line(x: Polynomial) -> Enclosure:
    """The same as a line and a radius, on |t| <= 1."""
    low, high = x.bounds
    fixed = low == high
    slope = np.where(fixed, 0.0, x.coefficients[1])
    centre = np.where(fixed, narrowed(x.stack[0]), x.coefficients[0])
    radius = (x.bends[1:].sum(axis=0) + x.radius) * UP + 4 * UNIT * (x.largest + x.basis.count * x.largest)
    return Enclosure(
        centre=centre, slope=slope, radius=np.where(fixed, 0.0, radius), half_width=np.ones(x.cells)
    )
