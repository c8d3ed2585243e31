"""What real models bring: other inputs, fixed batches, odd types and sizes, masks and clipped maps."""

import json

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from support import nets

import onnx_si
from onnx_si.cli import main as cli
from onnx_si.graph import model_from_proto
from onnx_si.inspection.extension import extend
from onnx_si.inspection.inspector import inspect_model

SHAPE = (1, 1, 8, 8)
IMAGE = 1.5 * np.random.default_rng(1).normal(size=SHAPE)


def runtime(proto, **inputs):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def agrees(result):
    """Whether the deployed runtime found the same region, and the same along the line."""
    parity = result.parity
    return parity.pixels == () and parity.points == parity.agreeing + parity.too_near > 0


def scanned(result, image, region_of, count=40):
    """S by a dense scan: the region at points of the line is the observed one inside S, another outside."""
    region = result.region
    weights = (region / region.sum() - ~region / (~region).sum()).reshape(image.shape)
    direction, at = weights / (weights**2).sum(), (weights * image).sum()
    for z in np.random.default_rng(0).uniform(at - 2, at + 2, count):
        if min(abs(z - end) for part in result.truncation for end in part) > 1e-4:
            inside = any(low < z < high for low, high in result.truncation)
            assert np.array_equal(region_of(image + (z - at) * direction), region) == inside


# --- maps of a fixed scale


CLIPS = {
    "Clip": (lambda n, x: n.add("Clip", x, n.const(0.0), n.const(1.0)), 0.5),
    "Clip, then moved": (
        lambda n, x: n.add("Squeeze", n.add("Clip", x, n.const(-1.0), n.const(1.4)), n.ints(1)),
        0.2,
    ),
    "HardSigmoid": (lambda n, x: n.add("HardSigmoid", n.add("Sub", x, n.const(0.7))), 0.5),
    "Relu and Min": (lambda n, x: n.add("Min", n.add("Relu", x), n.const(0.8)), 0.4),
    "Max and Min": (lambda n, x: n.add("Max", n.add("Min", x, n.const(0.5)), n.const(-0.1)), 0.2),
    "Relu": (lambda n, x: n.add("Relu", x), None),
    "Min": (lambda n, x: n.add("Min", x, n.const(0.8)), None),
    "Abs of Clip": (lambda n, x: n.add("Abs", n.add("Clip", x, n.const(-0.5), n.const(1.0))), 0.5),
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_map_between_two_ends_is_split_in_their_middle(name):
    build, middle = CLIPS[name]
    net = nets.Net(0, SHAPE)
    net.add("Identity", build(net, net.conv(net.add("Relu", net.conv("x", 1, 3)), 3, 1)), out="map")
    model = net.finish("map")
    result = onnx_si.test(model, IMAGE, sigma=1.0)
    if middle is None:
        assert result.saliency["threshold"] == "max:0.5"
        return
    assert float(result.saliency["threshold"]) == pytest.approx(middle)
    assert any("clipped to" in text for text in result.defaults)

    def region_of(image):
        return (runtime(model.proto, x=image.astype(np.float32))["map"] > middle).reshape(8, 8)

    assert np.array_equal(result.region, region_of(IMAGE)) and agrees(result)
    scanned(result, IMAGE, region_of)


def anomaly(threshold=0.8):
    """Of anomalib's kind: a clipped map, and a mask by the author's own threshold."""
    net = nets.Net(0, SHAPE)
    x = net.conv(net.add("Relu", net.conv("x", 1, 3)), 3, 1)
    net.add("Clip", x, net.const(0.0), net.const(1.0), out="anomaly_map")
    net.add("Greater", "anomaly_map", net.const(threshold), out="pred_mask")
    proto = net.proto("anomaly_map", "pred_mask")
    proto.graph.output[1].type.tensor_type.elem_type = TensorProto.BOOL
    return model_from_proto(proto)


def test_a_mask_of_truth_values_is_offered_and_preferred():
    model = anomaly()
    result = onnx_si.test(model, IMAGE, sigma=1.0)
    mask = runtime(model.proto, x=IMAGE.astype(np.float32))["pred_mask"][0, 0]
    told = {"method": "output:pred_mask", "target": None, "threshold": "0.5", "coarsen": 1}
    assert result.saliency == told
    assert np.array_equal(result.region, mask) and agrees(result)
    assert any("truth values" in text and "anomaly_map" in text for text in result.defaults)
    offered = [one["method"] for one in inspect_model(model).to_dict()["saliency"] if one["available"]]
    assert offered[:2] == ["output:pred_mask", "output:anomaly_map"]
    other = onnx_si.test(model, IMAGE, sigma=1.0, saliency="output:anomaly_map")
    assert other.saliency["threshold"] == "0.5" and other.region.sum() > mask.sum()


# --- other inputs


def with_age(kind=TensorProto.FLOAT, shape=(1, 1)):
    net = nets.Net(0, SHAPE)
    age = net.add("Cast", "age", to=TensorProto.FLOAT)
    net.add("Relu", net.add("Add", net.conv("x", 1, 1), net.add("ReduceSum", age, keepdims=0)), out="map")
    proto = net.proto("map")
    proto.graph.input.append(helper.make_tensor_value_info("age", kind, list(shape)))
    return model_from_proto(proto)


def test_other_inputs_are_constants_in_analysis_and_runtime(tmp_path):
    model = with_age(shape=(1, "n"))
    np.save(tmp_path / "age.npy", np.array([[0.25, 0.5]], np.float32))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.proto.SerializeToString())
    values = {
        "0.75": [[0.75]],
        0.75: [[0.75]],
        str(tmp_path / "age.npy"): [[0.25, 0.5]],
        tmp_path / "age.npy": [[0.25, 0.5]],
    }
    p_values = set()
    for given, value in values.items():
        result = onnx_si.test(path, IMAGE, sigma=1.0, inputs={"age": given})
        shown = runtime(model.proto, x=IMAGE.astype(np.float32), age=np.array(value, np.float32))["map"][0, 0]
        assert np.array_equal(result.region, shown > 0.5 * shown.max()) and agrees(result)
        p_values.add(result.p_value)
    assert len(p_values) == 1  # all the same sum, through all of the four ways
    other = onnx_si.test(path, IMAGE, sigma=1.0, inputs={"age": -0.5})
    assert other.p_value not in p_values


def test_other_inputs_by_the_command_line(tmp_path, capsys):
    path, image = tmp_path / "m.onnx", tmp_path / "a.npy"
    path.write_bytes(with_age().proto.SerializeToString())
    np.save(image, IMAGE)
    common = [str(path), str(image), "--sigma", "1", "--quiet", "--json"]
    assert cli.main([*common, "--input", "age=0.75"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["p_value"] == onnx_si.test(path, IMAGE, sigma=1.0, inputs={"age": 0.75}).p_value
    assert document["config"]["inputs"] == {"age": "0.75"}
    assert cli.main(common) == 3 and "--input age=VALUE" in capsys.readouterr().err
    assert cli.main(["inspect", str(path), "--input", "age=1"]) == 0
    assert "will take" in capsys.readouterr().out
    assert cli.main(["saliency", str(path), "--input", "age=1", "--output", str(tmp_path / "n.onnx")]) == 0
    shown = runtime(onnx_si.load(tmp_path / "n.onnx").proto, x=IMAGE.astype(np.float32))
    wanted = runtime(with_age().proto, x=IMAGE.astype(np.float32), age=np.ones((1, 1), np.float32))
    assert np.allclose(shown["saliency"], wanted["map"][0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"agee": 1}, "did you mean age"),
        ({"age": [[1, 2], [3, 4]]}, r"shape \(1, 1\), its value \(2, 2\)"),
        ({"age": "nothing.npy"}, "existing .npy"),
        ({"age": 1, "x": 2}, "one must be the image"),
    ],
)
def test_what_is_no_value_of_an_input_is_told(given, words):
    with pytest.raises(onnx_si.OnnxSIError, match=words):
        onnx_si.prepare(with_age(), inputs=given)


def test_a_whole_number_is_asked_for_where_the_input_takes_one():
    assert onnx_si.prepare(with_age(TensorProto.INT64), inputs={"age": 3})
    with pytest.raises(onnx_si.InputError, match="int64"):
        onnx_si.prepare(with_age(TensorProto.INT64), inputs={"age": 2.5})


# --- batches of fixed size


def batched(count, mixed=False):
    net = nets.Net(0, (count, 1, 8, 8))
    x = net.add("Relu", net.conv("x", 1, 1))
    net.add("Sub", x, net.add("ReduceMean", x, axes=[0]) if mixed else net.const(0.1), out="map")
    return net.finish("map")


def test_an_image_is_repeated_for_a_batch_of_fixed_size():
    result, wanted = (onnx_si.test(batched(count), IMAGE[0, 0], sigma=1.0) for count in (4, 1))
    assert result.p_value == pytest.approx(wanted.p_value, abs=1e-9)
    assert np.array_equal(result.region, wanted.region) and agrees(result)
    assert any("batch of 4" in text for text in result.defaults)
    content = inspect_model(batched(4)).to_dict()
    assert content["guarantee"] == "exact" and {op["op"] for op in content["ops"]} == {"Conv", "Relu", "Sub"}
    extended = extend(batched(4))
    shown = runtime(extended.proto, x=IMAGE.astype(np.float32))["saliency"]
    whole = runtime(batched(4).proto, x=np.repeat(IMAGE, 4, axis=0).astype(np.float32))["map"]
    assert np.allclose(shown, whole[0, 0], atol=1e-6)


def test_a_batch_whose_images_mix_is_refused():
    with pytest.raises(onnx_si.UnsupportedModel, match="depends on the others"):
        onnx_si.prepare(batched(4, mixed=True))


# --- types of the input


def typed(kind):
    net = nets.Net(0, SHAPE)
    x = net.add("Cast", "x", to=TensorProto.FLOAT)
    net.add("Relu", net.conv(net.add("Sub", x, net.const(100.0)), 1, 1), out="map")
    proto = net.proto("map")
    proto.graph.input[0].type.tensor_type.elem_type = kind
    return model_from_proto(proto)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.UINT16, TensorProto.INT16])
def test_whole_numbers_reach_the_runtime_as_such(kind):
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    image = np.random.default_rng(0).integers(80, 120, SHAPE).astype(dtype)
    model = typed(kind)
    result = onnx_si.test(model, image, sigma=10.0)
    shown = runtime(model.proto, x=image)["map"][0, 0]
    assert np.array_equal(result.region, shown > 0.5 * shown.max())
    assert result.guarantee == inspect_model(model).guarantee == "monte-carlo"  # the runtime rounds images


def test_bfloat16_reaches_the_runtime_through_a_cast():
    result = onnx_si.test(typed(TensorProto.BFLOAT16), 100 + 4 * IMAGE, sigma=1.0)
    assert result.parity.pixels is not None and result.parity.problem is None
    assert result.parity.points == result.parity.agreeing + result.parity.too_near


# --- what the message says first


def test_training_mode_is_told():
    net = nets.Net(0, SHAPE, opset=15)
    values = [net.const(np.full(2, float(v))) for v in (1, 0, 0, 1)]
    net.nodes.append(
        helper.make_node(
            "BatchNormalization",
            [net.conv("x", 1, 2), *values],
            ["bn", "m", "v"],
            name="bn1",
            training_mode=1,
        )
    )
    net.add("Relu", net.conv("bn", 2, 1), out="map")
    with pytest.raises(onnx_si.UnsupportedModel, match=r"exported in training mode.*model\.eval\(\)"):
        onnx_si.test(net.finish("map"), IMAGE, sigma=1.0, engine="exact")
    result = onnx_si.test(net.finish("map"), IMAGE, sigma=1.0)
    assert result.guarantee == "certified"
    assert any("exported in training mode" in text for text in result.defaults)


def unet(levels=1):
    net = nets.Net(0, (1, 1, "h", "w"))
    first = down = net.add("Relu", net.conv("x", 1, 2))
    for _ in range(levels):
        down = net.add("MaxPool", down, kernel_shape=[2, 2], strides=[2, 2])
    up = net.add("Relu", net.conv(down, 2, 2))
    for _ in range(levels):
        up = net.add("ConvTranspose", up, net.normal(2, 2, 2, 2), strides=[2, 2])
    net.add("Sigmoid", net.conv(net.add("Concat", up, first, axis=1), 4, 1), out="map")
    return net.finish("map")


@pytest.mark.parametrize(("levels", "multiple"), [(1, 2), (2, 4)])
def test_an_image_that_does_not_fit_the_strides_is_told_first(levels, multiple):
    image = np.random.default_rng(0).normal(size=(17, 16))
    with pytest.raises(onnx_si.InputError, match=r"^the image's 17 x 16 does not fit: node") as caught:
        onnx_si.test(unet(levels), image, sigma=1.0)
    assert f"multiples of {multiple} here" in str(caught.value) and "--pad V" in str(caught.value)


def test_padding_is_a_part_of_the_model_and_of_no_region():
    image = np.random.default_rng(0).normal(size=(9, 10))
    model = unet(2)
    result = onnx_si.test(model, image, sigma=1.0, pad=0.3, scale=2.0, mean=0.1, std=0.5)

    def region_of(values):
        whole = np.full((1, 1, 12, 12), 0.3)
        whole[0, 0, :9, :10] = values
        shown = runtime(model.proto, x=((2 * whole - 0.1) / 0.5).astype(np.float32))["map"][0, 0]
        return shown[:9, :10] > 0.5

    assert result.region.shape == (9, 10) and np.array_equal(result.region, region_of(image))
    assert agrees(result)
    scanned(result, image, region_of)


def test_padding_that_is_not_needed_changes_nothing():
    image = np.random.default_rng(0).normal(size=(8, 8))
    padded, plain = (onnx_si.test(unet(), image, sigma=1.0, pad=pad) for pad in (5.0, None))
    assert padded.p_value == plain.p_value
    with pytest.raises(onnx_si.UsageError, match="a map that is an output"):
        onnx_si.test(unet(), image, sigma=1.0, pad=0.0, saliency="cam")


# --- windows that are larger than their input


PADS = {"pads": [3, 2, 1, 3]}


@pytest.mark.parametrize(
    ("op", "more"),
    [
        *((op, more) for op in ("AveragePool", "MaxPool") for more in ({}, PADS)),
        ("AveragePool", {**PADS, "count_include_pad": 1}),
    ],
)
def test_a_window_larger_than_its_input_has_the_runtimes_value(op, more):
    net = nets.Net(0, (1, 1, 7, 6))
    x = net.add("Relu", net.conv("x", 1, 4))
    net.add(op, x, kernel_shape=[1280, 1280], strides=[1280, 1280], ceil_mode=1, out="y", **more)
    model = net.finish("y")
    image = np.random.default_rng(0).normal(size=(1, 1, 7, 6)).astype(np.float32)
    found = onnx_si.evaluate(model, {"x": image})["y"]
    assert np.allclose(found, runtime(model.proto, x=image)["y"], rtol=1e-5)


def test_an_average_over_more_than_everything_is_a_global_one():
    net = nets.Net(0, (1, 1, 7, 7))
    features = net.add("Relu", net.conv("x", 1, 4))
    pooled = net.add("AveragePool", features, kernel_shape=[1280, 1280], strides=[1280, 1280], ceil_mode=1)
    net.add("Gemm", net.add("Flatten", pooled), net.normal(4, 3), out="scores")
    image = np.random.default_rng(0).normal(size=(1, 1, 7, 7))
    result = onnx_si.test(net.finish("scores"), image, sigma=1.0)
    assert result.saliency["method"] == "cam" and agrees(result)


# --- what inspect says first


@pytest.mark.parametrize("build", [anomaly, lambda: batched(4), unet], ids=["mask", "batch", "probability"])
def test_inspect_leads_with_what_a_test_then_does(build):
    model = build()
    plan = {one["what"]: one for one in inspect_model(model).to_dict()["plan"]}
    result = onnx_si.test(model, IMAGE, sigma=1.0)
    assert list(plan) == ["layout", "map", "class", "threshold", "engine"]
    assert plan["map"]["choice"] == result.saliency["method"]
    assert plan["threshold"]["choice"] == result.saliency["threshold"]
    assert plan["engine"]["choice"] == result.guarantee
    for what, option in (("map", "--saliency"), ("threshold", "--threshold"), ("layout", "--layout")):
        assert plan[what]["option"] == option and plan[what]["reason"]
    assert any(plan["map"]["reason"] in text for text in result.defaults)
