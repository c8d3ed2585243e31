"""What `inspect` says of a model, and that it says something of every model that loads."""

import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support import nets

import onnx_si
from onnx_si.errors import OnnxSIError, UnsupportedModel, UsageError
from onnx_si.graph import model_from_proto
from onnx_si.ground.guard import DEBUG
from onnx_si.inspection.inspector import inspect_model
from onnx_si.inspection.probe import FREE_SIZE, probe
from onnx_si.report.inspected import print_inspection

KEYS = [
    *(
        "schema",
        "path",
        "sha256",
        "producer",
        "opset",
        "metadata",
        "plan",
        "inputs",
        "outputs",
        "tensors",
        "ops",
        "saliency",
    ),
    *("guarantee", "reasons", "assumed"),
]


def inspected(model, *args, **kwargs):
    content = inspect_model(model, *args, **kwargs).to_dict()
    assert list(content) == KEYS
    return json.loads(json.dumps(content, allow_nan=False))


def shown(content):
    stream = io.StringIO()
    print_inspection(content, stream)
    return stream.getvalue()


def classes(content):
    return {use["op"]: use["class"] for use in content["ops"]}


def test_an_exact_model():
    content = inspected(nets.cam_nchw(seed=0, size=8))
    assert content["schema"] == "onnx-si/inspect/1" and content["opset"] == 17
    assert content["guarantee"] == "exact" and "cam" in content["reasons"][0]
    assert classes(content) == {
        "Conv": "affine",
        "Relu": "piecewise-linear",
        "MaxPool": "piecewise-linear",
        "GlobalAveragePool": "affine",
        "Flatten": "affine",
        "Gemm": "affine",
    }
    conv = next(use for use in content["ops"] if use["op"] == "Conv")
    assert conv == {
        "op": "Conv",
        "domain": "",
        "since_version": 11,
        "class": "affine",
        "count": 2,
        "nodes": [],
    }
    (image,) = content["inputs"]
    assert image["layout"] == "NCHW" and image["shape"] == [1, 1, 8, 8] and image["reason"]
    (scores,) = content["outputs"]
    assert scores["layout"] is None and "no map" in scores["reason"]
    assert {m["method"]: m["available"] for m in content["saliency"]}["cam"]


def test_every_class_of_op():
    net = nets.Net(0, (1, 1, 6, 6))
    x = net.conv("x", 1, 1)
    gate = net.add("Cast", net.add("Greater", x, net.const(np.zeros(1))), to=TensorProto.FLOAT)
    constant = net.add("Exp", net.const(np.ones((1, 1, 6, 6))))
    y = net.add("Add", net.add("Mul", gate, x), constant)
    y = net.add("Add", net.add("Mul", x, x), net.add("Tanh", y))
    net.add("Erf", y, out="map")
    content = inspected(net.finish("map"))
    kinds = {(use["op"], use["class"]) for use in content["ops"]}
    wanted = {
        ("Conv", "affine"),
        ("Exp", "constant"),
        ("Greater", "discrete"),
        ("Tanh", "smooth"),
        ("Mul", "bilinear"),
        ("Mul", "piecewise-linear"),
    }
    assert wanted <= kinds
    assert content["guarantee"] == "certified"
    assert any("Tanh" in reason for reason in content["reasons"])
    assert any("Erf" in reason for reason in content["reasons"])


def test_an_op_without_handler_is_named():
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["y"]),
            helper.make_node("Strange", ["y"], ["z"], name="odd", domain="my.ops"),
            helper.make_node("Relu", ["z"], ["map"], name="behind"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 5, 5])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, 5, 5])],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("my.ops", 1)]
    content = inspected(model_from_proto(helper.make_model(graph, opset_imports=imports, ir_version=8)))
    odd = next(use for use in content["ops"] if use["op"] == "Strange")
    assert odd["class"] == "unsupported" and odd["nodes"] == ["odd"] and odd["since_version"] is None
    assert odd["domain"] == "my.ops" and content["guarantee"] == "refused"
    text = shown(content)
    assert "my.ops:Strange" in text and "odd" in text and "refused" in text


def free_model(batch="batch", height="height", width="width"):
    net = nets.Net(0, (1, 1, 6, 6))
    net.add("Relu", net.conv("x", 1, 1), out="map")
    return model_from_proto(net.proto("map", input_shape=(batch, 1, height, width)))


def test_free_axes_get_stated_sizes():
    content = inspected(free_model())
    assert content["guarantee"] == "exact"
    assert [text.split("'")[1] for text in content["assumed"]] == ["batch", "height", "width"]
    assert probe(free_model(), {}).image.shape == (1, 1, FREE_SIZE, FREE_SIZE)
    assert "assumed: free axis 'height'" in shown(content)


def test_sizes_of_free_axes_by_name_or_letter():
    assert probe(free_model(), {"height": 9, "W": 7}).image.shape == (1, 1, 9, 7)
    assert probe(free_model(None, None, None), {"H": 9, "W": 7}).image.shape == (1, 1, 9, 7)
    with pytest.raises(UsageError, match="depth"):
        inspect_model(free_model(), {"depth": 3})
    with pytest.raises(UnsupportedModel, match="too large"):
        probe(free_model(), {"height": 2**20, "width": 2**20})


def test_a_batch_of_several_images_is_said_so():
    net = nets.Net(0, (2, 1, 4, 4))
    model = net.finish(net.add("Relu", net.conv("x", 1, 1), out="map"))
    found = inspect_model(model)
    assert found.guarantee == "exact" and "batch of 2" in found.assumed[0]
    with pytest.raises(onnx_si.InputError, match="give one image"):
        onnx_si.test(model, np.zeros((2, 1, 4, 4)), sigma=1.0)


def test_an_input_of_two_axes_is_an_image():
    """A first axis that is no batch of one belongs to space."""
    net = nets.Net(0, (5, 6))
    model = net.finish(net.add("Relu", net.add("MatMul", net.normal(5, 5), "x"), out="map"))
    assert inspect_model(model).inputs[0]["layout"] == "HW"
    image = np.random.default_rng(1).normal(size=(5, 6))
    result = onnx_si.test(model, image, sigma=1.0, threshold="minmax:0.5")
    assert result.guarantee == "exact" and result.region.shape == (5, 6)


def test_ops_that_the_exporter_left_are_named():
    graph = helper.make_graph(
        [helper.make_node("Erfc", ["x"], ["y"])],
        "left",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(onnx_si.UnsupportedModel, match=r"Erfc.*the exporter left an op"):
        model_from_proto(proto)


def test_layout_can_be_chosen():
    model = nets.map_net(size=4)
    assert inspected(model)["inputs"][0]["layout"] == "NCHW"
    assert inspected(model, layout="NHWC")["inputs"][0]["layout"] == "NHWC"


@pytest.mark.parametrize("shape", [(), (1, 1, 2, 2, 2, 2), (1, 1, 0, 5), (2**40, 1, 4, 4)])
def test_inputs_that_are_no_image(shape):
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content = inspected(model_from_proto(proto))
    assert content["guarantee"] == "refused" and len(content["reasons"]) == 1
    assert classes(content) == {"Relu": "unsupported"}
    assert shown(content)


def test_several_inputs():
    net = nets.Net(0, (1, 1, 6, 6))
    net.add("Add", net.conv("x", 1, 1), "bias", out="map")
    proto = net.proto("map")
    proto.graph.input.append(helper.make_tensor_value_info("bias", TensorProto.FLOAT, [1]))
    proto = onnx.shape_inference.infer_shapes(proto)
    content = inspected(model_from_proto(proto))
    assert content["guarantee"] == "refused" and "2 inputs" in content["reasons"][0]
    assert classes(content) == {"Conv": "affine", "Add": "affine"}


def test_integer_input():
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Relu", ["f"], ["map"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 1, 5, 5])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, 5, 5])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content = inspected(model_from_proto(proto))
    assert content["guarantee"] == "monte-carlo" and "uint8" in content["reasons"][0]


def test_metadata_decides_the_default_saliency():
    net = nets.Net(0, (1, 1, 6, 6))
    net.metadata = {"onnx_si.saliency": "output:nothing"}
    net.add("Relu", net.conv("x", 1, 1), out="map")
    content = inspected(net.finish("map"))
    assert content["metadata"] == net.metadata
    assert content["guarantee"] == "refused" and "nothing" in content["reasons"][0]


def test_exact_means_that_a_test_runs():
    image = np.random.default_rng(0).normal(size=(6, 6))
    for model, options in (
        (nets.cam_nchw(), {"threshold": "minmax:0.5"}),
        (nets.map_net(size=6, last="Sigmoid"), {}),
        (nets.extremes_net(size=6), {}),
        (nets.gated_net(size=6), {}),
    ):
        assert inspected(model)["guarantee"] == "exact"
        assert onnx_si.test(model, image, sigma=1.0, **options).guarantee == "exact"


def test_names_are_never_markup():
    net = nets.Net(0, (1, 1, 6, 6))
    net.add("Relu", net.conv("x", 1, 1), out="[bold]map[/bold]:smile:")
    assert "[bold]map[/bold]:smile:" in shown(inspected(net.finish("[bold]map[/bold]:smile:")))


def test_a_fault_is_shown_as_a_reason(monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("onnx_si.inspection.inspector.bind", broken)
    with pytest.raises(ZeroDivisionError):  # a developer sees it as it is
        inspected(nets.map_net())
    monkeypatch.delenv(DEBUG)
    content = inspected(nets.map_net())
    assert content["guarantee"] == "refused" and "ZeroDivisionError: oops" in content["reasons"][0]


MODELS = sorted((Path(onnx.__file__).parent / "backend/test/data").glob("*/*/model.onnx"))


def test_every_model_that_loads():
    """The models that the ONNX package brings along; most of its old ones are below the oldest opset."""
    count = 0
    for path in MODELS:
        try:
            model = onnx_si.load(path)
        except OnnxSIError:
            continue
        content = inspected(model)
        assert not any("fault of onnx-si" in reason for reason in content["reasons"]), (
            path,
            content["reasons"],
        )
        assert content["guarantee"] in ("exact", "certified", "monte-carlo", "refused")
        assert content["reasons"] and shown(content)
        count += 1
    assert count >= 10


def test_free_axes_of_the_same_name_have_the_same_size():
    net = nets.Net(0, (1, 5))
    net.add("Softmax", net.add("Add", "x", "mask"), out="y")
    proto = net.proto("y", input_shape=["batch", "tokens"])
    proto.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch", "tokens"]))
    content = inspected(model_from_proto(proto), {"tokens": 7})
    assert classes(content) == {"Add": "affine", "Softmax": "smooth"}
    assert content["outputs"][0]["layout"] is not None


def test_what_keeps_the_outputs_from_being_evaluated_is_among_the_reasons():
    """Not only that there is no map: the node, and what to do about it."""
    net = nets.Net(0, (1, 1, 4, 4))
    net.add("RandomNormalLike", "x", out="y")
    content = inspected(net.finish("y"))
    assert content["guarantee"] == "refused"
    assert any("is random; export the model in evaluation mode" in reason for reason in content["reasons"])


@pytest.mark.parametrize("outside", [7, 3])
def test_scores_of_a_vector_are_no_coarse_map(outside):
    """Three scores of seven features look like a map of three pixels; only a vector of seven is one."""
    net = nets.Net(0, (1, 7))
    content = inspected(net.finish(net.add("Gemm", "x", net.normal(7, outside))))
    assert content["guarantee"] == "exact"  # of three scores by their gradient times the features
    assert content["saliency"][0]["method"].startswith("output:gemm") == (outside == 7)
