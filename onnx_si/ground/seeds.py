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


def child_of(rng: np.random.Generator) -> Callable[[], np.random.Generator]:
    """The next child of a generator, the same as `spawn` gives, but made where it is called for."""
    seeds = rng.bit_generator.seed_seq
    if not isinstance(seeds, np.random.SeedSequence):
        (child,) = rng.spawn(1)
        return lambda: child
    (seed,) = seeds.spawn(1)
    return lambda: np.random.Generator(type(rng.bit_generator)(seed))
