"""The certified domain: a tensor on each of a batch of cells, enclosed by one affine form and a radius.

On the cell |t| <= half_width around its middle the tensor lies within centre + slope * t +- radius. Every
rounding error made here, and every one that a float64 forward evaluation may make, is inside the radius.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.enclosure import bends
from onnx_si.domains.enclosure.backwards import Trace
from onnx_si.domains.enclosure.bending import quotient, smooth
from onnx_si.domains.enclosure.bends import Bent
from onnx_si.domains.enclosure.spreading import (
    affine,
    affine_by_gain,
    bilinear,
    constant,
    gated_product,
    ranges,
)
from onnx_si.domains.enclosure.value import LEAST, UNIT, Enclosure, proven, wide
from onnx_si.kernels.pointwise import rectified
from onnx_si.program.program import Program
from onnx_si.program.ranges import Limits, beyond
from onnx_si.program.scalars import Scalars
from onnx_si.program.ways_back import WaysBack
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

NOTHING = Scalars()
NOBODY = -1
MATERIAL = (
    1e-10  # share of the largest value below which an open unit is not worth a split (no bound uses it)
)


@dataclass(kw_only=True)
class EnclosureDomain:
    """Applies rules to `Enclosure` values of one batch; counts the units that stay undecided in each cell.

    `lost` marks cells in which a gate is undecided: nothing is claimed of them; `no_numbers` those in which
    the margins may be no numbers somewhere, and are as told elsewhere. With the `program` whose
    rules they are, all in order, more is known of them. A `trace` is told what following single elements
    back takes. `leaders` has the element of each cell that is proven to be the one largest of many, or
    `NOBODY`.
    """

    size: int = field(kw_only=False)
    program: Program | None = None
    trace: Trace | None = None
    position: int = field(default=0, init=False)
    undecided: NDArray[np.int64] = field(init=False)
    lost: NDArray[np.bool_] = field(init=False)
    no_numbers: NDArray[np.bool_] = field(init=False)
    leaders: dict[str, NDArray[np.intp]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.undecided = np.zeros(self.size, dtype=np.int64)
        self.lost = np.zeros(self.size, dtype=bool)
        self.no_numbers = np.zeros(self.size, dtype=bool)

    def apply(self, rule: Rule, inputs: list[Enclosure]) -> Enclosure:
        """The rule's output on every cell; a cell on which an input is no number is lost."""
        with np.errstate(over="ignore", invalid="ignore"):
            for x in inputs:
                self.lost |= ~x.finite
            made = self._apply(rule, inputs)
        self.position += 1
        if self.trace is not None:
            self.trace.made.append(made)
        return made

    @property
    def ways(self) -> WaysBack | None:
        """What is known of the program's instructions."""
        return None if self.program is None else self.program.ways_back

    @property
    def scalars(self) -> Scalars:
        """Which of the program's tensors are lengths and cosines."""
        return NOTHING if self.program is None else self.program.scalars

    @property
    def output(self) -> str:
        """What the next instruction makes."""
        if self.program is None:
            return ""
        return self.program.instructions[self.position].output

    def watch(self, x: Enclosure, limits: Limits) -> None:
        """A cell on which whole numbers may leave their type's range is lost."""
        self.lost |= beyond(*x.bounds(), limits)

    def _apply(self, rule: Rule, inputs: list[Enclosure]) -> Enclosure:
        match rule:
            case Affine():
                gain = self.ways.gains.get(self.output) if self.ways is not None and self.ways.plain else None
                return affine(rule, inputs) if gain is None else affine_by_gain(rule, inputs, gain)
            case Kinked():
                return self._kinked(rule, inputs[0])
            case Maximum():
                return self._maximum(rule, inputs)
            case Step():
                return self._step(rule, inputs)
            case Winner():
                return self._winner(rule, inputs)
            case Gated():
                return self._gated(rule, inputs)
            case Bilinear():
                return bilinear(rule, inputs)
            case Smooth(reach=reach) if reach is not None:
                return smooth(reach, inputs[0], of_squares=self.output in self.scalars.lengths)
            case Quotient():
                return self._quotient(rule, inputs)
            case Smooth() | Opaque():
                return self._curved(rule, inputs)

    def _quotient(self, rule: Quotient, xs: Sequence[Enclosure]) -> Enclosure:
        if self.output in self.scalars.no_numbers:
            least, _ = xs[-1].bounds()
            self.no_numbers |= ~(least > 0).reshape(self.size, -1).all(axis=1)
        return quotient(rule, xs, cosine=self.output in self.scalars.cosines)

    def _count(self, undecided: NDArray[np.bool_]) -> None:
        self.undecided += np.count_nonzero(undecided.reshape(self.size, -1), axis=1)

    def _kinked(self, rule: Kinked, x: Enclosure) -> Enclosure:
        least = MATERIAL * x.largest[0].max(initial=0.0)
        if rule.function is rectified:
            value, bent, reaches = bends.rectified(x)
            self.undecided += np.bincount(bent.places[0][reaches > least], minlength=self.size)
        else:
            value, bent, open_, reaches = bends.kinked(rule, x)
            self._count(open_ & (reaches > least))
        self._note(bent)
        return value

    def _note(self, bent: Bent) -> None:
        if self.trace is not None:
            self.trace.note(bent)

    def _leader(
        self, rule: Maximum | Winner, xs: Sequence[Enclosure]
    ) -> tuple[Array, Array, Array, Array, Array]:
        """The candidate that leads in the middle of each cell, and by how much another may exceed it."""
        centre = rule.sign * np.asarray(rule.candidates(*(x.centre for x in xs)))
        with np.errstate(invalid="ignore"):  # of missing candidates, infinite minus infinite
            constant = np.asarray(rule.candidates(*(np.zeros_like(x.centre[:1]) for x in xs)))
            slope = rule.sign * (np.asarray(rule.candidates(*(x.slope for x in xs))) - constant)
            radius = np.abs(np.asarray(rule.candidates(*(x.radius for x in xs))) - constant)
        missing = ~np.isfinite(centre)
        slope[missing] = radius[missing] = 0.0
        index = centre.argmax(axis=0)[None]
        lead = [np.take_along_axis(array, index, axis=0) for array in (centre, slope, radius)]
        half = wide(xs[0].half_width, lead[0][0])
        ahead = centre - lead[0] + np.abs(slope - lead[1]) * half + radius + lead[2]
        size = (
            np.where(missing, 0.0, np.abs(centre))
            + np.abs(lead[0])
            + (np.abs(slope) + np.abs(lead[1])) * half
        )
        ahead = ahead + 8 * UNIT * (size + radius + lead[2])
        np.put_along_axis(ahead, index, 0.0, axis=0)
        return index[0], lead[0][0], lead[1][0], lead[2][0], np.maximum(ahead.max(axis=0), 0.0)

    def _maximum(self, rule: Maximum, xs: Sequence[Enclosure]) -> Enclosure:
        sources = None if self.ways is None else self.ways.sources.get(self.output)
        if sources is not None:
            value, bent, excess = bends.largest_of(rule, xs, sources)
            self._note(bent)
        else:
            index, centre, slope, radius, excess = self._leader(rule, xs)
            if excess[0].size == 1 and self.program is not None:
                leads = (excess <= 0) & np.isfinite(centre)
                self.leaders[self.output] = np.where(leads, index, NOBODY).reshape(-1)
            shifted = centre + 0.5 * excess
            local = 0.5 * excess + 4 * UNIT * (np.abs(shifted) + excess) + LEAST * (shifted != 0)
            value = Enclosure(
                centre=rule.sign * shifted,
                slope=rule.sign * slope,
                radius=radius + local * (1 + 4 * UNIT),
                half_width=xs[0].half_width,
            )
        self._count(excess > MATERIAL * value.largest[0].max(initial=0.0))
        return value

    def _winner(self, rule: Winner, xs: Sequence[Enclosure]) -> Enclosure:
        index, *_, excess = self._leader(rule, xs)
        open_ = ~proven(excess, excess, excess <= 0)
        self._count(open_)
        self._lose(open_)
        return constant(index.astype(np.float64), xs[0].half_width)

    def _lose(self, undecided: NDArray[np.bool_]) -> None:
        self.lost |= undecided.reshape(self.size, -1).any(axis=1)

    def _step(self, rule: Step, xs: Sequence[Enclosure]) -> Enclosure:
        spacing = rule.spacing
        for low, high in ranges(rule.switches, xs):
            if spacing is None:
                decided = (low > 0) | (high < 0) | (low == high)  # a dead unit is exactly zero
            else:
                ((least, most),) = ranges(lambda *values: (spacing(*values),), xs)
                with np.errstate(divide="ignore", invalid="ignore"):
                    lowest = low / np.where(low >= 0, most, least) * (1 - 2 * UNIT * np.sign(low))
                    highest = high / np.where(high >= 0, least, most) * (1 + 2 * UNIT * np.sign(high))
                decided = proven(least, most, (least > 0) & (np.floor(highest) < lowest))
            undecided = ~proven(low, high, decided)
            self._count(undecided)
            self._lose(undecided)
        return constant(rule.evaluate(*(x.centre for x in xs)), xs[0].half_width)

    def _curved(self, rule: Smooth | Opaque, xs: Sequence[Enclosure]) -> Enclosure:
        """Of tensors that are constant on pieces up to rounding, which it may magnify: nothing is claimed."""
        self.lost[:] = True
        return constant(rule.evaluate(*(x.centre for x in xs)), xs[0].half_width)

    def _gated(self, rule: Gated, xs: Sequence[Enclosure]) -> Enclosure:
        if rule.product is not None:
            return gated_product(rule, rule.product, xs)
        gates = set(rule.gates)
        zero = [x.centre if i in gates else np.zeros_like(x.centre) for i, x in enumerate(xs)]
        base = rule.evaluate(*zero)
        slope = rule.evaluate(*(x.centre if i in gates else x.slope for i, x in enumerate(xs))) - base
        grown = [
            x.centre if i in gates else x.radius + UNIT * (rule.terms + 4) * (np.abs(x.centre) + x.reach)
            for i, x in enumerate(xs)
        ]
        # the slope is a difference: what base rounds is in it
        radius = np.abs(rule.evaluate(*grown) - base) + 8 * UNIT * np.abs(base)
        half = wide(xs[0].half_width, radius)
        radius = radius + 8 * UNIT * half * (np.abs(base) + np.abs(slope))
        return Enclosure(
            centre=rule.evaluate(*(x.centre for x in xs)),
            slope=slope,
            radius=radius * (1 + 8 * UNIT),
            half_width=xs[0].half_width,
        )
