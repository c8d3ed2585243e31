"""Asks the black box, and remembers: the same place is never asked about twice."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Outside = Callable[[Array], Array]
Inside = Callable[[Array], NDArray[np.bool_]]


class Asker:
    """How far outside of S coordinates of the line are; a place in S is not above zero.

    Parameters
    ----------
    outside : callable
        Places on the line, any number of them -> a number for each: at most zero in S, else positive and the
        larger the more the map has to change. Only its sign decides; its size tells where to look for S.
    place : callable
        From coordinates to places.
    low, high : float
        Of the coordinates that the law reaches; others are never asked about, and outside.
    inside : callable, optional
        Places -> whether `outside` is not above zero, where that can be told in less time.
    """

    def __init__(
        self,
        outside: Outside,
        place: Callable[[Array], Array],
        low: float = -math.inf,
        high: float = math.inf,
        inside: Inside | None = None,
    ):
        self._outside, self._place, self._low, self._high = outside, place, low, high
        self._inside: Inside = inside or (lambda places: self._outside(places) <= 0)
        self._known: dict[float, float] = {}
        self.passes = 0

    def inside(self, coordinates: Array) -> NDArray[np.bool_]:
        """Whether each coordinate is in S."""
        return np.asarray(self(coordinates) <= 0)

    def again(self, coordinates: Array) -> NDArray[np.bool_]:
        """Whether each coordinate is in S, asked about whatever is known of it, and not remembered."""
        self.passes += len(coordinates)
        return self._inside(self._place(coordinates)) if len(coordinates) else np.zeros(0, np.bool_)

    def beside(self, coordinates: Array, others: Array) -> NDArray[np.bool_]:
        """The same, with others that are remembered in the same question."""
        answers = self._outside(self._place(np.concatenate([coordinates, others])))
        self.passes += len(answers)
        self._known.update(zip(others.tolist(), answers[len(coordinates) :].tolist(), strict=True))
        return np.asarray(answers[: len(coordinates)] <= 0)

    def __call__(self, coordinates: Array) -> Array:
        """How far outside of S each coordinate is."""
        wanted, known = coordinates.ravel().tolist(), self._known
        new = [x for x in dict.fromkeys(wanted) if x not in known]
        if new and not (self._low <= min(new) and max(new) <= self._high):
            known.update((x, math.inf) for x in new if not self._low <= x <= self._high)
            new = [x for x in new if self._low <= x <= self._high]
        if new:
            self.passes += len(new)
            answers = self._outside(self._place(np.array(new)))
            known.update(zip(new, answers.tolist(), strict=True))
            if len(new) == len(wanted):
                return np.asarray(answers, dtype=np.float64).reshape(coordinates.shape)
        return np.array([known[x] for x in wanted], dtype=np.float64).reshape(coordinates.shape)
