"""The result of a test and how it is shown: JSON, text, pictures."""

from onnx_si.report.document import to_json
from onnx_si.report.pieces import (
    ClassTest,
    Comparison,
    ComponentTest,
    Estimate,
    Fragility,
    MapChosen,
    ModelIdentity,
    NoiseTaken,
    OtherNoise,
    Parity,
    PartTest,
)
from onnx_si.report.result import Refused, Result

__all__ = [
    "ClassTest",
    "Comparison",
    "ComponentTest",
    "Estimate",
    "Fragility",
    "MapChosen",
    "ModelIdentity",
    "NoiseTaken",
    "OtherNoise",
    "Parity",
    "PartTest",
    "Refused",
    "Result",
    "to_json",
]
