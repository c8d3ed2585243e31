"""Which output is the map, which the class scores, which layer Grad-CAM's: the right one, or a question."""

import json

import numpy as np
import onnx
import pytest
from support import nets
from support.heads import CLASSES
from support.maps import saliency_of

import onnx_si
from onnx_si.cli import main as cli
from onnx_si.graph import model_from_proto
from onnx_si.inspection.inspector import inspect_model

SIZE = 16
IMAGE = np.random.default_rng(5).normal(size=(1, 3, SIZE, SIZE))


def backbone(net, channels=4):
    return net.add("Relu", net.conv("x", 3, channels), out="features")


def scores_of(net, x, channels=4, classes=CLASSES):
    pooled = net.add("Flatten", net.add("GlobalAveragePool", x))
    return net.add("Gemm", pooled, net.normal(classes, channels), net.normal(classes), transB=1)


# --------------------------------------------------------------------------------
# Outputs of three axes, or four, that are no maps


def cells(net, x, fields, side=4):
    """One row for each cell of a grid: what a detector's head gives."""
    x = net.add("Conv", x, net.normal(fields, 4, side, side), strides=[side, side])
    return net.add("Reshape", x, net.ints(1, fields, -1))


def detector_rows(net, x):
    coarse = [net.add("Transpose", cells(net, x, 9, side), perm=[0, 2, 1]) for side in (2, 4)]
    return net.add("Concat", *coarse, axis=1)


def columns_of_cells(net, x):
    return net.add("Concat", *(cells(net, x, 7, side) for side in (2, 4, 8)), axis=2)


def queries(net, x):
    """Fixed queries look at the image's places, as a DETR's do."""
    places = net.add("Transpose", cells(net, x, 5), perm=[0, 2, 1])
    weights = net.add("MatMul", net.normal(1, 10, 5), net.add("Transpose", places, perm=[0, 2, 1]))
    return net.add("MatMul", net.add("MatMul", net.add("Relu", weights), places), net.normal(5, 6))


def tokens(net, x):
    places = net.add("Transpose", cells(net, x, 8), perm=[0, 2, 1])
    return net.add("Concat", net.normal(1, 1, 8), places, axis=1)


def tokens_as_many_as_pixels(net, x):
    """16 tokens of 16 features on an image of 16 x 16: the sizes say nothing."""
    return net.add("Transpose", cells(net, x, 16), perm=[0, 2, 1])


def best_rows(net, x):
    """(1, 1, N, 7), as an SSD gives them."""
    rows = net.add("Transpose", cells(net, x, 7), perm=[0, 2, 1])
    best, places = net.name("best"), net.name("places")
    net.nodes.append(onnx.helper.make_node("TopK", [rows, net.ints(5)], [best, places], axis=1))
    return net.add("Unsqueeze", best, net.ints(1))


NO_MAPS = {
    f.__name__: f for f in (detector_rows, columns_of_cells, queries, tokens, tokens_as_many_as_pixels)
}
NO_MAPS["best_rows"] = best_rows


@pytest.mark.parametrize("name", NO_MAPS)
def test_rows_are_no_map(name):
    net = nets.Net(1, IMAGE.shape)
    x = backbone(net)
    net.add("Identity", NO_MAPS[name](net, x), out="rows")
    net.add("Identity", scores_of(net, x), out="scores")
    model = net.finish("rows", "scores")
    assert saliency_of(model, IMAGE).method == "cam"
    rows, _ = inspect_model(model).outputs
    assert rows["layout"] is None and "no map" in rows["reason"]
    with pytest.raises(onnx_si.SaliencyUnavailable, match="is no map over an image"):
        saliency_of(model, IMAGE, "output:rows")


def test_a_map_in_three_axes_is_one_still():
    """The same nodes without losing the places: (1, H', W')."""
    net = nets.Net(1, IMAGE.shape)
    x = net.add(
        "Squeeze", net.add("Conv", backbone(net), net.normal(1, 4, 4, 4), strides=[4, 4]), net.ints(1)
    )
    model = net.finish(net.add("Relu", x, out="map"))
    found = saliency_of(model, IMAGE)
    assert found.method == "output:map" and found.why == "the only output that is a map"


def test_half_the_size_by_chance_is_no_map():
    """A dense layer's 8 x 8 numbers; those that are as many as the pixels can be one."""
    for side, method in ((8, "cam"), (16, "output:made")):
        net = nets.Net(1, IMAGE.shape)
        x = backbone(net)
        dense = net.add("MatMul", net.add("Flatten", net.add("GlobalAveragePool", x)), net.normal(4, side**2))
        net.add("Reshape", dense, net.ints(1, 1, side, side), out="made")
        net.add("Identity", scores_of(net, x), out="scores")
        assert saliency_of(net.finish("made", "scores"), IMAGE).method == method


def test_a_part_of_the_image_is_no_map_of_it():
    net = nets.Net(1, IMAGE.shape)
    x = backbone(net)
    net.add("Slice", net.conv(x, 4, 1), net.ints(0), net.ints(8), net.ints(2), out="top")
    net.add("Identity", scores_of(net, x), out="scores")
    model = net.finish("top", "scores")
    assert saliency_of(model, IMAGE).method == "cam"
    found = saliency_of(model, IMAGE, "output:top")  # by name: said
    assert any("does not cover the image's (16, 16)" in note for note in found.notes)


def test_the_map_of_the_image_s_own_size_comes_first():
    net = nets.Net(1, IMAGE.shape)
    x = backbone(net)
    net.add("Conv", x, net.normal(1, 4, 4, 4), strides=[4, 4], out="coarse")
    net.add("Conv", x, net.normal(1, 4, 2, 2), strides=[2, 2], out="middle")
    net.add("Identity", net.conv(x, 4, 1), out="fine")
    net.add("Identity", net.conv(x, 4, 1), out="second")
    found = saliency_of(net.finish("coarse", "fine", "middle", "second"), IMAGE)
    assert found.method == "output:fine"
    assert "the first output that is a map of the image's own size" in found.why
    assert all(f"'{name}'" in found.why for name in ("coarse", "middle", "second"))
    found = saliency_of(net.finish("coarse", "middle"), IMAGE)
    assert found.method == "output:middle" and "the finest" in found.why
    result = onnx_si.test(net.finish("coarse", "fine"), IMAGE, sigma=1.0)
    assert result.saliency["method"] == "output:fine" and any(
        "finest" in d or "own size" in d for d in result.defaults
    )


def test_a_constant_output_is_no_map():
    net = nets.Net(1, IMAGE.shape)
    weight = net.const(np.arange(SIZE**2, dtype=np.float32).reshape(1, 1, SIZE, SIZE), "w")
    net.add("Relu", weight, out="still")
    net.add("Identity", net.conv(backbone(net), 4, 1), out="map")
    for outputs in (("w", "map"), ("still", "map")):
        model = net.finish(*outputs)
        assert saliency_of(model, IMAGE).method == "output:map"
        assert [m["method"] for m in inspect_model(model).saliency if m["method"].startswith("output")] == [
            "output:map"
        ]


# --------------------------------------------------------------------------------
# Several vectors


def embedding_and(head, names, seed=1):
    """Outputs in the order of `names`: an embedding, and scores made from it or beside it."""
    net = nets.Net(seed, IMAGE.shape)
    x = backbone(net)
    pooled = net.add("Flatten", net.add("GlobalAveragePool", x))
    embedding = net.add("Gemm", pooled, net.normal(6, 4), transB=1, out=names["embedding"])
    head(net, pooled, embedding, names)
    return net


def beside(net, pooled, embedding, names):
    net.add("Gemm", pooled, net.normal(CLASSES, 4), transB=1, out=names["scores"])


def behind_softmax(net, pooled, embedding, names):
    logits = net.add("Gemm", pooled, net.normal(CLASSES, 4), transB=1, out="inner")
    net.add("Softmax", logits, out=names["scores"], axis=1)


def on_top(net, pooled, embedding, names):
    net.add("Gemm", net.add("Relu", embedding), net.normal(CLASSES, 6), transB=1, out=names["scores"])


PLAIN_NAMES = {"embedding": "out_a", "scores": "out_b"}
WAYS = {
    "Softmax": (behind_softmax, PLAIN_NAMES, "ends in a choice of class"),
    "name": (beside, {"embedding": "embedding", "scores": "class_logits"}, "its name"),
    "order": (on_top, PLAIN_NAMES, "computed on the way"),
}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_scores_are_told_from_an_embedding(way, turned):
    head, names, reason = WAYS[way]
    net = embedding_and(head, names)
    outputs = [names["embedding"], names["scores"]][:: -1 if turned else 1]
    both, alone = net.finish(*outputs), net.finish(names["scores"])
    for method in ("gradient", "grad-input", "gradcam", "occlusion:8", "cam"):
        if method == "cam" and way == "order":
            with pytest.raises(onnx_si.SaliencyUnavailable, match="comes from Relu"):
                saliency_of(both, IMAGE, method, 1)
            continue
        found, wanted = (saliency_of(model, IMAGE, method, 1) for model in (both, alone))
        np.testing.assert_array_equal(
            nets.value_of(found.model, IMAGE, found.tensor), nets.value_of(wanted.model, IMAGE, wanted.tensor)
        )
        assert any(reason in note and "--scores" in note for note in found.notes), found.notes
        assert not any("--scores" in note for note in wanted.notes)


def test_scores_that_can_t_be_told_are_asked_for():
    net = embedding_and(beside, PLAIN_NAMES)
    model = net.finish("out_a", "out_b")
    for method in ("auto", "cam", "gradcam", "gradient", "occlusion"):
        with pytest.raises(onnx_si.SaliencyUnavailable, match=r"'out_a', 'out_b'; choose with --scores NAME"):
            onnx_si.test(model, IMAGE, sigma=1.0, saliency=method)
    wanted = onnx_si.test(net.finish("out_b"), IMAGE, sigma=1.0)
    chosen = onnx_si.test(model, IMAGE, sigma=1.0, scores="out_b")
    other = onnx_si.test(model, IMAGE, sigma=1.0, scores="out_a")
    assert chosen.p_value == wanted.p_value and np.array_equal(chosen.region, wanted.region)
    assert not np.array_equal(other.saliency_map, wanted.saliency_map)
    for method in ("cam", "gradcam"):
        with pytest.raises(onnx_si.UnsupportedModel, match="the model has no tensor 'nothing'"):
            onnx_si.test(model, IMAGE, sigma=1.0, saliency=method, scores="nothing")


def test_the_model_s_metadata_and_the_command_line_say_which(tmp_path, capsys):
    net = embedding_and(beside, PLAIN_NAMES)
    wanted = onnx_si.test(net.finish("out_b"), IMAGE, sigma=1.0).p_value
    onnx.save(net.proto("out_a", "out_b"), tmp_path / "plain.onnx")
    net.metadata = {"onnx_si.scores": "out_b"}
    onnx.save(net.proto("out_a", "out_b"), tmp_path / "told.onnx")
    np.save(tmp_path / "image.npy", IMAGE)
    image = [str(tmp_path / "image.npy"), "--sigma", "1", "--json", "--quiet"]
    assert cli.main([str(tmp_path / "plain.onnx"), *image]) == 3
    assert "--scores" in capsys.readouterr().err
    assert cli.main([str(tmp_path / "plain.onnx"), *image, "--scores", "out_b"]) == 0
    assert json.loads(capsys.readouterr().out)["p_value"] == pytest.approx(wanted, abs=1e-9)
    assert cli.main([str(tmp_path / "told.onnx"), *image]) == 0
    assert json.loads(capsys.readouterr().out)["p_value"] == pytest.approx(wanted, abs=1e-9)
    saved = str(tmp_path / "with_map.onnx")
    assert cli.main(["saliency", str(tmp_path / "plain.onnx"), "--output", saved]) == 3
    assert cli.main(["saliency", str(tmp_path / "plain.onnx"), "--output", saved, "--scores", "out_b"]) == 0


# --------------------------------------------------------------------------------
# Grad-CAM with two branches


def branches(deep_first, extra=True):
    """Two branches side by side into one head; `extra` makes one of them a layer deeper."""
    net = nets.Net(3, IMAGE.shape)
    stem = net.add("Relu", net.conv("x", 3, 4), out="stem")
    start = len(net.nodes)
    x = net.add("Relu", net.conv(stem, 4, 4), out="deep_inside") if extra else stem
    deep = net.add("Relu", net.conv(x, 4, 4), out="deep")
    middle = len(net.nodes)
    shallow = net.add("Relu", net.conv(stem, 4, 4), out="shallow")
    if not deep_first:
        net.nodes[start:] = net.nodes[middle:] + net.nodes[start:middle]
    pooled = [net.add("Flatten", net.add("GlobalMaxPool", x)) for x in (deep, shallow)]
    return net.finish(
        net.add("Gemm", net.add("Concat", *pooled, axis=1), net.normal(CLASSES, 8), transB=1, out="scores")
    )


def test_the_layer_does_not_depend_on_the_order_of_nodes():
    maps = []
    for deep_first in (False, True):
        model = branches(deep_first)
        found = saliency_of(model, IMAGE, "gradcam", 1)
        assert "'deep'" in found.notes[0]
        assert any("'shallow'" in note and "the deepest of 2 branches" in note for note in found.notes)
        maps.append(nets.value_of(found.model, IMAGE, found.tensor))
    np.testing.assert_array_equal(*maps)


def test_branches_that_are_alike_are_asked_about():
    for deep_first in (False, True):
        model = branches(deep_first, extra=False)
        with pytest.raises(onnx_si.SaliencyUnavailable, match="'deep' and 'shallow' are equally deep"):
            saliency_of(model, IMAGE, "gradcam", 1)
        assert saliency_of(model, IMAGE, "gradcam:shallow", 1).method == "gradcam:shallow"


def test_feature_maps_of_a_turned_image_are_turned_back():
    def net_of(turned):
        net = nets.Net(3, (1, 1, 8, 12))
        x = net.add("Transpose", "x", perm=[0, 1, 3, 2]) if turned else "x"
        weight = net.rng.normal(size=(2, 1, 3, 3)).astype(np.float32)
        x = net.add("Relu", net.add("Conv", x, net.const(weight.transpose(0, 1, 3, 2) if turned else weight)))
        x = net.add("GlobalMaxPool", x)
        return net.finish(net.add("Gemm", net.add("Flatten", x), net.normal(3, 2), transB=1))

    image = np.random.default_rng(0).normal(size=(1, 1, 8, 12))
    found = [saliency_of(net_of(turned), image, "gradcam", 1) for turned in (False, True)]
    plain, turned = (nets.value_of(f.model, image, f.tensor) for f in found)
    np.testing.assert_allclose(plain, turned, atol=1e-6)


def test_scores_can_be_an_inner_tensor():
    net = embedding_and(behind_softmax, PLAIN_NAMES)
    model = model_from_proto(net.proto("out_a", "out_b"))
    assert onnx_si.test(model, IMAGE, sigma=1.0, scores="inner").saliency["method"] == "cam"
