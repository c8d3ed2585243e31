"""Hypotheses, one file each: a region in, the line to search and the statistic's null distribution out.

A new one is a file with a `Hypothesis` and a line here.
"""

from onnx_si.statistics.hypotheses.all_pixels import GLOBAL
from onnx_si.statistics.hypotheses.background import BACKGROUND
from onnx_si.statistics.hypotheses.contrast import Data
from onnx_si.statistics.hypotheses.hypothesis import Hypothesis
from onnx_si.statistics.hypotheses.mean import MEAN
from onnx_si.statistics.hypotheses.neighborhood import NEIGHBORHOOD
from onnx_si.statistics.hypotheses.randomised import randomised_line
from onnx_si.statistics.hypotheses.thinned import thinned_line

HYPOTHESES = {
    "mean": MEAN,
    "background": BACKGROUND,
    "neighborhood": NEIGHBORHOOD,
    "global": GLOBAL,
}

__all__ = [
    "HYPOTHESES",
    "Data",
    "Hypothesis",
    "randomised_line",
    "thinned_line",
]
