"""Hypothesis `neighborhood`: the region's mean equals the mean of a ring around it."""

import numpy as np
import scipy  # loads its parts when they are used

from onnx_si.errors import NothingToTest
from onnx_si.statistics.hypotheses.contrast import Data, Mask, contrast_line, difference_of_means
from onnx_si.statistics.hypotheses.hypothesis import Hypothesis
from onnx_si.statistics.line import ImageLine


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
    ring = ring_around(region, data.ring, data.spatial_axes) & data.outside(region)
    if not ring.any():
        raise NothingToTest(
            f"no pixel of the ring of {data.ring} pixels around the region may count; "
            "widen the mask or --ring",
            pixels=int(np.count_nonzero(region)),
            size=region.size,
        )
    return contrast_line(data, difference_of_means(region, ring))


NEIGHBORHOOD = Hypothesis(
    line=neighborhood,
    null="the region's mean is the mean of a ring around it",
    if_true="the region differed from its neighbourhood by noise alone",
)
