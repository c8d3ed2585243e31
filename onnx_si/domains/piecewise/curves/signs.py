"""Where functions on [0, 1] are above zero and where below, with every change of sign found.

An interval is halved until bounds tell the sign of the function on it, or that it rises or falls all along:
then there is at most one root, and the values at both ends tell whether there is. Where it turns back within
the slack of zero, rounding makes two roots or none, and nothing is said.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.carried import EPS
from onnx_si.domains.piecewise.curves.expressions import Sums
from onnx_si.domains.piecewise.curves.twins import as_good_as_equal
from onnx_si.errors import Refusal
from onnx_si.rules.rules import Array

Index = NDArray[np.intp]
Bools = NDArray[np.bool_]
NARROWEST = 2.0**-44  # share of an interval on which no more is asked: a pole, or a root of many
ROUNDS = 200  # of closing in on a root at most
MANY = 16  # parts of each row that are open, from which it is asked whether functions are as good as equal,
MOST = 1 << 20  # and of all rows, at which it is given up
CLOSEST = 2.0**-52  # share of an interval: where a root is known
UNTOLD = (
    "two ratios, roots or products along the line are equal, or so nearly that bounds can't tell them apart"
)


@dataclass(frozen=True, kw_only=True)
class Signs:
    """Parts of [0, 1] by rows and in order: 1 above zero, -1 below, 0 where nothing is said."""

    row: Index
    low: Array
    high: Array
    sign: NDArray[np.int8]

    def where(self, sign: int) -> tuple[Index, Array, Array]:
        """Rows and ends of the parts of one sign."""
        chosen = self.sign == sign
        return self.row[chosen], self.low[chosen], self.high[chosen]

    def changes(self) -> tuple[Index, Array]:
        """Rows and shares at which the sign changes, or nothing is said any more."""
        inner = (self.row[1:] == self.row[:-1]) & (self.sign[1:] != self.sign[:-1])
        return self.row[1:][inner], self.low[1:][inner]


@dataclass
class _Found:
    """Parts that are settled, as lists of arrays."""

    parts: list[tuple[Index, Array, Array, NDArray[np.int8]]]

    def add(self, chosen: Bools, row: Index, low: Array, high: Array, sign: NDArray[np.int8] | int) -> None:
        """Keep chosen parts."""
        if chosen.any():
            signs = np.broadcast_to(np.asarray(sign, np.int8), row.shape)
            self.parts.append((row[chosen], low[chosen], high[chosen], signs[chosen]))

    def sorted(self) -> Signs:
        row, low, high, sign = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        order = np.lexsort((low, row))
        return Signs(row=row[order], low=low[order], high=high[order], sign=sign[order])


def signs_of(sums: Sums, slack: Array | float) -> Signs:
    """The signs of all rows on [0, 1]; their values may be off by the slack.

    Raises
    ------
    Refusal
        If bounds can tell neither that a function is zero nor that it is not.
    """
    found, row, slack = _Found([]), np.arange(sums.count), np.broadcast_to(slack, sums.count)
    low, high, part = np.zeros(len(row)), np.ones(len(row)), sums.grouped()
    while len(row):
        (least, most), (flattest, steepest) = part.bounds()
        near = slack[row]
        above, below = least > near, most < -near
        steady = ((flattest > 0) | (steepest < 0)) & ~above & ~below
        found.add(above, row, low, high, 1)
        found.add(below, row, low, high, -1)
        _settle(found, part.pick(steady), row[steady], low[steady], high[steady])
        within = (least >= -near) & (most <= near) | (high - low <= NARROWEST)
        open_ = ~(above | below | steady)
        unknown = np.flatnonzero(open_ & ~np.isfinite([least, most, flattest, steepest]).all(axis=0))
        if len(unknown):
            within[unknown] |= part.pick(unknown).no_numbers()
        if len(row) > MANY * sums.count:
            within |= as_good_as_equal(part.apart(), near)
        last = open_ & within
        found.add(last, row, low, high, 0)
        rest = np.flatnonzero(open_ & ~within)
        if len(rest) > MOST:
            raise Refusal(UNTOLD, "take --engine monte-carlo, which asks the runtime alone")
        if not len(rest):
            break
        part, middle = part.pick(rest).halves(), 0.5 * (low[rest] + high[rest])
        row = np.concatenate([row[rest]] * 2)
        low, high = np.concatenate([low[rest], middle]), np.concatenate([middle, high[rest]])
    if not found.parts:
        nothing = np.empty(0)
        return Signs(row=np.empty(0, np.intp), low=nothing, high=nothing, sign=np.empty(0, np.int8))
    return _widened(found.sorted(), sums, slack)


def _settle(found: _Found, part: Sums, row: Index, low: Array, high: Array) -> None:
    """Functions that rise or fall all along have one root, or none."""
    if not len(row):
        return
    first, last = part.at(0.0), part.at(1.0)
    crosses = (first < 0) & (last > 0) | (first > 0) & (last < 0)
    plain = np.where(first + last > 0, 1, -1).astype(np.int8)
    found.add(~crosses, row, low, high, plain)
    if crosses.any():
        row, low, high = row[crosses], low[crosses], high[crosses]
        start = np.where(first[crosses] > 0, 1, -1).astype(np.int8)
        at = low + (high - low) * _root(part.pick(crosses), first[crosses], last[crosses])
        every = np.ones(len(row), np.bool_)
        found.add(every, row, low, at, start)
        found.add(every, row, at, high, -start)


def _root(part: Sums, left: Array, right: Array) -> Array:
    """The root of functions with values of different sign at 0 and 1.

    By turns a secant step, and one twice as long from the end that is nearer to the root, which lands on its
    other side and so brings both ends close; by halves where that is slow.

    Source
    ------
    Alefeld, Potra and Shi, "Algorithm 748: enclosing zeros of continuous functions", ACM Transactions on
    Mathematical Software 21 (1995), 327-344.
    """
    low, high = np.zeros(part.count), np.ones(part.count)
    held = _Bracket(part=part, low=low, high=high, left=left, right=right)
    rounding = EPS * np.maximum(part.size_at(0.0), part.size_at(1.0))
    for _ in range(ROUNDS):
        width = held.high - held.low
        if (
            (width <= CLOSEST) | (held.right - held.left <= rounding) & (held.left - held.right <= rounding)
        ).all():
            break
        held.look(held.high - held.right * held.run)
        nearer = np.abs(held.left) < np.abs(held.right)
        end = np.where(nearer, held.low, held.high)
        step = 2 * np.where(nearer, held.left, held.right) * held.run
        held.look(np.where(np.abs(step) < 0.5 * (held.high - held.low), end - step, np.nan))
        slow = (held.high - held.low > 0.5 * width) & (width > CLOSEST)
        if slow.any():
            held.look(np.full(part.count, np.nan))
    return np.clip(0.5 * (held.low + held.high), 0.0, 1.0)


@dataclass(kw_only=True)
class _Bracket:
    """Places between which each function has its root, and the values there."""

    part: Sums
    low: Array
    high: Array
    left: Array
    right: Array

    @property
    def run(self) -> Array:
        """How far a function goes for a rise of one."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self.high - self.low) / (self.right - self.left)

    def look(self, share: Array) -> None:
        """Look at a place in each bracket, or in the middle where it is not inside."""
        share = np.where((share > self.low) & (share < self.high), share, 0.5 * (self.low + self.high))
        value = self.part.at(share)
        hit, beyond = value == 0, (value > 0) == (self.right > 0)
        self.low, self.left = np.where(beyond & ~hit, (self.low, self.left), (share, value))
        self.high, self.right = np.where(beyond | hit, (share, value), (self.high, self.right))


def _widened(signs: Signs, sums: Sums, slack: Array) -> Signs:
    """What is not told reaches as far as values stay within twice the slack of zero."""
    unclear = np.flatnonzero(signs.sign == 0)
    if not len(unclear):
        return signs
    row, ends = signs.row[unclear], [signs.low[unclear].copy(), signs.high[unclear].copy()]
    functions, reach = sums.pick(row), 2 * slack[row]
    for end, sign in zip(ends, (-1.0, 1.0), strict=True):
        step = signs.high[unclear] - signs.low[unclear]
        going = np.ones(len(row), np.bool_)
        while going.any():
            at = np.clip(end + sign * step, 0.0, 1.0)
            end[going] = at[going]
            going &= (at > 0) & (at < 1) & ~(np.abs(functions.at(at)) > reach)
            step = step * 2
    return _cut(signs, *_joined(row, *ends))


def _joined(row: Index, low: Array, high: Array) -> tuple[Index, Array, Array]:
    """Parts that overlap as one."""
    kept: list[tuple[int, float, float]] = []
    for r, a, b in sorted(zip(row.tolist(), low.tolist(), high.tolist(), strict=True)):
        if kept and kept[-1][0] == r and a <= kept[-1][2]:
            a, b = kept[-1][1], max(b, kept.pop()[2])
        kept.append((r, a, b))
    rows, starts, ends = zip(*kept, strict=True)
    return np.array(rows), np.array(starts), np.array(ends)


def _cut(signs: Signs, row: Index, low: Array, high: Array) -> Signs:
    """Parts without what is not told, and that."""
    found = _Found([])
    starts, ends = signs.low.copy(), signs.high.copy()
    for r, a, b in zip(row.tolist(), low.tolist(), high.tolist(), strict=True):
        mine = signs.row == r
        starts = np.where(mine & (starts >= a) & (starts < b), b, starts)
        ends = np.where(mine & (ends > a) & (ends <= b), a, ends)
    found.add((signs.sign != 0) & (ends > starts), signs.row, starts, ends, signs.sign)
    found.add(np.ones(len(row), np.bool_), row, low, high, 0)
    return found.sorted()
