"""The ONNX package's cases from PyTorch, converted from opset 6 to 13, through `onnx_si.evaluate`."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, version_converter

import onnx_si
from onnx_si.errors import UnsupportedOp
from onnx_si.graph import model_from_proto

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
CASES = sorted(
    folder for kind in ("pytorch-converted", "pytorch-operator") for folder in (DATA / kind).iterdir()
)
EXCLUDED = {
    f"test_PReLU_{n}d_multiparam": "a slope per channel without the axes that opset 7 and later want"
    for n in (1, 2, 3)
}


def model_of(folder):
    proto = onnx.load(folder / "model.onnx")
    proto.ir_version = 8  # from version 4 on, initialisers need not be inputs
    return model_from_proto(version_converter.convert_version(proto, 13))


def tensor(file):
    return numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes()))


def data_sets(folder, model):
    for data in sorted(folder.glob("test_data_set_*")):
        inputs = {info.name: tensor(data / f"input_{i}.pb") for i, info in enumerate(model.inputs)}
        yield inputs, [tensor(data / f"output_{i}.pb") for i in range(len(model.outputs))]


@pytest.mark.parametrize("folder", [f for f in CASES if f.name not in EXCLUDED], ids=lambda f: f.name)
def test_evaluate(folder):
    model = model_of(folder)
    for inputs, expected in data_sets(folder, model):
        for got, value in zip(onnx_si.evaluate(model, inputs).values(), expected, strict=True):
            assert got.shape == value.shape
            np.testing.assert_allclose(got, value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("folder", [f for f in CASES if f.name in EXCLUDED], ids=lambda f: f.name)
def test_excluded_cases_are_refused(folder):
    model = model_of(folder)
    with pytest.raises(UnsupportedOp, match="do not broadcast"):
        for inputs, _ in data_sets(folder, model):
            onnx_si.evaluate(model, inputs)


def test_there_are_all_cases():
    assert len(CASES) == 117
