"""Exact selective inference for salient regions of ONNX models."""

import importlib
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from onnx_si.analysis.prepare import Analysis, prepare
    from onnx_si.analysis.run import test
    from onnx_si.auditing.api import audit
    from onnx_si.graph import Model, load
    from onnx_si.inspection.extension import saliency
    from onnx_si.report import Result
    from onnx_si.runtime.evaluate import evaluate
    from onnx_si.simulation.experiment import simulate

__version__ = "0.1.0"

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

_HOMES = {
    "Analysis": "onnx_si.analysis.prepare",
    "Model": "onnx_si.graph",
    "Result": "onnx_si.report",
    "audit": "onnx_si.auditing.api",
    "evaluate": "onnx_si.runtime.evaluate",
    "load": "onnx_si.graph",
    "prepare": "onnx_si.analysis.prepare",
    "saliency": "onnx_si.inspection.extension",
    "simulate": "onnx_si.simulation.experiment",
    "test": "onnx_si.analysis.run",
}
"""Where the names are that are imported when they are first asked for: all of them take a second."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
