"""Where numbers are equal but for rounding, the judge of ties decides as the deployed runtime does."""

import nets
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto
from scenes import make_case

from onnx_si.intervals import Intervals

SHAPE = (1, 1, 5, 5)
POINTS = 161


def pooled(n, x="x"):
    return n.add("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4)


def mixed(n, x="x"):
    """A linear map that onnxruntime has in both precisions."""
    size = SHAPE[-1]
    return n.add("Add", n.add("MatMul", x, n.normal(size, size, scale=0.5)), n.normal(size, 1, scale=0.3))


def above(n):
    """Zero where x is not negative."""
    return n.add("Sub", n.add("Relu", "x"), "x")


def below_peak(n):
    return n.add("Sub", pooled(n), "x")


def shown(n, tensor):
    element = TensorProto.DOUBLE if n.dtype == np.float64 else TensorProto.FLOAT
    return n.add("Cast", tensor, to=element, out="map")


def equal_to_relu(n):
    return shown(n, n.add("Equal", "x", n.add("Relu", "x")))


def peaks(n):
    return shown(n, n.add("Equal", below_peak(n), n.const(0.0)))


def peaks_at_most(n):
    return shown(n, n.add("LessOrEqual", below_peak(n), n.const(0.0)))


def sign_of_difference(n):
    return n.add("Sign", above(n), out="map")


def ceiling_of_difference(n):
    return n.add("Ceil", above(n), out="map")


def truth_of_difference(n):
    return shown(n, n.add("Cast", below_peak(n), to=TensorProto.BOOL))


def the_largest(n):
    scores = mixed(n)
    return shown(n, n.add("Equal", scores, n.add("ReduceMax", scores, keepdims=1)))


def peaks_of_scores(n):
    scores = mixed(n)
    return shown(n, n.add("GreaterOrEqual", scores, pooled(n, scores)))


def behind_convolutions(n):
    scores = mixed(n, n.add("Relu", mixed(n)))
    return n.add("Sub", n.add("Relu", scores), scores, out="map")


def margin_of_zero(n):
    return n.add("Identity", below_peak(n), out="map")


AT_ONE_HALF = [
    equal_to_relu,
    peaks,
    peaks_at_most,
    sign_of_difference,
    ceiling_of_difference,
    truth_of_difference,
    the_largest,
    peaks_of_scores,
]
AT_ZERO = [behind_convolutions, margin_of_zero]


def regions_on(model, line, places, threshold, dtype):
    """What the deployed runtime marks at each point."""
    session = onnxruntime.InferenceSession(
        model.proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = (line.start + line.direction * z for z in places)
    return np.array([session.run(None, {"x": image.astype(dtype)})[0] > threshold for image in images])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", AT_ONE_HALF + AT_ZERO)
def test_the_truncation_set_is_that_of_the_deployed_runtime(make, dtype):
    """At points of lines on which values tie on whole stretches."""
    searched, threshold = 0, 0.0 if make in AT_ZERO else 0.5
    for seed in range(5):
        n = nets.Net(seed, SHAPE, dtype=dtype)
        model = n.finish(make(n))
        image = np.random.default_rng([seed, 9]).normal(size=SHAPE)
        case = make_case(model, image, threshold=threshold, saliency="output:map")
        if case is None:
            continue
        found, line = case.search(), case.line
        near, se = (
            line.statistic + 0.01 * line.standard_error * np.linspace(-1, 1, POINTS),
            line.standard_error,
        )
        z = np.concatenate([near, se * np.linspace(-5, 5, POINTS)])
        ends = np.array([end for part in (*found.inside, *found.undecided) for end in part])
        clear = np.min(np.abs(z[:, None] - ends), axis=1) > 1e-5 * line.standard_error
        clear &= [not found.undecided.contains(value) for value in z]
        assert not found.undecided.intersect(Intervals.of([(-5 * se, 5 * se)]))
        inside = np.array([found.inside.contains(value) for value in z])
        truth = regions_on(model, line, z, threshold, dtype)
        truth = (truth.reshape(len(z), -1) == case.event.observed.ravel()).all(axis=1)
        np.testing.assert_array_equal(inside[clear], truth[clear])
        searched += 1
    assert searched > 1
