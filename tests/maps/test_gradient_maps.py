"""Maps made of gradients: against class activation maps, by hand, and refused where there are none."""

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from scipy import stats
from support import nets
from support.heads import EVERY_HEAD, classifier, hidden
from support.maps import layer_of, run_onnx, saliency_of, values_of, view_of

import onnx_si
from onnx_si.graph import model_from_proto
from onnx_si.ground.layout import layout_of
from onnx_si.inspection.extension import extend
from onnx_si.maps import View, build, methods, resize_matrix
from onnx_si.maps.cam import find_head
from onnx_si.maps.scores import find_scores
from onnx_si.maps.trace import channel_axes

MODELS = Path(__file__).parents[2] / "models"
GRADIENTS = ("gradcam", "gradient", "grad-input")
SHAPE = (1, 1, 6, 6)


# --------------------------------------------------------------------------------
# Grad-CAM


@pytest.mark.parametrize("target", ["predicted", 2])
@pytest.mark.parametrize(
    ("name", "head", "last"), EVERY_HEAD, ids=[f"{'NHWC' if e[2] else 'NCHW'} {e[0]}" for e in EVERY_HEAD]
)
def test_behind_a_global_average_it_is_the_positive_part_of_the_cam(name, head, last, target):
    """The mean gradient is the class's weight, divided by the number of positions where the head averages."""
    model = classifier(head, channels_last=last, seed=2)
    for number in range(3):
        image = np.random.default_rng(number).normal(size=tuple(model.inputs[0].shape))
        cam = values_of(model, image, "cam", target)
        grad = values_of(model, image, "gradcam", target)
        assert cam.max() > 0
        positions = 1 if name == "ReduceSum, Gemm" else cam.size
        np.testing.assert_allclose(positions * grad, np.maximum(cam, 0), rtol=0, atol=1e-6)


def test_the_positive_part_is_taken_before_the_resize():
    model = nets.cam_nchw(8, size=6, classes=3)
    view = View(shape=SHAPE, layout=layout_of(SHAPE))
    resize = resize_matrix(3, 6, "linear")
    for number in range(3):
        image = np.random.default_rng(number).normal(size=SHAPE)
        layer, head = layer_of(model, image), find_head(model, image)
        features = nets.value_of(model, image, layer.tensor)[0]
        coarse = np.tensordot(head.weights[1] / 9, features, 1)
        assert layer.size == (3, 3) and coarse.min() < 0 < coarse.max()
        found = build(model, image, "gradcam", 1, view)
        assert "(3, 3), resized (linear) to (6, 6)" in found.notes[0]
        np.testing.assert_allclose(
            values_of(model, image, "gradcam", 1),
            resize @ np.maximum(coarse, 0) @ resize.T,
            rtol=0,
            atol=1e-6,
        )


def test_the_layer_is_the_last_one_with_space():
    net = nets.Net(0, (1, 1, 8, 8))
    first = net.add("Relu", net.conv("x", 1, 2), out="first")
    last = net.add("MaxPool", net.add("Relu", net.conv(first, 2, 3)), out="last", kernel_shape=[2, 2])
    pooled = net.add("GlobalAveragePool", last)
    wide = net.add("Conv", pooled, net.normal(5, 3, 1, 1))
    model = net.finish(net.add("Gemm", net.add("Flatten", wide), net.normal(5, 2), net.normal(2)))
    image = np.random.default_rng(0).normal(size=(1, 1, 8, 8))
    layer = layer_of(model, image)
    assert (layer.tensor, layer.shape, layer.channel_axis) == ("last", (1, 3, 7, 7), 1)
    assert layer_of(model, image, "first").size == (8, 8)
    found = saliency_of(model, image, "gradcam:first")
    assert found.method == "gradcam:first" and "'first'" in found.notes[0]
    assert not np.allclose(values_of(model, image, "gradcam:first"), values_of(model, image, "gradcam"))


def test_channels_stay_where_they_are_behind_whatever_works_entry_by_entry():
    """Whether or not a gradient can go back through it; a Reshape ends what is known."""
    names = {"a": "Conv", "b": "Transpose", "c": "Sqrt", "d": "CumSum", "e": "Reshape", "f": "Relu"}
    nodes, before = [], "x"
    for output, op in names.items():
        given = {"perm": [0, 2, 3, 1]} if op == "Transpose" else {}
        nodes.append(helper.make_node(op, [before], [output], **given))
        before = output
    assert channel_axes(nodes) == {"a": 1, "b": 3, "c": 3, "d": 3}


@pytest.mark.parametrize("op", ["Dropout", "Unsqueeze"])
def test_scores_are_found_in_front_of_what_moves_them(op):
    net = nets.Net(0, SHAPE)
    scores = net.add("Gemm", net.add("Flatten", "x"), net.normal(36, 3), net.normal(3), out="scores")
    net.add("Softmax", net.add(op, scores, *([net.ints(0)] if op == "Unsqueeze" else [])), out="y")
    model, image = net.finish("y"), np.zeros(SHAPE)
    assert find_scores(model, image, view_of(model, image)).tensor == "scores"


def test_channels_behind_space_are_found_by_following_the_transpose():
    """(1, 4, 4, 4) can be read either way; the ops in front tell which."""
    net = nets.Net(1, (1, 4, 4, 1))
    x = net.add("Relu", net.conv(net.add("Transpose", "x", perm=[0, 3, 1, 2]), 1, 4), out="first")
    x = net.add("Transpose", x, perm=[0, 2, 3, 1])
    x = net.add("LeakyRelu", net.add("Add", x, net.normal(4)), out="behind")
    x = net.add("Reshape", x, net.ints(1, 64))
    model = net.finish(net.add("MatMul", x, net.normal(64, 3)))
    image = np.random.default_rng(0).normal(size=(1, 4, 4, 1))
    layer = layer_of(model, image)
    assert (layer.tensor, layer.channel_axis) == ("behind", 3)
    ours = values_of(model, image, "gradcam", 1)
    features = nets.value_of(model, image, "behind")[0]
    weights = next(
        onnx.numpy_helper.to_array(t) for t in model.proto.graph.initializer if list(t.dims) == [64, 3]
    )
    wanted = features @ weights[:, 1].astype(np.float64).reshape(16, 4).mean(axis=0)
    np.testing.assert_allclose(ours, np.maximum(wanted, 0), rtol=0, atol=1e-6)


def test_one_dimension_and_three():
    for space in ((12,), (4, 4, 4)):
        net = nets.Net(3, (1, 1, *space))
        kernel = net.normal(2, 1, *(3,) * len(space))
        x = net.add("Relu", net.add("Conv", "x", kernel, pads=[1] * 2 * len(space)))
        x = net.add("MaxPool", x, kernel_shape=[2] * len(space), strides=[2] * len(space))
        x = net.add("Flatten", x)
        size = 2 * int(np.prod(space)) // 2 ** len(space)
        x = net.add("Relu", net.add("MatMul", x, net.normal(size, 4)))
        model = net.finish(net.add("MatMul", x, net.normal(4, 2)))
        image = np.random.default_rng(2).normal(size=(1, 1, *space))
        for method in GRADIENTS:
            assert values_of(model, image, method).shape == space


# --------------------------------------------------------------------------------
# The scores


@pytest.mark.parametrize("last", ["Softmax", "LogSoftmax", "Sigmoid"])
def test_the_gradient_is_that_of_the_score_in_front_of_the_probability(last):
    plain, smooth = (nets.Net(4, SHAPE) for _ in range(2))
    models = []
    for net, op in ((plain, None), (smooth, last)):
        x = net.add("Flatten", net.add("Relu", net.conv("x", 1, 2)))
        x = net.add("MatMul", x, net.normal(72, 3))
        models.append(net.finish(net.add(op, x) if op else x))
    image = np.random.default_rng(1).normal(size=SHAPE)
    for method in GRADIENTS:
        np.testing.assert_array_equal(*(values_of(model, image, method) for model in models))


def test_the_predicted_class_is_the_one_of_the_largest_score():
    model = classifier(hidden, seed=5)
    for number in range(6):
        image = 3 * np.random.default_rng(number).normal(size=SHAPE)
        best = int(onnx_si.evaluate(model, {"x": image})[model.outputs[0].name].argmax())
        for method in GRADIENTS:
            np.testing.assert_array_equal(
                values_of(model, image, method), values_of(model, image, method, best)
            )


def test_targets_are_classes():
    model, image = classifier(hidden), np.zeros(SHAPE)
    assert saliency_of(model, image, "gradient", 1).target == 1
    assert saliency_of(model, image, "gradient").target == "predicted"
    assert saliency_of(nets.cam_nchw(1), image, "gradcam").target == 0
    for method in GRADIENTS:
        with pytest.raises(onnx_si.UsageError, match="target 2: the model has 2 classes"):
            saliency_of(model, image, method, 2)


def colours(last=False):
    """Two channels, of which the second one has the larger weight in places."""
    net = nets.Net(8, (1, 4, 4, 2) if last else (1, 2, 4, 4))
    x = net.add("Relu", net.add("Add", "x", net.const(5.0)))
    return net.finish(net.add("MatMul", net.add("Flatten", x), net.normal(32, 1)))


@pytest.mark.parametrize("last", [False, True])
def test_channels_are_put_together(last):
    model = colours(last)
    shape = tuple(model.inputs[0].shape)
    image = np.random.default_rng(0).normal(size=shape)
    weights = next(
        onnx.numpy_helper.to_array(t) for t in model.proto.graph.initializer if list(t.dims) == [32, 1]
    ).reshape(shape)[0]
    axis = -1 if last else 0
    sizes, products = np.abs(weights).max(axis=axis), (weights * image[0]).sum(axis=axis)
    layout = "NHWC" if last else "NCHW"
    for method, wanted in (("gradient", sizes), ("grad-input", products)):
        found = build(model, image, method, 0, view_of(model, image, layout))
        np.testing.assert_allclose(nets.value_of(found.model, image, found.tensor), wanted, rtol=0, atol=1e-6)


# --------------------------------------------------------------------------------
# Where there is none


def sorted_along(net, x, axis):
    """TopK of all elements: it has no gradient rule."""
    outputs = [net.name("values"), net.name("places")]
    size = net.ints(3 if axis == 1 else 6)
    net.nodes.append(helper.make_node("TopK", [x, size], outputs, name=net.name("top"), axis=axis))
    return outputs[0]


def without_rules(net, x):
    """Two nodes that have no rule around a Relu, in front of the scores."""
    x = sorted_along(net, net.add("Relu", sorted_along(net, x, 2)), 3)
    return net.add("MatMul", net.add("Flatten", x), net.normal(108, 2))


def test_every_node_without_a_rule_is_named():
    model = classifier(without_rules)
    with pytest.raises(onnx_si.UnsupportedOp, match="2 nodes can't be differentiated") as caught:
        saliency_of(model, np.zeros(SHAPE), "gradient")
    assert [finding.op for finding in caught.value.findings] == ["TopK", "TopK"]
    assert all("no gradient rule" in f.reason and "output:NAME" in f.advice for f in caught.value.findings)


def test_nodes_in_front_of_the_layer_need_no_rule():
    net = nets.Net(0, SHAPE)
    x = net.add("Relu", net.conv(sorted_along(net, "x", 2), 1, 2))
    model = net.finish(net.add("MatMul", net.add("Flatten", x), net.normal(72, 2)))
    image = np.random.default_rng(0).normal(size=SHAPE)
    assert values_of(model, image, "gradcam").max() > 0
    with pytest.raises(onnx_si.UnsupportedOp, match="TopK"):
        saliency_of(model, image, "gradient")


def rounded(net, x):
    return net.add("MatMul", net.add("Flatten", net.add("Round", x)), net.normal(108, 2))


def as_a_map(net, x):
    return net.conv(x, 3, 1)


def by_branch(net, x, condition=None):
    """An If whose branches read the features without naming them as inputs."""
    if condition is None:
        condition = net.add("Greater", net.add("ReduceMax", x), net.const(0.0))
        condition = net.add("Reshape", condition, net.ints(1))

    def branch(name, op):
        return helper.make_graph(
            [helper.make_node(op, [x], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)],
        )

    y = net.add("If", condition, then_branch=branch("a", "Relu"), else_branch=branch("b", "Neg"))
    return net.add("MatMul", net.add("Flatten", y), net.normal(108, 2))


REFUSED = {
    "rounded": (rounded, "gradient", "by jumps only: its gradient is zero; choose occlusion"),
    "rounded, Grad-CAM": (rounded, "gradcam", "only jump with the image"),
    "map": (
        as_a_map,
        "gradcam",
        r"comes from a tensor of shape \(1, 1, 6, 6\), not from one score per class",
    ),
    "branch": (by_branch, "gradient", "If.*its condition depends on the image"),
    "no such layer": (hidden, "gradcam:nothing", r"'nothing' is no tensor between.*'features'"),
    "the scores themselves": (hidden, "gradcam:gemm_20", "no tensor between"),
    "no space": (hidden, "gradcam:flatten_8", "is no map over an image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason(name):
    head, method, words = REFUSED[name]
    with pytest.raises(onnx_si.UnsupportedModel, match=f"(?s){words}"):
        saliency_of(classifier(head), np.zeros(SHAPE), method)


@pytest.mark.parametrize("method", ["gradient", "grad-input"])
def test_a_branch_that_is_always_taken_is_what_it_holds(method):
    image, found = np.random.default_rng(0).normal(size=SHAPE), []
    for always, op in ((True, "Relu"), (False, "Neg")):
        taken = classifier(lambda net, x, always=always: by_branch(net, x, net.const(np.array(always))))
        plain = classifier(
            lambda net, x, op=op: net.add("MatMul", net.add("Flatten", net.add(op, x)), net.normal(108, 2))
        )
        found.append(values_of(taken, image, method, 1))
        np.testing.assert_allclose(found[-1], values_of(plain, image, method, 1), rtol=0, atol=1e-6)
    assert max(np.abs(values).max() for values in found) > 0.1


def test_dense_layers_alone_have_gradients_but_no_layer():
    net = nets.Net(0, SHAPE)
    x = net.add("Relu", net.add("MatMul", net.add("Flatten", "x"), net.normal(36, 5)))
    model = net.finish(net.add("MatMul", x, net.normal(5, 2)))
    image = np.random.default_rng(0).normal(size=SHAPE)
    assert values_of(model, image, "gradient").max() > 0
    with pytest.raises(onnx_si.SaliencyUnavailable, match=r"no layer for Grad-CAM.*gradcam:NAME"):
        saliency_of(model, image, "gradcam")


def test_too_many_classes_to_follow_the_predicted_one():
    net = nets.Net(0, (1, 1, 2, 2))
    model = net.finish(net.add("MatMul", net.add("Flatten", net.add("Relu", "x")), net.normal(4, 2049)))
    image = np.ones((1, 1, 2, 2))
    with pytest.raises(onnx_si.SaliencyUnavailable, match=r"--target K: one of 2049"):
        saliency_of(model, image, "gradient")
    assert saliency_of(model, image, "gradient", 2048).target == 2048


# --------------------------------------------------------------------------------
# In use


def test_every_gradient_method_is_listed_with_a_reason():
    image = np.random.default_rng(0).normal(size=SHAPE)

    def listed(head):
        model = classifier(head)
        return {found.method: found for found in methods(model, image, view_of(model, image))}

    found = listed(hidden)
    assert all(found[method].available for method in GRADIENTS)
    assert "gradient rule" in found["gradient"].reason and "'features'" in found["gradcam"].reason
    found = listed(without_rules)
    assert not any(found[method].available for method in GRADIENTS)
    assert all("TopK" in found[method].reason for method in GRADIENTS)


@pytest.mark.parametrize("method", [*GRADIENTS, "gradcam:features"])
def test_a_saved_model_carries_its_map(method):
    model = classifier(hidden, seed=8)
    image = np.random.default_rng(5).normal(size=SHAPE)
    made = extend(model, method)
    assert made.method == method
    saved = model_from_proto(made.proto)
    (deployed,) = run_onnx(saved, image, "saliency")
    np.testing.assert_allclose(deployed, values_of(model, image, method), rtol=0, atol=1e-5)
    before = onnx_si.test(model, image, sigma=1.0, saliency=method, threshold="max:0.5")
    after = onnx_si.test(saved, image, sigma=1.0, threshold="max:0.5")
    assert after.p_value == pytest.approx(before.p_value, abs=1e-3)
    assert before.guarantee == "exact" and before.parity.pixels == ()


def test_a_model_asked_again_gives_what_a_fresh_one_gives():
    """What is kept of it depends on an image's shape only: gates and winners are those of each image."""
    kept = nets.dense_net(seed=7, size=6)
    for method in (*GRADIENTS, "occlusion:3"):
        for number in range(4):
            image = np.random.default_rng(number).normal(size=SHAPE)
            options = {"sigma": 1.0, "saliency": method, "threshold": "max:0.5", "p_value_only": True}
            results = []
            for model in (kept, nets.dense_net(seed=7, size=6)):
                try:
                    results.append(onnx_si.test(model, image, **options).p_value)
                except onnx_si.NothingToTest:
                    results.append(None)
            assert results[0] == results[1]


def test_models_in_other_precisions():
    image = np.random.default_rng(5).normal(size=(1, 1, 4, 4))
    for method in GRADIENTS:
        maps = []
        for dtype in (np.float32, np.float64):
            net = nets.Net(3, (1, 1, 4, 4), dtype=dtype)
            x = net.add("MaxPool", net.add("Relu", net.conv("x", 1, 2)), kernel_shape=[2, 2])
            model = net.finish(net.add("MatMul", net.add("Flatten", x), net.normal(18, 2)))
            found = saliency_of(model, image, method)
            maps.append(nets.value_of(found.model, image, found.tensor))
        np.testing.assert_allclose(*maps, rtol=0, atol=1e-5)


def test_p_values_of_grad_cam_are_uniform_under_the_null():
    """A trained classifier; a naive test of the same regions rejects far too often."""
    model = onnx_si.load(MODELS / "paper_cam_16.onnx")
    rng = np.random.default_rng(2026)
    found = []
    for _ in range(400):
        image, reference = rng.normal(size=(2, 16, 16))
        options = {"saliency": "gradcam", "threshold": "max:0.5", "p_value_only": True}
        with contextlib.suppress(onnx_si.NothingToTest):
            result = onnx_si.test(
                model, image, reference, sigma=1.0, methods=("selective", "naive"), **options
            )
            found.append((result.p_value, result.comparison.naive))
    selective, naive = np.array(found).T
    low, high = stats.binom.interval(0.999, len(found), 0.05)
    assert len(found) > 120
    assert low <= np.count_nonzero(selective <= 0.05) <= high
    assert stats.kstest(selective, "uniform").pvalue > 0.01
    assert np.mean(naive <= 0.05) > 0.1 and stats.kstest(naive, "uniform").pvalue < 1e-6
