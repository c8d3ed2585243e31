"""The result of a test and how it is shown: JSON, text, pictures."""

from onnx_si.report.result import Comparison, Parity, Result

__all__ = ["Comparison", "Parity", "Result"]
