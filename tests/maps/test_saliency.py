"""Saliency maps as graph transforms: found or refused with a reason, checked by hand and by onnxruntime."""

import functools
import math

import numpy as np
import onnx
import pytest
from onnx import helper
from scipy.special import expit, softmax
from support import nets
from support.heads import (
    CHANNELS,
    CLASSES,
    EVERY_HEAD,
    FIRST_HEADS,
    SIZE,
    classifier,
    dense,
    hidden,
    reduced,
    squeezed,
    summed,
    weights_of,
)
from support.maps import run_onnx, saliency_of, view_of
from support.scenes import margin_program

import onnx_si
from onnx_si.graph import model_from_proto
from onnx_si.ground.layout import Layout
from onnx_si.inspection.extension import extend
from onnx_si.kernels.interpolation import linear_matrix
from onnx_si.maps import (
    View,
    build,
    default_threshold,
    methods,
    parse_threshold,
    with_margin,
)
from onnx_si.maps.cam import find_head
from onnx_si.program.program import bind

# --------------------------------------------------------------------------------
# Heads of classifiers


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize(
    ("name", "head", "last"), EVERY_HEAD, ids=[f"{'NHWC' if e[2] else 'NCHW'} {e[0]}" for e in EVERY_HEAD]
)
def test_class_activation_maps_are_weights_times_features(name, head, last, opset):
    model = classifier(head, opset, last, seed=len(name))
    image = np.random.default_rng(1).normal(size=model.inputs[0].shape)
    features = nets.value_of(model, image, "features")[0]
    features = np.moveaxis(features, -1, 0) if last else features
    weights = weights_of(model) * (0.5 if "alpha" in name else 1.0)
    scores = nets.value_of(model, image, model.outputs[0].name).ravel()
    for target in (0, 2, "predicted"):
        found = saliency_of(model, image, "cam", target)
        chosen = int(scores.argmax()) if target == "predicted" else target
        truth = np.tensordot(weights[chosen], features, axes=1)
        np.testing.assert_allclose(nets.value_of(found.model, image, found.tensor), truth, rtol=0, atol=1e-6)
        assert found.method == "cam" and found.target == target and not found.notes
        check_extended(model, found, image)


def check_extended(model, found, image):
    """Onnxruntime runs the extended model: the same outputs as before, and the same map."""
    before = run_onnx(model, image, *(o.name for o in model.outputs))
    *after, shown = run_onnx(found.model, image, *(o.name for o in model.outputs), found.tensor)
    for ours, theirs in zip(after, before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(shown, nets.value_of(found.model, image, found.tensor), rtol=1e-4, atol=1e-5)
    names = [o.name for o in found.model.outputs]
    assert names == [o.name for o in model.outputs] + [found.tensor]
    # the public form of it, a valid model of its own
    public = extend(model, found.method, found.target)
    onnx.checker.check_model(public.proto, full_check=True)
    assert public.output == found.tensor
    (again,) = run_onnx(model_from_proto(public.proto), image, public.output)
    np.testing.assert_array_equal(again, shown)


def test_as_many_channels_as_pixels_do_not_confuse_the_layout():
    """A map of 5 x 5 with 5 channels: only the averaged axes tell which axis is which."""

    def head(n, x, axes, channels=5):
        return dense(n, reduced(n, x, axes, 0), channels=channels)

    rng = np.random.default_rng(2)
    for last, axes in ((True, (1, 2)), (False, (2, 3))):
        model = classifier(functools.partial(head, axes=axes), 17, last, size=5, channels=5)
        image = rng.normal(size=model.inputs[0].shape)
        assert find_head(model, image).layout.axes == ("NHWC" if last else "NCHW")
        # also where all features are zero, so that values can't tell
        assert find_head(model, np.zeros_like(image)).layout.axes == ("NHWC" if last else "NCHW")
    model = classifier(functools.partial(head, axes=(1, 3)), 17, True, size=5, channels=5)
    with pytest.raises(onnx_si.SaliencyUnavailable, match="not over all of space"):
        find_head(model, np.zeros((1, 5, 5, 1)))


def partial_window(net, x):
    x = net.add("AveragePool", x, kernel_shape=[SIZE - 1, SIZE - 1], strides=[SIZE, SIZE])
    return dense(net, net.add("Flatten", x))


def two_branches(net, x):
    mean, largest = net.add("GlobalAveragePool", x), net.add("GlobalMaxPool", x)
    return net.add("Add", dense(net, net.add("Flatten", mean)), dense(net, net.add("Flatten", largest)))


def changing_bias(net, x):
    mean = net.add("Flatten", net.add("GlobalAveragePool", x))
    bias = net.add(
        "Gemm", net.add("Flatten", net.add("GlobalMaxPool", x)), net.normal(CLASSES, CHANNELS), transB=1
    )
    return net.add("Gemm", mean, net.normal(CLASSES, CHANNELS), bias, transB=1)


REFUSED_HEADS = {
    "a hidden layer": (hidden, "comes from Relu, not from a global average"),
    "a maximum": (
        lambda n, x: dense(n, n.add("Flatten", n.add("GlobalMaxPool", x))),
        "comes from GlobalMaxPool",
    ),
    "a window that leaves pixels out": (partial_window, "not over all of space"),
    "a mean over one axis": (
        lambda n, x: dense(n, n.add("Flatten", reduced(n, x, (3,), 0)), channels=CHANNELS * SIZE),
        "not over all of space",
    ),
    "a sum divided by a negative number": (
        lambda n, x: dense(n, n.add("Div", summed(n, x, 2, 3), n.const(-9.0))),
        "scaled by something else than one positive number",
    ),
    "a sum with a factor for each channel": (
        lambda n, x: dense(n, n.add("Mul", summed(n, x, 2, 3), n.normal(CHANNELS))),
        "scaled by something else than one positive number",
    ),
    "a number divided by a sum": (
        lambda n, x: dense(n, n.add("Div", n.const(9.0), summed(n, x, 2, 3))),
        "comes from Div, not from a global average",
    ),
    "an average times the image's maximum": (
        lambda n, x: dense(
            n, n.add("Mul", summed(n, x, 2, 3), n.add("ReduceMax", x, axes=[1, 2, 3], keepdims=0))
        ),
        "scaled by something else than one positive number",
    ),
    "features of one position": (
        lambda n, x: dense(
            n,
            n.add(
                "Flatten",
                n.add(
                    "GlobalAveragePool", n.add("AveragePool", x, kernel_shape=[SIZE, SIZE], strides=[1, 1])
                ),
            ),
        ),
        "are one position, no map",
    ),
    "no dense layer": (lambda n, x: n.add("GlobalAveragePool", x), "its scores come from GlobalAveragePool"),
    "two branches added": (two_branches, "something else that depends on the image"),
    "a bias from the image": (changing_bias, "something else that depends on the image"),
}


@pytest.mark.parametrize("name", REFUSED_HEADS)
def test_other_heads_are_refused_with_the_reason(name):
    head, reason = REFUSED_HEADS[name]
    model = classifier(head)
    image = np.random.default_rng(1).normal(size=model.inputs[0].shape)
    with pytest.raises(onnx_si.SaliencyUnavailable, match=reason):
        saliency_of(model, image, "cam")
    (cam,) = (m for m in methods(model, image, view_of(model, image)) if m.method == "cam")
    assert not cam.available and reason in cam.reason


def test_attention_between_features_and_head_is_found_but_not_analysed():
    """Squeeze and excitation multiplies by a Sigmoid that depends on the image, and adds channels up."""

    def head(net, x):
        gate = net.add("Flatten", net.add("GlobalAveragePool", x))
        gate = net.add("Sigmoid", net.add("Gemm", gate, net.normal(CHANNELS, CHANNELS), transB=1))
        x = net.add("Mul", x, net.add("Reshape", gate, net.ints(1, CHANNELS, 1, 1)))
        return dense(net, net.add("Flatten", net.add("GlobalAveragePool", x)))

    model = classifier(head)
    image = np.random.default_rng(1).normal(size=model.inputs[0].shape)
    with pytest.raises(onnx_si.UnsupportedOp) as refused:
        margin_program(model, image, "max:0.5", "cam")
    assert {finding.op for finding in refused.value.findings} == {"Sigmoid"}


def test_target_classes_are_numbered_from_zero():
    model = classifier(FIRST_HEADS["ReduceMean, Gemm"])
    image = np.zeros(model.inputs[0].shape)
    for target in (-1, CLASSES):
        with pytest.raises(onnx_si.UsageError, match="4 classes"):
            saliency_of(model, image, "cam", target)


def test_the_predicted_class_changes_with_the_image():
    model = classifier(FIRST_HEADS["ReduceMean, Gemm"], seed=3)
    rng = np.random.default_rng(0)
    image = rng.normal(size=model.inputs[0].shape)
    found = saliency_of(model, image, "cam")
    seen = set()
    for _ in range(30):
        image = 3 * rng.normal(size=image.shape) + rng.normal()
        chosen = int(nets.value_of(model, image, model.outputs[0].name).argmax())
        features = nets.value_of(model, image, "features")[0]
        truth = np.tensordot(weights_of(model)[chosen], features, axes=1)
        np.testing.assert_allclose(nets.value_of(found.model, image, found.tensor), truth, rtol=0, atol=1e-5)
        seen.add(chosen)
    assert len(seen) > 1


# --------------------------------------------------------------------------------
# Resizing


@pytest.mark.parametrize(
    ("inside", "outside"), [((3, 3), (6, 6)), ((2, 3), (7, 5)), ((1, 4), (4, 9)), ((5, 5), (3, 4))]
)
def test_coarse_maps_are_resized_as_onnxruntime_does(inside, outside):
    net = nets.Net(1, (1, 1, *inside))
    sizes = net.ints(1, 1, *outside)
    empty = net.const(np.empty(0, np.float32))
    modes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    net.add("Resize", "x", empty, empty, sizes, out="resized", **modes)
    model = net.finish("resized")
    coarse = np.random.default_rng(0).normal(size=(1, 1, *inside))
    (truth,) = run_onnx(model, coarse, "resized")
    found = build(
        model, coarse, "output:x", "predicted", View(shape=(1, 1, *outside), layout=Layout("NCHW", "test"))
    )
    ours = nets.value_of(found.model, coarse, found.tensor)
    assert ours.shape == outside
    np.testing.assert_allclose(ours, truth[0, 0], rtol=0, atol=1e-6)


def test_a_coarse_class_map_is_resized_and_said_so():
    model = nets.cam_nchw(2, size=6)
    image = np.random.default_rng(0).normal(size=(1, 1, 6, 6))
    found = saliency_of(model, image)
    assert nets.value_of(found.model, image, found.tensor).shape == (6, 6)
    assert found.notes and "(3, 3)" in found.notes[0] and "(6, 6)" in found.notes[0]
    check_extended(model, found, image)


# --------------------------------------------------------------------------------
# Maps that are tensors of the model


def tensor_map(make, opset=17, shape=(1, 1, 4, 5), seed=0):
    net = nets.Net(seed, shape, opset=opset)
    net.add("Identity", make(net), out="map")
    return net.finish("map")


def logits(net, channels):
    return net.conv("x", 1, channels)


def gather(net, x, index, axis):
    return net.add("Gather", x, net.const(np.array(index, np.int64)), axis=axis)


def sliced(net, x, start, stop, axis):
    return net.add("Slice", x, net.ints(start), net.ints(stop), net.ints(axis))


def split_second(net, x):
    names = [net.name("part"), net.name("part")]
    node = helper.make_node("Split", [x, net.ints(1, 1)], names, axis=1)
    net.nodes.append(node)
    return names[1]


LOGIT_MAPS = {
    "sigmoid": (lambda n: n.add("Sigmoid", logits(n, 1)), "predicted"),
    "sigmoid, transposed": (
        lambda n: n.add("Transpose", n.add("Sigmoid", logits(n, 1)), perm=[0, 2, 3, 1]),
        "predicted",
    ),
    "sigmoid, squeezed": (lambda n: squeezed(n, n.add("Sigmoid", logits(n, 1)), 0, 1), "predicted"),
    "sigmoid of three, target": (lambda n: n.add("Sigmoid", logits(n, 3)), 1),
    "sigmoid of three, gathered": (lambda n: gather(n, n.add("Sigmoid", logits(n, 3)), [2], 1), "predicted"),
    "softmax": (lambda n: n.add("Softmax", logits(n, 2), axis=1), "predicted"),
    "softmax, target 0": (lambda n: n.add("Softmax", logits(n, 2), axis=1), 0),
    "softmax, target 1": (lambda n: n.add("Softmax", logits(n, 2), axis=-3), 1),
    "softmax over the last axis": (
        lambda n: n.add("Softmax", n.add("Transpose", logits(n, 2), perm=[0, 2, 3, 1])),
        "predicted",
    ),
    "softmax, then transposed": (
        lambda n: n.add("Transpose", n.add("Softmax", logits(n, 2), axis=1), perm=[0, 2, 3, 1]),
        1,
    ),
    "softmax, one class sliced": (
        lambda n: sliced(n, n.add("Softmax", logits(n, 2), axis=1), 0, 1, 1),
        "predicted",
    ),
    "softmax, one class gathered": (
        lambda n: gather(n, n.add("Softmax", logits(n, 2), axis=1), 1, 1),
        "predicted",
    ),
    "softmax, split": (lambda n: split_second(n, n.add("Softmax", logits(n, 2), axis=1)), "predicted"),
}


def plain_map(value, target):
    """The map (4, 5) of a tensor's value, without any of the code that is tested."""
    value = np.asarray(value)
    if value.ndim == 4:
        channels_last = value.shape[1:3] == (4, 5)
        value = np.moveaxis(value[0], -1, 0) if channels_last else value[0]
        value = value[target if isinstance(target, int) else len(value) - 1]
    return value.reshape(4, 5)


@pytest.mark.parametrize("level", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("name", LOGIT_MAPS)
def test_a_threshold_on_the_logit_gives_the_region_of_the_probability(name, level):
    make, target = LOGIT_MAPS[name]
    model = tensor_map(make)
    rng = np.random.default_rng(4)
    counts = []
    for _ in range(10):
        image = 2 * rng.normal(size=(1, 1, 4, 5)) + rng.normal()
        program, margin, _ = margin_program(model, image, level, "output:map", target)
        probability = plain_map(nets.value_of(model, image, "map"), target)
        region = program.values[margin].reshape(4, 5) > 0
        clear = np.abs(probability - level) > 1e-6
        assert np.array_equal(region[clear], (probability > level)[clear])
        counts.append(region.sum())
    assert 0 < sum(counts) < 200


@pytest.mark.parametrize("name", LOGIT_MAPS)
def test_logit_maps_show_the_probability_and_default_to_one_half(name):
    make, target = LOGIT_MAPS[name]
    model = tensor_map(make)
    image = np.random.default_rng(4).normal(size=(1, 1, 4, 5))
    found = saliency_of(model, image, "output:map", target)
    assert found.is_logit and str(default_threshold(found)) == "0.5"
    shown = nets.value_of(found.model, image, found.tensor)
    np.testing.assert_allclose(
        shown, plain_map(nets.value_of(model, image, "map"), target), rtol=0, atol=1e-6
    )
    assert np.all((shown > 0) & (shown < 1))
    check_extended(model, found, image)
    for text, share in (("max:0.5", 0.0), ("minmax:0.5", 0.5)):  # of the probabilities themselves
        bound = 0.5 * shown.max() + share * shown.min()
        if found.link == "probability":
            made, margin = with_margin(found, parse_threshold(text), 20)
            np.testing.assert_allclose(nets.value_of(made, image, margin), shown - bound, atol=1e-6)
        else:
            with pytest.raises(onnx_si.UnsupportedModel, match="not piecewise linear"):
                with_margin(found, parse_threshold(text), 20)
    for level in ("0", "1", "1.5", "-0.2"):
        with pytest.raises(onnx_si.UsageError, match="between 0 and 1"):
            with_margin(found, parse_threshold(level), 20)


def test_softmax_probabilities_are_what_scipy_says():
    """The two-class maps above are compared with our own evaluation; this ties it to SciPy's."""
    model = tensor_map(lambda n: n.add("Softmax", n.add("Identity", logits(n, 2), out="logits"), axis=1))
    image = np.random.default_rng(4).normal(size=(1, 1, 4, 5))
    scores = nets.value_of(model, image, "logits")
    np.testing.assert_allclose(nets.value_of(model, image, "map"), softmax(scores, axis=1), atol=1e-12)
    np.testing.assert_allclose(softmax(scores, axis=1)[0, 1], expit(scores[0, 1] - scores[0, 0]), atol=1e-12)


NOT_EXACT = {
    "softmax over three": lambda n: n.add("Softmax", logits(n, 3), axis=1),
    "old softmax, which runs over all axes behind": lambda n: n.add("Softmax", logits(n, 2), axis=1),
    "softmax over rows": lambda n: n.add("Softmax", logits(n, 1), axis=3),
    "mean of several sigmoids": lambda n: n.add("Sigmoid", logits(n, 3)),
    "sigmoid that is scaled": lambda n: n.add("Mul", n.add("Sigmoid", logits(n, 1)), n.const(np.array(2.0))),
    "coarse sigmoid": lambda n: n.add("Sigmoid", n.add("MaxPool", logits(n, 1), kernel_shape=[2, 2])),
}


@pytest.mark.parametrize("name", NOT_EXACT)
def test_other_probabilities_are_refused(name):
    model = tensor_map(NOT_EXACT[name], opset=11 if name.startswith("old") else 17)
    image = np.random.default_rng(4).normal(size=(1, 1, 4, 5))
    with pytest.raises(onnx_si.UnsupportedOp, match=r"Sigmoid|Softmax"):
        margin_program(model, image, 0.5, "output:map")


def test_several_channels_are_averaged_unless_one_is_chosen():
    model = tensor_map(lambda n: logits(n, 3))
    image = np.random.default_rng(4).normal(size=(1, 1, 4, 5))
    value = nets.value_of(model, image, "map")[0]
    mean = saliency_of(model, image, "output:map")
    np.testing.assert_allclose(nets.value_of(mean.model, image, mean.tensor), value.mean(axis=0), atol=1e-6)
    assert "3 channels" in mean.notes[0] and "--target" in mean.notes[0]
    for channel in range(3):
        one = saliency_of(model, image, "output:map", channel)
        np.testing.assert_allclose(nets.value_of(one.model, image, one.tensor), value[channel], atol=1e-6)
        assert one.target == channel and not one.notes
    with pytest.raises(onnx_si.UsageError, match="3 channels, numbered from 0"):
        saliency_of(model, image, "output:map", 3)


def test_two_softmax_classes_take_class_one_and_say_so():
    model = tensor_map(lambda n: n.add("Softmax", logits(n, 2), axis=1))
    found = saliency_of(model, np.zeros((1, 1, 4, 5)), "output:map")
    assert found.target == 1 and "class 1" in found.notes[0]


def test_inner_tensors_can_be_maps_and_others_are_refused():
    model = nets.cam_nchw(1, size=6)
    image = np.random.default_rng(4).normal(size=(1, 1, 6, 6))
    inner = model.proto.graph.node[0].output[0]
    found = saliency_of(model, image, f"output:{inner}", 0)
    np.testing.assert_allclose(
        nets.value_of(found.model, image, found.tensor), nets.value_of(model, image, inner)[0, 0], atol=1e-6
    )
    with pytest.raises(onnx_si.SaliencyUnavailable, match="no tensor 'nothing'"):
        saliency_of(model, image, "output:nothing")
    flat = next(n.output[0] for n in model.proto.graph.node if n.op_type == "Gemm")
    with pytest.raises(onnx_si.SaliencyUnavailable):
        build(model, image, f"output:{flat}", 0, View(shape=(1, 1, 6, 6, 6), layout=Layout("NCDHW", "test")))


def channels_last(n, x):
    """From the image's own layout to that of a convolution and back."""
    made = n.conv(n.add("Transpose", x, perm=[0, 3, 1, 2]), 3, 4)
    n.add("AveragePool", made, kernel_shape=[4, 4], strides=[4, 4], out="inside")
    return n.add("Transpose", n.add("Relu", "inside"), perm=[0, 2, 3, 1], out="outside")


@pytest.mark.parametrize(("tensor", "axis"), [("outside", -1), ("inside", 1)])
def test_the_graph_tells_where_the_channels_are(tensor, axis):
    """4 x 4 with 4 channels: the shape says nothing."""
    n = nets.Net(3, (1, 16, 16, 3), opset=13)
    model = n.finish(channels_last(n, "x"))
    image = np.random.default_rng(1).normal(size=(1, 16, 16, 3))
    found = saliency_of(model, image, f"output:{tensor}", 2)
    matrix = linear_matrix(4, 16)
    wanted = (
        matrix @ np.take(nets.value_of(model, image, tensor)[0], 2, axis if axis < 0 else axis - 1) @ matrix.T
    )
    np.testing.assert_allclose(nets.value_of(found.model, image, found.tensor), wanted, atol=1e-6)


def test_a_map_that_does_not_depend_on_the_image_is_refused():
    n = nets.Net(0, (1, 1, 4, 4))
    n.add("Relu", n.conv("x", 1, 1), out="map")
    n.add("Relu", n.normal(1, 1, 4, 4), out="still")
    model = n.finish("map", "still")
    image = np.random.default_rng(0).normal(size=(1, 1, 4, 4))
    for threshold in ("minmax:0.5", "0.1", "top:0.3"):
        with pytest.raises(onnx_si.UnsupportedModel, match="does not depend on the image"):
            onnx_si.test(model, image, sigma=1.0, saliency="output:still", threshold=threshold)


def test_the_models_own_map_comes_before_a_class_map():
    model = nets.map_net(1)
    image = np.random.default_rng(4).normal(size=(1, 1, 5, 5))
    assert saliency_of(model, image).method == "output:map"
    assert saliency_of(nets.cam_nchw(1), np.zeros((1, 1, 6, 6))).method == "cam"
    assert saliency_of(classifier(hidden), np.zeros((1, 1, SIZE, SIZE))).method == "gradcam"
    smooth = classifier(lambda net, x: hidden(net, net.add("Softplus", x)))
    assert saliency_of(smooth, np.zeros((1, 1, SIZE, SIZE))).method == "gradcam"


def plain_layers(net, x):
    return dense(
        net, net.add("Relu", dense(net, net.add("Flatten", x), classes=5, channels=SIZE**2)), channels=5
    )


def recurrent(net, x):
    """A row of pixels at a time through an LSTM; the last state gives the scores."""
    x = net.add("Transpose", net.add("Squeeze", x, net.ints(1)), perm=[1, 0, 2])
    outputs = [net.name("states"), net.name("last")]
    weights = [net.normal(1, 12, SIZE), net.normal(1, 12, 3)]
    node = helper.make_node("LSTM", [x, *weights], outputs, name=net.name("lstm"), hidden_size=3)
    net.nodes.append(node)
    return dense(net, net.add("Squeeze", outputs[1], net.ints(0)))


def forest(net, x):
    """The first pixels decide, one tree for three classes."""
    made = [net.name("label"), net.name("probabilities")]
    tree = {
        "nodes_treeids": [0] * 5,
        "nodes_nodeids": [0, 1, 2, 3, 4],
        "nodes_modes": ["BRANCH_LEQ", "BRANCH_LT", *["LEAF"] * 3],
        "nodes_featureids": [0, 7, 0, 0, 0],
        "nodes_values": [0.2, 0.1, 0.0, 0.0, 0.0],
        "nodes_truenodeids": [1, 3, 0, 0, 0],
        "nodes_falsenodeids": [2, 4, 0, 0, 0],
        "class_treeids": [0] * 3,
        "class_nodeids": [2, 3, 4],
        "class_ids": [0, 1, 2],
        "class_weights": [0.9, 0.3, 0.6],
        "classlabels_int64s": [0, 1, 2],
    }
    node = helper.make_node(
        "TreeEnsembleClassifier",
        [net.add("Flatten", x)],
        made,
        net.name("trees"),
        domain="ai.onnx.ml",
        **tree,
    )
    net.nodes.append(node)
    return made[1]


LAST_CHOICES = {
    "plain layers": (plain_layers, "grad-input", "no layer for Grad-CAM"),
    "recurrent": (recurrent, "occlusion", "op LSTM has no gradient rule"),
    "trees": (forest, "occlusion", "only jump with the image"),
}


@pytest.mark.parametrize("name", LAST_CHOICES)
def test_a_classifier_without_feature_maps_gets_a_map_all_the_same(name):
    head, method, why = LAST_CHOICES[name]
    net = nets.Net(3, (1, 1, SIZE, SIZE))
    model = net.finish(head(net, "x"), domains=("ai.onnx.ml",))
    image = np.random.default_rng(1).normal(size=(1, 1, SIZE, SIZE))
    found = saliency_of(model, image)
    assert found.method == method
    assert "no output is a map" in found.why and "no cam (" in found.why and why in found.why
    ours = nets.value_of(found.model, image, found.tensor)
    (deployed,) = run_onnx(found.model, image, found.tensor)
    np.testing.assert_allclose(ours, deployed, rtol=0, atol=1e-5)
    assert np.ptp(ours) > 1e-3


def test_where_there_is_no_map_the_message_starts_with_what_to_do():
    net = nets.Net(0, (1, 3, SIZE, SIZE))
    model = net.finish(net.add("Relu", net.conv("x", 3, 4), out="many"))
    image = np.random.default_rng(1).normal(size=(1, 3, SIZE, SIZE))
    with pytest.raises(
        onnx_si.SaliencyUnavailable, match=r"^choose the map with --saliency output:NAME.*cam: no CAM"
    ):
        saliency_of(model, image)
    net = nets.Net(0, (1, 1, 2, 2))
    model = net.finish(net.add("MatMul", net.add("Flatten", net.add("Relu", "x")), net.normal(4, 2049)))
    with pytest.raises(onnx_si.SaliencyUnavailable, match=r"^give the class with --target K: one of 2049"):
        saliency_of(model, np.ones((1, 1, 2, 2)))


def test_an_unknown_method_is_a_usage_error():
    for text in ("nonsense", "output:", "cam:3"):
        with pytest.raises(onnx_si.UsageError, match="allowed are"):
            saliency_of(nets.map_net(1), np.zeros((1, 1, 5, 5)), text)


def test_names_that_are_taken_are_left_alone():
    net = nets.Net(0, (1, 1, 4, 4))
    net.add("Neg", net.conv("x", 1, 1), out="saliency")
    net.add("Identity", "saliency", out="onnx_si/constant")
    model = net.finish("onnx_si/constant")
    image = np.random.default_rng(0).normal(size=(1, 1, 4, 4))
    found = saliency_of(model, image)
    assert found.tensor != "saliency"
    check_extended(model, found, image)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_models_in_other_precisions(dtype):
    net = nets.Net(0, (1, 1, 4, 4), dtype=dtype)
    net.add("Relu", net.add("Mul", "x", net.normal(1, 1, 4, 4)), out="map")
    model = net.finish("map")
    image = np.random.default_rng(0).normal(size=(1, 1, 4, 4))
    result = onnx_si.test(model, image, np.zeros_like(image), sigma=1.0, threshold="max:0.5")
    assert 0 <= result.p_value <= 1
    assert result.parity.max_difference < {np.float64: 1e-6, np.float16: 1e-2}[dtype]


# --------------------------------------------------------------------------------
# Thresholds


@pytest.mark.parametrize(
    ("text", "kind", "level"),
    [
        ("0.3", "value", 0.3),
        (0.3, "value", 0.3),
        ("-1e-3", "value", -1e-3),
        ("max:.5", "max", 0.5),
        ("minmax:0.25", "minmax", 0.25),
    ],
)
def test_thresholds_are_read(text, kind, level):
    threshold = parse_threshold(text)
    assert (threshold.kind, threshold.level) == (kind, level)
    assert parse_threshold(str(threshold)) == threshold


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "max:",
        "max:abc",
        "max:0",
        "max:1",
        "max:-0.5",
        "minmax:1.5",
        "max:nan",
        "nan",
        "inf",
        "-inf",
        "half:0.5",
        "max:0.5:1",
        float("nan"),
        "0,5",
    ],
)
def test_other_thresholds_are_usage_errors(text):
    with pytest.raises(onnx_si.UsageError, match="threshold"):
        parse_threshold(text)


@pytest.mark.parametrize(("text", "pixels"), [("0.3", None), ("max:0.5", None), ("minmax:0.5", None)])
def test_regions_of_each_kind_of_threshold(text, pixels):
    model = nets.map_net(6)
    rng = np.random.default_rng(0)
    for _ in range(20):
        image = rng.normal(size=(1, 1, 5, 5))
        value = nets.value_of(model, image, "map")[0, 0]
        bound = {
            "0.3": 0.3,
            "max:0.5": 0.5 * value.max(),
            "minmax:0.5": value.min() + 0.5 * (value.max() - value.min()),
        }[text]
        program, margin, _ = margin_program(model, image, text)
        assert np.array_equal(program.values[margin].reshape(5, 5) > 0, value > bound)


def test_the_default_threshold_of_a_map_without_scale_is_half_its_maximum():
    found = saliency_of(nets.map_net(1), np.zeros((1, 1, 5, 5)))
    assert str(default_threshold(found)) == "max:0.5" and not found.is_logit


def test_extended_models_bind_at_any_image_of_their_size():
    """The margin is part of the graph: another image, another region, the same model."""
    model = nets.cam_nchw(2, classes=3)
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 1, 1, 6, 6))
    found = saliency_of(model, first)
    extended, margin = with_margin(found, parse_threshold("max:0.5"), math.prod((6, 6)))
    again, again_margin = with_margin(saliency_of(model, second), parse_threshold("max:0.5"), 36)
    ours = bind(extended, second, (margin,)).values[margin]
    np.testing.assert_array_equal(ours, bind(again, second, (again_margin,)).values[again_margin])


def test_a_stack_without_batch_axis_is_no_map():
    net = nets.Net(0, (1, 3, 4, 5))
    net.add("Squeeze", net.add("Relu", "x"), net.ints(0), out="map")
    model = net.finish("map")
    with pytest.raises(onnx_si.SaliencyUnavailable, match=r"shape \(3, 4, 5\) is no map"):
        saliency_of(model, np.ones((1, 3, 4, 5)), "output:map")
