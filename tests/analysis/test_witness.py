"""The deployed runtime as a witness: what is right passes, and a wrong S or another graph is refused."""

import contextlib
import dataclasses
import importlib
import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support import nets

import onnx_si
from onnx_si.analysis.options import Options
from onnx_si.analysis.outcome import refusal
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.precision import rounded_at
from onnx_si.errors import Contradicted
from onnx_si.graph import Model, model_from_proto
from onnx_si.graph.preprocess import Preprocessing, applied, with_preprocessing
from onnx_si.ground.intervals import Intervals
from onnx_si.ground.layout import layout_of
from onnx_si.program.binder import Binder
from onnx_si.program.program import bind
from onnx_si.runtime.deployed import FileMap

CASES = Path(__file__).parents[3] / "shared" / "cases"
exact_module = importlib.import_module("onnx_si.engines.exact")
prepare_module = importlib.import_module("onnx_si.analysis.prepare")

SHAPE = (1, 1, 8, 8)
KINDS = {
    "background": {},
    "mean": {"reference": True},
    "global": {"reference": True, "hypothesis": "global"},
    "two references": {"reference": 2},
    "randomised": {"randomise": 0.3, "alternative": "two-sided"},
    "t": {"sigma_df": 6},
    "F": {"reference": True, "hypothesis": "global", "sigma_df": 6},
    "mask": {"mask": np.pad(np.ones((6, 6)), 1)},
    "top": {"threshold": "top:0.2"},
    "minmax": {"threshold": "minmax:0.5"},
    "cam": {"saliency": "cam", "model": "cam", "threshold": "minmax:0.6"},
    "gradcam": {"saliency": "gradcam", "model": "flat cam", "threshold": "minmax:0.6"},
    "gradient": {"saliency": "gradient", "model": "cam"},
    "occlusion": {"saliency": "occlusion:4", "model": "cam"},
    "decide": {"decide": True},
    "preprocessing": {"scale": 2.0, "mean": (0.5,), "std": (1.5,)},
    "grad-input behind preprocessing": {
        "saliency": "grad-input",
        "model": "cam",
        "scale": 2.0,
        "mean": (0.5,),
    },
}


def result_of(kind, seed=0, **more):
    """One test of a kind, on the first image that has a region."""
    options = {"sigma": 1.0, "threshold": "max:0.5", **KINDS[kind], **more}
    references = int(options.pop("reference", 0))
    kind_of_model = options.pop("model", "map")
    if kind_of_model == "map":
        model = nets.map_net(seed=seed, size=8)
    else:
        model = nets.cam_nchw(seed, size=8, classes=2, pool=kind_of_model == "cam")
    rng = np.random.default_rng([seed, 3])
    for _ in range(20):
        image, *others = rng.normal(size=(1 + references, *SHAPE))
        with contextlib.suppress(onnx_si.NothingToTest):
            return onnx_si.test(model, image, others or None, **options)
    raise AssertionError("no image has a region")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_right_agrees(kind):
    for seed in range(3):
        parity = result_of(kind, seed).parity
        assert parity.pixels == () and parity.points >= 32
        assert parity.agreeing + parity.too_near == parity.points
        assert parity.agreeing >= 0.8 * parity.points


def moved(search, step, widen):
    """A search whose S has its nearest finite end off by a step."""

    def wrong(program, margin, line, *rest):
        found = search(program, margin, line, *rest)
        bounds = found.inside.bounds.copy()
        finite = np.argwhere(np.isfinite(bounds))
        row, column = min(finite, key=lambda at: abs(bounds[tuple(at)] - line.statistic))
        outwards = 1.0 if column else -1.0
        shift = outwards * (step if widen else -step) * line.standard_error
        limit = np.inf if column == 0 else -np.inf  # narrowed, the interval keeps some length
        bounds[row, column] += shift
        if not bounds[row, 0] < bounds[row, 1] or limit == bounds[row, 1 - column]:
            bounds[row, column] -= 0.5 * shift
        return dataclasses.replace(found, inside=Intervals.of(bounds), undecided=Intervals.empty())

    return wrong


@pytest.mark.parametrize("widen", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_end_of_s_is_refused(kind, widen, monkeypatch):
    ends = result_of(kind, precision=1e-9).truncation.bounds
    if not np.isfinite(ends).any():
        pytest.skip("S is the whole line")
    monkeypatch.setattr(exact_module, "search", moved(exact_module.search, 0.01, widen))
    with pytest.raises(Contradicted, match="contradicts") as caught:
        result_of(kind, precision=1e-9)
    assert "no p-value" in str(caught.value)


def test_a_wrong_end_of_a_components_s_is_refused(monkeypatch):
    right = result_of("background", components=True, precision=1e-9)
    assert right.parity.points > result_of("background", precision=1e-9).parity.points
    monkeypatch.setattr(exact_module, "search", moved(exact_module.search, 0.02, True))
    with pytest.raises(Contradicted):
        result_of("background", components=True, precision=1e-9)


def test_a_contradiction_is_a_refusal_with_its_reason(monkeypatch):
    monkeypatch.setattr(exact_module, "search", moved(exact_module.search, 0.01, True))
    with pytest.raises(Contradicted) as caught:
        result_of("background")
    document = refusal(caught.value, None, has_reference=False).to_dict()
    assert document["status"] == "refused" and document["p_value"] is None
    assert "pixels: (" in document["reason"] and caught.value.exit_code == 3


def test_nothing_is_asked_where_nothing_is_wanted(monkeypatch):
    monkeypatch.setattr(exact_module, "search", moved(exact_module.search, 0.01, True))
    result = result_of("background", verify=0)
    document = result.to_dict()
    assert result.parity.points is None and document["parity"]["points"] is None
    assert "asked" in document["reasons"]["parity.points"]
    assert result_of("background", p_value_only=True).parity.points is None
    with pytest.raises(Contradicted):
        result_of("background", p_value_only=True, verify=64)
    with pytest.raises(onnx_si.UsageError, match="verify"):
        Options(verify=-1)


def test_fewer_points_cost_less_and_say_so():
    assert result_of("background", verify=8).parity.points <= 8
    text = " ".join(result_of("background").summary().split())
    assert "points of the line as S says" in text


@pytest.mark.parametrize("saliency", ["output", "cam", "gradcam", "occlusion:4"])
def test_another_graph_than_the_files_is_refused(saliency):
    """The analysed weights are not the file's: every map is compared with the file's own."""
    right = nets.map_net(seed=1, size=8) if saliency == "output" else nets.cam_nchw(1, size=8, classes=2)
    proto = onnx.ModelProto()
    proto.CopyFrom(right.proto)
    weights = proto.graph.initializer[0]
    values = onnx.numpy_helper.to_array(weights)
    weights.CopyFrom(onnx.numpy_helper.from_array(values[..., ::-1].copy(), weights.name))
    other = Model(proto=proto, source=right.proto)
    method = f"output:{right.outputs[0].name}" if saliency == "output" else saliency
    image = np.random.default_rng(2).normal(size=SHAPE)
    assert result_on(right, image, method, "minmax:0.5").parity.pixels == ()
    with pytest.raises(Contradicted):
        result_on(other, image, method, "minmax:0.5")


def test_preprocessing_that_misses_a_step_is_refused(monkeypatch):
    frame = importlib.import_module("onnx_si.analysis.frame")

    def without_mean(model, name, layout, steps):
        return with_preprocessing(model, name, layout, dataclasses.replace(steps, mean=None))

    monkeypatch.setattr(frame, "with_preprocessing", without_mean)
    with pytest.raises(Contradicted):
        result_of("preprocessing")


@pytest.mark.parametrize(
    "steps",
    [
        Preprocessing(scale=0.3, mean=(0.5, 0.1, 2.0), std=(1.5, 0.7, 3.0)),
        Preprocessing(resize={2: np.random.default_rng(0).normal(size=(6, 9)), 3: np.eye(6)[:, ::-1]}),
    ],
)
def test_preprocessing_outside_is_what_the_nodes_do(steps):
    net = nets.Net(0, (1, 3, 6, 6))
    model = net.finish(net.add("Identity", "x"))
    layout = layout_of((1, 3, 6, 6))
    rows = 9 if steps.resize else 6
    image = np.random.default_rng(1).normal(size=(1, 3, rows, 6)).astype(np.float32)
    made = with_preprocessing(model, "x", layout, steps)
    (inside,) = onnx_si.runtime.session.run_deployed(made, image, "x", (model.outputs[0].name,))
    np.testing.assert_allclose(applied(steps, image, layout), inside, rtol=1e-6, atol=1e-6)


def in_functions(alpha=None):
    """A map made by a local function, and an inner tensor that only the function holds."""
    body = [helper.make_node("Relu", ["a"], ["inner"]), helper.make_node("Neg", ["inner"], ["b"])]
    function = helper.make_function("lo", "f", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    graph = helper.make_graph(
        [helper.make_node("f", ["x"], ["y"], domain="lo")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(SHAPE))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(SHAPE))],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("lo", 1)]
    proto = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=9)
    return model_from_proto(proto)


def test_the_file_keeps_its_functions_and_inner_tensors_of_theirs_are_not_checked():
    model, image = in_functions(), np.random.default_rng(0).normal(size=SHAPE)
    assert model.file.functions and not model.proto.functions
    assert result_on(model, image, "output:y", -0.5).parity.agreeing
    inner = next(name for node in model.proto.graph.node for name in node.output if "inner" in name)
    parity = result_on(model, image, f"output:{inner}", 0.5).parity
    assert parity.pixels is None and parity.points is None and "function" in parity.problem


def result_on(model, image, saliency, threshold, **options):
    return onnx_si.test(model, image, sigma=1.0, saliency=saliency, threshold=threshold, **options)


def batched(op, **attributes):
    """A map of any batch."""
    net = nets.Net(3, SHAPE)
    net.conv("x", 1, 1)
    y = net.add(op, net.nodes[-1].output[0], **attributes)
    y = net.add("Add", y, net.nodes[0].output[0])
    return net.finish(y, input_shape=("batch", 1, 8, 8))


@pytest.mark.parametrize(
    ("op", "attributes", "mixes"),
    [("Relu", {}, False), ("ReduceMax", {"axes": [0], "keepdims": 1}, True)],
)
def test_batches_where_the_file_keeps_images_apart(op, attributes, mixes, monkeypatch):
    model = batched(op, **attributes)
    images = np.random.default_rng(0).normal(size=(9, *SHAPE))
    name = model.outputs[0].name
    calls = []
    file = FileMap(model, model, name, "x", layout_of(SHAPE), Preprocessing())
    own = file._file
    counted = SimpleNamespace(run=lambda names, given: calls.append(len(given["x"])) or own.run(names, given))
    monkeypatch.setattr(file, "_file", counted)
    found = file.run(images)
    np.testing.assert_allclose(found, file.run(images, alone=True), atol=1e-6)
    assert (calls[0], calls.count(1) > 10) == (9, mixes)
    result = result_on(model, images[0], f"output:{name}", "max:0.5")
    assert result.parity.agreeing == result.parity.points


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_no_precision_is_refused_for_its_rounding(dtype):
    net = nets.Net(4, SHAPE, dtype=dtype)
    hidden = net.add("Relu", net.add("MatMul", "x", net.normal(8, 8)))  # the runtime has no Conv in double
    y = net.add("MatMul", hidden, net.normal(8, 8))
    model, asked = net.finish(y), 0
    for seed in range(12):
        image = np.random.default_rng([seed, 6]).normal(size=SHAPE)
        with contextlib.suppress(onnx_si.NothingToTest):
            asked += result_on(model, image, f"output:{y}", "max:0.5").parity.points
    assert asked > 300


@pytest.mark.parametrize("make", [nets.quantised_net, nets.dynamic_net, nets.jumping_net])
def test_jumps_near_a_point_are_no_contradiction(make):
    """Steps inside the network: rounding decides them near their places, and at ties of whole numbers.

    Shares are short in binary: a quantised level that is equal to 0.6 of another one is so by rounding.
    """
    asked = 0
    for seed, threshold in itertools.product(range(4, 16), ("max:0.5", "minmax:0.625")):
        model = make(seed)
        image = np.random.default_rng([seed, 5]).normal(size=(3, *model.inputs[0].shape))[2]
        with contextlib.suppress(onnx_si.NothingToTest):
            asked += onnx_si.test(model, image, sigma=1.0, threshold=threshold).parity.points
    assert asked > 300


@pytest.mark.parametrize("gain", [0.03, 1e-3, 1e-4])
def test_a_slow_jump_is_too_near_and_a_wrong_end_is_not(gain, monkeypatch):
    """1 + gain * h > 1 in float32 jumps elsewhere than in float64, by far more than the image's rounding."""
    net = nets.Net(3, SHAPE)
    h = net.add("Mul", net.conv("x", 1, 1), net.const(np.float32(gain)))
    jump = net.add("Greater", net.add("Add", h, net.const(np.float32(1))), net.const(np.float32(1)))
    y = net.add("Mul", net.add("Cast", jump, to=TensorProto.FLOAT), net.const(np.float32(1)))
    model = net.finish(y)
    images = np.random.default_rng(5).normal(size=(6, *SHAPE))
    near = sum(result_on(model, image, f"output:{y}", 0.5).parity.too_near for image in images)
    assert (near > 0) == (gain < 0.01)
    monkeypatch.setattr(exact_module, "search", moved(exact_module.search, 0.05, True))
    with pytest.raises(Contradicted):
        for image in images:
            result_on(model, image, f"output:{y}", 0.5)


def test_an_offset_that_hides_the_image_from_float32_is_too_near_to_tell():
    """x + 1e7 - 1e7 in float32 is a multiple of 1: the region there is rounding, and no contradiction."""
    net = nets.Net(0, SHAPE)
    y = net.add("Sub", net.add("Add", "x", net.const(np.float32(1e7))), net.const(np.float32(1e7)))
    model = net.finish(y)
    parity = result_on(model, np.random.default_rng(5).normal(size=SHAPE), f"output:{y}", 0.3).parity
    assert parity.too_near > 10 and parity.agreeing + parity.too_near == parity.points


def test_errors_of_a_precision_hold_what_the_runtime_does():
    model = nets.map_net(seed=2, size=8)
    name = model.outputs[0].name
    images = np.random.default_rng(7).normal(size=(5, *SHAPE))
    program = bind(model, images[0], (name,))
    found = rounded_at(program, images, 2.0**-23)[0][name]
    deployed = np.stack(
        [onnx_si.runtime.session.run_deployed(model, image, "x", (name,))[0] for image in images]
    )
    assert (np.abs(found.values - deployed) <= found.errors).all()
    assert found.errors.max() < 1e-3 * np.abs(found.values).max()


BITS = {
    "second_part_of_split": "01d43344eff32dc2",
    "constant_behind_sigmoid": "0480031149022108",
    "saturated_sigmoid": "de27f595bd7649a4",
    "branch_reads_image": "01de00667129e64b",
    "shadowed_names": "b8a13806712000",
    "row_of_argmax": "ffffffffffff80000000000000000000000000000000000000",
}
"""The region that was once found in the wrong graph, as bits."""
ENDS = {
    "double_equal_relu": (1.4500000151495136, 6.193836767625438),
    "local_maxima": (0.7103806095847957, 141.34076907951263),
    "sign_of_difference": (-5.5821239349012695, -1.0476190475007843),
    "zero_margin": (-4.347210032368667, -1.056241662330215),
    "count_of_positive": (1.563272784359084, 3.799530662050433),
    "overflow_on_line": (0.2985834672654484, 1.4951489845068284),
}
"""The part of S around the statistic that was once found."""


def case(name):
    if not CASES.is_dir():
        pytest.skip("the cases are not beside this checkout")
    model, image = onnx_si.load(str(CASES / f"{name}.onnx")), np.load(CASES / f"{name}.npy")
    output = model.outputs[0].name
    own = {"zero_margin": {"threshold": 0.0}, "branch_reads_image": {"mean": [0.7]}}.get(name, {})
    options = {"threshold": 0.5, "sigma": 1.0, "hypothesis": "background", "alternative": "two-sided", **own}
    return model, image.astype(np.float64), {"saliency": f"output:{output}", **options}


def found(inside):
    """A search that found a set."""
    return onnx_si.search.Search(
        inside=inside,
        undecided=Intervals.empty(),
        p_value_bounds=(0.0, 1.0),
        seconds=0.0,
        forward_passes=0.0,
        pieces=1,
        cells=1,
        fates={},
        peak_bytes=0,
        complete=True,
    )


@pytest.mark.parametrize("name", ENDS)
def test_a_case_with_its_wrong_s_is_refused(name, monkeypatch):
    def wrong(program, margin, line, event, how, progress):
        inside = Intervals.of([ENDS[name]])
        return found(inside)

    model, image, options = case(name)
    monkeypatch.setattr(exact_module, "search", wrong)
    monkeypatch.setattr(Binder, "_at_this_image", staticmethod(lambda made: made))  # a count as a constant
    with pytest.raises(Contradicted):
        onnx_si.test(model, image, p_value_only=True, verify=64, **options)


@pytest.mark.parametrize("name", BITS)
def test_a_case_with_its_wrong_region_is_refused(name, monkeypatch):
    own = prepare_module.select

    def wrong(scene, marking, settings):
        selected = own(scene, marking, settings)
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(BITS[name]), np.uint8))
        region = bits[: selected.region.size].reshape(selected.region.shape).astype(bool)
        return dataclasses.replace(selected, region=region, event=RegionEvent(region))

    def everywhere(program, margin, line, event, how, progress):
        return found(Intervals.line())

    model, image, options = case(name)
    monkeypatch.setattr(
        importlib.import_module("onnx_si.maps.monotone"), "_require_unsaturated", lambda *_: None
    )
    monkeypatch.setattr(prepare_module, "select", wrong)
    monkeypatch.setattr(exact_module, "search", everywhere)
    with pytest.raises(Contradicted):
        onnx_si.test(model, image, p_value_only=True, verify=64, **options)


def test_a_function_without_its_default_is_refused():
    """As it was once inlined: LeakyRelu of 0.01 in place of 0.9."""
    model, image, options = case("default_attribute")
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    leaky = next(node for node in proto.graph.node if node.op_type == "LeakyRelu")
    del leaky.attribute[:]
    wrong = Model(proto=proto, source=model.file)
    with pytest.raises(Contradicted):
        onnx_si.test(wrong, image, **{**options, "threshold": "minmax:0.5"})
    with pytest.raises(onnx_si.UnsupportedModel, match="not the file's"):
        onnx_si.saliency(wrong)


def test_an_extended_model_that_the_runtime_cannot_compare_says_so():
    model = nets.map_net(seed=0, size=8)
    assert not [note for note in onnx_si.inspection.extension.extend(model).notes if "compared" in note]
