"""Hypothesis `neighborhood`: the region's mean equals the mean of a ring around it."""

import itertools

import numpy as np
import scipy  # loads its parts when they are used

from onnx_si.errors import InputError, NothingToTest
from onnx_si.statistics.hypotheses.contrast import Data, Mask, contrast_line, difference_of_means
from onnx_si.statistics.hypotheses.hypothesis import Hypothesis
from onnx_si.statistics.line import ImageLine

SAME = 1e-12  # share of a width by which a distance is as large: sizes such as 0.7 mm are rounded


def ring_around(region: Mask, width: int, spatial_axes: tuple[int, ...]) -> Mask:
    """All values at most `width` pixels away from the region along every axis of space, without the region.

    Parameters
    ----------
    region : boolean array
    width : int
        At least 1.
    spatial_axes : tuple of int
        One, two or three; channels are never mixed.
    """
    size = [2 * width + 1 if axis in spatial_axes else 1 for axis in range(region.ndim)]
    wide = scipy.ndimage.maximum_filter(region.astype(np.uint8), size=size, mode="constant", cval=0)
    return (wide > 0) & ~region


def within_millimetres(
    region: Mask, width: float, spacing: tuple[float, ...], spatial_axes: tuple[int, ...]
) -> Mask:
    """All values whose centres are at most `width` mm from that of a value of the region, without the region.

    Parameters
    ----------
    region : boolean array
    width : float
    spacing : tuple of float
        Size of a pixel in mm along each axis of space.
    spatial_axes : tuple of int
    """
    found = np.zeros(region.shape, np.bool_)
    others = [range(n) for axis, n in enumerate(region.shape) if axis not in spatial_axes]
    for place in itertools.product(*others):
        rest = iter(place)
        index = tuple(slice(None) if axis in spatial_axes else next(rest) for axis in range(region.ndim))
        if region[index].any():
            distance = scipy.ndimage.distance_transform_edt(~region[index], sampling=spacing)
            found[index] = distance <= width * (1 + SAME)
    return found & ~region


def _ring(data: Data, region: Mask) -> tuple[Mask, str]:
    if data.ring_mm is None:
        return ring_around(region, data.ring, data.spatial_axes), f"{data.ring} pixels"
    if data.spacing is None:
        raise InputError(
            "--ring-mm: the image's file does not say how large a pixel is; give --pixel-size, or --ring"
        )
    ring = within_millimetres(region, data.ring_mm, data.spacing, data.spatial_axes)
    return ring, f"{data.ring_mm:g} mm"


def neighborhood(data: Data, region: Mask) -> ImageLine:
    """Line of the difference between the means over the region and over a ring around it.

    Parameters
    ----------
    data : Data
        With the ring's width and the axes of space.
    region : boolean array
        In the image's shape.

    Raises
    ------
    NothingToTest
        If no value of the ring may enter the test.
    """
    ring, width = _ring(data, region)
    ring &= data.outside(region)
    if not ring.any():
        raise NothingToTest(
            f"no pixel of the ring of {width} around the region may count; widen the mask or --ring",
            pixels=int(np.count_nonzero(region)),
            size=region.size,
        )
    return contrast_line(data, difference_of_means(region, ring))


NEIGHBORHOOD = Hypothesis(
    line=neighborhood,
    null="the region's mean is the mean of a ring around it",
    if_true="the region differed from its neighbourhood by noise alone",
)
