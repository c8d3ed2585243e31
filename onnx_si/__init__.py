"""Exact selective inference for salient regions of ONNX models."""

from onnx_si.errors import (
    Finding,
    InputError,
    NothingToTest,
    OnnxSIError,
    SaliencyUnavailable,
    UnsupportedModel,
    UnsupportedOp,
    UsageError,
)
from onnx_si.evaluate import evaluate
from onnx_si.graph import Model, load
from onnx_si.report.result import Result
from onnx_si.run import test

__all__ = [
    "Finding",
    "InputError",
    "Model",
    "NothingToTest",
    "OnnxSIError",
    "Result",
    "SaliencyUnavailable",
    "UnsupportedModel",
    "UnsupportedOp",
    "UsageError",
    "evaluate",
    "load",
    "test",
]
__version__ = "0.1.0"
