"""The result of a test and how it is shown: JSON, text, pictures."""

from onnx_si.report.document import SCHEMA, to_json
from onnx_si.report.pieces import Comparison, ComponentTest, Estimate, Parity
from onnx_si.report.result import Refused, Result

__all__ = ["SCHEMA", "Comparison", "ComponentTest", "Estimate", "Parity", "Refused", "Result", "to_json"]
