"""The arbiter of ties: what tensors are inside an interval of the line, where rounding must not decide.

Between knots every tensor is affine, so a comparison has one outcome on a whole interval: the one at a point
inside. There a plain forward evaluation, in which copies of a number are equal to the last bit, and where
that leaves a difference within rounding, rational arithmetic.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains import rational
from onnx_si.domains.carried import EPS, Carried
from onnx_si.domains.copies import behind_jumps, changed
from onnx_si.domains.doubt import doubtful, exact_distances
from onnx_si.domains.points.value import Points
from onnx_si.domains.rational import Inexact, Objects, exact, rounded
from onnx_si.domains.walker import Tally, walk
from onnx_si.errors import Undefined
from onnx_si.program.forms import growth_of
from onnx_si.program.instruction import needed, with_deaths
from onnx_si.program.program import Program
from onnx_si.rules.rules import Affine, Array, Rule, Step, Winner

INSIDE = (0.38196601125010515, 0.6909830056250526)  # shares of an interval: no knot and no symmetry is there
WHOLE = 300_000  # multiply-adds of a program at most that is evaluated in rational numbers,
ALLOWANCE = 6_000_000  # and of all of them in one search,
AT_LEAST = 1_000  # each of which counts as so many
ULPS = 64  # units in the last place that places on the line may be off
TINY = 1e-300
Number = TypeVar("Number", float, Array)
SELF = 256  # units in the last place of the largest number that any tensor carries
SHARP = 2.0**-20  # share of numbers that a proof of their rounding may be, to serve in place of a guess
CLEAR = 2.0**-9  # share of the bound of rounding above which a rational difference is no rounding


@dataclass(frozen=True)
class Found:
    """Tensors (n, *shape) inside n intervals, correct where `settled`; `rises` tells how much each grows from
    end to end, where that had to be found out (else zero).
    """

    values: list[Array]
    settled: NDArray[np.bool_]
    rises: list[Array] = field(default_factory=list)

    def ends(self, tensor: int, row: int) -> tuple[Array, Array]:
        """A tensor at both ends of an interval, as it is affine inside."""
        value, rise = self.values[tensor][row], self.rises[tensor][row]
        return value - INSIDE[0] * rise, value + (1 - INSIDE[0]) * rise


@dataclass(kw_only=True)
class Judge:
    """Evaluates a program at points of a line, as exactly as a decision needs it; counts what it spends."""

    program: Program
    start: Array
    direction: Array
    carried: Carried
    tally: Tally = field(default_factory=Tally)
    spent: int = 0

    @classmethod
    def of(cls, program: Program, start: Array, direction: Array, at: float, error: float) -> "Judge":
        """A judge of the line start + direction * z: `at` is the statistic, `error` its standard error."""
        carried = Carried(
            program=program,
            start=start,
            direction=direction,
            at=at,
            scale=error,
            degree=growth_of(program.instructions),
        )
        return cls(program=program, start=start, direction=direction, carried=carried)

    def reads(self, rule: Rule) -> tuple[str, ...]:
        """The tensors that a rule of the program is applied to."""
        return next((step.inputs for step in self.program.instructions if step.rule is rule), ())

    def slacks(self, names: tuple[str, ...], ends: Array, xs: Sequence[Array]) -> Iterator[float]:
        """Bounds of the rounding in differences of numbers of some tensors, between two points.

        What is decided by more than one of them needs no other. The first costs next to nothing; none is
        larger than the one before. A proof that says nothing of a part `SHARP` of the numbers themselves, as
        in deep networks, gives way to the estimate.
        """
        known, reach = tuple(self._known(names)), (float(ends[0]), float(ends[-1]))
        proven = self.carried.proven(known, *reach)
        if proven < math.inf:
            yield proven
        if proven > SHARP * _largest(xs):
            yield min(proven, self.slack(names, ends, xs))

    def slack(self, names: tuple[str, ...], ends: Array, xs: Sequence[Array]) -> float:
        """A generous estimate of it."""
        return max(
            self.carried.estimated(tuple(self._known(names)), float(ends[0]), float(ends[-1])),
            SELF * EPS * _largest(xs),
        )

    def error(self, names: tuple[str, ...], low: float, high: float) -> float:
        """How far rounding may move numbers of some tensors that were computed from images at two points."""
        return self.carried.between(tuple(self._known(names)), low, high)

    def _known(self, names: Iterable[str]) -> Iterator[str]:
        """Tensors of the whole network that some of a part of it are cut from."""
        for name in names:
            if name in self.carried.names or name not in self._sources:
                yield name
            else:
                yield from self._known(self._sources[name])

    @cached_property
    def _sources(self) -> dict[str, tuple[str, ...]]:
        return {step.output: step.inputs for step in self.program.instructions}

    def wide(self, low: Array, high: Array) -> NDArray[np.bool_]:
        """Which intervals are more than rounding makes of one place, a crossing met on two ways."""
        return np.asarray(high - low > self.resolution(np.maximum(np.abs(low), np.abs(high))))

    def resolution(self, far: Number) -> Number:
        """How wide an interval may be that is one place, by how far from zero it is."""
        return ULPS * EPS * (2 * far + self._size)

    @cached_property
    def _size(self) -> float:
        """The start of the line in units of its direction."""
        return float(np.abs(self.start).max(initial=0.0) / np.abs(self.direction).max(initial=TINY))

    def rounds_to_a_level(self, name: str) -> bool:
        """Whether a tensor is another one less constants, of which one is not short in binary, such as 0.3.

        A number that is equal to a short one is so for a reason; one that rounds to 0.3 need not be.
        """
        rules = (step.rule for step in self.program.instructions if step.output == name)
        offsets = [rule.offset for rule in rules if isinstance(rule, Affine) and rule.offset is not None]
        return any(bool((offset.astype(np.float32) != offset).any()) for offset in offsets)

    def inside(
        self,
        names: tuple[str, ...],
        rule: Rule | None,
        low: Array,
        high: Array,
        *,
        prove_zeros: bool | None = None,
    ) -> Found:
        """Some tensors inside intervals.

        Parameters
        ----------
        names : tuple of str
        rule : Step, Winner or None
            What decides by them; None: their signs do.
        low, high : arrays (n,)
            Ends of the intervals.
        prove_zeros : bool, optional
            Zero to the last bit is taken for zero only of copies, or by rational arithmetic; default: where
            it may be rounded.
        """
        prove_zeros = self.may_coincide(names) if prove_zeros is None else prove_zeros
        part = self._part(names)
        places = low + INSIDE[0] * (high - low)
        plain = _Plain(judge=self, part=part, ends=np.array([low.min(), high.max()]))
        try:
            (found,) = walk(part, plain.apply, Points(self._images(places)), self.tally)
        except Undefined:
            return Found([], np.zeros(len(places), dtype=bool))
        values = [np.array(found[name].values) for name in names]
        ends = np.array([low.min(), high.max()])
        slack, open_ = self.slack(names, ends, values), plain.open_ | self.open(names, rule, values, ends)
        if prove_zeros:
            open_ = open_ | self._coincide(part, names, rule, values, places)
        settled, rises = ~open_, [np.zeros_like(value) for value in values]
        for i in np.flatnonzero(open_):
            made = self._exactly(part, names, rule, (low[i], high[i]), slack)
            settled[i] = made is not None
            for value, rise, (first, last) in zip(values, rises, made or (), strict=False):
                value[i], rise[i] = first, (last - first) / (INSIDE[1] - INSIDE[0])
        return Found(values, settled, rises)

    def open(
        self, names: tuple[str, ...], rule: Rule | None, values: list[Array], ends: Array
    ) -> NDArray[np.bool_]:
        """At which points between two places something is decided by no more than rounding."""
        found = np.ones(len(values[0]), dtype=bool)
        for slack in self.slacks(names, ends, values):
            found = _open(rule, values, slack, len(values[0]))
            if not found.any():
                break
        return found

    def may_coincide(self, names: tuple[str, ...]) -> bool:
        """Whether numbers of some tensors may be equal on an interval by rounding, to the last bit."""
        return not self._behind_jumps.isdisjoint(names)

    @cached_property
    def _behind_jumps(self) -> frozenset[str]:
        return behind_jumps(self.program.instructions)

    def _coincide(
        self, part: Program, names: tuple[str, ...], rule: Rule | None, values: list[Array], places: Array
    ) -> NDArray[np.bool_]:
        """At which points a distance is zero, but not if rounded numbers were others."""
        zeros = doubtful(rule, values, values, 0.0, zeros=True)
        found, rows = np.zeros(len(places), dtype=bool), np.flatnonzero(zeros.any(axis=1))
        if len(rows):
            made = changed(part, self._images(places[rows]), self.tally)
            others = [made[name] for name in names]
            same = doubtful(rule, others, others, 0.0, zeros=True)
            found[rows] = np.any(zeros[rows] & ~same, axis=1)
        return found

    def _images(self, places: Array) -> Array:
        images: Array = self.start + self.direction * places.reshape(-1, *(1,) * self.start.ndim)
        return images

    def _part(self, names: tuple[str, ...]) -> Program:
        """What some tensors are computed from."""
        steps = self.program.instructions
        used = needed({step.output: step.inputs for step in steps}, names)
        kept = with_deaths([step for step in steps if step.output in used], names)
        return replace(self.program, instructions=kept, outputs=names)

    def _exactly(
        self,
        part: Program,
        names: tuple[str, ...],
        rule: Rule | None,
        ends: tuple[float, float],
        slack: float,
    ) -> list[tuple[Array, Array]] | None:
        """The tensors, correctly rounded, at both places inside an interval; None where they can't be had,
        differ by less than rounding does though they are not equal, or decide otherwise at each.
        """
        low, high = ends
        cost = 2 * max(part.cost, AT_LEAST)
        if cost > WHOLE or self.spent + cost > ALLOWANCE:
            return None
        self.spent += cost
        made = []
        for share in INSIDE:
            found = self._rational(part, low + share * (high - low))
            if found is None:
                return None
            exactly = [found[name] for name in names]
            if _nearly_equal(rule, exactly, CLEAR * slack):
                return None
            made.append([rounded(values) for values in exactly])
        if rule is not None and not np.array_equal(rule.evaluate(*made[0]), rule.evaluate(*made[1])):
            return None  # it changes on the way, where rounding hid it
        return [(first[0], last[0]) for first, last in zip(*made, strict=True)]

    def _rational(self, part: Program, place: float) -> dict[str, Objects] | None:
        """Every tensor of a part at one point; None where it can't be had, or a step in front is open."""
        point = exact(self.start) + exact(self.direction) * exact(np.array(place))
        live: dict[str, Objects] = {part.input: point[None]}
        for step in part.instructions:
            inputs = [live[name] for name in step.inputs]
            if isinstance(step.rule, Step | Winner):
                plain = [rounded(x) for x in inputs]
                slack = CLEAR * self.slack(step.inputs, np.array([place, place]), plain)
                if _nearly_equal(step.rule, inputs, slack):
                    return None
            try:
                live[step.output] = rational.apply(step.rule, inputs)
            except Inexact:
                return None
        return live


@dataclass(kw_only=True)
class _Plain:
    """Plain evaluation that notes at which points a step on the way is decided by rounding."""

    judge: Judge
    part: Program
    ends: Array
    open_: NDArray[np.bool_] | bool = False
    position: int = 0

    def apply(self, rule: Rule, inputs: list[Points]) -> Points:
        """The rule's output at every point."""
        xs, step = [x.values for x in inputs], self.part.instructions[self.position]
        self.position += 1
        if isinstance(rule, Step | Winner):
            self.open_ = self.open_ | self.judge.open(step.inputs, rule, xs, self.ends)
        return Points(rule.evaluate(*xs))


def _largest(xs: Sequence[Array]) -> float:
    """The largest finite numbers of some tensors, added up."""
    return sum(float(np.abs(x).max(initial=0.0, where=np.isfinite(x))) for x in xs)


def _open(rule: Rule | None, values: list[Array], slack: float, points: int) -> NDArray[np.bool_]:
    """At which points something is decided by no more than the slack, though not by equality."""
    return np.asarray(np.any(doubtful(rule, values, values, slack).reshape(points, -1), axis=1))


def _nearly_equal(rule: Rule | None, values: Sequence[Objects], slack: float) -> bool:
    """Whether something is decided by no more than the slack, though not by equality, without rounding.

    Two rational numbers that differ may be rounded to the same one: their distance is what counts.
    """
    try:
        apart = [rounded(distance) for distance in exact_distances(rule, values)]
    except Inexact:
        return True
    return any(bool(((np.abs(d) <= slack) & (d != 0)).any()) for d in apart)
