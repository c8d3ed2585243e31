"""The ONNX package's cases from PyTorch, in opset 6, through `onnx_si.evaluate`."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import onnx_si
from onnx_si.graph import model_from_proto

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
CASES = sorted(
    folder for kind in ("pytorch-converted", "pytorch-operator") for folder in (DATA / kind).iterdir()
)


def model_of(folder):
    return model_from_proto(onnx.load(folder / "model.onnx"))


def tensor(file):
    return numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes()))


def data_sets(folder, model):
    for data in sorted(folder.glob("test_data_set_*")):
        inputs = {info.name: tensor(data / f"input_{i}.pb") for i, info in enumerate(model.inputs)}
        yield inputs, [tensor(data / f"output_{i}.pb") for i in range(len(model.outputs))]


@pytest.mark.parametrize("folder", CASES, ids=lambda f: f.name)
def test_evaluate(folder):
    model = model_of(folder)
    for inputs, expected in data_sets(folder, model):
        for got, value in zip(onnx_si.evaluate(model, inputs).values(), expected, strict=True):
            assert got.shape == value.shape
            np.testing.assert_allclose(got, value, rtol=1e-3, atol=1e-4)


def test_there_are_all_cases():
    assert len(CASES) == 117
