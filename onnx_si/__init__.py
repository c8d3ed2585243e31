"""Exact selective inference for salient regions of ONNX models."""

__version__ = "0.1.0"

from onnx_si.analysis.prepare import Analysis, prepare
from onnx_si.analysis.run import test
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
from onnx_si.report import Result
from onnx_si.runtime.evaluate import evaluate

# Last, because these functions have the names of subpackages: `onnx_si.saliency` is the function from here
# on, while `from onnx_si.saliency import build` still finds the package.
from onnx_si.inspection.extension import saliency  # isort: skip
from onnx_si.simulation import simulate  # isort: skip
from onnx_si.audit.api import audit  # isort: skip

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
