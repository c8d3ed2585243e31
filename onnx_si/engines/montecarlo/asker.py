"""Asks the black box, and remembers: the same place is never asked about twice."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Wrong = Callable[[Array], NDArray[np.intp]]


class Asker:
    """How many pixels are on the wrong side at coordinates of the line; none: the place is in S.

    Parameters
    ----------
    wrong : callable
        Of places on the line, any number of them.
    place : callable
        From coordinates to places.
    """

    def __init__(self, wrong: Wrong, place: Callable[[Array], Array]):
        self._wrong, self._place = wrong, place
        self._known: dict[float, int] = {}
        self.passes = 0

    def __call__(self, coordinates: Array) -> NDArray[np.intp]:
        """Pixels on the wrong side at each coordinate."""
        wanted = coordinates.ravel().tolist()
        new = [x for x in dict.fromkeys(wanted) if x not in self._known]
        if new:
            asked = np.array(new)
            self.passes += len(new)
            answers = self._wrong(self._place(asked)).tolist()
            self._known.update(zip(new, answers, strict=True))
        found = np.array([self._known[x] for x in wanted], dtype=np.intp)
        return found.reshape(coordinates.shape)
