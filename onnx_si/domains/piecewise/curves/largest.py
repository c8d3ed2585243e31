"""Which of many functions is the largest, on every interval, with all places where that changes.

An interval is halved until few candidates are left that bounds don't exclude; between two neighbouring roots
of their differences the order of these does not change.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.carried import EPS
from onnx_si.domains.judge import SELF
from onnx_si.domains.piecewise.crossings import NO_CROSSINGS, Crossings, refine
from onnx_si.domains.piecewise.curves.arithmetic import placed
from onnx_si.domains.piecewise.curves.curve import Curve, Index, Shared, Term, restriction, shares
from onnx_si.domains.piecewise.curves.expressions import GENERIC, Sums
from onnx_si.domains.piecewise.curves.signs import signs_of
from onnx_si.errors import UnsupportedModel
from onnx_si.kernels import bernstein
from onnx_si.rules.rules import Array, Maximum, Winner

Bools = NDArray[np.bool_]
FEW = 4  # candidates that are compared in pairs
DEEPEST = 20  # times that an interval is halved to have fewer


def candidates_of(rule: Maximum | Winner, xs: Sequence[Curve]) -> tuple[Curve, Bools]:
    """Candidates (candidates, elements) in a row, times the rule's sign, and which of them are there.

    Raises
    ------
    UnsupportedModel
        If a constant one is infinite or not a number.
    """
    nothing = [np.zeros((1, *x.shape)) for x in xs]
    still = np.asarray(rule.candidates(*nothing))[:, 0]
    there = ~(still == -rule.sign * np.inf)
    if not np.isfinite(still[there]).all():
        raise UnsupportedModel("a maximum is taken over constants that are infinite or not a number")
    still, all_there = np.where(there, still, 0.0), bool(there.all())

    def moved(coefficients: Sequence[Array]) -> Array:
        made = np.asarray(rule.candidates(*coefficients))
        return rule.sign * np.moveaxis(made if all_there else np.where(there[:, None], made, 0.0), 0, 1)

    degree = max(len(x.polynomial) for x in xs)
    raised = [bernstein.elevated(x.polynomial, degree - 1) for x in xs]
    terms = [Term(np.stack([moved([c[k] for c in raised]) for k in range(degree)]))]
    for i, x in enumerate(xs):
        for term in x.terms[1:]:
            rows = [np.zeros((term.over.shape[1], *one.shape)) for one in xs]
            over = [moved([*rows[:i], c, *rows[i + 1 :]]) - rule.sign * still for c in term.over]
            factors = tuple(
                Shared(f.function, f.of, _places(rule, i, f.place, nothing, still, there))
                for f in term.factors
            )
            terms.append(Term(np.stack(over), factors))
    one, other = (moved([x.bounds[i] for x in xs]) for i in (0, 1))
    return Curve(xs[0].knots, tuple(terms), (one, other) if rule.sign > 0 else (other, one)), there


def _places(
    rule: Maximum | Winner, i: int, place: Index, nothing: list[Array], still: Array, there: Bools
) -> Index:
    """A factor's places of the candidates; of constant ones they are of no account."""
    given = [*nothing[:i], place[None].astype(np.float64), *nothing[i + 1 :]]
    made = np.asarray(rule.candidates(*given))[:, 0]
    return np.where(there, np.where(there, made, 0.0) - still, 0.0).astype(np.intp)


def handovers(rule: Winner, xs: Sequence[Curve]) -> Crossings:
    """Where the largest candidate changes."""
    return contest(rule, xs).handovers()


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Candidates in a row, times a sign, and the shape of what is chosen from them; those that may be the
    largest on an interval, by intervals and elements.
    """

    every: Curve
    shape: tuple[int, ...]
    sign: int
    interval: Index
    element: Index
    candidate: Index

    @property
    def elements(self) -> int:
        """Of what is chosen."""
        return math.prod(self.shape)

    @cached_property
    def group(self) -> Index:
        """The number of each one's element on its interval, counted by intervals."""
        return self.interval * self.elements + self.element

    @cached_property
    def contested(self) -> Index:
        """Which of them are not alone."""
        same = self.group[1:] == self.group[:-1]
        return np.flatnonzero(np.append(same, False) | np.append(False, same)[: len(self.group)])

    def _rows(self, interval: Index, chosen: Index) -> Sums:
        return self.every.rows(interval, self.candidate[chosen] * self.elements + self.element[chosen])

    def handovers(self) -> Crossings:
        """Where the largest changes."""
        group, candidate = self.group[self.contested], self.candidate[self.contested]
        rows = self._rows(self.interval[self.contested], self.contested)
        pieces = [
            piece for some in _some(group) for piece in _crest(rows.pick(some), group[some], candidate[some])
        ]
        if not pieces:
            return NO_CROSSINGS
        group, start, winner = (np.concatenate(column) for column in zip(*pieces, strict=True))
        order = np.lexsort((start, group))
        group, start, winner = group[order], start[order], winner[order]
        change = np.flatnonzero((group[1:] == group[:-1]) & (winner[1:] != winner[:-1])) + 1
        interval, element = np.divmod(group[change], max(1, self.elements))
        return placed(self.every.knots, interval, element, start[change])

    def largest(self, found: Crossings) -> Curve:
        """The largest candidate, whose terms it has, on knots between which none overtakes another."""
        knots = refine(self.every.knots, found).knots
        interval, cut = restriction(self.every.knots, knots)
        winner = self._winners(interval, *shares(self.every.knots, knots))
        made = self.every.gathered(interval, winner * self.elements + np.arange(self.elements))
        made = made.mapped(cut, knots).reshaped(self.shape)
        return Curve(knots, tuple(Term(self.sign * term.over, term.factors) for term in made.terms))

    def _winners(self, interval: Index, low: Array, high: Array) -> Index:
        """The largest candidate in the middle of parts of intervals (parts, elements)."""
        first = np.flatnonzero(np.diff(self.group, prepend=-1))
        alone = np.zeros((len(self.every.knots) - 1, self.elements), np.intp)
        alone.ravel()[self.group[first]] = self.candidate[first]
        winner = alone[interval]
        start = np.searchsorted(self.interval[self.contested], [interval, interval + 1])
        count = start[1] - start[0]
        part = np.repeat(np.arange(len(interval)), count)
        chosen = self.contested[
            np.arange(count.sum()) + np.repeat(start[0] - np.cumsum(count) + count, count)
        ]
        values = self._rows(interval[part], chosen).at(0.5 * (low + high)[part])
        item = part * self.elements + self.element[chosen]
        starts = np.flatnonzero(np.diff(item, prepend=-1))
        best = first_of_largest(values, starts)
        winner.ravel()[item[starts]] = self.candidate[chosen[best]]
        return winner


def contest(rule: Maximum | Winner, xs: Sequence[Curve]) -> Contest:
    """Candidates, and those that bounds don't exclude; what has no bounds may be no number, and then wins."""
    every, there = candidates_of(rule, xs)
    shape, every = there.shape[1:], every.flat()
    there = there.reshape(len(there), -1)
    least, most = (end.reshape(-1, *there.shape) for end in every.bounds)
    least, most = np.where(np.isnan(least), -np.inf, least), np.where(np.isnan(most), np.inf, most)
    if not there.all():
        least = np.where(there, least, -np.inf)
    best = least.max(axis=1, keepdims=True)
    alive = there & ((most > best + _rounding(best)) | (least == best))
    interval, candidate, element = np.unravel_index(np.flatnonzero(alive), alive.shape)
    order = np.lexsort((candidate, element, interval))
    return Contest(
        every=every,
        shape=shape,
        sign=rule.sign,
        interval=interval[order],
        element=element[order],
        candidate=candidate[order],
    )


def _some(group: Index) -> Iterator[Index]:
    """Rows of whole groups, so many that they fit into memory."""
    most = 1 << 16
    start = 0
    while start < len(group):
        end = len(group)
        if end - start > most:
            end = max(
                int(np.searchsorted(group, group[start + most])),
                int(np.searchsorted(group, group[start], "right")),
            )
        yield np.arange(start, end)
        start = end


Piece = tuple[Index, Array, Index]


def _crest(rows: Sums, group: Index, candidate: Index) -> Iterator[Piece]:
    """Parts of [0, 1] by their group, start and largest candidate; rows are sorted by group."""
    keep = _first_of_equals(rows, group)
    rows, group, candidate = rows.pick(keep), group[keep], candidate[keep]
    low, depth = np.zeros(len(group)), 0
    while len(group):
        rows, group, candidate, low, item = _still_alive(rows, group, candidate, low)
        size = np.bincount(item)[item] if len(item) else item
        few = (size <= FEW) | (depth >= DEEPEST)
        yield from _in_pairs(rows.pick(few), group[few], candidate[few], low[few], item[few], 2.0**-depth)
        rows, depth = rows.pick(~few).halves(), depth + 1
        group, candidate = np.tile(group[~few], 2), np.tile(candidate[~few], 2)
        low = np.concatenate([low[~few], low[~few] + 2.0**-depth])


def _first_of_equals(rows: Sums, group: Index) -> Index:
    """Rows without those that are the same as one before in their group; of a group with one that is no
    number, as the largest then is, that one.
    """
    values = np.stack([rows.at(share) for share in GENERIC])
    none = np.flatnonzero(np.isnan(values).all(axis=0))
    first = none[np.unique(group[none], return_index=True)[1]]
    kept = np.flatnonzero(~np.isin(group, group[none]))
    return np.sort(np.concatenate([first, kept[_first_of_numbers(values[:, kept], group[kept])]]))


def _first_of_numbers(values: Array, group: Index) -> Index:
    """Rows that are not the same as one before in their group, by their values at a few places."""
    order = np.lexsort((np.arange(len(group)), *values, group))
    same = (np.diff(values[:, order], axis=1) == 0).all(axis=0) & (np.diff(group[order]) == 0)
    return np.sort(order[np.append(True, ~same)[: len(order)]])


def _still_alive(
    rows: Sums, group: Index, candidate: Index, low: Array
) -> tuple[Sums, Index, Index, Array, Index]:
    """Rows that may be the largest by more than rounding on their part, and one that is the largest by less;
    sorted by parts, and the number of each's part.
    """
    order = np.lexsort((candidate, low, group))
    rows, group, candidate, low = rows.pick(order), group[order], candidate[order], low[order]
    item = _numbered(group, low)
    least, most = rows.ends()
    best = np.full(item[-1] + 1 if len(item) else 0, -np.inf)
    np.maximum.at(best, item, np.where(np.isnan(least), -np.inf, least))
    best = best[item]
    alive = np.flatnonzero(~(most <= best + _rounding(best)) | (least == best))
    group, low = group[alive], low[alive]
    return rows.pick(alive), group, candidate[alive], low, _numbered(group, low)


def _rounding(values: Array) -> Array:
    return SELF * EPS * np.where(np.isfinite(values), np.abs(values), 0.0)


def _numbered(group: Index, low: Array) -> Index:
    """The number of each row's part, of rows that are sorted by parts."""
    new = (np.diff(group) != 0) | (np.diff(low) != 0)
    return np.concatenate([np.zeros(min(1, len(group)), np.intp), np.cumsum(new)])


def _in_pairs(
    rows: Sums, group: Index, candidate: Index, low: Array, item: Index, width: float
) -> Iterator[Piece]:
    """The same of parts with few candidates: between the roots of the differences of any two of these."""
    if not len(item):
        return
    _, first, of, size = np.unique(item, return_index=True, return_inverse=True, return_counts=True)
    a, b = _pairs(first, size)
    one, other = rows.pick(a), rows.pick(b)
    apart = Sums((*one.products, *other.times(-1.0).products)).merged()
    pair, share = signs_of(apart, one.rounding() + other.rounding()).changes()
    parts = np.arange(len(first))
    part = np.concatenate([parts, parts, of[a[pair]]])
    share = np.concatenate([np.zeros(len(first)), np.ones(len(first)), share])
    order = np.lexsort((share, part))
    part, share = part[order], share[order]
    inner = np.flatnonzero((part[1:] == part[:-1]) & (share[1:] > share[:-1]))
    part, start, end = part[inner], share[inner], share[inner + 1]
    count = size[part]
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    member = np.repeat(first[part], count) + within
    values = rows.pick(member).at(np.repeat(0.5 * (start + end), count))
    values = np.where(np.isnan(values), -np.inf, values)
    best = member[first_of_largest(values, np.cumsum(count) - count)]
    yield group[best], low[best] + width * start, candidate[best]


def _pairs(first: Index, size: Index) -> tuple[Index, Index]:
    """Any two of the rows of each part, of which so many are in a row from the first one on."""
    found = [np.empty((2, 0), np.intp)]
    for count in np.unique(size):
        two = np.array(list(combinations(range(count), 2)), np.intp).reshape(-1, 2).T
        found.append((first[size == count][:, None] + two[:, None]).reshape(2, -1))
    a, b = np.concatenate(found, axis=1)
    return a, b


def first_of_largest(values: Array, starts: Index) -> Index:
    """Where the first of the largest values is in each stretch of an array: what is no number, if any is."""
    length = np.diff(np.append(starts, len(values)))
    largest = np.repeat(np.maximum.reduceat(values, starts), length)
    places = np.flatnonzero((values == largest) | np.isnan(values))
    return places[np.searchsorted(places, starts)]
