"""The two-sided test of absolute values, P_d(|T - d| >= |t - d| given S), for every mean d at once.

Everything is seen from the statistic t, in its standard errors: y = (T - t) / se, and the mean lies m above
the statistic. For m >= 0 the values nearer to the mean than the statistic are 0 < y < 2 m, so that

    p(m) / (1 - p(m)) = (near + beyond) / between

with the masses of S at y < 0, at y > 2 m and in between. A mean below the statistic is the same in a mirror.
"""

from __future__ import annotations

import math
from typing import Protocol, Self

import numpy as np

from onnx_si.statistics.truncated.slack import Floats, log_errors

Pair = tuple[Floats, Floats]


class Seen(Protocol):
    """A truncation set as seen from the statistic: bounds of logs of masses, for means above it.

    `tail` and `between` are of the pieces that the mean at m cuts S into: y < 0 or y > 2 m, and 0 < y < 2 m.
    Masses with the same m and mean have a factor in common, which depends on these alone. In units of the
    density at the statistic the density at y > 0 grows with the mean and that at y < 0 falls; so it is in an
    exponential family in T, and for Student's t (see `Scaled`).
    """

    @property
    def exponential(self) -> bool:
        """Whether T is in an exponential family."""
        ...

    @property
    def of_intervals(self) -> bool:
        """Whether T itself lies in intervals, so that `most_tail` is known."""
        ...

    @property
    def peaks(self) -> Floats:
        """The means with the beginning of an interval at 2 m: p may be largest there, on a narrow stretch."""
        ...

    @property
    def has_above(self) -> bool: ...

    def flipped(self) -> Self:
        """The same in a mirror, so that means below the statistic are above it."""
        ...

    def tail(self, m: Floats, mean: Floats) -> Pair:
        """Mass at y < 0 or y > 2 m with the mean at `mean` >= m; the same as m in no exponential family."""
        ...

    def between(self, m: Floats, mean: Floats) -> Pair:
        """Mass at 0 < y < 2 m, of the same means."""
        ...

    def most_tail(self, m: Floats, until: Floats) -> Floats:
        """A bound of the mass at y < 0 or y > 2 m', with the mean at m', for every m' from m to `until`.

        At y = -s and at y = 2 m' + s the density is the same, and it falls in m' for every s > 0. So the mass
        at y < 0 falls; that of an interval from u on grows, as the density at y > 0 does, until 2 m' is u,
        and falls from there on: it is largest at the m' that is nearest to u / 2.
        """
        ...

    def most_beyond(self, m: Floats) -> Floats:
        """A bound of the mass at y > 2 m', with the mean at m', for every m' from m on."""
        ...


def odds_bounds(least: Seen, most: Seen, m: float) -> tuple[float, float]:
    """Bounds of log(p / (1 - p)) of the mean at m, of either sign, above the statistic.

    `least` has the masses that are certain, `most` those that are undecided as well.
    """
    if m < 0.0:
        least, most, m = least.flipped(), most.flipped(), -m
    at = np.array([m])
    (lower,), (upper,) = odds_at(least, most, at, -1.0), odds_at(most, least, at, 1.0)
    return float(lower), float(upper)


def odds_at(tail: Seen, rest: Seen, m: Floats, outwards: float) -> Floats:
    """Upper (`outwards` 1) or lower (-1) bounds of log(p / (1 - p)) of the means at m, with the tail of one
    set and the rest of another.
    """
    side = int(outwards > 0.0)
    return _odds(tail.tail(m, m)[side], rest.between(m, m)[1 - side], outwards)


def odds_from(tail: Seen, rest: Seen, m: Floats, outwards: float) -> tuple[Floats, Floats]:
    """The same, and upper bounds that hold for every mean from m on."""
    tails, rests, side = tail.tail(m, m), rest.between(m, m), int(outwards > 0.0)
    beyond = np.logaddexp(tails[1], tail.most_beyond(m))
    return _odds(tails[side], rests[1 - side], outwards), _odds(beyond, rests[0], 1.0)


def upper_odds_until(tail: Seen, rest: Seen, m: Floats, until: Floats, enough: float = -math.inf) -> Floats:
    """Upper bounds of log(p / (1 - p)) for every mean from m to `until`, for each pair of them; no closer
    than `enough`.
    """
    bounds = _odds_by_parts(tail, rest, m, until) if tail.of_intervals else np.full(len(m), math.inf)
    open_ = ~(bounds <= enough)
    if tail.exponential and open_.any():
        bounds[open_] = np.minimum(bounds[open_], _odds_at_ends(tail, rest, m[open_], until[open_]))
    return bounds


def _odds_by_parts(tail: Seen, rest: Seen, m: Floats, until: Floats) -> Floats:
    """By the most that each part of S adds to the tail, wherever in the stretch that is, and the least that
    is between. Nothing of p is lost where it falls because the mass between grows: one bound may do for all
    means beyond the end of an interval.
    """
    return _odds(tail.most_tail(m, until), rest.between(m, m)[0], 1.0)


def _odds_at_ends(tail: Seen, rest: Seen, m: Floats, until: Floats) -> Floats:
    """By p at both ends of the stretch, in an exponential family.

    p grows if S is cut at 2 m for all of these means. It is then (near + beyond) / between for three fixed
    sets, one above the other; near + beyond - c between, with three signs in a row, changes its own sign at
    most twice as the mean grows, in that order, whatever c is: the odds are at most c on one interval of
    means, and so largest at an end of the stretch.
    """
    both = np.concatenate([m, m]), np.concatenate([m, until])
    odds: Floats = _odds(tail.tail(*both)[1], rest.between(*both)[0], 1.0).reshape(2, -1).max(axis=0)
    return odds


def _odds(tail: Floats, rest: Floats, outwards: float) -> Floats:
    """Log odds with their rounding error added or taken away; without any mass nothing is known."""
    with np.errstate(invalid="ignore"):
        odds = tail - rest + outwards * (log_errors(tail) + log_errors(rest))
    result: Floats = np.where(np.isnan(odds), outwards * math.inf, odds)
    return result
