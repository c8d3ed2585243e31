"""Probabilities that single precision can't tell apart: the region is the runtime's, or refused."""

import numpy as np
import onnxruntime
import pytest
from onnx import parser

import onnx_si
from onnx_si.graph import model_from_proto
from onnx_si.maps.saturation import alike, choice_saturates

IMAGE = np.random.default_rng(8).normal(size=(1, 1, 6, 6)).astype(np.float32)


def numbers(values):
    return "{" + ", ".join(f"{value:.6g}" for value in np.ravel(values)) + "}"


def model(channels, scale, shift, nodes, kind="float", seed=0):
    """`nodes` make y of the scores c."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(channels, 1, 3, 3)) * scale
    offsets = rng.normal(size=channels) * scale + shift
    return parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 17]> g (float[1, 1, 6, 6] x) => ({kind}[1, 1, 6, 6] y)'
        f" <float[{channels}, 1, 3, 3] w = {numbers(weights)}, float[{channels}] o = {numbers(offsets)}>"
        f" {{ c = Conv <pads = [1, 1, 1, 1]> (x, w, o) {nodes} }}"
    )


def deployed(proto, image=IMAGE):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": image})[0].reshape(6, 6)


def region_of(proto, threshold):
    """The region, or None where it is refused in words or empty."""
    try:
        return onnx_si.test(
            model_from_proto(proto), IMAGE, sigma=1.0, saliency="output:y", threshold=threshold, verify=0
        ).region
    except (onnx_si.UnsupportedModel, onnx_si.NothingToTest):
        return None


CHOICES = {
    "largest of Sigmoid": (2, "s = Sigmoid (c) y = ArgMax <axis = 1> (s)"),
    "smallest of Sigmoid": (2, "s = Sigmoid (c) y = ArgMin <axis = 1> (s)"),
    "last of the largest": (2, "s = Sigmoid (c) y = ArgMax <axis = 1, select_last_index = 1> (s)"),
    "largest of Softmax": (3, "s = Softmax <axis = 1> (c) y = ArgMax <axis = 1> (s)"),
    "smallest of Softmax": (3, "s = Softmax <axis = 1> (c) y = ArgMin <axis = 1> (s)"),
    "smallest of LogSoftmax": (3, "s = LogSoftmax <axis = 1> (c) y = ArgMin <axis = 1> (s)"),
}
PLACES = [(1, 0), (3, 15), (10, -20), (30, 15), (3, -40), (1, 30)]


@pytest.mark.parametrize("scale, shift", PLACES)
@pytest.mark.parametrize("name", CHOICES)
def test_choices_are_the_runtimes_or_refused(name, scale, shift):
    channels, nodes = CHOICES[name]
    proto = model(channels, scale, shift, nodes, "int64")
    region = region_of(proto, 0.5)
    if (scale, shift) == (1, 0):
        assert region is not None
    if region is not None:
        np.testing.assert_array_equal(region, deployed(proto) > 0.5)


@pytest.mark.parametrize("threshold", ["top:0.2", "top:0.6", 0.5, 0.99999, 2e-6])
@pytest.mark.parametrize("scale, shift", PLACES)
def test_shares_and_levels_are_the_runtimes_or_refused(scale, shift, threshold):
    proto = model(1, scale, shift, "y = Sigmoid (c)")
    region, shown = region_of(proto, threshold), deployed(proto)
    if (scale, shift) == (1, 0) and str(threshold).startswith("top"):
        assert region is not None
    if region is None:
        return
    edge = threshold
    if isinstance(threshold, str):
        edge = np.sort(shown, axis=None)[::-1][int(float(threshold[4:]) * 36 + 1e-9)]
    np.testing.assert_array_equal(region, shown.astype(np.float64) > edge)


def test_a_level_near_one_inside_the_graph_is_refused():
    level = "l = Constant <value_float: float = 0.9999998> ()"
    nodes = f"s = Sigmoid (c) {level} g = Greater (s, l) y = Cast <to = 1> (g)"
    proto = model(1, 3, 15, nodes)
    with pytest.raises(onnx_si.SaliencyUnavailable, match="single precision can't tell"):
        onnx_si.test(model_from_proto(proto), IMAGE, sigma=1.0, saliency="output:y", threshold=0.5, verify=0)


@pytest.mark.parametrize("low", [-30.0, -18.0, -14.0, 0.0, 9.0, 13.0, 17.0, 40.0])
def test_scores_that_the_runtime_does_not_order_are_alike(low):
    """What onnxruntime gives in the wrong order, or one number for, is alike; equal scores are not."""
    proto = parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 17]> g (float[N] x) => (float[N] y) { y = Sigmoid (x) }'
    )
    scores = (low + np.linspace(0, 1, 301)).astype(np.float32)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (shown,) = session.run(None, {"x": scores})
    lower, upper = np.triu_indices(len(scores), 1)
    confused = shown[lower] >= shown[upper]
    found = alike(scores[lower], scores[upper])
    assert found[confused].all()
    assert not found.any() if low == 0.0 else found.any()
    assert not alike(scores, scores).any()


def test_choices_by_hand():
    scores = np.array([[20.0, 30.0], [1.0, -2.0]])
    assert choice_saturates(scores, 1, softmax=False, smallest=False)
    assert not choice_saturates(scores, 0, softmax=False, smallest=False)
    assert choice_saturates(np.array([0.0, -200.0, -300.0]), 0, softmax=True, smallest=True)
    assert not choice_saturates(np.array([0.0, -200.0, -300.0]), 0, softmax=True, smallest=False)
    assert not choice_saturates(np.array([0.0, 1.0, -300.0]), 0, softmax=True, smallest=True)
    assert not choice_saturates(np.array([50.0]), 0, softmax=False, smallest=False)
