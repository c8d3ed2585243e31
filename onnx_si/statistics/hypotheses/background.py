"""Hypothesis `background`: the region's mean equals the mean of everything else in the image."""

import numpy as np

from onnx_si.errors import NothingToTest
from onnx_si.statistics.hypotheses.contrast import Data, Mask, contrast_line, difference_of_means
from onnx_si.statistics.hypotheses.hypothesis import Hypothesis
from onnx_si.statistics.line import ImageLine


def background(data: Data, region: Mask) -> ImageLine:
    """Line of the difference between the means inside and outside the region.

    Parameters
    ----------
    data : Data
    region : boolean array
        In the image's shape, not empty.

    Raises
    ------
    NothingToTest
        If no other value may enter the test.
    """
    others = data.outside(region)
    if not others.any():
        raise NothingToTest(
            "no pixel outside of the region may count: those that the noise is estimated from enter no mean; "
            "name fewer pixels in --sigma-from, or widen the mask",
            pixels=int(np.count_nonzero(region)),
            size=region.size,
        )
    return contrast_line(data, difference_of_means(region, others))


BACKGROUND = Hypothesis(
    line=background,
    null="the region's mean is the mean of all other pixels",
    if_true="the region differed from the rest of the image by noise alone",
)
