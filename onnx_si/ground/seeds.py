"""Random numbers that follow from a seed and from the data they are used on."""

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

WHY_MIXED = (
    "what is drawn follows from the seed and the image (and its references): no two images share draws"
)


def generator(seed: int, *arrays: ArrayLike) -> np.random.Generator:
    """A generator for one test: the same seed and arrays give the same draws, any other array others.

    With the seed alone a batch of images would share its draws, and so its p-values would be dependent.

    Parameters
    ----------
    seed : int
        Not negative.
    *arrays : arrays
        Shapes, and values as float64, are mixed in by SHA-256.
    """
    digest = hashlib.sha256(f"onnx-si {seed}".encode())
    for array in arrays:
        values = np.ascontiguousarray(array, dtype="<f8")
        digest.update(repr(values.shape).encode())
        digest.update(values.tobytes())
    return np.random.default_rng(int.from_bytes(digest.digest(), "little"))


class Children:
    """The children of a generator, the same as `spawn` gives one after the other, each made where it is used.

    Parameters
    ----------
    rng : Generator
        Nothing else may spawn from it.
    """

    def __init__(self, rng: np.random.Generator):
        self._rng, self._count = rng, 0
        self._made: list[np.random.Generator] = []

    def next(self) -> Callable[[], np.random.Generator]:
        """What makes the next child, or gives it again."""
        number = self._count
        self._count += 1
        return lambda: self._numbered(number)

    def _numbered(self, number: int) -> np.random.Generator:
        self._made += self._rng.spawn(max(0, number + 1 - len(self._made)))
        return self._made[number]
