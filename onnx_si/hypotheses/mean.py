"""Hypothesis `mean`: the region's mean equals the same pixels' mean in the reference."""

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import UsageError
from onnx_si.hypotheses.contrast import Data, contrast_line
from onnx_si.search.problem import TestLine


def mean(data: Data, region: NDArray[np.bool_]) -> TestLine:
    """Line of the difference between the means over the region (all channels) of image and reference.

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
    if data.reference is None:
        raise UsageError(
            "hypothesis 'mean' compares with a reference image: give --reference, or --hypothesis background"
        )
    weights = region / np.count_nonzero(region)
    return contrast_line(data, weights, -weights)
