"""A malformed node is refused in words, by evaluation, binding and inspection, never as a fault of ours."""

import os
import warnings

import numpy as np
import pytest

import onnx_si
from onnx_si.errors import OnnxSIError
from onnx_si.graph import model_from_proto
from onnx_si.inspect import inspect_model
from onnx_si.line.gate import DEBUG
from onnx_si.line.program import bind

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
