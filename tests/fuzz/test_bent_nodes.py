"""A malformed node is refused in words, by evaluation, binding and inspection, never as a fault of ours."""

import os
import warnings

import numpy as np
import onnx
import pytest

import onnx_si
from onnx_si.cli.main import main
from onnx_si.errors import OnnxSIError
from onnx_si.graph import model_from_proto
from onnx_si.inspection.inspector import inspect_model
from onnx_si.program.gate import DEBUG
from onnx_si.program.program import bind

from .bending import bent

CASES = int(os.environ.get("ONNX_SI_FUZZ", "300"))
BLOCK = 50
IMAGE = np.random.default_rng(0).normal(size=(1, 6))


def outcomes(seed):
    """What each way of looking at a bent model raises, if it is no refusal."""
    op, proto = bent(seed)
    found = []
    for look in (_evaluate, _bind, _inspect):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                look(model_from_proto(proto))
        except OnnxSIError as error:
            if error.exit_code not in (2, 3, 4, 5):
                found.append((seed, op, look.__name__, error.exit_code))
        except Exception as error:
            found.append((seed, op, look.__name__, repr(error)[:200]))
    return found


def _evaluate(model):
    onnx_si.evaluate(model, {"x": IMAGE.astype(np.float32)})


def _bind(model):
    bind(model, IMAGE, tuple(info.name for info in model.outputs)).require_exact()


def _inspect(model):
    reasons = inspect_model(model).reasons
    assert not any("a fault of onnx-si" in reason for reason in reasons), reasons


@pytest.mark.parametrize("first", range(0, CASES, BLOCK))
def test_bent_nodes(first, monkeypatch):
    monkeypatch.delenv(DEBUG)
    assert [found for seed in range(first, first + BLOCK) for found in outcomes(seed)] == []


@pytest.mark.parametrize("verb", ["test", "inspect", "saliency"])
def test_the_command_line(verb, monkeypatch, tmp_path, capsys):
    """Exit codes are those of the contract; seed 311 has a map without elements."""
    monkeypatch.delenv(DEBUG)
    model, image, made = (str(tmp_path / name) for name in ("m.onnx", "x.npy", "made.onnx"))
    np.save(image, IMAGE)
    data = ["--sigma", "1", "--hypothesis", "background", "--threshold", "0", "--quiet"]
    arguments = {
        "test": [model, image, *data, "--saliency", "output:y0"],
        "inspect": ["inspect", model],
        "saliency": ["saliency", model, "--output", made, "--saliency", "output:y0"],
    }
    codes = set()
    for seed in range(300, 300 + CASES // 6):
        op, proto = bent(seed)
        onnx.save(proto, model)
        code = main(arguments[verb])
        assert code in (0, 3, 4, 5), (seed, op, capsys.readouterr().err)
        codes.add(code)
    assert 3 in codes and "Traceback" not in capsys.readouterr().err
