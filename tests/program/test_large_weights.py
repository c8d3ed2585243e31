"""The weights of a large network are in memory once as float64, however often it is walked over."""

import gc
import tracemalloc
import weakref

import numpy as np
from support import nets
from support.maps import saliency_of

from onnx_si.ground.once import asking
from onnx_si.kernels.arrays import SMALL, double
from onnx_si.program.doubles import Doubles
from onnx_si.program.program import bind

WIDE = 512  # a matrix of it is large, and 2 MiB as float64


def weights(size=SMALL + 1):
    return np.linspace(-1, 1, size, dtype=np.float32)


def test_walks_share_what_is_large():
    value = weights()
    with asking():
        first = double(value)
        assert double(value) is first and first.dtype == np.float64
        assert np.array_equal(first, value.astype(np.float64))
        assert double(value.copy()) is not first  # another tensor
        held = weakref.ref(first)
        del first
        gc.collect()
        assert held() is None  # kept by nobody else
        assert np.array_equal(double(value), value.astype(np.float64))


def test_nothing_is_shared_from_one_piece_of_work_to_the_next():
    value = weights()
    with asking():
        first = double(value)
    with asking():
        assert double(value) is not first
    assert double(value) is not double(value)


def test_values_of_constants_are_made_when_they_are_asked_for():
    stored, small, computed = weights(), weights(3), np.ones(4)
    values = Doubles({"large": stored, "small": small, "both": small}, {"it": computed, "both": computed})
    assert list(values) == ["large", "small", "both", "it"] and len(values) == 4
    assert "large" in values and "other" not in values
    assert values["it"] is computed and values["both"] is computed
    assert values["small"] is values["small"] and values["small"].dtype == np.float64
    assert values["large"].dtype == np.float64 and values["large"] is not values["large"]
    assert np.array_equal(values["large"], stored.astype(np.float64))
    assert values.elements == stored.size + 3 + 4 + 4


def dense(count=4):
    """A network of which almost everything is its weights."""
    net = nets.Net(0, (1, 1, 16, 16))
    x = net.add("Relu", net.conv("x", 1, 2))
    x = net.add("Flatten", net.add("MaxPool", x, kernel_shape=[1, 1]))
    for _ in range(count):
        x = net.add("Relu", net.add("MatMul", x, net.normal(WIDE, WIDE, scale=WIDE**-0.5)))
    return net.finish(net.add("MatMul", x, net.normal(WIDE, 3)))


def test_values_of_a_large_weight_are_what_is_stored():
    model = dense(1)
    (name,) = (name for name, value in model.initializers.items() if value.size == WIDE * WIDE)
    program = bind(model, np.zeros((1, 1, 16, 16)), tuple(i.name for i in model.outputs), shown=(name,))
    assert np.array_equal(program.values[name], model.initializers[name].astype(np.float64))


def test_the_memory_of_a_gradient_map():
    """Copies of the weights as numbers: what the file holds (one), and one of twice its size."""
    model, image = dense(), np.random.default_rng(0).normal(size=(1, 1, 16, 16))
    stored = sum(value.nbytes for value in model.initializers.values())
    with asking():
        tracemalloc.start()
        saliency_of(model, image, "gradcam")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 3 * stored
