"""Constants of the most common rules are data: nothing of them is hidden in a closure."""

import dataclasses

import numpy as np
import pytest

from onnx_si.program.program import bind
from onnx_si.rules.rules import SAME, Affine, Kinked, Maximum

from .cases import CASES, model_of

AS_DATA = {
    *("Abs", "Clip", "HardSigmoid", "LeakyRelu", "PRelu", "Relu"),
    *("Add", "Div", "Mean", "Mul", "Neg", "Sub", "Sum"),
    *("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool"),
    *("BatchNormalization", "Conv", "ConvTranspose", "Gemm", "MatMul", "ReduceMean", "ReduceSum"),
    *("Compress", "Gather", "GatherElements", "GatherND", "ReverseSequence"),
    *("Slice", "Split", "Tile", "Trilu"),
    *("Flatten", "Reshape", "Resize", "Squeeze", "Transpose", "Unsqueeze", "Upsample"),
}


def as_data(value):
    """Whether a function is one of a module, or an object whose constants are its fields."""
    if dataclasses.is_dataclass(value):
        parts = (getattr(value, field.name) for field in dataclasses.fields(value))
        return all(as_data(part) for part in parts if callable(part))
    return getattr(value, "__closure__", None) is None and getattr(value, "__name__", "") != "<lambda>"


@pytest.mark.parametrize("case", [case for case in CASES if case.op in AS_DATA], ids=str)
def test_the_functions_of_a_rule_are_data(case):
    outputs = tuple(f"y{i}" for i in range(case.outputs))
    program = bind(model_of(case, case.opsets()[-1]), np.zeros((1, 6)), outputs)
    for rule in (step.rule for step in program.evaluation if step.op == case.op and step.rule is not SAME):
        if isinstance(rule, Affine | Kinked | Maximum):
            functions = (getattr(rule, field.name) for field in dataclasses.fields(rule))
            assert all(as_data(function) for function in functions if callable(function)), rule


def test_a_closure_is_found():
    hidden = np.ones(3)
    assert not as_data(lambda x: x * hidden) and not as_data(lambda x: x)
    assert as_data(np.abs)
