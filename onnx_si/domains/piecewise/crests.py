"""Where the largest of several polynomials of degree 2 changes hands, on every interval of a line at once.

Between two neighbouring roots of differences of candidates their order does not change: the largest one in
the middle is the largest on the whole way.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.piecewise.crossings import NO_CROSSINGS, Crossings, concatenate
from onnx_si.domains.piecewise.roots import crossings_of_zero
from onnx_si.errors import UnsupportedModel
from onnx_si.rules.rules import Array

Index = NDArray[np.intp]
FEW = (2, 4, 8, 16)  # candidates that are compared in pairs, all at once,
AT_ONCE = 1 << 20  # numbers of that together; more candidates come one after the other


def handovers(knots: Array, values: Array, bends: Array) -> Crossings:
    """All changes of the largest candidate, by intervals and elements.

    Parameters
    ----------
    knots : array (K,)
    values : array (candidates, K, elements)
        -inf at all knots for one that is missing.
    bends : array (candidates, K - 1, elements)

    Raises
    ------
    UnsupportedModel
        If one is infinite or not a number on a part of the line.
    """
    left, right = values[:, :-1], values[:, 1:]
    missing = (left == -np.inf) & (right == -np.inf)
    if not (missing | np.isfinite(left) & np.isfinite(right) & np.isfinite(bends)).all():
        raise UnsupportedModel(
            "a maximum is taken over values that are infinite or not a number on a part of the line; check "
            "the model's weights, or choose a map in front of it"
        )
    highest = np.maximum(left, right) + 0.25 * np.maximum(-bends, 0.0)
    lowest = np.minimum(left, right) - 0.25 * np.maximum(bends, 0.0)
    alive = (highest >= lowest.max(axis=0)) & ~missing & (knots[1:] > knots[:-1])[:, None]
    count = alive.sum(axis=0)
    found = [NO_CROSSINGS]
    for interval, element, chosen in _alike(alive, count):
        at = (chosen, interval, element)
        kept = alive[at]
        low, high, bend = (
            np.where(kept, x[at], y) for x, y in ((left, -np.inf), (right, -np.inf), (bends, 0))
        )
        row, share, slope = _changes(low, high, bend)
        start, length = knots[interval[row]], knots[interval[row] + 1] - knots[interval[row]]
        place = np.clip(start + share * length, start, start + length)
        found.append(Crossings(interval=interval[row], element=element[row], at=place, slope=slope / length))
    return concatenate(found)


def _alike(alive: NDArray[np.bool_], count: NDArray[np.intp]) -> Iterator[tuple[Index, Index, Index]]:
    """Intervals and elements with about as many candidates left, and these (candidates, n)."""
    fewer = 1
    for most in (*FEW, len(alive)):
        interval, element = np.nonzero((count > fewer) & (count <= most))
        batch = max(1, AT_ONCE // max(most**3, len(alive)))
        for first in range(0, len(interval), batch):
            rows = interval[first : first + batch], element[first : first + batch]
            order = (~alive[:, rows[0], rows[1]]).argsort(axis=0, kind="stable")
            yield *rows, order[: count[rows].max()]
        fewer = max(fewer, most)


def _changes(left: Array, right: Array, bend: Array) -> tuple[Index, Array, Array]:
    """Row, share and slope of every change of the largest of candidates (m, rows)."""
    if len(left) > FEW[-1]:
        shares = _one_by_one(left, right, bend)
    else:
        pairs = np.array(list(combinations(range(len(left)), 2))).T
        with np.errstate(invalid="ignore"):
            apart = [x[pairs[0]] - x[pairs[1]] for x in (left, right, bend)]
            roots = np.concatenate(crossings_of_zero(*apart))
        shares = np.sort(np.where((roots > 0) & (roots < 1), roots, 1.0), axis=0)
    edges = np.concatenate([np.zeros((1, left.shape[1])), shares, np.ones((1, left.shape[1]))])
    middle = 0.5 * (edges[1:] + edges[:-1])
    with np.errstate(invalid="ignore"):  # of those that are not there
        there = left[:, None] * (1 - middle) + right[:, None] * middle - middle * (1 - middle) * bend[:, None]
    winner = np.where(np.isfinite(there), there, -np.inf).argmax(axis=0)
    place, row = np.nonzero((winner[1:] != winner[:-1]) & (shares < 1))
    before, after, share = winner[place, row], winner[place + 1, row], shares[place, row]
    slopes = [right[w, row] - left[w, row] - (1 - 2 * share) * bend[w, row] for w in (before, after)]
    return row, share, np.abs(slopes[1] - slopes[0])


def _one_by_one(left: Array, right: Array, bend: Array) -> Array:
    """Shares (n, rows) at which the largest candidate may change; 1 where there are fewer."""
    found = [
        _crest(np.unique(np.stack([left[:, row], right[:, row], bend[:, row]], axis=1), axis=0))
        for row in range(left.shape[1])
    ]
    shares = np.ones((max(map(len, found)), len(found)))
    for row, places in enumerate(found):
        shares[: len(places), row] = places
    return shares


def _crest(candidates: Array) -> list[float]:
    """Where the largest of candidates (n, 3) changes, each compared with the best of those before."""
    candidates = candidates[np.isfinite(candidates).all(axis=1)]
    crest = [(0.0, 1.0, 0)]
    for new in range(1, len(candidates)):
        parts: list[tuple[float, float, int]] = []
        for start, end, best in crest:
            roots = [float(root) for root in crossings_of_zero(*(candidates[new] - candidates[best]))]
            edges = [start, *sorted(root for root in roots if start < root < end), end]
            for low, high in pairwise(edges):
                winner = max(best, new, key=lambda one: _value(candidates[one], 0.5 * (low + high)))
                if parts and parts[-1][2] == winner:
                    low = parts.pop()[0]
                parts.append((low, high, winner))
        crest = parts
    return [start for start, _, _ in crest[1:]]


def _value(candidate: Array, share: float) -> float:
    left, right, bend = candidate
    return float(left + share * (right - left) - share * (1 - share) * bend)
