"""Hypotheses, one file each: a region in, the line to search and the statistic's null distribution out."""

from onnx_si.hypotheses.background import background
from onnx_si.hypotheses.mean import mean

HYPOTHESES = {"mean": mean, "background": background}

__all__ = ["HYPOTHESES", "background", "mean"]
