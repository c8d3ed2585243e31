"""Masks of large negative numbers bar a key from attention; scores as large are refused."""

import numpy as np
import pytest
from support import nets

import onnx_si

IMAGE = np.random.default_rng(1).normal(size=(4, 4))
HOW = {"sigma": 1.0, "threshold": "minmax:0.5", "verify": 32}


def attending(mask, scores=0.0):
    """Attention of 16 pixels of which every third is barred, its scores made larger by a constant."""
    net, barred = nets.Net(0, (1, 1, 4, 4), opset=23), np.arange(16) % 3 == 0
    x = net.add("Reshape", "x", net.const(np.array([1, 1, 16, 1], np.int64)))
    weights = [net.const(net.rng.normal(size=(1, 4))) for _ in range(3)]
    query, key, value = (net.add("MatMul", x, weight) for weight in weights)
    query = net.add("Add", query, net.const(np.ones((1, 1, 16, 4))))
    key = net.add("Add", key, net.const(np.where(barred, scores, 0.0)[:, None] * np.ones((1, 1, 16, 4))))
    given = net.const(np.where(barred, mask, 0.0) * np.ones((16, 1)))
    mixed = net.add("Attention", query, key, value, given)
    mean = net.add("ReduceMean", mixed, net.const(np.array([3], np.int64)), keepdims=0)
    net.add("Reshape", mean, net.const(np.array([1, 1, 4, 4], np.int64)), out="map")
    return net.finish("map")


def test_a_barred_key_has_no_share():
    found = [
        onnx_si.test(attending(mask), IMAGE, engine="certified", **HOW) for mask in (-1e30, -3e38, -np.inf)
    ]
    assert all(one.parity.agreeing == one.parity.points for one in found)
    assert found[0].p_value == found[1].p_value == found[2].p_value


@pytest.mark.parametrize(("mask", "scores"), [(-1e30, 5e29), (-1e30, -1e31), (-3e38, 1e36)])
def test_scores_as_large_as_the_mask_are_refused(mask, scores):
    with pytest.raises(onnx_si.UnsupportedModel, match="rounding"):
        onnx_si.test(attending(mask, scores), IMAGE, engine="certified", **HOW)
