"""Hypothesis `background`: the region's mean equals the mean of everything else in the image."""

from onnx_si.statistics.hypotheses.contrast import Data, Mask, contrast_line, difference_of_means
from onnx_si.statistics.hypotheses.hypothesis import Hypothesis
from onnx_si.statistics.line import ImageLine


def background(data: Data, region: Mask) -> ImageLine:
    """Line of the difference between the means inside and outside the region.

    Parameters
    ----------
    data : Data
    region : boolean array
        In the image's shape; neither empty nor all that may enter the test.
    """
    return contrast_line(data, difference_of_means(region, data.outside(region)))


BACKGROUND = Hypothesis(
    line=background,
    null="the region's mean is the mean of all other pixels",
    if_true="the region differed from the rest of the image by noise alone",
)
