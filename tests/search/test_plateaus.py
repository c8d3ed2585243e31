"""Maps with whole stretches at the threshold: rounding alone would put them above it, or S into slivers."""

import numpy as np
import pytest
from onnx import TensorProto
from support import nets

import onnx_si

SHAPE = (1, 1, 5, 5)


def double(n, tensor):
    return n.add("Cast", tensor, to=TensorProto.DOUBLE)


def clipped(n):
    """Three tenths where a pixel is above one: 3 * 0.1 is more than 0.3 in floating-point numbers."""
    held = n.add("Clip", "x", n.const(0.0), n.const(1.0))
    return n.add("Mul", n.add("Add", held, n.const(2.0)), n.const(0.1), out="map")


def counted(n):
    """A share of pixels above zero, in twentieths, at every pixel below one half."""
    above = double(n, n.add("Greater", "x", n.const(0.0)))
    count = n.add("Div", n.add("ReduceSum", above, n.ints(2, 3), keepdims=1), n.const(20.0))
    low = n.add("Less", "x", n.const(0.5))
    return n.add("Where", low, count, "x", out="map")


def sum_of_thirds(n):
    """1 / 3 + 1 / 3 + 1 / 3 on a plateau, or less beside it."""
    held = n.add("Div", n.add("Clip", "x", n.const(-1.0), n.const(1.0)), n.const(3.0))
    return n.add("Add", n.add("Add", held, held), held, out="map")


def image_of(seed, above):
    """An image of which some pixels are above zero, most of them above one."""
    rng = np.random.default_rng(seed)
    image = -0.2 - rng.random(25)
    image[rng.choice(25, above, replace=False)] = 1.2 + rng.random(above)
    return image.reshape(SHAPE)


ROUNDING, NOTHING = "nothing but rounding decides the region", "no pixel passes the threshold"


@pytest.mark.parametrize(
    ("make", "above", "threshold", "words"),
    [(clipped, 7, 0.3, ROUNDING), (counted, 6, 0.3, ROUNDING), (sum_of_thirds, 7, 1.0, NOTHING)],
)
@pytest.mark.parametrize("seed", range(4))
def test_a_plateau_at_the_threshold_is_above_it_by_rounding_only(make, above, threshold, words, seed):
    net = nets.Net(0, SHAPE, dtype=np.float64)
    model = net.finish(make(net))
    with pytest.raises((onnx_si.UnsupportedModel, onnx_si.NothingToTest), match=words):
        onnx_si.test(model, image_of(seed, above), sigma=1.0, saliency="output:map", threshold=threshold)


@pytest.mark.parametrize("seed", range(4))
def test_a_plateau_below_the_threshold_is_tested(seed):
    """Seven twentieths, and no sliver in S."""
    net = nets.Net(0, SHAPE, dtype=np.float64)
    model = net.finish(counted(net))
    result = onnx_si.test(model, image_of(seed, 7), sigma=1.0, saliency="output:map", threshold=0.4)
    assert np.count_nonzero(result.region) == 7
    assert np.diff(result.truncation.bounds).min() > 1e-9
