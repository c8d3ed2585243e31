"""Single functions on [0, 1], many at once: sums of polynomials times smooth functions of such sums.

What a sum reaches, and how steep it is, is bounded by the coefficients of its polynomials; on ever shorter
parts of the interval the bounds close in on it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.carried import EPS
from onnx_si.domains.judge import SELF
from onnx_si.kernels import bernstein
from onnx_si.rules.curved import Ends, Reach
from onnx_si.rules.rules import Array

GENERIC = (0.137, 0.38196601125010515, 0.6909830056250526)
"""Shares at which functions that agree are the same."""

Rows = NDArray[np.intp] | NDArray[np.bool_]


@dataclass(frozen=True)
class Factor:
    """A smooth function of sums (rows)."""

    function: Reach
    of: Sums


@dataclass(frozen=True)
class Product:
    """Polynomials (degree + 1, rows), times factors; or some of each row, (degree + 1, some, rows)."""

    polynomial: Array
    factors: tuple[Factor, ...] = ()

    def mapped(self, change: Callable[[Array], Array]) -> Product:
        """With all polynomials changed."""
        factors = tuple(Factor(f.function, f.of.mapped(change)) for f in self.factors)
        return Product(change(self.polynomial), factors)

    @property
    def kind(self) -> Hashable:
        """The same for products that are computed alike."""
        inner = tuple((f.function, tuple(one.kind for one in f.of.products)) for f in self.factors)
        return len(self.polynomial), inner

    def ends(self) -> Ends:
        """Bounds of values."""
        made = ends_of(self.polynomial)
        for factor in self.factors:
            made = multiplied(made, factor.function.values(*factor.of.ends()))
        return made

    def bounds(self) -> tuple[Ends, Ends]:
        """Of values and of slopes."""
        made = ends_of(self.polynomial), ends_of(bernstein.derivative(self.polynomial))
        for factor in self.factors:
            inner, steep = factor.of.bounds()
            outer = factor.function.slopes(*inner)
            made = _times(made, (factor.function.values(*inner), multiplied(outer, steep)))
        return made

    def at(self, share: Array | float) -> Array:
        """Values at shares (rows)."""
        made = bernstein.value(self.polynomial, share)
        for factor in self.factors:
            made = made * factor.function(factor.of.watched_at(share))
        return made


@dataclass(frozen=True)
class Sums:
    """Products to be added up; equal factors are equal in number and order for all rows. `in_groups`: so are
    those of one row.
    """

    products: tuple[Product, ...]
    in_groups: bool = False

    @property
    def count(self) -> int:
        """Of rows."""
        return int(self.products[0].polynomial.shape[-1])

    def mapped(self, change: Callable[[Array], Array]) -> Sums:
        """With all polynomials changed."""
        return Sums(tuple(one.mapped(change) for one in self.products), self.in_groups)

    def without_zeros(self) -> Sums:
        """Without polynomials that are zero, if anything is left."""
        kept = tuple(one for one in self.products if one.factors or one.polynomial.any())
        return Sums(kept or self.products[:1])

    def grouped(self) -> Sums:
        """The same, with products of one kind together."""
        alike = dict[Hashable, list[Product]]()
        for one in self.products:
            alike.setdefault(one.kind, []).append(one)
        return Sums(tuple(map(_together, alike.values())), in_groups=True)

    def apart(self) -> Sums:
        """The same with every product for itself."""
        found = ((one, i) for one in self.products for i in range(one.polynomial.shape[1]))
        return Sums(tuple(one.mapped(partial(np.take, indices=i, axis=1)) for one, i in found))

    def pick(self, rows: Rows) -> Sums:
        """Some of the rows."""
        if rows.dtype == np.bool_:
            if rows.all():
                return self
            rows = np.flatnonzero(rows)
        return self.mapped(lambda c: c.take(rows, axis=-1))

    def halves(self) -> Sums:
        """All rows on the first half of the interval, then all on the second one."""
        return self.mapped(lambda c: np.concatenate(bernstein.halved(c, 0.5), axis=-1))

    def plus(self, shift: Array | float) -> Sums:
        """Higher values."""
        first, *others = self.products
        if first.factors:
            constant = np.broadcast_to(np.asarray(shift, np.float64), (1, self.count))
            return Sums((Product(constant), *self.products))
        return Sums((Product(first.polynomial + shift), *others))

    def times(self, factor: Array | float) -> Sums:
        """Each row times a number."""
        return Sums(tuple(replace(one, polynomial=one.polynomial * factor) for one in self.products))

    def bounds(self) -> tuple[Ends, Ends]:
        """Of values and of slopes."""
        with np.errstate(invalid="ignore", over="ignore"):
            found = [one.bounds() for one in self.products]
            values, slopes = ([one[i] for one in found] for i in (0, 1))
            return self._added(values), self._added(slopes)

    def ends(self) -> Ends:
        """Bounds of values."""
        with np.errstate(invalid="ignore", over="ignore"):
            return self._added([one.ends() for one in self.products])

    def _added(self, ends: Sequence[Ends]) -> Ends:
        low, high = zip(*ends, strict=True)
        return self._total(low), self._total(high)

    def rounding(self) -> Array:
        """What numbers as large as the largest of each row carry at least; 0 of what has no bounds."""
        least, most = self.ends()
        size = np.maximum(np.abs(least), np.abs(most))
        return SELF * EPS * np.where(np.isfinite(size), size, 0.0)

    def at(self, share: Array | float) -> Array:
        """Values at shares (rows)."""
        with np.errstate(invalid="ignore"):
            return self.watched_at(share)

    def watched_at(self, share: Array | float) -> Array:
        """The same for who sees to it that numpy warns of nothing."""
        return self._total([one.at(share) for one in self.products])

    def size_at(self, share: float) -> Array:
        """Absolute values of the products, added up."""
        with np.errstate(invalid="ignore"):
            return self._total([np.abs(one.at(share)) for one in self.products])

    def _total(self, values: Sequence[Array]) -> Array:
        return np.asarray(sum(one.sum(axis=0) for one in values) if self.in_groups else sum(values))

    def merged(self) -> Sums:
        """Products with the same factors become one: what cancels is zero to the last bit."""
        kept: list[Product] = []
        for new in self.products:
            polynomial = new.polynomial
            for i, old in enumerate(kept):
                same = _alike(old, new)
                if same.any():
                    degree = max(len(old.polynomial), len(polynomial)) - 1
                    grown = bernstein.elevated(old.polynomial, degree)
                    polynomial = bernstein.elevated(polynomial, degree)
                    kept[i] = replace(old, polynomial=grown + np.where(same, polynomial, 0.0))
                    polynomial = np.where(same, 0.0, polynomial)
            if polynomial.any():
                kept.append(replace(new, polynomial=polynomial))
        return Sums(tuple(kept)) if kept else Sums((Product(np.zeros((1, self.count))),))

    def no_numbers(self) -> NDArray[np.bool_]:
        """Rows that are no number wherever one looks: zero over zero all along, of which nothing follows."""
        return np.asarray(np.logical_and.reduce([np.isnan(self.at(share)) for share in GENERIC]))

    def nothing(self) -> NDArray[np.bool_]:
        """Rows that are zero to the last bit."""
        zero = [~one.polynomial.any(axis=0) for one in self.products]
        return np.asarray(np.logical_and.reduce(zero))


def _together(products: Sequence[Product]) -> Product:
    """Products of one kind as one of some in each row."""
    factors = []
    for alike in zip(*(one.factors for one in products), strict=True):
        inner = zip(*(factor.of.products for factor in alike), strict=True)
        factors.append(Factor(alike[0].function, Sums(tuple(map(_together, inner)))))
    return Product(np.stack([one.polynomial for one in products], axis=1), tuple(factors))


def ends_of(c: Array) -> Ends:
    """Bounds of polynomials; twice the same array where they are constant."""
    return (c[0], c[0]) if len(c) == 1 else (c.min(axis=0), c.max(axis=0))


def _times(a: tuple[Ends, Ends], b: tuple[Ends, Ends]) -> tuple[Ends, Ends]:
    """Bounds of a product, and of its slope."""
    parts = [multiplied(a[0], b[1]), multiplied(a[1], b[0])]
    return multiplied(a[0], b[0]), added(parts)


def product_of_ends(a: Ends, b: Ends) -> Ends:
    """Of products of numbers between ends; no number where zero is multiplied by what is infinite."""
    if a[0] is a[1]:
        one, two = a[0] * b[0], a[0] * b[1]
        return np.minimum(one, two), np.maximum(one, two)
    (one, two), (three, four) = ((x * b[0], x * b[1]) for x in a)
    least, most = (way(way(one, two), way(three, four)) for way in (np.minimum, np.maximum))
    return least, most


def multiplied(a: Ends, b: Ends) -> Ends:
    """Bounds of a product. Of zero times what is infinite nothing is known."""
    least, most = product_of_ends(a, b)
    unknown = np.isnan(least)
    return np.where(unknown, -np.inf, least), np.where(unknown, np.inf, most)


def added(ends: list[Ends]) -> Ends:
    """Bounds of a sum. No number where infinities cancel: nothing follows from these."""
    return np.asarray(sum(low for low, _ in ends)), np.asarray(sum(high for _, high in ends))


def _alike(a: Product, b: Product) -> NDArray[np.bool_]:
    """Rows on which two products have the same factors."""
    same = np.ones(a.polynomial.shape[1], np.bool_)
    if len(a.factors) != len(b.factors):
        return ~same
    for f, g in zip(a.factors, b.factors, strict=True):
        if f.function != g.function or len(f.of.products) != len(g.of.products):
            return np.zeros_like(same)
        for p, q in zip(f.of.products, g.of.products, strict=True):
            if len(p.polynomial) != len(q.polynomial):
                return np.zeros_like(same)
            same &= (p.polynomial == q.polynomial).all(axis=0) & _alike(p, q)
    return same
