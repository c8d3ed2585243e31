"""Occlusion: the score of every covered image, one by one."""

import numpy as np
import pytest
from support import nets
from support.heads import classifier, hidden
from support.maps import saliency_of, values_of, view_of
from test_gradient_maps import SHAPE, as_a_map, rounded

import onnx_si
from onnx_si.maps import build, methods
from onnx_si.maps.occlusion import grid_of


def smooth_inside(net, x):
    return net.add("MatMul", net.add("Flatten", net.add("Softplus", x)), net.normal(108, 2))


def by_hand(model, image, side, target=None):
    """The loss of the score for each patch, from one evaluation each."""

    def scores(x):
        return onnx_si.evaluate(model, {"x": x})[model.outputs[0].name].ravel()

    whole = scores(image)
    chosen = int(whole.argmax()) if target is None else target
    losses = np.empty(image.shape[2:])
    for top in range(0, image.shape[2], side):
        for left in range(0, image.shape[3], side):
            patch = (slice(top, top + side), slice(left, left + side))
            covered = image.copy()
            covered[:, :, *patch] = 0
            losses[patch] = whole[chosen] - scores(covered)[chosen]
    return losses


@pytest.mark.parametrize("target", [None, 1])
@pytest.mark.parametrize("side", [1, 2, 4, 5])
def test_each_pixel_has_the_loss_of_its_patch(side, target):
    model = classifier(hidden, seed=8)
    for number in range(3):
        image = np.random.default_rng(number).normal(size=SHAPE)
        wanted = by_hand(model, image, side, target)
        ours = values_of(model, image, f"occlusion:{side}", "predicted" if target is None else target)
        assert np.ptp(wanted) > 0
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-9)


def test_the_automatic_side_makes_about_64_patches():
    def grid(*shape):
        model = nets.Net(0, shape)
        model.add("Relu", "x")
        return grid_of(view_of(model.finish("relu_1"), np.zeros(shape)), None)

    for shape, side, counts in (
        ((1, 1, 224, 224), 28, (8, 8)),
        ((1, 1, 20, 64), 8, (3, 8)),
        ((1, 1, 6, 6), 2, (3, 3)),
        ((1, 1, 1000), 16, (63,)),
        ((1, 1, 32, 32, 32), 8, (4, 4, 4)),
    ):
        assert (grid(*shape).side, grid(*shape).counts) == (side, counts)


def test_other_axes():
    net = nets.Net(0, (1, 4, 6, 2))
    x = net.add("Relu", net.add("Reshape", "x", net.ints(1, 48)))
    model = net.finish(net.add("MatMul", x, net.normal(48, 2)))
    image = np.random.default_rng(0).normal(size=(1, 4, 6, 2))
    found = build(model, image, "occlusion:3", 0, view_of(model, image, "NHWC"))
    values = nets.value_of(found.model, image, found.tensor)
    assert len(np.unique(values)) == 4 and np.unique(values[:3, :3]).size == 1
    covered = image.copy()
    covered[:, :3, 3:] = 0
    whole, rest = (onnx_si.evaluate(model, {"x": x})[model.outputs[0].name][0, 0] for x in (image, covered))
    assert values[0, 5] == pytest.approx(whole - rest, abs=1e-9)


def test_scores_that_only_jump_can_be_occluded():
    model = classifier(rounded)
    image = 2 * np.random.default_rng(0).normal(size=SHAPE)
    np.testing.assert_allclose(values_of(model, image, "occlusion:3"), by_hand(model, image, 3), atol=1e-9)
    assert onnx_si.test(model, image, sigma=1.0, saliency="occlusion:3", threshold="max:0.5").p_value >= 0


def test_refused_with_a_reason():
    image = np.random.default_rng(0).normal(size=SHAPE)
    with pytest.raises(onnx_si.SaliencyUnavailable, match="no class scores"):
        saliency_of(classifier(as_a_map), image, "occlusion")
    with pytest.raises(onnx_si.UsageError, match=r"patches of side 6: 1 in an image of \(6, 6\)"):
        saliency_of(classifier(hidden), image, "occlusion:6")
    with pytest.raises(onnx_si.UsageError, match="target 7: the model has 2 classes"):
        saliency_of(classifier(hidden), image, "occlusion", 7)
    for text in ("occlusion:0", "occlusion:two", "occlusion:-1", "occlusion:"):
        with pytest.raises(onnx_si.UsageError, match=r"allowed are.*occlusion:K"):
            saliency_of(classifier(hidden), image, text)
    with pytest.raises(onnx_si.UnsupportedOp, match="can't be analysed exactly"):
        onnx_si.test(classifier(smooth_inside), image, sigma=1.0, saliency="occlusion:3", engine="exact")
    drawn = onnx_si.test(classifier(smooth_inside), image, sigma=1.0, saliency="occlusion:3", draws=19)
    assert drawn.guarantee == "monte-carlo"


def test_it_is_listed():
    image = np.random.default_rng(0).normal(size=SHAPE)
    model = classifier(rounded)
    found = {one.method: one for one in methods(model, image, view_of(model, image))}
    assert found["occlusion"].available and "9 patches of side 2" in found["occlusion"].reason
    assert not found["gradient"].available and "choose occlusion" in found["gradient"].reason
