"""Exact selective inference for salient regions of ONNX models."""

__version__ = "0.1.0"

from onnx_si.analysis.prepare import Analysis, prepare
from onnx_si.analysis.run import test
from onnx_si.auditing.api import audit
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
from onnx_si.graph import Model, load
from onnx_si.inspection.extension import saliency
from onnx_si.report import Result
from onnx_si.runtime.evaluate import evaluate
from onnx_si.simulation import simulate

__all__ = [
    "Analysis",
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
    "audit",
    "evaluate",
    "load",
    "prepare",
    "saliency",
    "simulate",
    "test",
]
