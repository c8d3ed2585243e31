"""The certified domain: a tensor on each of a batch of cells, enclosed by one affine form and a radius.

On the cell |t| <= half_width around its middle the tensor lies within centre + slope * t +- radius. Every
rounding error made here, and every one that a float64 forward evaluation may make, is inside the radius.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnx_si.program.ranges import Limits, beyond
from onnx_si.rules.rules import (
    Affine,
    Array,
    Bilinear,
    Gated,
    Kinked,
    Maximum,
    Opaque,
    Rule,
    Smooth,
    Step,
    Winner,
)

UNIT = float(np.finfo(np.float64).eps)  # twice the rounding of one operation
TINY = 1e-300  # covers underflow
LEAST = 1e-250  # smallest error that an affine op spreads; times a weight it stays above zero
LEAST_WEIGHT = 1e-50
MATERIAL = (
    1e-10  # share of the largest value below which an open unit is not worth a split (no bound uses it)
)


@dataclass(frozen=True, kw_only=True)
class Enclosure:
    """centre, slope and radius (cells, *shape); half_width (cells,)."""

    centre: Array
    slope: Array
    radius: Array
    half_width: Array

    @property
    def points(self) -> int:
        """Forward evaluations that it stands for: centre, slope and radius of every cell."""
        return 3 * len(self.half_width)

    @property
    def nbytes(self) -> int:
        return 3 * self.centre.nbytes

    def split(self, at: float) -> tuple["Enclosure", "Enclosure"]:
        """Never asked for: a batch is chosen to fit."""
        raise AssertionError("a batch of cells is not split along the line")

    @property
    def reach(self) -> Array:
        """How far the tensor can be from its centre."""
        return self.radius + np.abs(self.slope) * _wide(self.half_width, self.slope)

    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest value on each cell, rounded outwards."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is no number proves nothing: `proven`
            reach = self.reach
            slack = 4 * UNIT * (np.abs(self.centre) + reach)
            return self.centre - reach - slack, self.centre + reach + slack


def proven(low: Array, high: Array, claim: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A claim about values between two ends, where both are numbers: NaN and infinity prove nothing."""
    return np.asarray(claim & np.isfinite(low) & np.isfinite(high))


def _wide(per_cell: Array, like: Array) -> Array:
    return per_cell.reshape(-1, *(1,) * (like.ndim - 1))


def cells(start: Array, direction: Array, low: Array, high: Array) -> Enclosure:
    """The input start + direction * z on cells [low, high], arrays (cells,)."""
    shape = (-1, *(1,) * start.ndim)
    middle, half = 0.5 * (low + high), np.nextafter(0.5 * (high - low), np.inf)
    centre = start + direction * middle.reshape(shape)
    slope = np.broadcast_to(direction, centre.shape)
    # the middle and the half width are rounded themselves
    half = half * (1 + 4 * UNIT) + UNIT * np.abs(middle)
    size = np.abs(start) + np.abs(direction) * (np.abs(middle) + half).reshape(shape)
    return Enclosure(centre=centre, slope=slope, radius=4 * UNIT * size, half_width=half)


@dataclass
class EnclosureDomain:
    """Applies rules to `Enclosure` values of one batch; counts the units that stay undecided in each cell.

    `lost` marks cells in which a gate is undecided: nothing is claimed of them.
    """

    size: int
    undecided: NDArray[np.int64] = field(init=False)
    lost: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.undecided = np.zeros(self.size, dtype=np.int64)
        self.lost = np.zeros(self.size, dtype=bool)

    def apply(self, rule: Rule, inputs: list[Enclosure]) -> Enclosure:
        """The rule's output on every cell; a cell on which an input is no number is lost."""
        with np.errstate(over="ignore", invalid="ignore"):
            for x in inputs:
                self._lose(~np.isfinite(x.centre + x.slope + x.radius))
            return self._apply(rule, inputs)

    def watch(self, x: Enclosure, limits: Limits) -> None:
        """A cell on which whole numbers may leave their type's range is lost."""
        self.lost |= beyond(*x.bounds(), limits)

    def _apply(self, rule: Rule, inputs: list[Enclosure]) -> Enclosure:
        match rule:
            case Affine():
                return _affine(rule, inputs)
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
                return _bilinear(rule, inputs)
            case Smooth() | Opaque():
                return self._curved(rule, inputs)

    def _count(self, undecided: NDArray[np.bool_]) -> None:
        self.undecided += np.count_nonzero(undecided.reshape(self.size, -1), axis=1)

    def _kinked(self, rule: Kinked, x: Enclosure) -> Enclosure:
        low, high = x.bounds()
        at_low, at_high = rule.function(low), rule.function(high)
        inside = [(low < point) & (point < high) for point in rule.breakpoints]
        undecided = inside[0] if len(inside) == 1 else np.logical_or.reduce(inside)
        self._count(undecided & (high - low > MATERIAL * np.abs(x.centre).max(initial=0.0)))
        with np.errstate(divide="ignore", invalid="ignore"):
            chord = (at_high - at_low) / (high - low)
        chord = np.where(np.isfinite(chord), chord, 0.0)
        # function(x) - chord * x takes its extremes at the ends or at a breakpoint
        rest_low, rest_high = at_low - chord * low, at_high - chord * high
        least, most = np.minimum(rest_low, rest_high), np.maximum(rest_low, rest_high)
        for point, within in zip(rule.breakpoints, inside, strict=True):
            rest = rule.function(np.asarray(point)) - chord * point
            least = np.where(within, np.minimum(least, rest), least)
            most = np.where(within, np.maximum(most, rest), most)
        shift, spread = 0.5 * (least + most), 0.5 * (most - least)
        steep = np.abs(chord)
        rounding = (
            8 * UNIT * (steep * np.maximum(np.abs(low), np.abs(high)) + np.abs(at_low) + np.abs(at_high))
        )
        return Enclosure(
            centre=chord * x.centre + shift,
            slope=chord * x.slope,
            # a flat piece gives the same number to the last bit: a dead unit is exactly zero
            radius=(steep * x.radius + spread) * (1 + 4 * UNIT)
            + rounding
            + TINY * ((steep > 0) | (spread > 0)),
            half_width=x.half_width,
        )

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
        half = _wide(xs[0].half_width, lead[0][0])
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
        _, centre, slope, radius, excess = self._leader(rule, xs)
        self._count(excess > MATERIAL * np.abs(centre).max(initial=0.0))
        shifted = centre + 0.5 * excess
        rounding = 4 * UNIT * (np.abs(shifted) + excess)
        return Enclosure(
            centre=rule.sign * shifted,
            slope=rule.sign * slope,
            radius=radius + 0.5 * excess + rounding,
            half_width=xs[0].half_width,
        )

    def _winner(self, rule: Winner, xs: Sequence[Enclosure]) -> Enclosure:
        index, *_, excess = self._leader(rule, xs)
        open_ = ~proven(excess, excess, excess <= 0)
        self._count(open_)
        self._lose(open_)
        return _constant(index.astype(np.float64), xs[0].half_width)

    def _lose(self, undecided: NDArray[np.bool_]) -> None:
        self.lost |= undecided.reshape(self.size, -1).any(axis=1)

    def _step(self, rule: Step, xs: Sequence[Enclosure]) -> Enclosure:
        spacing = rule.spacing
        for low, high in _ranges(rule.switches, xs):
            if spacing is None:
                decided = (low > 0) | (high < 0) | (low == high)  # a dead unit is exactly zero
            else:
                ((least, most),) = _ranges(lambda *values: (spacing(*values),), xs)
                with np.errstate(divide="ignore", invalid="ignore"):
                    lowest = low / np.where(low >= 0, most, least) * (1 - 2 * UNIT * np.sign(low))
                    highest = high / np.where(high >= 0, least, most) * (1 + 2 * UNIT * np.sign(high))
                decided = proven(least, most, (least > 0) & (np.floor(highest) < lowest))
            undecided = ~proven(low, high, decided)
            self._count(undecided)
            self._lose(undecided)
        return _constant(rule.evaluate(*(x.centre for x in xs)), xs[0].half_width)

    def _curved(self, rule: Smooth | Opaque, xs: Sequence[Enclosure]) -> Enclosure:
        """Of tensors that are constant on pieces up to rounding, which it may magnify: nothing is claimed."""
        self.lost[:] = True
        return _constant(rule.evaluate(*(x.centre for x in xs)), xs[0].half_width)

    def _gated(self, rule: Gated, xs: Sequence[Enclosure]) -> Enclosure:
        if rule.product is not None:
            return _product(rule, rule.product, xs)
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
        half = _wide(xs[0].half_width, radius)
        radius = radius + 8 * UNIT * half * (np.abs(base) + np.abs(slope))
        return Enclosure(
            centre=rule.evaluate(*(x.centre for x in xs)),
            slope=slope,
            radius=radius * (1 + 8 * UNIT),
            half_width=xs[0].half_width,
        )


def _product(rule: Gated, product: Callable[..., Array], xs: Sequence[Enclosure]) -> Enclosure:
    """The gates times the other: what one factor is off by, times all that the others can be, added up.

    A sum of n products of m factors is off by at most n + m roundings of the sum of absolute products.
    """
    gates, weights = set(rule.gates), rule.weights
    centre = rule.evaluate(*(x.centre for x in xs))
    slope = np.zeros_like(centre)
    if len(gates) < len(xs):
        slope = product(*(x.centre if i in gates else x.slope for i, x in enumerate(xs)), *weights)
    sizes = [np.abs(x.centre) + x.reach for x in xs]
    absolute = [np.abs(weight) for weight in weights]
    gamma = UNIT * (rule.terms + len(xs) + len(weights) + 4)
    radius = 4 * gamma * product(*sizes, *absolute)
    for i, x in enumerate(xs):
        off = x.reach if i in gates else x.radius
        radius = radius + product(*sizes[:i], off, *sizes[i + 1 :], *absolute) * (1 + 4 * gamma)
    # zero only where a factor of every term is zero: not where products underflow; NaN stays
    there = product(*((size != 0).astype(np.float64) for size in (*sizes, *absolute)))
    radius = np.where(there > 0, radius + TINY, radius)
    if rule.offset is not None:
        radius = radius + 4 * UNIT * (np.abs(rule.offset) + np.abs(centre))
    return Enclosure(centre=centre, slope=slope, radius=radius, half_width=xs[0].half_width)


def _bilinear(rule: Bilinear, xs: Sequence[Enclosure]) -> Enclosure:
    """The product of two tensors: a line, and t * t times the product of their slopes."""
    a, b = xs[0], xs[-1]
    square = rule.of(a.slope, b.slope)
    bend = 0.5 * _wide(a.half_width, square) ** 2 * square  # t * t is half of the largest, give or take that
    centre = rule.evaluate(a.centre, b.centre) + bend
    slope = rule.of(a.slope, b.centre) + rule.of(a.centre, b.slope)
    sizes = [np.abs(x.centre) + x.reach for x in (a, b)]
    gamma = UNIT * (rule.terms + len(rule.weights) + 8)
    radius = rule.spread(a.radius, sizes[1]) + rule.spread(sizes[0], b.radius) + np.abs(bend)
    radius = radius * (1 + 8 * gamma) + 8 * gamma * rule.spread(*sizes)
    there = rule.spread(*((size != 0).astype(np.float64) for size in sizes))
    radius = np.where(there > 0, radius + TINY, radius)
    if rule.offset is not None:
        radius = radius + 4 * UNIT * (np.abs(rule.offset) + np.abs(centre))
    return Enclosure(centre=centre, slope=slope, radius=radius, half_width=a.half_width)


def _constant(values: Array, half_width: Array) -> Enclosure:
    zero = np.zeros_like(values)
    return Enclosure(centre=values, slope=zero, radius=zero, half_width=half_width)


def _affine(rule: Affine, xs: Sequence[Enclosure]) -> Enclosure:
    """Radius and rounding spread through the absolute weights in one go.

    A sum of n products is off by at most n roundings of the sum of absolute products (Higham, "Accuracy and
    Stability of Numerical Algorithms", section 3.1); that holds for the centre, for slope * t and for the
    radius itself.
    """
    gamma = UNIT * (rule.terms + 4)
    centre = rule.evaluate(*(x.centre for x in xs))
    slope = rule.slope(*(x.slope for x in xs))
    radius = _above_underflow(rule, rule.spread(*(_grown(x, gamma) for x in xs)))
    if rule.offset is not None:
        radius = radius + 4 * UNIT * np.abs(rule.offset)
    return Enclosure(centre=centre, slope=slope, radius=radius, half_width=xs[0].half_width)


def _grown(x: Enclosure, gamma: float) -> Array:
    """The radius with the rounding errors to come; zero only where the tensor is zero to the last bit."""
    size = np.abs(x.centre) + x.reach
    grown = x.radius * (1 + 2 * gamma) + 2 * gamma * size
    return np.maximum(grown, LEAST, out=grown, where=size > 0)


def _above_underflow(rule: Affine, radius: Array) -> Array:
    """Products that underflow get a tiny error; sums of nothing but zeros stay zero."""
    if any(np.any((w != 0) & (np.abs(w) < LEAST_WEIGHT)) for w in rule.weights):
        return radius + TINY
    return np.where(radius == 0, 0.0, radius + TINY)  # NaN stays


def _ranges(function: Callable[..., tuple[Array, ...]], xs: Sequence[Enclosure]) -> list[tuple[Array, Array]]:
    """Lowest and highest value on each cell of functions that are affine in the xs, rounding included."""
    half_width = xs[0].half_width
    middles = function(*(x.centre for x in xs))
    slopes = _linear_parts(function, [x.slope for x in xs])
    errors = [x.radius + 8 * UNIT * (np.abs(x.centre) + x.reach) for x in xs]
    reaches = (
        np.abs(slope) * _wide(half_width, slope) + error
        for slope, error in zip(slopes, _absolute_parts(function, errors), strict=True)
    )
    return [(middle - reach, middle + reach) for middle, reach in zip(middles, reaches, strict=True)]


def _linear_parts(function: Callable[..., tuple[Array, ...]], xs: list[Array]) -> tuple[Array, ...]:
    """What affine functions add to their value at zero."""
    at_zero = function(*(np.zeros_like(x) for x in xs))
    return tuple(value - zero for value, zero in zip(function(*xs), at_zero, strict=True))


def _absolute_parts(function: Callable[..., tuple[Array, ...]], xs: list[Array]) -> tuple[Array, ...]:
    """A bound on what changes of the inputs by at most xs do to affine functions, one input at a time."""
    total: tuple[Array, ...] | None = None
    for chosen in range(len(xs)):
        alone = [x if i == chosen else np.zeros_like(x) for i, x in enumerate(xs)]
        parts = tuple(np.abs(part) for part in _linear_parts(function, alone))
        total = parts if total is None else tuple(a + b for a, b in zip(total, parts, strict=True))
    assert total is not None
    return total
