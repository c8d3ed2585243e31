"""Hypothesis `mean`: the region's mean equals the same pixels' mean in the reference."""

import numpy as np

from onnx_si.statistics.hypotheses.contrast import Data, Mask, contrast_line
from onnx_si.statistics.hypotheses.hypothesis import Hypothesis, reference_of
from onnx_si.statistics.line import ImageLine


def mean(data: Data, region: Mask) -> ImageLine:
    """Line of the difference between the means over the region of image and reference.

    Parameters
    ----------
    data : Data
    region : boolean array
        In the image's shape.

    Raises
    ------
    UsageError
        Without a reference.

    Source
    ------
    Miwa, Duy, Takeuchi, ICLR 2023, equation 4; K references are averaged, with noise Sigma / K.
    """
    reference_of(data, "mean")
    weights = region / np.count_nonzero(region)
    return contrast_line(data, weights, -weights)


MEAN = Hypothesis(
    line=mean,
    null="the region's mean is the mean of the same pixels in the reference",
    if_true="the region differed from the reference by noise alone",
    needs_reference=True,
)
