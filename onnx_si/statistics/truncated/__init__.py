"""Truncated normal, chi, t and F distributions: p-value bounds, confidence intervals, estimates.

Everything is computed with logarithms of masses, so that a statistic 40 standard deviations out, or a
truncation set made of slivers, gives the same relative accuracy as a plain z-test.
"""

from onnx_si.statistics.truncated.bounds import Alternative, decided, log_p_value, p_value_bounds
from onnx_si.statistics.truncated.distributions import Chi, Distribution, Normal
from onnx_si.statistics.truncated.estimates import (
    interval_bounds,
    likely_ends,
    median_bounds,
    median_unbiased,
    randomised_bounds,
    scaled_bounds,
)
from onnx_si.statistics.truncated.scaled import LEAST_DF, Scaled
from onnx_si.statistics.truncated.smoothed import LEAST_SHARE, Randomised
from onnx_si.statistics.truncated.sphere import Ratio, Student

__all__ = [
    "LEAST_DF",
    "LEAST_SHARE",
    "Alternative",
    "Chi",
    "Distribution",
    "Normal",
    "Randomised",
    "Ratio",
    "Scaled",
    "Student",
    "decided",
    "interval_bounds",
    "likely_ends",
    "log_p_value",
    "median_bounds",
    "median_unbiased",
    "p_value_bounds",
    "randomised_bounds",
    "scaled_bounds",
]
