"""Models that are not piecewise linear: every one that onnxruntime runs gets a p-value."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support import nets, smooth_nets

import onnx_si
from onnx_si.analysis.blackbox import BlackBox
from onnx_si.analysis.frame import frame_of, input_of
from onnx_si.analysis.marking import marking_of
from onnx_si.analysis.options import Options
from onnx_si.analysis.settings import settle
from onnx_si.cli.main import main
from onnx_si.errors import UnsupportedModel, UsageError
from onnx_si.runtime import deployed

DRAWS = 99
MIXING = 0.02  # chains of a few steps from one hub forget it almost, not quite


def image_for(model, seed=1):
    shape = [size if isinstance(size, int) else 1 for size in model.inputs[0].shape]
    image = np.random.default_rng(seed).normal(size=shape)
    return image if model.inputs[0].is_floating else 128 + 20 * image


def asked(model, seed=1, **options):
    sigma = 1.0 if model.inputs[0].is_floating else 20.0
    drawn = {} if "thin" in options or options.get("engine") == "exact" else {"draws": DRAWS}
    return onnx_si.test(model, image_for(model, seed), sigma=sigma, **{**drawn, **options})


def box_of(model, image, **options):
    settings = settle(Options(engine="monte-carlo", threshold=0.0, **options), {}, False)
    frame = frame_of(model, input_of(model, settings), image.shape, settings)
    return BlackBox(marking_of(frame, image, None, settings))


OWN = {"softmax segmentation": {"saliency": "output:map", "target": 1, "threshold": 0.4}}


@pytest.mark.parametrize("name", smooth_nets.ZOO)
def test_every_architecture_gets_a_p_value(name):
    """At least twenty kinds, smooth and not, with the default engine."""
    result = asked(smooth_nets.ZOO[name](), **OWN.get(name, {"threshold": "minmax:0.6"}))
    assert result.guarantee == "monte-carlo"
    low, high = result.p_value_bounds
    assert 0 < result.p_value <= 1 and low <= result.p_value <= high
    assert any(text.startswith("engine monte-carlo: ") for text in result.defaults)
    search = result.to_dict()["search"]
    assert search["engine"] == "monte-carlo" and 0 < search["draws"] <= DRAWS
    assert search["forward_passes"] > 0 and search["complete"] and search["seed"] == 0


def test_the_zoo_is_large_enough():
    assert len(smooth_nets.ZOO) >= 20


@pytest.mark.parametrize("name", ["InstanceNorm U-Net", "transformer", "com.microsoft", "uint8"])
def test_every_architecture_can_be_thinned(name):
    result = asked(smooth_nets.ZOO[name](), threshold="minmax:0.6", thin=0.5)
    assert result.guarantee == "thinned" and 0 < result.p_value <= 1
    assert result.search["forward_passes"] <= 3


def test_the_document_says_what_is_approximate():
    document = asked(smooth_nets.unet()).to_dict()
    assert document["truncation"] is None and "not known" in document["reasons"]["truncation"]
    assert document["search"]["estimate"] and document["confidence_interval_level"] == "approximate"
    assert document["search"]["cells"] is None
    text = asked(smooth_nets.unet()).summary()
    assert "the level is exact" in text and "chance of" in text and "99 % interval" in text


def test_a_piecewise_linear_network_is_searched():
    result = asked(nets.cam_nchw(seed=1), threshold="max:0.5", saliency="cam")
    assert result.guarantee == "exact"
    document = result.to_dict()
    assert document["search"]["engine"] == "exact" and document["search"]["draws"] is None
    assert document["confidence_interval_level"] == "exact"


def test_the_exact_engine_still_refuses():
    with pytest.raises(onnx_si.UnsupportedOp, match="InstanceNormalization"):
        asked(smooth_nets.unet(), engine="exact")


WAYS = [
    {},
    {"alternative": "two-sided-abs"},
    {"alternative": "greater"},
    {"alternative": "less"},
    {"hypothesis": "mean"},
    {"hypothesis": "global"},
    {"hypothesis": "neighborhood"},
    {"randomise": 0.5},
    {"sigma_df": 5},
    {"hypothesis": "global", "sigma_df": 5},
    {"threshold": "top:0.2"},
    {"threshold": "minmax:0.5"},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())) or "default")
def test_it_agrees_with_the_exact_engine(way):
    """On the same line and region: the interval for infinitely many chains holds the exact p-value."""
    model = nets.map_net(seed=2, size=8)
    options = {"threshold": "max:0.5", "sigma": 1.0, **way}
    held = []
    for seed in range(6):
        image, reference = np.random.default_rng(seed).normal(size=(2, 1, 1, 8, 8))
        image[..., 2:6, 2:6] += 1
        given = reference if way.get("hypothesis") in ("mean", "global") else None
        exact = onnx_si.test(model, image, given, engine="exact", **options)
        drawn = onnx_si.test(model, image, given, engine="monte-carlo", draws=399, steps=3, **options)
        assert np.array_equal(exact.region, drawn.region)
        assert drawn.statistic == exact.statistic and drawn.standard_error == exact.standard_error
        low, high = drawn.p_value_bounds
        held.append(low - MIXING <= exact.p_value <= high + MIXING)
    assert sum(held) >= 5


def test_components_and_the_comparison():
    model = nets.map_net(seed=2, size=8)
    image = np.random.default_rng(0).normal(size=(8, 8))
    options = {"sigma": 1.0, "threshold": "max:0.4", "components": True}
    exact = onnx_si.test(model, image, methods=("selective", "monte-carlo", "over-conditioning"), **options)
    drawn = onnx_si.test(
        model, image, engine="monte-carlo", methods=("naive", "over-conditioning", "permutation"), **options
    )
    assert abs(exact.comparison.monte_carlo - exact.p_value) < 0.1
    assert len(drawn.component_tests) == len(exact.component_tests) > 1
    for one, other in zip(exact.component_tests, drawn.component_tests, strict=True):
        low, high = other.p_value_bounds
        assert low - MIXING <= one.p_value <= high + MIXING
        assert low < other.p_value < high or other.p_value in (low, 1.0)
    assert drawn.comparison.naive == exact.comparison.naive or exact.comparison.naive is None
    assert drawn.comparison.over_conditioning is None
    assert "linear piece" in drawn.comparison.reasons["over_conditioning"]
    assert 0 < drawn.comparison.permutation <= 1


def test_a_mask_and_preprocessing():
    """Pixels outside the mask enter nothing; scale, mean and std are done in front of the file."""
    model = smooth_nets.unet()
    image = np.random.default_rng(1).normal(size=(16, 16))
    mask = np.ones((16, 16))
    mask[:4] = 0
    plain = onnx_si.test(model, image, sigma=1.0, mask=mask, draws=DRAWS)
    assert not plain.region[:4].any()
    scaled = onnx_si.test(
        model, 50 * image + 100, sigma=50.0, mask=mask, draws=DRAWS, mean=(100.0,), std=(50.0,)
    )
    assert np.array_equal(scaled.region, plain.region)
    low, high = plain.p_value_bounds
    assert low <= scaled.p_value <= high


def test_the_same_seed_and_image_give_the_same_draws():
    model, image = smooth_nets.unet(), np.random.default_rng(1).normal(size=(16, 16))
    first, again, *others = (
        onnx_si.test(model, image, sigma=1.0, draws=DRAWS, seed=seed, alternative="two-sided").p_value
        for seed in (0, 0, 1, 2, 3)
    )
    assert first == again and {first} != set(others)


@pytest.mark.parametrize("make", [smooth_nets.random_model, smooth_nets.random_dropout])
def test_a_random_model_is_refused(make):
    with pytest.raises(UnsupportedModel, match="same image is run again"):
        asked(make(), threshold="minmax:0.6")
    with pytest.raises(UnsupportedModel, match="same image is run again"):
        asked(make(), threshold="minmax:0.6", thin=0.5)


@pytest.mark.parametrize(
    "make",
    [
        smooth_nets.batch_norm_in_training,
        smooth_nets.dynamic_quantized,
        lambda: smooth_nets.unet(batch="n"),
        smooth_nets.unet,
    ],
)
def test_an_image_is_the_same_alone_and_among_others(make):
    """A batch that the file mixes is run one by one, and a single image as it is run in a batch."""
    model = make()
    image = image_for(model)
    box = box_of(model, image)
    others = np.concatenate([5 * image, image, image - 3, 0.1 * image])[:, None].reshape(4, *image.shape)
    together = box.maps(others)
    assert np.array_equal(together[1], box.maps(image[None])[0])
    assert np.array_equal(together[1], box.maps(others[[1, 3]])[0])


def test_a_file_that_the_runtime_refuses():
    """What neither engine can run is refused in words."""
    net = nets.Net(0, (1, 1, 6, 6))
    node = helper.make_node("NoSuchOp", [net.conv("x", 1, 1)], ["map"], domain="com.example", name="own")
    net.nodes.append(node)
    model = net.finish("map", domains=("com.example",))
    with pytest.raises(UnsupportedModel, match="onnxruntime can't run the model") as caught:
        asked(model)
    told = str(caught.value)
    assert told.count("can't run the model") == 1 and "export it with ops and types that it has" in told


@pytest.mark.parametrize(("size", "threads"), [(16, 1), (160, 3)])
def test_the_runtime_has_all_cores_for_large_images(monkeypatch, size, threads):
    """Its answers are the same."""
    asked_for = []
    session_of = deployed.session_of

    def noted(proto, providers, count):
        asked_for.append(count)
        return session_of(proto, providers, count)

    monkeypatch.setattr(deployed, "session_of", noted)
    monkeypatch.setattr("onnx_si.analysis.marking.cores", lambda: 3)
    model = smooth_nets.unet(size=size, width=2)
    image = np.random.default_rng(0).normal(size=(1, 1, size, size))
    found = box_of(model, image).maps(image[None])
    assert set(asked_for) == {threads}
    monkeypatch.setattr("onnx_si.analysis.marking.cores", lambda: 1)
    assert np.array_equal(found, box_of(model, image).maps(image[None]))


def test_a_map_that_is_not_finite_is_refused():
    net = nets.Net(0, (1, 1, 6, 6))
    model = net.finish(net.add("Log", net.conv("x", 1, 1), out="map"))
    with pytest.raises(UnsupportedModel, match="infinite or not a number"):
        asked(model)


def test_whole_numbers_are_rounded_as_the_runtime_rounds():
    """Half a unit decides: 127.4 and 127 are the same image, 127.6 is 128."""
    model = smooth_nets.bytes_in()
    image = np.full((1, 1, 12, 12), 127.0)
    box = box_of(model, image)
    same, rounded, other = box.maps(np.stack([image, image + 0.4, image + 0.6]))
    assert np.array_equal(same, rounded) and not np.array_equal(same, other)
    assert np.array_equal(*box.maps(np.stack([image + 200, image + 128])))  # 255 is the largest


@pytest.mark.parametrize(
    "options",
    [
        {"draws": 0},
        {"steps": 0},
        {"engine": "sampled"},
        {"thin": 0.5, "randomise": 0.5},
        {"thin": 0.5, "engine": "exact"},
        {"thin": 0.0},
        {"thin": 0.5, "draws": 9},
        {"engine": "exact", "steps": 9},
        {"engine": "monte-carlo", "provider": "abacus"},
    ],
)
def test_usage_errors(options):
    with pytest.raises(UsageError):
        asked(smooth_nets.unet(), **options)


def test_a_provider_that_is_installed():
    plain, named = (asked(smooth_nets.unet(), provider=name).p_value for name in (None, "CPU"))
    assert plain == named
    with pytest.raises(UsageError, match=r"provider 'abacus' is not installed.*cpu"):
        asked(smooth_nets.unet(), provider="abacus")


def written(tmp_path, model):
    onnx.save(model.file, tmp_path / "model.onnx")
    np.save(tmp_path / "image.npy", np.random.default_rng(1).normal(size=(16, 16)))
    return [str(tmp_path / "model.onnx"), str(tmp_path / "image.npy"), "--sigma", "1"]


def test_the_command_line(tmp_path, capsys):
    arguments = written(tmp_path, smooth_nets.unet())
    assert main([*arguments, "--json", "--draws", "99"]) == 0
    out, err = capsys.readouterr()
    assert ", engine monte-carlo, " in err
    found = json.loads(out)
    assert found["guarantee"] == "monte-carlo" and found["config"]["draws"] == 99
    assert main([*arguments, "--thin", "0.5"]) == 0
    assert "thinned, given the noise: an ordinary" in capsys.readouterr().out
    assert main([*arguments, "--engine", "exact"]) == 3
    assert main([*arguments, "--draws", "0"]) == 2
    assert main([*arguments, "--thin", "0.5", "--randomise", "0.5"]) == 2
    assert main([*arguments, "--provider", "abacus"]) == 2


def test_an_interrupt_is_not_taken_for_a_model_error(monkeypatch):
    def interrupted(self, images):
        raise KeyboardInterrupt

    monkeypatch.setattr(BlackBox, "maps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        asked(smooth_nets.unet())


def test_simulations_have_it(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(smooth_nets.unet().file, path)
    found = onnx_si.simulate(onnx_si.load(path), trials=4, jobs=1, draws=19)
    assert sum(outcome.tested for outcome in found.outcomes) > 0
    onnx.save(nets.map_net(seed=2, size=8).file, path)
    both = onnx_si.simulate(
        onnx_si.load(path), trials=4, jobs=1, threshold="max:0.5", methods=("selective", "monte-carlo")
    )
    assert all({"selective", "monte-carlo"} <= set(o.p_values) for o in both.outcomes if o.tested)


def test_what_an_inspection_promises():
    for make, promised in (
        (smooth_nets.unet, "certified"),
        (smooth_nets.recurrent, "monte-carlo"),
        (smooth_nets.fused, "certified"),
        (smooth_nets.bytes_in, "monte-carlo"),
        (smooth_nets.random_model, "refused"),
        (lambda: nets.map_net(seed=2), "exact"),
    ):
        from onnx_si.inspection.inspector import inspect_model

        assert inspect_model(make()).guarantee == promised


def test_choices_that_single_precision_makes_are_the_runtimes_own():
    """An ArgMax of saturated probabilities has no exact p-value: which one the file takes is rounding."""
    net = nets.Net(3, (1, 1, 8, 8))
    scores = net.add("Mul", net.conv("x", 1, 3), net.const(np.float32(100.0)))
    labels = net.add("ArgMax", net.add("Sigmoid", scores), axis=1)
    model = net.finish(net.add("Cast", labels, to=TensorProto.FLOAT, out="map"))
    with pytest.raises(UnsupportedModel, match="single precision"):
        asked(model)
    assert asked(model, engine="monte-carlo", target=1).guarantee == "monte-carlo"


def test_running_statistics_are_not_written_over():
    """onnxruntime overwrites the model's own where nobody reads the new ones."""
    model = smooth_nets.batch_norm_in_training()
    assert asked(model, threshold="minmax:0.6", engine="monte-carlo").guarantee == "monte-carlo"


def test_half_precision_decides_the_region():
    """The region is that of the file in float16, not of what it means in float64."""
    model = smooth_nets.half_precision()
    assert model.proto.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    image = image_for(model).astype(np.float16).astype(np.float64)
    box = box_of(model, image)
    assert np.array_equal(*box.maps(np.stack([image, image * (1 + 1e-5)])))
