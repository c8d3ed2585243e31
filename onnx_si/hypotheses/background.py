"""Hypothesis `background`: the region's mean equals the mean of everything else in the image."""

import numpy as np
from numpy.typing import NDArray

from onnx_si.hypotheses.contrast import Data, contrast_line
from onnx_si.search.problem import TestLine


def background(data: Data, region: NDArray[np.bool_]) -> TestLine:
    """Line of the difference between the means (all channels) inside and outside the region.

    Parameters
    ----------
    data : Data
    region : boolean array
        In the image's shape; neither empty nor full.
    """
    inside = np.count_nonzero(region)
    weights = np.where(region, 1 / inside, -1 / (region.size - inside))
    return contrast_line(data, weights)
