"""Exact selective inference for salient regions of ONNX models."""

__version__ = "0.1.0"

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
from onnx_si.report import Result
from onnx_si.run import test

# Last, because these functions have the names of subpackages: `onnx_si.saliency` is the function from here
# on, while `from onnx_si.saliency import build` still finds the package.
from onnx_si.extend import saliency  # isort: skip
from onnx_si.simulate import simulate  # isort: skip

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
    "saliency",
    "simulate",
    "test",
]
