"""Where the largest of several affine functions changes hands, on every interval of a line at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.ops.rules import Array

Index = NDArray[np.intp]
ROUNDING = 8 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Handovers:
    """Each change of the winner: interval, element, place and the common value there."""

    interval: Index
    element: Index
    at: Array
    value: Array


@dataclass(frozen=True)
class _Segments:
    """Parts of intervals still to be examined: candidates (n, M) at both ends, ends as shares of the
    interval.
    """

    origin: Index
    low: Array
    high: Array
    left: Array
    right: Array

    def pick(self, rows: NDArray[np.bool_]) -> "_Segments":
        return _Segments(
            self.origin[rows], self.low[rows], self.high[rows], self.left[:, rows], self.right[:, rows]
        )


def crossings(knots: Array, candidates: Array) -> Handovers:
    """All changes of the winner.

    Parameters
    ----------
    knots : array (K,)
    candidates : array (n, K, m)
        Values of the n functions of each of m elements at the knots; -inf at all knots for one that is
        missing.

    Returns
    -------
    Handovers
        Strictly inside intervals of positive length, up to rounding.
    """
    best = _winner(candidates)
    changes = best[1:] != best[:-1]
    changes[knots[1:] <= knots[:-1]] = False
    interval, element = np.nonzero(changes)
    segments = _Segments(
        np.arange(len(interval)),
        np.zeros(len(interval)),
        np.ones(len(interval)),
        candidates[:, interval, element],
        candidates[:, interval + 1, element],
    )
    found: list[tuple[Index, Array, Array]] = []
    while len(segments.origin):
        segments = _examine(segments, found)
    origin = np.concatenate([f[0] for f in found]) if found else np.empty(0, dtype=np.intp)
    share = np.concatenate([f[1] for f in found]) if found else np.empty(0)
    value = np.concatenate([f[2] for f in found]) if found else np.empty(0)
    low, high = knots[interval[origin]], knots[interval[origin] + 1]
    return Handovers(interval[origin], element[origin], np.clip(low + share * (high - low), low, high), value)


def _winner(candidates: Array) -> NDArray[np.int32]:
    """Index of the first largest candidate; few candidates are faster one by one."""
    if len(candidates) > 32:
        return np.asarray(candidates.argmax(axis=0), dtype=np.int32)
    best, winner = candidates[0].copy(), np.zeros(candidates.shape[1:], dtype=np.int32)
    for index in range(1, len(candidates)):
        larger = candidates[index] > best
        winner[larger] = index
        np.maximum(best, candidates[index], out=best)
    return winner


def _best_with_tiebreak(values: Array, other_end: Array, slack: Array) -> tuple[Index, Array]:
    """Among the largest (up to rounding) the one that is largest at the other end; and the largest value."""
    largest = values.max(axis=0)
    tied = values >= largest - slack
    return np.where(tied, other_end, -np.inf).argmax(axis=0), largest


def _scale(s: _Segments, columns: Index) -> Array:
    """Magnitude of the winners at both ends: a candidate that never wins must not blur those that do."""
    winners = (s.left.argmax(axis=0), s.right.argmax(axis=0))
    ends = [np.abs(values[winner, columns]) for winner in winners for values in (s.left, s.right)]
    return np.asarray(np.max(ends, axis=0))


def _examine(s: _Segments, found: list[tuple[Index, Array, Array]]) -> _Segments:
    """One round: drop the segments with one winner, record the handovers, halve what holds a third
    candidate.
    """
    columns = np.arange(len(s.origin))
    slack = ROUNDING * _scale(s, columns)
    first, top_left = _best_with_tiebreak(s.left, s.right, slack)
    last, top_right = _best_with_tiebreak(s.right, s.left, slack)
    one_winner = (s.right[first, columns] >= top_right - slack) | (s.left[last, columns] >= top_left - slack)
    s, columns = s.pick(~one_winner), columns[: int((~one_winner).sum())]
    first, last, slack = first[~one_winner], last[~one_winner], slack[~one_winner]
    if not len(s.origin):
        return s
    ahead = s.left[first, columns] - s.left[last, columns]
    behind = s.right[last, columns] - s.right[first, columns]
    share = ahead / (ahead + behind)
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isfinite(s.left), s.left + share * (s.right - s.left), -np.inf)
    rise_first = np.abs(s.right[first, columns] - s.left[first, columns])
    rise_last = np.abs(s.right[last, columns] - s.left[last, columns])
    flatter = np.where(rise_first <= rise_last, first, last)
    place = s.low + share * (s.high - s.low)
    done = middle.max(axis=0) <= middle[flatter, columns] + slack
    done |= (place <= s.low) | (place >= s.high)  # no room left between the ends: a handover up to rounding
    found.append((s.origin[done], place[done], middle[flatter, columns][done]))
    rest, place, middle, slack = s.pick(~done), place[~done], middle[:, ~done], slack[~done]
    before, top = _best_with_tiebreak(middle, rest.left, slack)
    after, _ = _best_with_tiebreak(middle, rest.right, slack)
    here = before != after  # others hand over exactly where the segment is cut: neither half would see it
    found.append((rest.origin[here], place[here], top[here]))
    return _Segments(
        np.concatenate([rest.origin, rest.origin]),
        np.concatenate([rest.low, place]),
        np.concatenate([place, rest.high]),
        np.concatenate([rest.left, middle], axis=1),
        np.concatenate([middle, rest.right], axis=1),
    )
