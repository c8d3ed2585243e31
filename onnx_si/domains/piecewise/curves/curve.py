"""A tensor that is, between knots, a sum of polynomials and of polynomials times smooth functions.

Each interval has its own polynomials, by their Bernstein coefficients: a jump is a knot like any other. A
factor is a smooth function of elements of another such tensor, and `place` tells which one each element has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.piecewise.curves.expressions import Factor, Product, Sums, ends_of, product_of_ends
from onnx_si.domains.piecewise.quadratic import Pieces, PiecewiseQuadratic
from onnx_si.domains.piecewise.value import line_segment
from onnx_si.kernels import bernstein
from onnx_si.rules.curved import Ends, Reach
from onnx_si.rules.rules import Array

Index = NDArray[np.intp]


@dataclass(frozen=True)
class Shared:
    """A smooth function of the elements of a row of others (knots - 1, elements)."""

    function: Reach
    of: Curve
    place: Index


@dataclass(frozen=True)
class Term:
    """Coefficients (degree + 1, knots - 1, *shape) of polynomials, and what they are multiplied by."""

    over: Array
    factors: tuple[Shared, ...] = ()

    @property
    def nbytes(self) -> int:
        return self.over.nbytes + sum(f.of.nbytes + f.place.nbytes for f in self.factors)

    def mapped(self, change: Callable[[Array], Array], knots: Array, parts: Index | None = None) -> Term:
        """On other knots, with all polynomials changed in what they are along the line."""
        factors = (replace(f, of=f.of.mapped(change, knots, parts)) for f in self.factors)
        return Term(change(self.over), tuple(factors))

    def rows(self, interval: Index, element: Index) -> Product:
        """Some elements on some intervals; elements by their flat index."""
        flat = self.over.reshape(*self.over.shape[:2], -1)
        factors = tuple(
            Factor(f.function, f.of.rows(interval, f.place.ravel()[element]).without_zeros())
            for f in self.factors
        )
        return Product(flat[:, interval, element], factors)


@dataclass(frozen=True)
class Curve:
    """Strictly increasing knots (K,), and terms of which the first has no factors; `known` are bounds of the
    tensor, where some are known already.
    """

    knots: Array
    terms: tuple[Term, ...]
    known: Ends | None = None

    @property
    def polynomial(self) -> Array:
        """The coefficients of the first term."""
        return self.terms[0].over

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return tuple(self.polynomial.shape[2:])

    @property
    def points(self) -> int:
        return sum(len(term.over) * term.over.shape[1] for term in self.terms)

    @cached_property
    def nbytes(self) -> int:
        return sum(term.nbytes for term in self.terms)

    @property
    def sizes(self) -> list[Array]:
        """Numbers as large as any of the tensor's."""
        return [self.at_share(0.0), self.between(len(self.knots) - 2).at_share(1.0), self.polynomial]

    def mapped(self, change: Callable[[Array], Array], knots: Array, parts: Index | None = None) -> Curve:
        """On other knots, with all polynomials changed in what they are along the line; `parts` tells of
        which interval each is a part, if all are.
        """
        known = None if self.told is None or parts is None else (self.told[0][parts], self.told[1][parts])
        return Curve(knots, tuple(term.mapped(change, knots, parts) for term in self.terms), known)

    def between(self, first: int, last: int | None = None) -> Curve:
        """The tensor on one interval, or on some in a row."""
        last = first + 1 if last is None else last
        return self.mapped(lambda c: c[:, first:last], self.knots[first : last + 1])

    def flat(self) -> Curve:
        """The same elements in a row."""
        if len(self.shape) == 1:
            return self
        terms = (
            Term(
                t.over.reshape(*t.over.shape[:2], -1),
                tuple(replace(f, place=f.place.ravel()) for f in t.factors),
            )
            for t in self.terms
        )
        least, most = (end.reshape(len(end), -1) for end in self.bounds)
        return Curve(self.knots, tuple(terms), (least, most))

    def gathered(self, interval: Index, index: Index) -> Curve:
        """Of elements in a row, some (n, chosen) on each of n intervals, still on the knots that are given
        there.
        """
        terms = (
            Term(
                t.over[:, interval[:, None], index],
                tuple(
                    Shared(f.function, f.of.gathered(interval, f.place[index]), np.arange(index.shape[1]))
                    for f in t.factors
                ),
            )
            for t in self.terms
        )
        return Curve(self.knots, tuple(terms))

    def reshaped(self, shape: tuple[int, ...]) -> Curve:
        """Of elements in a row, as a tensor."""
        terms = (
            Term(
                t.over.reshape(*t.over.shape[:2], *shape),
                tuple(replace(f, place=f.place.reshape(shape)) for f in t.factors),
            )
            for t in self.terms
        )
        return Curve(self.knots, tuple(terms))

    def split(self, at: float) -> tuple[Curve, Curve]:
        """The same on both sides of a point inside."""
        cut = int(self.knots.searchsorted(at))
        whole = self if self.knots[cut] == at else resampled(self, np.insert(self.knots, cut, at))
        return whole.between(0, cut), whole.between(cut, len(whole.knots) - 1)

    def at_share(self, share: float) -> Array:
        """Values (intervals, *shape) at a share of each interval."""
        made = bernstein.value(self.polynomial, share)
        with np.errstate(invalid="ignore"):
            for term in self.terms[1:]:
                value = bernstein.value(term.over, share)
                for f in term.factors:
                    value = value * f.function(f.of.at_share(share)).take(f.place, axis=1)
                made = made + value
        return made

    def rows(self, interval: Index, element: Index) -> Sums:
        """Some elements on some intervals, as functions on [0, 1]; elements by their flat index."""
        return Sums(tuple(term.rows(interval, element) for term in self.terms))

    @cached_property
    def bounds(self) -> Ends:
        """The least and the largest value (intervals, *shape), or less and more."""
        if self.known is not None:
            return self.known
        least, most = ends_of(self.polynomial)
        with np.errstate(invalid="ignore", over="ignore"):
            for term in self.terms[1:]:
                ends = ends_of(term.over)
                for f in term.factors:
                    low, high = f.of.bounds_of(f.function)
                    ends = _product(ends, (low.take(f.place, axis=1), high.take(f.place, axis=1)))
                least, most = least + ends[0], most + ends[1]
        unknown = np.isnan(least) | np.isnan(most)
        if not unknown.any():
            return least, most
        return np.where(unknown, -np.inf, least), np.where(unknown, np.inf, most)

    @cached_property
    def _of_functions(self) -> dict[Reach, Ends]:
        return {}

    def bounds_of(self, function: Reach) -> Ends:
        """Bounds of a function of the tensor; found once."""
        if function not in self._of_functions:
            self._of_functions[function] = function.values(*self.bounds)
        return self._of_functions[function]

    @property
    def told(self) -> Ends | None:
        """Bounds, if they have been found."""
        return self.__dict__.get("bounds", self.known)


def _product(a: Ends, b: Ends) -> Ends:
    """Bounds of products, with less work where all are finite and one number is never below zero."""
    finite = a[0].min() > -np.inf and a[1].max() < np.inf and b[1].max() < np.inf
    if not (finite and b[0].min() >= 0):
        return product_of_ends(a, b)
    return np.minimum(a[0] * b[0], a[0] * b[1]), np.maximum(a[1] * b[0], a[1] * b[1])


Shape = Pieces | Curve


def image_between(start: Array, direction: Array, low: float, high: float) -> Shape:
    """The input start + direction * z for low <= z <= high."""
    return line_segment(start, direction, low, high)


def curved(x: Shape) -> Curve:
    """A tensor as one of this kind."""
    if isinstance(x, Curve):
        return x
    real = np.flatnonzero(x.knots[1:] > x.knots[:-1])
    left, right = x.values[real], x.values[real + 1]
    if isinstance(x, PiecewiseQuadratic):
        coefficients = [left, 0.5 * (left + right) - 0.5 * x.bends[real], right]
    else:
        coefficients = [left] if np.array_equal(left, right) else [left, right]
    return Curve(np.append(x.knots[real], x.knots[-1]), (Term(np.stack(coefficients)),))


def together(tensors: Sequence[Shape]) -> list[Curve]:
    """The same tensors on common knots."""
    curves = [curved(x) for x in tensors]
    if all(x.knots is curves[0].knots for x in curves):
        return curves
    knots = np.unique(np.concatenate([x.knots for x in curves]))
    return [resampled(x, knots) for x in curves]


def resampled(x: Curve, knots: Array) -> Curve:
    """The tensor on more knots."""
    if len(knots) == len(x.knots):
        return x
    interval, cut = restriction(x.knots, knots)
    return x.mapped(lambda c: cut(c.take(interval, axis=1)), knots, interval)


def shares(old: Array, knots: Array) -> tuple[Array, Array]:
    """Where each interval between knots starts and ends, as shares of the old interval that it is in."""
    interval = _intervals(old, knots)
    start, length = old[interval], old[interval + 1] - old[interval]
    high = np.where(knots[1:] == old[interval + 1], 1.0, (knots[1:] - start) / length)
    return (knots[:-1] - start) / length, high


def restriction(old: Array, knots: Array) -> tuple[Index, Callable[[Array], Array]]:
    """The old interval that each is in, and what makes polynomials on old ones those on parts of them."""
    low, high = shares(old, knots)
    late, early = np.flatnonzero(low > 0), np.flatnonzero(high < 1)
    ends = high[early] - low[early], 1 - low[early]

    def cut(c: Array) -> Array:
        if len(c) > 1:
            wide, rows = (-1, *(1,) * (c.ndim - 2)), c.swapaxes(0, 1)
            for chosen, share, side in ((late, low[late], 1), (early, ends[0] / ends[1], 0)):
                whole = c.take(chosen, axis=1)
                rows[chosen] = bernstein.halved(whole, share.reshape(wide))[side].swapaxes(0, 1)
        return c

    return _intervals(old, knots), cut


def _intervals(old: Array, knots: Array) -> Index:
    return old.searchsorted(knots[:-1], "right") - 1
