"""Maps of vision transformers: tokens go back to their places, attention is rolled out."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from support import nets
from support.maps import differences, layer_of, saliency_of, values_of, view_of
from support.token_nets import vit

import onnx_si
from onnx_si.graph import model_from_proto
from onnx_si.maps import methods, resize_matrix
from onnx_si.maps.scores import find_scores

SPACE, GRID = (8, 12), (2, 3)
KINDS = {
    "class token": ({}, "seen_1"),
    "three projections": ({"packed": False}, "seen_1"),
    "three class tokens": ({"lead": 3}, "seen_1"),
    "no class token": ({"lead": 0}, "last"),
    "fused": ({"fused": True}, "seen_1"),
    "one block": ({"blocks": 1}, "seen_0"),
}


def image_of(seed=0, shape=(1, 1, *SPACE)):
    return np.random.default_rng(seed).normal(size=shape)


def resized(coarse):
    """Linear, to the image's pixels."""
    return resize_matrix(2, 8, "linear") @ coarse @ resize_matrix(3, 12, "linear").T


@pytest.mark.parametrize("name", KINDS)
def test_the_layer_is_the_one_in_front_of_the_last_mixing(name):
    """Behind it only class tokens matter: their places' gradients are zero."""
    options, wanted = KINDS[name]
    layer = layer_of(vit(**options), image_of())
    assert (layer.tensor, layer.size) == (wanted, GRID)


@pytest.mark.parametrize("method", ["gradient", "grad-input"])
@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_differences(name, method):
    options, _ = KINDS[name]
    model, image = vit(**options), image_of(1)
    slope = differences(model, image, find_scores(model, image, view_of(model, image)), 1)[0, 0]
    wanted = np.abs(slope) if method == "gradient" else slope * image[0, 0]
    np.testing.assert_allclose(values_of(model, image, method, 1), wanted, rtol=0, atol=1e-6)


def behind(model, image, layer, beside):
    """The model from a tensor on, with the one beside it as it is at the image."""
    wanted, kept = {"scores"}, []
    for node in reversed(model.proto.graph.node):
        if wanted.intersection(node.output) and not {layer, beside}.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    stored = numpy_helper.from_array(nets.value_of(model, image, beside).astype(np.float32), beside)
    graph = helper.make_graph(
        kept[::-1],
        "behind",
        [helper.make_tensor_value_info(layer, 1, nets.value_of(model, image, layer).shape)],
        model.proto.graph.output,
        [*model.proto.graph.initializer, stored],
    )
    return model.with_proto(helper.make_model(graph, opset_imports=model.proto.opset_import))


def by_hand(model, image, layer, beside, lead, target):
    """Grad-CAM from the features and from differences of the score in each of them."""
    features = nets.value_of(model, image, layer)
    rest, slopes = behind(model, image, layer, beside), np.zeros(features.size)
    for i, step in enumerate(1e-6 * np.eye(features.size)):
        both = (features + sign * step.reshape(features.shape) for sign in (1, -1))
        up, down = (nets.value_of(rest, at, "scores")[0, target] for at in both)
        slopes[i] = (up - down) / 2e-6
    places, slope = features[0, lead:], slopes.reshape(features.shape)[0, lead:]
    return resized(np.maximum((places * slope.mean(axis=0)).sum(axis=1), 0).reshape(GRID))


@pytest.mark.parametrize("lead", [1, 3])
def test_grad_cam_of_tokens(lead):
    model, largest = vit(lead=lead), []
    for target in range(3):
        image = image_of(2 + target)
        wanted = by_hand(model, image, "seen_1", "block_0", lead, target)
        largest.append(wanted.max())
        np.testing.assert_allclose(values_of(model, image, "gradcam", target), wanted, rtol=0, atol=1e-5)
    assert max(largest) > 1e-3
    notes = saliency_of(model, image, "gradcam", 1).notes
    assert any(f"{6 + lead} tokens" in note and f"{lead} tokens that are no place" in note for note in notes)


def test_a_named_tensor_of_tokens():
    model, image = vit(), image_of(3)
    found = saliency_of(model, image, "gradcam:block_0", 0)
    assert "'block_0'" in found.notes[0] and "tokens are put back" in found.notes[1]
    assert not np.allclose(
        values_of(model, image, "gradcam:block_0", 0), values_of(model, image, "gradcam", 0)
    )
    with pytest.raises(onnx_si.SaliencyUnavailable, match="no tensor between"):
        saliency_of(model, image, "gradcam:nothing", 0)


# --------------------------------------------------------------------------------
# Attention rollout


def rolled_out(matrices, lead):
    """The method by its definition: all layers multiplied, then the class token's row or the mean."""
    tokens = matrices[0].shape[-1]
    total = np.eye(tokens)
    for heads in matrices:
        mixed = heads.reshape(-1, tokens, tokens).mean(axis=0) + np.eye(tokens)
        total = (mixed / mixed.sum(axis=1, keepdims=True)) @ total
    row = total[0, lead:] if lead else total.mean(axis=0)
    return resized(row.reshape(GRID))


@pytest.mark.parametrize("lead", [0, 1, 2])
@pytest.mark.parametrize("blocks", [1, 3])
def test_rollout_is_its_definition(lead, blocks):
    model, image = vit(lead=lead, blocks=blocks), image_of(4)
    names = [node.output[0] for node in model.proto.graph.node if node.op_type == "Softmax"]
    wanted = rolled_out([nets.value_of(model, image, name) for name in names], lead)
    assert len(names) == blocks and np.ptp(wanted) > 1e-3
    np.testing.assert_allclose(values_of(model, image, "rollout"), wanted, rtol=0, atol=1e-6)
    found = saliency_of(model, image, "rollout")
    assert found.target is None and f"{blocks} layers of attention among {6 + lead} tokens" in found.notes[0]


def handed_on(model, ops):
    """The model, with ops between each Softmax and what reads it."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([0]), "first"))
    proto.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), "none"))
    nodes = []
    for node in model.proto.graph.node:
        nodes.append(copy := onnx.NodeProto.FromString(node.SerializeToString()))
        if node.op_type == "Softmax":
            wanted = node.output[0]
            copy.output[0] = last = f"{wanted}/own"
            for place, (op, *inputs) in enumerate(ops):
                made = wanted if place == len(ops) - 1 else f"{wanted}/{place}"
                read = [last if name == "x" else name for name in inputs]
                nodes.append(helper.make_node(op, read, [made]))
                last = made
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return onnx_si.load(proto)


@pytest.mark.parametrize(
    "ops",
    [
        [("Dropout", "x")],
        [("Unsqueeze", "x", "first"), ("Squeeze", "x", "first")],
        [("Where", "yes", "x", "none")],
    ],
)
def test_rollout_sees_attention_that_is_handed_on(ops):
    model, image = vit(lead=1, blocks=1), image_of(4)
    made = values_of(handed_on(model, ops), image, "rollout")
    np.testing.assert_array_equal(made, values_of(model, image, "rollout"))


def test_rollout_of_fused_attention():
    """The same weights, fused or not."""
    model, image = vit(fused=True), image_of(5)
    made = values_of(model, image, "rollout")
    heads = []
    for node in model.proto.graph.node:
        if node.op_type == "Attention":
            q, k = (nets.value_of(model, image, name)[0].reshape(7, 2, 3) for name in node.input[:2])
            scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(3)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            heads.append(weights / weights.sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(made, rolled_out(heads, 1), rtol=0, atol=1e-6)


def test_rollout_where_there_is_no_attention():
    image = np.zeros((1, 1, 6, 6))
    with pytest.raises(
        onnx_si.SaliencyUnavailable, match="no Softmax weighs tokens of the image; choose gradcam"
    ):
        saliency_of(nets.dense_net(size=6), image, "rollout")


def test_every_method_is_listed():
    found = {one.method: one for one in methods(vit(), image_of(), view_of(vit(), image_of()))}
    assert all(
        found[name].available for name in ("gradcam", "gradient", "grad-input", "rollout", "occlusion")
    )
    assert not found["cam"].available and saliency_of(vit(), image_of()).method == "gradcam"


@pytest.mark.parametrize("method", ["auto", "rollout"])
def test_the_exact_engine_names_nodes_of_the_model(method):
    """The nodes of the gradient are smooth too, but they are not what the user can change."""
    with pytest.raises(onnx_si.UnsupportedOp, match="Softmax is smooth") as caught:
        onnx_si.test(vit(), image_of(), sigma=1.0, saliency=method, engine="exact")
    assert not any(finding.node.startswith("onnx_si/") for finding in caught.value.findings)


def test_a_saved_model_has_the_map():
    """What `onnx-si saliency` writes, read again."""
    model, image = vit(), image_of(6)
    for method in ("gradcam", "rollout"):
        proto = onnx_si.saliency(model, method)
        saved = model_from_proto(proto)
        shown = onnx_si.evaluate(saved, {"x": image})["saliency"]
        np.testing.assert_allclose(shown, values_of(model, image, method), rtol=0, atol=1e-6)
        assert [d.dim_value for d in proto.graph.output[-1].type.tensor_type.shape.dim] == [8, 12]
