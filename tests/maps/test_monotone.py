"""Choices and comparisons behind Sigmoid, Softmax and LogSoftmax, and maps of class numbers."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from scipy.special import log_softmax, logit, softmax
from support import nets
from support.scenes import make_case, margin_program

import onnx_si
from onnx_si.graph import model_from_proto
from onnx_si.ground.layout import layout_of
from onnx_si.inspection.extension import extend
from onnx_si.maps import View, build, default_threshold

RNG = np.random.default_rng(3)
IMAGES = [RNG.normal(size=(1, 1, 4, 5)) for _ in range(8)]


def net_of(classes, opset=17):
    net = nets.Net(2, (1, 1, 4, 5), opset=opset)
    hidden = net.add("Relu", net.conv("x", 1, 3))
    net.nodes[-1].name = "hidden"
    weight = net.normal(classes, 3, 1, 1)
    net.add("Conv", hidden, weight, net.normal(classes, scale=0.3), out="scores")
    return net


def region_of(model, image, **options):
    program, margin, _ = margin_program(model, image, **options)
    return program.values[margin].reshape(4, 5) > 0


def scores_of(model, image):
    return nets.value_of(model, image, "scores")[0]


def transposed(net, x):
    return net.add("Transpose", x, perm=[0, 2, 3, 1])


CLASS_MAPS = {
    "argmax": lambda n: n.add("ArgMax", "scores", axis=1, keepdims=0),
    "of softmax": lambda n: n.add("ArgMax", n.add("Softmax", "scores", axis=1), axis=1, keepdims=0),
    "of log-softmax": lambda n: n.add("ArgMax", n.add("LogSoftmax", "scores", axis=-3), axis=1),
    "of sigmoid": lambda n: n.add("ArgMax", n.add("Sigmoid", "scores"), axis=1),
    "of softmax, channels last": lambda n: n.add(
        "ArgMax", n.add("Softmax", transposed(n, "scores"), axis=3), axis=3, keepdims=0
    ),
    "of softmax, then transposed": lambda n: n.add(
        "ArgMax", transposed(n, n.add("Softmax", "scores", axis=1)), axis=-1, keepdims=0
    ),
    "as other integers": lambda n: n.add("Cast", n.add("ArgMax", "scores", axis=1), to=TensorProto.INT32),
    "as float": lambda n: n.add("Cast", n.add("ArgMax", "scores", axis=1), to=TensorProto.FLOAT),
}


@pytest.mark.parametrize("opset", [9, 17, 22])
@pytest.mark.parametrize("target", ["predicted", 0, 2])
@pytest.mark.parametrize("name", CLASS_MAPS)
def test_a_tensor_of_classes_is_the_map_of_a_class(name, target, opset):
    if opset == 9 and name in ("of log-softmax", "of softmax", "of softmax, then transposed"):
        pytest.skip("before opset 13 these run over more than the classes")
    net = net_of(3, opset)
    net.add("Identity", CLASS_MAPS[name](net), out="map")
    model = net.finish("map")
    counts = 0
    for image in IMAGES:
        labels = scores_of(model, image).argmax(0)
        wanted = labels != 0 if target == "predicted" else labels == target
        region = region_of(model, image, saliency="output:map", target=target)
        np.testing.assert_array_equal(region, wanted)
        counts += region.sum()
    assert 0 < counts < 20 * len(IMAGES)


def test_a_map_of_classes_says_which_it_shows():
    net = net_of(3)
    net.add("ArgMax", "scores", axis=1, keepdims=0, out="map")
    model = net.finish("map")
    view = View(shape=IMAGES[0].shape, layout=layout_of(model.inputs[0].shape))
    found = build(model, IMAGES[0], "auto", "predicted", view)
    assert str(default_threshold(found)) == "0.5" and found.target is None
    assert "every one but 0" in found.notes[0] and "3 classes" in found.notes[0]
    assert build(model, IMAGES[0], "output:map", 2, view).target == 2
    for target in (3, -1):
        with pytest.raises(onnx_si.UsageError, match="3 classes, numbered from 0"):
            build(model, IMAGES[0], "output:map", target, view)
    assert extend(model, "output:map", 1).output == "saliency"


def test_coarse_classes_are_not_resized():
    net = net_of(3)
    net.add("ArgMax", net.add("MaxPool", "scores", kernel_shape=[2, 2], strides=[2, 2]), axis=1, out="map")
    with pytest.raises(onnx_si.SaliencyUnavailable, match="can't be resized"):
        region_of(net.finish("map"), IMAGES[0], saliency="output:map")


def test_an_argmax_across_what_a_softmax_divides_is_left_alone():
    """Along the rows the divisors differ: the largest probability is not at the largest score."""
    net = net_of(3)
    rows = net.add("ArgMax", net.add("Softmax", "scores", axis=1), axis=2, keepdims=0)
    net.add("Cast", rows, to=TensorProto.FLOAT, out="rows")
    net.add(
        "Expand",
        net.add("ReduceSum", net.add("Unsqueeze", "rows", net.ints(2)), net.ints(1)),
        net.ints(1, 1, 4, 5),
        out="map",
    )
    with pytest.raises(onnx_si.UnsupportedOp, match="Softmax"):
        region_of(net.finish("map"), IMAGES[0], saliency="output:map", threshold="max:0.5")


COMPARED = {
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("op", COMPARED)
def test_a_comparison_of_a_sigmoid_is_one_of_its_logit(op, first):
    net = net_of(1)
    sides = [net.add("Sigmoid", "scores"), net.const(np.array(0.3))]
    compared = net.add(op, *(sides if first else sides[::-1]))
    net.add("Cast", compared, to=TensorProto.FLOAT, out="map")
    model = net.finish("map")
    for image in IMAGES:
        scores, level = scores_of(model, image)[0], logit(float(np.float32(0.3)))
        wanted = COMPARED[op](scores, level) if first else COMPARED[op](level, scores)
        np.testing.assert_array_equal(region_of(model, image, saliency="output:map", threshold=0.5), wanted)


def test_a_comparison_of_a_softmax_over_two_classes():
    net = net_of(2)
    second = net.add("Gather", net.add("Softmax", "scores", axis=1), net.ints(1), axis=1)
    net.add("Cast", net.add("Greater", second, net.const(np.array(0.6))), to=TensorProto.FLOAT, out="map")
    model = net.finish("map")
    for image in IMAGES:
        wanted = softmax(scores_of(model, image), axis=0)[1] > np.float32(0.6)
        np.testing.assert_array_equal(region_of(model, image, saliency="output:map", threshold=0.5), wanted)


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5])
def test_levels_that_no_probability_passes_are_left_alone(level):
    net = net_of(1)
    compared = net.add("Greater", net.add("Sigmoid", "scores"), net.const(np.array(level)))
    net.add("Cast", compared, to=TensorProto.FLOAT, out="map")
    with pytest.raises(onnx_si.UnsupportedOp, match="Sigmoid"):
        region_of(net.finish("map"), IMAGES[0], saliency="output:map", threshold=0.5)


def test_a_cast_to_integers_is_no_move_of_values():
    """Of a probability it leaves zeros: the threshold must not go to the logit behind it."""
    net = net_of(1)
    whole = net.add("Cast", net.add("Sigmoid", "scores"), to=TensorProto.INT32)
    net.add("Cast", whole, to=TensorProto.FLOAT, out="map")
    view = View(shape=IMAGES[0].shape, layout=layout_of((1, 1, 4, 5)))
    try:
        found = build(net.finish("map"), IMAGES[0], "output:map", "predicted", view)
    except onnx_si.UnsupportedOp:
        return
    assert not found.is_logit


@pytest.mark.parametrize("level", [None, -3.0, -0.1])
@pytest.mark.parametrize("target", ["predicted", 0])
def test_a_threshold_on_log_probabilities_goes_to_the_logit(target, level):
    net = net_of(2)
    net.add("LogSoftmax", "scores", axis=1, out="map")
    model = net.finish("map")
    for image in IMAGES:
        shown = log_softmax(scores_of(model, image), axis=0)[1 if target == "predicted" else 0]
        region = region_of(model, image, saliency="output:map", target=target, threshold=level)
        wanted = math.log(0.5) if level is None else level
        np.testing.assert_array_equal(region, shown > wanted)


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_log_probabilities_lie_below_zero(level):
    net = net_of(2)
    net.add("LogSoftmax", "scores", axis=1, out="map")
    with pytest.raises(onnx_si.UsageError, match="ends in LogSoftmax and lies below 0"):
        region_of(net.finish("map"), IMAGES[0], saliency="output:map", threshold=level)


def test_a_softmax_over_three_classes_is_refused_as_a_map():
    net = net_of(3)
    net.add("Softmax", "scores", axis=1, out="map")
    with pytest.raises(onnx_si.UnsupportedOp, match=r"Softmax is smooth.*choose a map in front of it"):
        region_of(net.finish("map"), IMAGES[0], saliency="output:map", target=1, threshold=0.4)
    with pytest.raises(onnx_si.SaliencyUnavailable, match="'map' has 3 channels"):
        region_of(net.finish("map"), IMAGES[0])


def test_the_truncation_set_of_a_class_map_agrees_with_a_dense_scan():
    net = net_of(3)
    net.add("ArgMax", net.add("Softmax", "scores", axis=1), axis=1, keepdims=0, out="map")
    case = make_case(net.finish("map"), IMAGES[1], target=1, saliency="output:map")
    found = case.search()
    at, se = case.line.statistic, case.line.standard_error
    z = at + se * np.linspace(-6, 6, 6001)
    away = [np.abs(z - end) > 1e-7 for pair in found.inside for end in pair]
    clear = np.all(away, axis=0)
    inside = np.array([found.inside.contains(point) for point in z])
    assert found.inside and 0 < inside.sum() < len(z)
    np.testing.assert_array_equal(inside[clear], case.member(z)[clear])


def spatial(nodes, kind, weights, **stored):
    """Nodes on a 3 x 3 convolution `c` of an 8 x 8 image, writing `y`."""
    stored = {"w": weights.astype(np.float32), **stored}
    shape = [1, 1, 8, 8]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), *nodes],
        "spatial",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
        [onnx.numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    return model_from_proto(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    )


SPATIAL_IMAGE = np.random.default_rng(8).normal(size=(1, 1, 8, 8)).astype(np.float32)


def deployed_map(model):
    session = onnxruntime.InferenceSession(model.proto.SerializeToString())
    return session.run(None, {"x": SPATIAL_IMAGE})[0][0, 0]


@pytest.mark.parametrize("op", ["Softmax", "Sigmoid"])
def test_the_second_part_of_a_split_is_the_second_part(op):
    attributes = {"axis": 1} if op == "Softmax" else {}
    nodes = [
        helper.make_node(op, ["c"], ["s"], **attributes),
        helper.make_node("Split", ["s"], ["a", "y"], axis=1),
    ]
    weights = np.random.default_rng(1).normal(size=(2, 1, 3, 3))
    model = spatial(nodes, onnx.TensorProto.FLOAT, weights)
    result = onnx_si.test(model, SPATIAL_IMAGE, sigma=1.0, saliency="output:y", threshold=0.5, verify=0)
    np.testing.assert_array_equal(result.region, deployed_map(model) > 0.5)


@pytest.mark.parametrize("changing_first", [True, False])
def test_a_constant_behind_a_sigmoid_of_its_own(changing_first):
    """A learned threshold that the exporter did not fold: the side that changes is the one that is kept."""
    sides = ["p", "q"] if changing_first else ["q", "p"]
    nodes = [
        helper.make_node("Sigmoid", ["c"], ["p"]),
        helper.make_node("Sigmoid", ["t"], ["q"]),
        helper.make_node("Less", sides, ["less"]),
        helper.make_node("Cast", ["less"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    level = np.random.default_rng(2).normal(size=(1, 1, 8, 8)).astype(np.float32)
    weights = np.random.default_rng(3).normal(size=(1, 1, 3, 3))
    model = spatial(nodes, onnx.TensorProto.FLOAT, weights, t=level)
    result = onnx_si.test(model, SPATIAL_IMAGE, sigma=1.0, saliency="output:y", threshold=0.5, verify=0)
    np.testing.assert_array_equal(result.region, deployed_map(model) > 0.5)


def test_choices_among_saturated_probabilities_are_refused():
    nodes = [
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("ArgMax", ["s"], ["y"], axis=1, keepdims=1),
    ]
    weights = 30 + np.random.default_rng(4).normal(size=(2, 1, 3, 3))
    model = spatial(nodes, onnx.TensorProto.INT64, weights)
    with pytest.raises(onnx_si.SaliencyUnavailable, match="single precision"):
        onnx_si.test(model, SPATIAL_IMAGE, sigma=1.0, saliency="output:y", threshold=0.5, verify=0)


def test_choices_where_the_sigmoid_is_flat_are_refused():
    """Scores of about 10, farther apart than what ties at the image: nearer the ends of S they would."""
    choice = helper.make_node("ArgMax", ["s"], ["y"], axis=1, keepdims=1)
    weights = np.zeros((2, 1, 3, 3))
    weights[:, 0, 1, 1] = 1.0, -1.0
    image = (np.full((1, 1, 8, 8), 0.5) - np.eye(8)).astype(np.float32)
    apart = spatial(
        [helper.make_node("Add", ["c", "far"], ["d"]), helper.make_node("Sigmoid", ["d"], ["s"]), choice],
        onnx.TensorProto.INT64,
        weights,
        far=np.float32([9.0, 9.0]).reshape(1, 2, 1, 1),
    )
    with pytest.raises(onnx_si.SaliencyUnavailable, match="single precision"):
        onnx_si.test(apart, image, sigma=1.0, saliency="output:y", threshold=0.5, verify=0)


@pytest.mark.parametrize("level", [0.999999999999, 1e-45])
def test_levels_that_single_precision_can_not_tell_are_refused(level):
    weights = np.random.default_rng(5).normal(size=(1, 1, 3, 3))
    model = spatial([helper.make_node("Sigmoid", ["c"], ["y"])], onnx.TensorProto.FLOAT, weights)
    with pytest.raises(onnx_si.UsageError, match="single precision"):
        onnx_si.test(model, SPATIAL_IMAGE, sigma=1.0, saliency="output:y", threshold=level, verify=0)


@pytest.mark.parametrize("half", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_a_cast_to_half_precision_is_no_move(half):
    """It makes probabilities equal whose scores are not: nothing is taken away in front of it."""
    nodes = [
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Cast", ["s"], ["h"], to=half),
        helper.make_node("Cast", ["h"], ["y"], to=TensorProto.FLOAT),
    ]
    weights = 1e-3 * np.random.default_rng(6).normal(size=(1, 1, 3, 3))
    model = spatial(nodes, onnx.TensorProto.FLOAT, weights)
    with pytest.raises(onnx_si.UnsupportedModel, match="Sigmoid"):
        onnx_si.test(
            model,
            SPATIAL_IMAGE,
            sigma=1.0,
            saliency="output:y",
            threshold=0.5,
            verify=0,
            engine="exact",
        )
