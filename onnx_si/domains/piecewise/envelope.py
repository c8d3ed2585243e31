"""Where the largest of several affine functions changes hands, on every interval of a line at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import UnsupportedModel
from onnx_si.rules.rules import FEW_CANDIDATES, Array, Candidates

Index = NDArray[np.intp]
ROUNDING = 8 * np.finfo(np.float64).eps


@dataclass(frozen=True, kw_only=True)
class Handovers:
    """Each change of the winner: interval, element, place, the common value there, and how fast the new
    winner leaves the old one behind.
    """

    interval: Index
    element: Index
    at: Array
    value: Array
    slope: Array


NO_HANDOVERS = Handovers(
    interval=np.empty(0, np.intp),
    element=np.empty(0, np.intp),
    at=np.empty(0),
    value=np.empty(0),
    slope=np.empty(0),
)


@dataclass(frozen=True, kw_only=True)
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
            origin=self.origin[rows],
            low=self.low[rows],
            high=self.high[rows],
            left=self.left[:, rows],
            right=self.right[:, rows],
        )


def crossings(knots: Array, candidates: Candidates, sign: int = 1) -> tuple[Array, Handovers]:
    """The largest (sign +1) or smallest of some functions at the knots, and all changes of the winner.

    Parameters
    ----------
    knots : array (K,)
    candidates : arrays (K, *shape)
        Values of each function at the knots; -inf * sign at all knots for one that is missing.
    sign : int

    Returns
    -------
    array (K, *shape)
    Handovers
        Strictly inside intervals of positive length, up to rounding; elements by their flat index.
    """
    top, winner = _winner(candidates, sign)
    changes = winner[1:] != winner[:-1]
    changes[knots[1:] <= knots[:-1]] = False
    interval, *place = np.nonzero(changes)
    if not len(interval):
        return top, NO_HANDOVERS
    left, right = (sign * np.stack([c[i, *place] for c in candidates]) for i in (interval, interval + 1))
    if not (np.isfinite(left) & np.isfinite(right) | (left == -np.inf) & (right == -np.inf)).all():
        raise UnsupportedModel(  # nothing would end the halving
            "a maximum is taken over values that are infinite or not a number on a part of the line; check "
            "the model's weights, or choose a map in front of it"
        )
    count = len(interval)
    segments = _Segments(
        origin=np.arange(count), low=np.zeros(count), high=np.ones(count), left=left, right=right
    )
    element = np.ravel_multi_index(place, top.shape[1:]) if place else np.zeros_like(interval)
    found: list[tuple[Index, Array, Array, Array]] = []
    while len(segments.origin):
        segments = _examine(segments, found)
    origin = np.concatenate([f[0] for f in found]) if found else np.empty(0, dtype=np.intp)
    share = np.concatenate([f[1] for f in found]) if found else np.empty(0)
    value = np.concatenate([f[2] for f in found]) if found else np.empty(0)
    change = np.concatenate([f[3] for f in found]) if found else np.empty(0)
    low, high = knots[interval[origin]], knots[interval[origin] + 1]
    places = np.clip(low + share * (high - low), low, high)
    return top, Handovers(
        interval=interval[origin],
        element=element[origin],
        at=places,
        value=sign * value,
        slope=change / (high - low),
    )


def _winner(candidates: Candidates, sign: int) -> tuple[Array, NDArray[np.intp] | NDArray[np.int8]]:
    """The largest (sign +1) or smallest value and the index of the first candidate that has it."""
    if len(candidates) > FEW_CANDIDATES:
        stacked = np.asarray(candidates)
        winner = stacked.argmax(axis=0) if sign > 0 else stacked.argmin(axis=0)
        return np.take_along_axis(stacked, winner[None], axis=0)[0], winner
    beats, better = (np.greater, np.maximum) if sign > 0 else (np.less, np.minimum)
    best, first = np.array(candidates[0]), np.zeros(candidates[0].shape, dtype=np.int8)
    for index, values in enumerate(candidates[1:], start=1):
        first[beats(values, best)] = index
        better(best, values, out=best)
    return best, first


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


def _examine(s: _Segments, found: list[tuple[Index, Array, Array, Array]]) -> _Segments:
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
    change = (ahead + behind) / (s.high - s.low)
    found.append((s.origin[done], place[done], middle[flatter, columns][done], change[done]))
    rest, place, middle, slack = s.pick(~done), place[~done], middle[:, ~done], slack[~done]
    before, top = _best_with_tiebreak(middle, rest.left, slack)
    after, _ = _best_with_tiebreak(middle, rest.right, slack)
    here = before != after  # others hand over exactly where the segment is cut: neither half would see it
    columns = np.arange(len(rest.origin))
    with np.errstate(invalid="ignore"):
        rise = rest.right - rest.left
    change = np.abs(rise[after, columns] - rise[before, columns]) / (rest.high - rest.low)
    found.append((rest.origin[here], place[here], top[here], change[here]))
    return _Segments(
        origin=np.concatenate([rest.origin, rest.origin]),
        low=np.concatenate([rest.low, place]),
        high=np.concatenate([place, rest.high]),
        left=np.concatenate([rest.left, middle], axis=1),
        right=np.concatenate([middle, rest.right], axis=1),
    )
