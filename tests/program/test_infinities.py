"""Constant infinities, as attention masks have them, that a later op takes away again; and others."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_si
from onnx_si.domains.piecewise import envelope
from onnx_si.errors import UnsupportedModel
from onnx_si.graph import model_from_proto

WEIGHTS = np.random.default_rng(1).normal(size=(1, 1, 3, 3)).astype(np.float32)
IMAGE = np.random.default_rng(0).normal(size=(1, 1, 6, 6)).astype(np.float32)


def masked(last):
    """A convolution, minus infinity in its first two rows, and a last node."""
    mask = np.ones((1, 1, 6, 6), bool)
    mask[0, 0, :2] = False
    stored = {"w": WEIGHTS, "mask": mask, "least": np.float32([-np.inf]), "level": np.float32([0.3])}
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 6, 6]) for name in ("x", "y")]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Where", ["mask", "c", "least"], ["m"]),
        last,
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "masked", info[:1], info[1:], tensors)
    proto = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    return model_from_proto(proto)


@pytest.mark.parametrize("threshold", [0.5, "max:0.5", "minmax:0.5", "top:0.2"])
@pytest.mark.parametrize("op", ["Relu", "Max"])
def test_what_takes_the_infinity_away_is_exact(op, threshold):
    """The deployed runtime is asked at points of the line, inside S and outside."""
    last = helper.make_node(op, ["m"] if op == "Relu" else ["m", "level"], ["y"])
    result = onnx_si.test(masked(last), IMAGE, sigma=1.0, saliency="output:y", threshold=threshold)
    assert result.guarantee == "exact" and result.parity.points > 30
    assert result.parity.agreeing + result.parity.too_near == result.parity.points


def test_a_map_that_stays_infinite_is_refused():
    last = helper.make_node("Identity", ["m"], ["y"])
    with pytest.raises(UnsupportedModel, match="infinite or not a number"):
        onnx_si.test(masked(last), IMAGE, sigma=1.0, saliency="output:y", threshold=0.5)


def test_a_maximum_of_what_is_infinite_at_one_end_ends():
    knots = np.array([0.0, 1.0])
    candidates = [np.array([[0.0], [np.inf]]), np.array([[1.0], [2.0]])]
    with pytest.raises(UnsupportedModel, match="infinite or not a number"):
        envelope.crossings(knots, candidates)


@pytest.mark.parametrize("sigma", [1e-100, 1e-12])
def test_a_statistic_beyond_what_doubles_tell_apart_is_refused(sigma):
    last = helper.make_node("Relu", ["m"], ["y"])
    with pytest.raises(onnx_si.InputError, match="standard errors"):
        onnx_si.test(masked(last), IMAGE, sigma=sigma, saliency="output:y", threshold=0.5)
