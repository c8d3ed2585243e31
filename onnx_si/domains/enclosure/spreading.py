"""Enclosures of sums and products: what one factor is off by, spread through all the others."""

from collections.abc import Callable, Sequence

import numpy as np

from onnx_si.domains.enclosure.value import LEAST, TINY, UNIT, Enclosure, wide
from onnx_si.rules.reversible import moves
from onnx_si.rules.rules import (
    Affine,
    Array,
    Bilinear,
    Gated,
)

LEAST_WEIGHT = 1e-50


def gated_product(rule: Gated, product: Callable[..., Array], xs: Sequence[Enclosure]) -> Enclosure:
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


def bilinear(rule: Bilinear, xs: Sequence[Enclosure]) -> Enclosure:
    """The product of two tensors: a line, and t * t times the product of their slopes."""
    a, b = xs[0], xs[-1]
    square = rule.of(a.slope, b.slope)
    bend = 0.5 * wide(a.half_width, square) ** 2 * square  # t * t is half of the largest, give or take that
    centre = rule.evaluate(a.centre, b.centre) + bend
    twice = a is b and rule.elementwise
    slope, size = rule.of(a.slope, b.centre), np.abs(a.centre) + a.reach
    slope += slope if twice else rule.of(a.centre, b.slope)
    sizes = [size, size if a is b else np.abs(b.centre) + b.reach]
    gamma = UNIT * (rule.terms + len(rule.weights) + 8)
    radius = rule.spread(a.radius, sizes[1])
    radius += radius if twice else rule.spread(sizes[0], b.radius)
    radius += np.abs(bend)
    radius *= 1 + 8 * gamma
    radius += 8 * gamma * rule.spread(*sizes)
    if all(size.min(initial=np.inf) > 0 for size in sizes):
        radius += TINY
    else:
        there = rule.spread(*((size != 0).astype(np.float64) for size in sizes))
        radius = np.where(there > 0, radius + TINY, radius)
    if rule.offset is not None:
        radius = radius + 4 * UNIT * (np.abs(rule.offset) + np.abs(centre))
    return Enclosure(centre=centre, slope=slope, radius=radius, half_width=a.half_width)


def constant(values: Array, half_width: Array) -> Enclosure:
    zero = np.zeros_like(values)
    return Enclosure(centre=values, slope=zero, radius=zero, half_width=half_width)


def affine(rule: Affine, xs: Sequence[Enclosure]) -> Enclosure:
    """Radius and rounding spread through the absolute weights in one go.

    A sum of n products is off by at most n roundings of the sum of absolute products (Higham, "Accuracy and
    Stability of Numerical Algorithms", section 3.1); that holds for the centre, for slope * t and for the
    radius itself.
    """
    gamma = UNIT * (rule.terms + 4)
    centre = rule.evaluate(*(x.centre for x in xs))
    slope = rule.slope(*(x.slope for x in xs))
    radius = above_underflow(rule, rule.spread(*(grown(x, gamma) for x in xs)))
    if rule.offset is not None:
        radius = radius + 4 * UNIT * np.abs(rule.offset)
    return Enclosure(centre=centre, slope=slope, radius=radius, half_width=xs[0].half_width)


def affine_by_gain(rule: Affine, xs: Sequence[Enclosure], gain: float) -> Enclosure:
    """The same by the largest sum of absolute weights of one output, where a radius is zero only of what is
    zero to the last bit: the rounding is that of the largest input.
    """
    if moves(rule):
        centre = rule.evaluate(*(x.centre for x in xs))
        slope = rule.slope(*(x.slope for x in xs))
        radius = rule.spread(*(x.radius for x in xs))
    else:
        centre, slope = _centre_and_slope(rule, xs)
        radius = rule.spread(*(x.radius for x in xs))
        size = np.max([x.size for x in xs], axis=0)
        error = wide(8 * UNIT * (rule.terms + 4) * gain * size + LEAST, radius)
        fresh = radius.flags.writeable and not any(np.may_share_memory(radius, x.radius) for x in xs)
        radius = radius if fresh else radius.copy()
        if rule.offset is not None:
            radius += 4 * UNIT * np.abs(rule.offset)
        if radius.min(initial=np.inf) > 0:
            radius += error
        else:
            radius = np.where(radius == 0, 0.0, radius + error)  # NaN stays
    return Enclosure(centre=centre, slope=slope, radius=radius, half_width=xs[0].half_width)


def _centre_and_slope(rule: Affine, xs: Sequence[Enclosure]) -> tuple[Array, Array]:
    """Both by one call: of small tensors most of the time is the call's."""
    both = rule.slope(*(np.concatenate([x.centre, x.slope]) for x in xs))
    centre, slope = both[: len(xs[0].centre)], both[len(xs[0].centre) :]
    return centre if rule.offset is None else centre + rule.offset, slope


def grown(x: Enclosure, gamma: float) -> Array:
    """The radius with the rounding errors to come; zero only where the tensor is zero to the last bit."""
    size = np.abs(x.centre) + x.reach
    grown = x.radius * (1 + 2 * gamma) + 2 * gamma * size
    return np.maximum(grown, LEAST, out=grown, where=size > 0)


def above_underflow(rule: Affine, radius: Array) -> Array:
    """Products that underflow get a tiny error; sums of nothing but zeros stay zero."""
    if any(np.any((w != 0) & (np.abs(w) < LEAST_WEIGHT)) for w in rule.weights):
        return radius + TINY
    return np.where(radius == 0, 0.0, radius + TINY)  # NaN stays


def ranges(function: Callable[..., tuple[Array, ...]], xs: Sequence[Enclosure]) -> list[tuple[Array, Array]]:
    """Lowest and highest value on each cell of functions that are affine in the xs, rounding included."""
    half_width = xs[0].half_width
    middles = function(*(x.centre for x in xs))
    slopes = linear_parts(function, [x.slope for x in xs])
    errors = [x.radius + 8 * UNIT * (np.abs(x.centre) + x.reach) for x in xs]
    reaches = (
        np.abs(slope) * wide(half_width, slope) + error
        for slope, error in zip(slopes, absolute_parts(function, errors), strict=True)
    )
    return [(middle - reach, middle + reach) for middle, reach in zip(middles, reaches, strict=True)]


def linear_parts(function: Callable[..., tuple[Array, ...]], xs: list[Array]) -> tuple[Array, ...]:
    """What affine functions add to their value at zero."""
    at_zero = function(*(np.zeros_like(x) for x in xs))
    return tuple(value - zero for value, zero in zip(function(*xs), at_zero, strict=True))


def absolute_parts(function: Callable[..., tuple[Array, ...]], xs: list[Array]) -> tuple[Array, ...]:
    """A bound on what changes of the inputs by at most xs do to affine functions, one input at a time."""
    total: tuple[Array, ...] | None = None
    for chosen in range(len(xs)):
        alone = [x if i == chosen else np.zeros_like(x) for i, x in enumerate(xs)]
        parts = tuple(np.abs(part) for part in linear_parts(function, alone))
        total = parts if total is None else tuple(a + b for a, b in zip(total, parts, strict=True))
    assert total is not None
    return total
