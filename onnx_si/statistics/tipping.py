"""How wrong the size of the noise may be before the decision is another one."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from onnx_si.statistics.truncated.brent import find_root
from onnx_si.statistics.truncated.scales import Scales

REACH = 100.0  # factor by which the noise is made larger or smaller at most
FIRST = 0.25  # logarithm of the factor of the first step, where the p-value need not grow with the noise,
LARGEST = 1.0  # of the largest,
NEAREST = 1e-6  # and the distance at which the end of a decision is known well enough
LEAST = 5e-324  # the smallest number: stands for a p-value of 0 in logarithms
GROWS = 4.0  # steps beyond that end, each so many times as far


@dataclass(frozen=True)
class Tipping:
    """What is certain of the decision at other sizes of the noise, as factors of the one that is taken.

    Parameters
    ----------
    rejects : bool
        The decision as it is.
    holds : (float, float)
        Between these it is the same for certain; at most `REACH`, either way.
    turned : (float or None, float or None)
        The nearest factors below and above at which it is the other one for certain.
    """

    rejects: bool
    holds: tuple[float, float]
    turned: tuple[float | None, float | None]

    @property
    def nearest(self) -> tuple[float, float] | None:
        """A stretch that certainly holds the turn nearest to 1: where the decision still holds, where it does
        not. None where no turn was found, or not which is nearer.
        """
        ways = [
            (abs(math.log(turned)), abs(math.log(self.holds[1 - side])), (self.holds[side], turned))
            for side, turned in enumerate(self.turned)
            if turned is not None
        ]
        return next((stretch for far, other, stretch in ways if far <= other), None)


def decision(bounds: tuple[float, float], alpha: float) -> bool | None:
    """Whether the test rejects; None where the bounds don't tell."""
    if bounds[1] <= alpha:
        return True
    return False if bounds[0] > alpha else None


def tipping(scales: Scales, alpha: float, nearest: float = NEAREST) -> Tipping | None:
    """Where the decision at alpha turns, as far as S is known.

    Parameters
    ----------
    scales : Scales
    alpha : float
    nearest : float
        Relative distance within which the ends of the decision are found.

    Returns
    -------
    Tipping or None
        None where the decision is not certain as it is.
    """
    rejects = decision(scales.at(1.0), alpha)
    if rejects is None:
        return None
    ways = [_Way(scales=scales, alpha=alpha, rejects=rejects, sign=sign, nearest=nearest) for sign in (-1, 1)]
    ends = [way.held() for way in ways]
    turns = [way.turned(end) for way, end in zip(ways, ends, strict=True)]
    below, above = (way.factor(end) for way, end in zip(ways, ends, strict=True))
    first, second = (
        None if turn is None else way.factor(turn) for way, turn in zip(ways, turns, strict=True)
    )
    return Tipping(rejects, (below, above), (first, second))


@dataclass(frozen=True, kw_only=True)
class _Way:
    """Towards larger or smaller sizes, in logarithms of factors."""

    scales: Scales
    alpha: float
    rejects: bool
    sign: int
    nearest: float

    @property
    def end(self) -> float:
        return math.log(REACH)

    def factor(self, far: float) -> float:
        return REACH**self.sign if far == self.end else math.exp(self.sign * far)

    def held(self) -> float:
        """How far the decision is proven to be the same."""
        if self.scales.monotone:
            return self._held_up_to_one()
        at, step = 0.0, FIRST
        while at < self.end and step >= self.nearest:
            place = min(at + step, self.end)
            if self._same(at, place):
                at, step = place, min(2 * step, LARGEST)
            else:
                step /= 2
        return at

    def _held_up_to_one(self) -> float:
        """Where the p-value grows with the noise: up to the one place where its bound is alpha."""
        if self._is_the_same(self.end):
            return self.end
        at, back = self._root(0.0, self.rejects), 0.5 * self.nearest
        while at > back and not self._is_the_same(at - back):
            back *= 2
        return max(at - back, 0.0)

    def _is_the_same(self, place: float) -> bool:
        return decision(self.scales.at(self.factor(place)), self.alpha) is self.rejects

    def _root(self, start: float, upper: bool) -> float:
        """Where the upper or the lower bound of the p-value is alpha, between a place and the end."""

        def excess(place: float) -> float:
            return math.log(max(self.scales.at(self.factor(place))[upper], LEAST) / self.alpha)

        return find_root(excess, start, self.end, xtol=0.5 * self.nearest)

    def _same(self, near: float, far: float) -> bool:
        """Whether it is the same on all of a stretch whose near end is known."""
        low, high = sorted((self.factor(near), self.factor(far)))
        return decision(self.scales.between(low, high), self.alpha) is self.rejects

    def turned(self, held: float) -> float | None:
        """The nearest place beyond at which the decision is found to be the other one."""
        if self.scales.monotone:
            return self._turned_for_good(held)
        before = held
        for place in self._beyond(held):
            if self._other(place):
                return self._bisected(before, place)
            before = place
        return None

    def _turned_for_good(self, held: float) -> float | None:
        """Where the p-value grows with the noise: the one place where its other bound is alpha."""
        if held >= self.end:
            return None
        at, step = min(held + self.nearest, self.end), 0.5 * self.nearest
        if self._other(at) or not self._other(self.end):
            return at if self._other(at) else None
        at = self._root(at, not self.rejects)
        while not self._other(place := min(at + step, self.end)):
            step *= 2
        return place

    def _beyond(self, held: float) -> Iterator[float]:
        step = self.nearest
        while held + step < self.end:
            yield held + step
            step *= GROWS
        if held < self.end:
            yield self.end

    def _other(self, place: float) -> bool:
        return decision(self.scales.at(self.factor(place)), self.alpha) is (not self.rejects)

    def _bisected(self, near: float, far: float) -> float:
        """Between a place where it is not known to be the other one and one where it is."""
        while far - near > self.nearest:
            middle = 0.5 * (near + far)
            near, far = (near, middle) if self._other(middle) else (middle, far)
        return far
