"""The exact domain: a tensor on a part of the line as knots and the tensor's value at each knot.

Between knots the tensor is affine. A jump is two knots at the same place: the limits from the left and
from the right.
Nothing here steps by an epsilon; a tolerance occurs only where two values are equal up to rounding.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from onnx_si.domains.doubt import doubtful
from onnx_si.domains.judge import Judge
from onnx_si.domains.piecewise import degree_two, envelope
from onnx_si.domains.piecewise.crossings import (
    NO_CROSSINGS,
    Crossings,
    Refinement,
    afford,
    concatenate,
    crossings_of,
    level_crossings,
    refine,
    zero_crossings,
)
from onnx_si.domains.piecewise.curves import following as curves
from onnx_si.domains.piecewise.curves.curve import Curve, Shape
from onnx_si.domains.piecewise.kinks import bent
from onnx_si.domains.piecewise.quadratic import Pieces, PiecewiseQuadratic, resampled, together
from onnx_si.domains.piecewise.value import Index, PiecewiseLinear, between_jumps, from_pieces, merge
from onnx_si.errors import Undefined
from onnx_si.program.ranges import Limits, beyond
from onnx_si.rules.rules import (
    FEW_CANDIDATES,
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

COPIES = 8  # of a tensor that making another one of it takes at most: refined, and between its knots


def _changes(rule: Step, knots: Array, switch: Array, xs: Sequence[PiecewiseLinear]) -> Crossings:
    """Where one switch of a step changes what the step gives."""
    flat = switch.reshape(len(knots), -1)
    if rule.spacing is None:
        return zero_crossings(knots, flat)
    spacing = rule.spacing(*(x.values for x in xs))
    return level_crossings(knots, flat, spacing.reshape(flat.shape))


@dataclass(kw_only=True)
class ExactDomain:
    """Applies rules to `PiecewiseLinear` values; no tensor grows beyond `budget` bytes while it can be
    split, and none beyond the points that a walk through a program has room for, if that is told (`rooms`).

    With a `judge`, a step is nowhere decided by rounding: it tells what the step reads where that is in
    doubt, and `undecided` has the intervals (low, high) on which it can't tell. With `ends` as well, those of
    the part of the line, `places` has every place at which something may jump, and how far rounding may have
    moved it: a step, a choice, or a kink on which one of these stands.
    """

    budget: int = 64 << 20
    judge: Judge | None = None
    ends: tuple[float, float] | None = None
    undecided: list[tuple[float, float]] = field(default_factory=list)
    places: list[tuple[Array, Array]] = field(default_factory=list)
    rooms: Callable[[int, int], float] | None = None
    room: float = math.inf

    def enter(self, position: int, waiting: int) -> None:
        """The next rule is that of an instruction, while parts of the line wait that take some memory."""
        if self.rooms is not None:
            self.room = self.rooms(position, waiting)

    def _afford(self, knots: Array, crossings: Crossings, element_bytes: int, x_bytes: int = 0) -> None:
        """Ask for a split where knots and crossings together would not fit; elements may take more than those
        of the tensor that has the points.
        """
        afford(knots, crossings, element_bytes, min(self.budget, self.room * (x_bytes or element_bytes)))

    def apply(self, rule: Rule, inputs: Sequence[Shape]) -> Shape:
        """The rule's output on the inputs' part of the line.

        Raises
        ------
        NeedsSplit
            If it would not fit into the budget.
        """
        lines = [x for x in inputs if isinstance(x, PiecewiseLinear)]
        bows = [x for x in inputs if not isinstance(x, Curve)]
        if len(lines) == len(inputs) and not curves.bends(rule):
            return self._of_lines(rule, lines)
        if len(bows) < len(inputs) or curves.bends(rule) or isinstance(rule, Bilinear | Step | Winner):
            if isinstance(rule, Step | Winner):
                return self._jumps(rule, inputs)
            return curves.apply(rule, inputs, self._for_curves(inputs))
        quadratics = together(bows)
        self._check(quadratics)
        if not isinstance(rule, Kinked | Maximum):
            return degree_two.apply(rule, quadratics)
        return self._bent(rule, quadratics)

    def _for_curves(self, inputs: Sequence[Shape]) -> int:
        """Bytes that they may take: what the walk has set aside for a tensor and what is made of it."""
        largest = max(math.prod(x.shape) if isinstance(x, Curve) else x.values[0].nbytes // 8 for x in inputs)
        return int(min(self.budget, self.room * 8 * COPIES * largest))

    def _jumps(self, rule: Step | Winner, inputs: Sequence[Shape]) -> PiecewiseLinear:
        """A step or a choice of tensors that are more than affine between knots."""
        found = curves.jumps_of(rule, inputs, self.judge, self._for_curves(inputs))
        self._note(rule, found.changes)
        self.undecided.extend((low, high) for low, high in found.unclear.tolist())
        return found.value

    def _bent(self, rule: Kinked | Maximum, xs: list[PiecewiseQuadratic]) -> PiecewiseQuadratic:
        """A rule that adds knots, of tensors of degree 2."""
        knots, element_bytes = xs[0].knots, 2 * max(x.values[0].nbytes for x in xs)
        if isinstance(rule, Maximum):  # all candidates are there at the same time
            element_bytes += 2 * np.asarray(rule.candidates(*(x.values[:1] for x in xs))).nbytes
        x_bytes = max(x.values[0].nbytes for x in xs)
        self._afford(knots, NO_CROSSINGS, element_bytes, x_bytes)
        crossings = degree_two.changes(rule, xs)
        self._afford(knots, crossings, element_bytes, x_bytes)
        refinement = refine(xs[0].knots, crossings)
        refined = [resampled(x, refinement.knots) for x in xs]
        if isinstance(rule, Maximum):
            return degree_two.maximum(rule, refined)
        return degree_two.kinked(rule, degree_two.on_levels(rule, refined[0], crossings, refinement.position))

    def _of_lines(self, rule: Rule, inputs: list[PiecewiseLinear]) -> Pieces:
        """The rule's output of tensors that are affine between knots."""
        xs = merge(inputs)
        self._check(xs)
        match rule:
            case Affine():
                return PiecewiseLinear(xs[0].knots, rule.evaluate_fast(*(x.values for x in xs)))
            case Kinked():
                return self._kinked(rule, xs[0])
            case Maximum():
                return self._maximum(rule, xs)
            case Step():
                return self._step(rule, xs)
            case Winner():
                return self._winner(rule, xs)
            case Gated():
                return self._gated(rule, xs)
            case Bilinear():
                return degree_two.product(rule, xs)
            case Smooth() | Opaque():
                return self._smooth(rule, xs)
            case Quotient():
                raise AssertionError("a quotient is a curve")

    def watch(self, x: Shape, limits: Limits) -> None:
        """Refuse whole numbers that leave their type's range: a runtime wraps them around.

        Raises
        ------
        Undefined
            If they do on a part of the line, not just at a point.
        """
        if not isinstance(x, PiecewiseLinear):  # whole numbers jump: no product of them changes in between
            raise AssertionError("whole numbers are no polynomials")
        out = beyond(x.values, x.values, limits)
        rows = np.flatnonzero((out[:-1] | out[1:]) & (x.knots[:-1] < x.knots[1:]))
        if len(rows):
            raise Undefined(
                f"whole numbers leave {limits[0]:.17g} to {limits[1]:.17g}, all that can be told apart here, "
                f"for images on the line, from {x.knots[rows[0]]:.6g} on it",
                "compute in a wider type or in floating point, or clip in front of it",
            )

    def _check(self, xs: Sequence[Pieces]) -> None:
        for x in xs:
            if x.nbytes > self.budget or x.points > self.room:
                self._afford(x.knots, NO_CROSSINGS, x.values[0].nbytes)

    def _note(self, rule: Rule, crossings: Crossings) -> None:
        """Keep the places of crossings, and how far off they may be."""
        if self.judge is not None and self.ends is not None and len(crossings.at):
            error = self.judge.error(self.judge.reads(rule), *self.ends)
            with np.errstate(divide="ignore", over="ignore"):
                self.places.append((crossings.at, error / crossings.slope))

    def _kinked(self, rule: Kinked, x: PiecewiseLinear) -> PiecewiseLinear:
        shape = x.values.shape[1:]
        levels = [
            level if level.ndim == 0 else np.broadcast_to(level, shape).reshape(-1)
            for level in rule.breakpoints
        ]
        found = crossings_of(x.knots, x.values.reshape(len(x.knots), -1), levels)
        crossings = concatenate(found)
        if not len(crossings.at):
            return PiecewiseLinear(x.knots, rule.evaluate(x.values))
        self._afford(x.knots, crossings, x.values[0].nbytes)
        self._note(rule, crossings)
        return bent(rule, x, refine(x.knots, crossings), found, levels)

    def _envelope(
        self, rule: Maximum | Winner, xs: list[PiecewiseLinear]
    ) -> tuple[Array, Refinement, Crossings, Array]:
        """Upper envelope of the candidates: values at the old knots, refined knots, crossings and values
        there.
        """
        candidates = rule.candidates(*(x.values for x in xs))
        top, found = envelope.crossings(xs[0].knots, candidates, rule.sign)
        crossings = Crossings(interval=found.interval, element=found.element, at=found.at, slope=found.slope)
        copies = len(candidates) if len(candidates) > FEW_CANDIDATES else 1
        x_bytes = max(top[0].nbytes, *(x.values[0].nbytes for x in xs))
        self._afford(xs[0].knots, crossings, copies * top[0].nbytes, x_bytes)
        self._note(rule, crossings)
        return top, refine(xs[0].knots, crossings), crossings, found.value

    def _maximum(self, rule: Maximum, xs: list[PiecewiseLinear]) -> PiecewiseLinear:
        top, refinement, crossings, exact = self._envelope(rule, xs)
        values = np.empty((len(refinement.knots), *top.shape[1:]))
        values[refinement.old] = top
        if len(refinement.new):
            values[refinement.new] = rule.evaluate(*(refinement.at_new(x) for x in xs))
        values.reshape(len(values), -1)[refinement.position, crossings.element] = exact
        return PiecewiseLinear(refinement.knots, values)

    def _pieces(self, rule: Step | Winner, xs: list[PiecewiseLinear]) -> PiecewiseLinear:
        """What a rule gives in the middle of each interval, as a tensor with jumps."""
        knots = xs[0].knots
        real = np.nonzero(knots[1:] > knots[:-1])[0]
        if not len(real):
            return PiecewiseLinear(knots, rule.evaluate(*(x.values for x in xs)))
        middles = [0.5 * (x.values[real] + x.values[real + 1]) for x in xs]
        if self.judge is not None:
            self._settle(self.judge, rule, xs, real, middles)
        return from_pieces(np.append(knots[real], knots[-1]), rule.evaluate(*middles))

    def _settle(
        self,
        judge: Judge,
        rule: Step | Winner,
        xs: list[PiecewiseLinear],
        real: Index,
        middles: list[Array],
    ) -> None:
        """Put what the judge says in place of middles that leave the rule in doubt."""
        knots, names = xs[0].knots, judge.reads(rule)
        left, right = ([x.values[at] for x in xs] for at in (real, real + 1))
        zeros = judge.may_coincide(names)
        for slack in judge.slacks(names, knots, [x.values for x in xs]):
            rows = np.flatnonzero(np.any(doubtful(rule, left, right, slack, zeros), axis=1))
            rows = rows[judge.wide(knots[real[rows]], knots[real[rows] + 1])]
            if not len(rows):
                return
        low, high = knots[real[rows]], knots[real[rows] + 1]
        found = judge.inside(names, rule, low, high)
        for middle, values in zip(middles, found.values, strict=False):
            middle[rows] = values
        open_ = ~found.settled
        self.undecided.extend(zip(low[open_].tolist(), high[open_].tolist(), strict=True))

    def _winner(self, rule: Winner, xs: list[PiecewiseLinear]) -> PiecewiseLinear:
        _, refinement, _, _ = self._envelope(rule, xs)
        return self._pieces(rule, [refinement(x) for x in xs])

    def _step(self, rule: Step, xs: list[PiecewiseLinear]) -> PiecewiseLinear:
        knots = xs[0].knots
        switches = rule.switches(*(x.values for x in xs))
        crossings = concatenate([_changes(rule, knots, s, xs) for s in switches])
        self._afford(knots, crossings, max(x.values[0].nbytes for x in xs))
        self._note(rule, crossings)
        refinement = refine(knots, crossings)
        return self._pieces(rule, [refinement(x) for x in xs])

    def _gated(self, rule: Gated, xs: list[PiecewiseLinear]) -> PiecewiseLinear:
        values = [between_jumps(x) if i in rule.gates else x.values for i, x in enumerate(xs)]
        return PiecewiseLinear(xs[0].knots, rule.evaluate(*values))

    def _smooth(self, rule: Smooth | Opaque, xs: list[PiecewiseLinear]) -> PiecewiseLinear:
        """Only of tensors that are constant on pieces; the binder refuses every other."""
        return PiecewiseLinear(xs[0].knots, rule.evaluate(*(x.values for x in xs)))
