"""Noise whose size depends on the signal: magnitudes of complex values, and counts."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from onnx_si.errors import InputError, UsageError
from onnx_si.statistics.noise.covariance import LARGEST, SMALLEST, Diagonal
from onnx_si.statistics.noise.noise import Noise

Array = NDArray[np.float64]

WINDOW = 5  # pixels along each axis of space over which a local mean is taken
FEW_COUNTS, LOW_SIGNAL = (
    10.0,
    3.0,
)  # local means, in counts and in S, below which the noise is far from normal
FORMS = "rician:S or poisson:GAIN[,READ]"
FARTHEST = 40.0  # amplitudes over S from which a magnitude is normal of variance S^2 to double precision


@dataclass(frozen=True)
class Rician:
    """Magnitude of a complex value, both of whose parts have normal noise of standard deviation `std`.

    Source
    ------
    Gudbjartsson and Patz, Magnetic Resonance in Medicine 34 (1995); Koay and Basser, Journal of Magnetic
    Resonance 179 (2006), for the variance from the mean.
    """

    std: float
    name: ClassVar[str] = "rician"
    words: ClassVar[str] = "magnitudes (Rician)"

    def __str__(self) -> str:
        return f"rician:{self.std:g}"

    def variances(self, mean: Array) -> Array:
        """Variance of values by their mean; the smallest possible one below the mean of pure noise."""
        amplitudes = np.concatenate([np.linspace(0, 8, 801), np.geomspace(8.05, FARTHEST, 200)])
        half = 0.25 * amplitudes**2  # e^-x I_n(x) do not overflow
        means = math.sqrt(math.pi / 2) * (
            (1 + 2 * half) * scipy.special.ive(0, half) + 2 * half * scipy.special.ive(1, half)
        )
        spread = 2 + amplitudes**2 - means**2
        return np.asarray(self.std**2 * np.interp(mean / self.std, means, spread))

    def require_possible(self, image: Array, what: str) -> None:
        if image.min() < 0:
            raise InputError(
                f"{what} holds {image.min():g}, and a magnitude (--noise rician) is not negative"
            )

    def far_from_normal(self, mean: Array) -> Array:
        return np.asarray(mean < LOW_SIGNAL * self.std)

    def draw(self, rng: np.random.Generator, level: Array) -> Array:
        """Values of stated amplitudes."""
        real, imaginary = self.std * rng.standard_normal((2, *level.shape))
        return np.asarray(np.hypot(level + real, imaginary))


@dataclass(frozen=True)
class Poisson:
    """`gain` times a count, and normal noise of standard deviation `read` from reading it out."""

    gain: float
    read: float = 0.0
    name: ClassVar[str] = "poisson"
    words: ClassVar[str] = "counts (Poisson)"

    def __str__(self) -> str:
        return f"poisson:{self.gain:g}" + (f",{self.read:g}" if self.read else "")

    def variances(self, mean: Array) -> Array:
        """Variance of values by their mean; at least that of one count in a window."""
        least = self.gain / WINDOW**2
        return np.asarray(self.gain * np.maximum(mean, least) + self.read**2)

    def require_possible(self, image: Array, what: str) -> None:
        if not self.read and image.min() < 0:
            raise InputError(
                f"{what} holds {image.min():g}, and a count is not negative; give what reading adds: "
                "--noise poisson:GAIN,READ"
            )

    def far_from_normal(self, mean: Array) -> Array:
        return np.asarray(mean < FEW_COUNTS * self.gain)

    def draw(self, rng: np.random.Generator, level: Array) -> Array:
        """Values of stated means."""
        counts = rng.poisson(np.maximum(level, 0.0) / self.gain)
        return np.asarray(self.gain * counts + self.read * rng.standard_normal(level.shape))


Physical = Rician | Poisson


def parse_physical(text: str) -> Physical:
    """Read `rician:S` or `poisson:GAIN[,READ]`.

    Raises
    ------
    UsageError
        If it is neither.
    """
    name, _, numbers = text.partition(":")
    try:
        values = tuple(float(part) for part in numbers.split(","))
    except ValueError:
        values = ()
    sized = len(values) == 1 or (name == "poisson" and len(values) == 2)
    if name not in ("rician", "poisson") or not sized:
        raise UsageError(f"noise '{text}'; allowed are {FORMS}, with numbers")
    if not SMALLEST < values[0] < LARGEST or not all(0 <= value < LARGEST for value in values[1:]):
        raise UsageError(f"noise '{text}'; its numbers are positive, READ may be 0")
    return Rician(values[0]) if name == "rician" else Poisson(*values)


def plugged_in(kind: Physical, images: Array, axes: tuple[int, ...]) -> tuple[Noise, float]:
    """Independent noise whose variances follow from the local mean of what was observed.

    Parameters
    ----------
    kind : Rician or Poisson
    images : array
        Image and references, on a first axis of their own: all have the image's mean under a null.
    axes : tuple of int
        Of space, in one image.

    Returns
    -------
    tuple of Noise and float
        The noise, which is not known, and the share of values where it is far from normal.
    """
    for number, image in enumerate(images):
        kind.require_possible(image, f"reference {number}" if number else "the image")
    size = [WINDOW if axis in axes else 1 for axis in range(images.ndim - 1)]
    mean = scipy.ndimage.uniform_filter(images.mean(axis=0), size, mode="nearest")
    source = f"{kind}, the variance of each value by the mean around it"
    far = float(np.mean(kind.far_from_normal(mean)))
    return Noise(covariance=Diagonal(kind.variances(mean)), source=source, known=False), far
