"""Truncated normal and chi distributions: p-value bounds, confidence intervals, estimates.

Everything is computed with logarithms of masses, so that a statistic 40 standard deviations out, or a
truncation set made of slivers, gives the same relative accuracy as a plain z-test.
"""

from onnx_si.truncated.bounds import Alternative, decided, p_value_bounds
from onnx_si.truncated.distributions import Chi, Distribution, Normal
from onnx_si.truncated.estimates import confidence_interval, median_unbiased

__all__ = [
    "Alternative",
    "Chi",
    "Distribution",
    "Normal",
    "confidence_interval",
    "decided",
    "median_unbiased",
    "p_value_bounds",
]
