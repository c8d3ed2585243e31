"""The noise of the image: independent, normal, with one standard deviation; known, or estimated from the
image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import InputError, UsageError

MAD_OF_NORMAL = 0.6744897501960817  # median absolute deviation of N(0, 1)
SMALLEST, LARGEST = 1e-150, 1e150  # the variance must be a number too


@dataclass(frozen=True)
class Noise:
    """Standard deviation of every pixel, where it comes from, and whether it was known before the image
    was seen.
    """

    std: float
    source: str
    known: bool

    def __post_init__(self) -> None:
        if not SMALLEST < self.std < LARGEST:
            raise UsageError(f"noise standard deviation {self.std:g}; it must be a positive number")

    def times(self, direction: NDArray[np.float64]) -> NDArray[np.float64]:
        """The covariance matrix times a direction."""
        return self.std**2 * direction


def estimate_from_image(image: NDArray[np.float64], spatial_axes: tuple[int, ...]) -> Noise:
    """Robust estimate from the finest Haar details of the image itself.

    Parameters
    ----------
    image : array
    spatial_axes : tuple of int
        Differences are taken along each of them, so that smooth content drops out.

    Raises
    ------
    InputError
        If the image is too small or too flat for it.

    Source
    ------
    Donoho and Johnstone, Biometrika 81 (1994), section 3.1: median absolute detail divided by 0.6745.
    """
    detail = image
    for axis in spatial_axes:
        pairs = detail.shape[axis] // 2
        even = np.take(detail, np.arange(0, 2 * pairs, 2), axis=axis)
        odd = np.take(detail, np.arange(1, 2 * pairs, 2), axis=axis)
        detail = (even - odd) / np.sqrt(2)
    std = float(np.median(np.abs(detail))) / MAD_OF_NORMAL if detail.size else 0.0
    if not std > 0:
        raise InputError(
            "the noise can't be estimated from this image (too small, or half of it is flat); give --sigma"
        )
    return Noise(std, "estimated from the image (median absolute Haar detail)", known=False)
