"""The command line: what goes to which stream, every exit code, and one line for every kind of bad input."""

import io
import json
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from support import nets

import onnx_si
from onnx_si.cli import main as cli
from onnx_si.cli import verbs
from onnx_si.cli.main import main
from onnx_si.report.progress import Watch
from onnx_si.search import Progress

MODELS = Path(__file__).parents[2] / "models"
RNG = np.random.default_rng(21)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model without metadata, an image and a reference."""
    monkeypatch.chdir(tmp_path)
    onnx.save(nets.map_net(seed=3, size=8).proto, "model.onnx")
    np.save("image.npy", RNG.normal(size=(8, 8)))
    np.save("reference.npy", RNG.normal(size=(8, 8)))
    return tmp_path


@pytest.fixture
def call(capsys):
    """Run the command line; gives exit code, stdout and stderr."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def one_line(code, stderr):
    """The only line of an error, whatever narration came before it."""
    lines = [
        line
        for line in stderr.splitlines()
        if not line.startswith(("onnx-si: defaults: ", "onnx-si: warning: "))
    ]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("onnx-si: error: ") and "Traceback" not in stderr
    return code, lines[0]


# ------------------------------------------------------------------------------------ the main job


def test_model_and_image_are_enough(place, call):
    code, stdout, stderr = call("model.onnx", "image.npy", "--verbose")
    assert code == 0
    assert stdout.startswith("in words ") and "p-value" in stdout
    for name in (
        "hypothesis background",
        "saliency output:map",
        "threshold max:0.5",
        "alternative",
        "precision",
        "alpha",
    ):
        assert f"onnx-si: default: {name}" in stderr
    assert "onnx-si: default: layout NCHW: " in stderr
    assert "onnx-si: warning: sigma" in stderr and "estimated from the image" in stderr
    assert "warning" not in stdout and "approximately" in stdout
    assert all(": " in line.removeprefix("onnx-si: default: ") for line in stderr.splitlines())
    (line,) = [line for line in call("model.onnx", "image.npy")[2].splitlines() if "warning" not in line]
    assert line.startswith("onnx-si: defaults: hypothesis background, alternative two-sided-abs, precision")
    assert line.endswith("threshold max:0.5 (--verbose says why)")


def test_options_are_no_defaults(place, call):
    options = "--reference reference.npy --sigma 1 --hypothesis mean --saliency output:map --threshold 0.1"
    more = "--alternative greater --precision 0.01 --alpha 0.1 --target predicted --layout NCHW"
    code, stdout, stderr = call("model.onnx", "image.npy", *options.split(), *more.split())
    assert (code, stderr) == (0, "")
    assert "greater" in stdout and "confidence 0.9" in stdout


def test_a_chosen_target_is_no_default(place, call):
    onnx.save(nets.cam_nchw(seed=1, size=8, classes=3).proto, "classes.onnx")
    arguments = ["classes.onnx", "image.npy", "--sigma", "1", "--threshold", "minmax:0.5"]
    assert ", target predicted, " in call(*arguments)[2]
    assert "default: target predicted: the class" in call(*arguments, "--verbose")[2]
    assert "target" not in call(*arguments, "--target", "predicted")[2]


def test_a_reference_that_is_not_used_is_a_warning(place, call):
    arguments = ["--reference", "reference.npy", "--hypothesis", "background", "--sigma", "1", "--quiet"]
    code, _, stderr = call("model.onnx", "image.npy", *arguments)
    assert code == 0 and stderr.startswith("onnx-si: warning: the reference is not used")


def test_metadata_is_named_as_the_source(call):
    image, reference = MODELS / "paper_cam_16_image.npy", MODELS / "paper_cam_16_reference.npy"
    code, stdout, stderr = call(MODELS / "paper_cam_16.onnx", image, "--reference", reference, "--verbose")
    assert code == 0 and "the model's metadata" in stdout
    assert "saliency cam: the model's own metadata say so" in stderr


@pytest.mark.parametrize("name", ["paper_cam_16", "paper_cam_32", "autoencoder_32", "digits_8"])
def test_shipped_models_run_on_their_images(call, name):
    reference = MODELS / f"{name}_reference.npy"
    extra = ["--reference", reference] if reference.exists() else []
    code, stdout, _ = call(MODELS / f"{name}.onnx", MODELS / f"{name}_image.npy", *extra, "--json")
    content = json.loads(stdout)
    assert code == 0 and content["status"] == "tested" and content["parity"]["pixels"] == []


def test_stdout_carries_data_only(place, call):
    _, stdout, stderr = call("model.onnx", "image.npy", "--json")
    content = json.loads(stdout)
    assert content["schema"] == "onnx-si/result/1"
    assert content["image"]["path"] == "image.npy" and content["model"]["path"] == "model.onnx"
    assert content["reference"] == {"paths": None, "count": 0}
    assert len(content["model"]["sha256"]) == 64
    assert stderr and not stderr.startswith("{")


def test_quiet_leaves_warnings(place, call):
    assert call("model.onnx", "image.npy", "--sigma", "1", "--quiet")[2] == ""
    lines = call("model.onnx", "image.npy", "--quiet")[2].splitlines()
    assert len(lines) == 1 and lines[0].startswith("onnx-si: warning: sigma")


def test_several_references_are_averaged(place, call):
    np.save("second.npy", RNG.normal(size=(8, 8)))
    arguments = ["model.onnx", "image.npy", "--sigma", "1", "--json", "--reference", "reference.npy"]
    one = json.loads(call(*arguments)[1])
    two = json.loads(call(*arguments, "--reference", "second.npy")[1])
    assert two["reference"] == {"paths": ["reference.npy", "second.npy"], "count": 2}
    assert two["standard_error"] == pytest.approx(one["standard_error"] * np.sqrt(1.5 / 2))


def test_files_are_written(place, call):
    code, stdout, _ = call("model.onnx", "image.npy", "--output", "out.json", "--plot", "out.png")
    assert code == 0 and stdout.startswith("in words ")
    assert json.loads(Path("out.json").read_text())["status"] == "tested"
    with Image.open("out.png") as picture:
        assert picture.format == "PNG"


def test_methods_are_compared(place, call):
    some = json.loads(call("model.onnx", "image.npy", "--json", "--method", "naive")[1])["comparison"]
    assert some["naive"] is not None and some["over_conditioning"] is None
    every = json.loads(call("model.onnx", "image.npy", "--json", "--method", "all")[1])["comparison"]
    assert every["naive"] is not None and every["over_conditioning"] is not None


def test_the_methods_of_the_paper_are_all_there(place, call):
    arguments = "--sigma 1 --reference reference.npy --method all --seed 4 --json"
    content = json.loads(call("model.onnx", "image.npy", *arguments.split())[1])
    assert all(0 <= value <= 1 for value in content["comparison"].values())
    assert content["config"]["seed"] == 4


@pytest.mark.parametrize("hypothesis", ["mean", "background", "neighborhood", "global"])
def test_every_hypothesis(place, call, hypothesis):
    ring = "--ring 2" if hypothesis == "neighborhood" else ""
    arguments = f"--sigma 1 --reference reference.npy --hypothesis {hypothesis} {ring} --json"
    code, stdout, _ = call("model.onnx", "image.npy", *arguments.split())
    content = json.loads(stdout)
    assert code == 0 and content["hypothesis"] == hypothesis
    degrees = content["region"]["pixels"] if hypothesis == "global" else None
    assert content["degrees_of_freedom"] == degrees
    assert content["alternative"] == ("greater" if hypothesis == "global" else "two-sided-abs")
    assert (content["standard_error"] is None) == (hypothesis == "global")
    assert (content["confidence_interval"] == [None, None]) == (hypothesis == "global")


def test_components_have_p_values(place, call):
    code, stdout, _ = call("model.onnx", "image.npy", "--sigma", "1", "--components")
    assert code == 0 and "Holm-adjusted" in stdout
    content = json.loads(call("model.onnx", "image.npy", "--sigma", "1", "--components", "--json")[1])
    for part in content["region"]["components"]:
        low, high = part["p_value_bounds"]
        assert 0 <= low <= part["p_value"] <= high <= 1
        assert 0 <= part["p_value_adjusted"] <= 1


def test_noise_mask_and_channels_come_from_files(place, call):
    np.save("variances.npy", np.full((8, 8), 4.0))
    np.savez("axes.npz", H=2 * np.eye(8), W=2 * np.eye(8))
    np.save("mask.npy", np.pad(np.ones((6, 6)), 1))
    np.save("other.npy", RNG.normal(size=(8, 8)))
    plain = json.loads(call("model.onnx", "image.npy", "--sigma", "2", "--json")[1])
    for name in ("variances.npy", "axes.npz"):
        content = json.loads(call("model.onnx", "image.npy", "--covariance", name, "--json")[1])
        assert content["p_value"] == pytest.approx(plain["p_value"], abs=2e-4)
        assert content["config"]["covariance"] == name and content["noise"]["std"] is None
    arguments = "--noise-from reference.npy other.npy --mask mask.npy --channels 0 --json"
    content = json.loads(call("model.onnx", "image.npy", *arguments.split())[1])
    assert content["degrees_of_freedom"] == content["noise"]["degrees_of_freedom"] == 64
    assert content["noise"]["level"] == "exact" and content["noise"]["known"] is False
    assert content["config"]["noise_from"] == ["reference.npy", "other.npy"]
    assert all(1 <= low < high <= 7 for low, high in content["region"]["bbox"])


def test_randomised_and_resized(place, call):
    np.save("large.npy", RNG.normal(size=(12, 11)))
    arguments = "--sigma 1 --randomise 0.5 --seed 3 --resize-input linear --resize nearest --json"
    content = json.loads(call("model.onnx", "large.npy", *arguments.split())[1])
    assert content["image"]["shape"] == [1, 1, 12, 11] and content["config"]["randomise"] == 0.5
    assert None not in content["confidence_interval"]


def test_decide_may_stop_early(place, call):
    content = json.loads(call("model.onnx", "image.npy", "--sigma", "1", "--decide", "--json")[1])
    low, high = content["p_value_bounds"]
    assert high <= 0.05 or low > 0.05
    assert content["config"]["decide"] is True and content["warnings"] == []


def test_negative_values_need_no_equals_sign(place, call):
    options = "--sigma 1 --scale -1e0 --mean -1.5 --std 2 --threshold -0.5 --json"
    config = json.loads(call("model.onnx", "image.npy", *options.split())[1])["config"]
    assert (config["scale"], config["mean"], config["threshold"]) == (-1.0, [-1.5], "-0.5")


def test_scaled_picture(place, call):
    Image.fromarray(RNG.integers(0, 255, (8, 8), dtype=np.uint8)).save("image.png")
    code, text = one_line(*call("model.onnx", "image.png")[::2])
    assert code == 4 and "--scale" in text and "uint8" in text
    content = json.loads(
        call("model.onnx", "image.png", "--scale", "0.1", "--mean=-1", "--std", "2", "--json")[1]
    )
    assert content["config"]["scale"] == 0.1 and content["config"]["mean"] == [-1.0]


def test_colour_picture_for_a_channels_first_model(place, call):
    net = nets.Net(0, (1, 3, 8, 8))
    net.add("Relu", net.conv("x", 3, 1), out="map")
    onnx.save(net.proto("map"), "colour.onnx")
    Image.fromarray(RNG.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save("image.png")
    content = json.loads(call("colour.onnx", "image.png", "--scale", "0.01", "--json")[1])
    assert content["image"]["shape"] == [1, 3, 8, 8]


# ------------------------------------------------------------------------------------ exit codes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["MODEL", "IMAGE", "--help"]),
        (["model.onnx"], ["IMAGE"]),
        (["model.onnx", "image.npy", "--wat"], ["--wat"]),
        (["model.onnx", "image.npy", "--sigma", "x"], ["--sigma", "'x'"]),
        (["model.onnx", "image.npy", "--sigma", "-1"], ["-1", "positive"]),
        (["model.onnx", "image.npy", "--sigma", "nan"], ["nan", "positive"]),
        (["model.onnx", "image.npy", "--hypothesis", "sameness"], ["sameness", "mean", "background"]),
        (["model.onnx", "image.npy", "--hypothesis", "mean"], ["--reference"]),
        (
            ["model.onnx", "image.npy", "--saliency", "magic"],
            ["magic", "gradcam", "grad-input", "occlusion:K", "output:NAME"],
        ),
        (["model.onnx", "image.npy", "--target", "cat"], ["cat", "predicted"]),
        (["model.onnx", "image.npy", "--target", "5"], ["target 5", "channels"]),
        (["model.onnx", "image.npy", "--threshold", "half"], ["half", "max:F"]),
        (["model.onnx", "image.npy", "--threshold", "max:2"], ["max:2", "between 0 and 1"]),
        (["model.onnx", "image.npy", "--layout", "CHWN"], ["CHWN", "NHWC"]),
        (["model.onnx", "image.npy", "--hypothesis", "global"], ["global", "--reference"]),
        (
            ["model.onnx", "image.npy", "--reference", "reference.npy", "--hypothesis", "global"]
            + ["--alternative", "less"],
            ["global", "less", "greater"],
        ),
        (["model.onnx", "image.npy", "--ring", "0"], ["ring 0"]),
        (["model.onnx", "image.npy", "--channels", "0,x"], ["0,x", "whole numbers"]),
        (["model.onnx", "image.npy", "--channels", "1"], ["channels [1]", "has 1"]),
        (["model.onnx", "image.npy", "--threshold", "top:0.001"], ["top:0.001", "less than one pixel"]),
        (["model.onnx", "image.npy", "--sigma-df", "4"], ["--sigma-df", "--covariance"]),
        (["model.onnx", "image.npy", "--sigma", "1", "--sigma-df", "0"], ["0 degrees", "at least 1"]),
        (["model.onnx", "image.npy", "--sigma", "1", "--noise-from", "image.npy"], ["--sigma", "one of"]),
        (["model.onnx", "image.npy", "--randomise", "0"], ["randomise 0"]),
        (["model.onnx", "image.npy", "--seed", "-1"], ["seed -1"]),
        (["model.onnx", "image.npy", "--resize-input", "cubic"], ["cubic", "linear"]),
        (["model.onnx", "image.npy", "--mean", "1,x"], ["1,x", "commas"]),
        (["model.onnx", "image.npy", "--std", "0"], ["zero"]),
        (["model.onnx", "image.npy", "--scale", "0"], ["scale 0"]),
        (["model.onnx", "image.npy", "--scale", "inf"], ["scale", "inf"]),
        (["model.onnx", "image.npy", "--alpha", "2"], ["alpha 2"]),
        (["model.onnx", "image.npy", "--alpha", "1e-300"], ["alpha 1e-300", "between 1e-15 and 1"]),
        (["model.onnx", "image.npy", "--sigma", "1e200"], ["1e+200", "between 1e-150 and 1e+150"]),
        (["model.onnx", "image.npy", "--seed", "9" * 19], ["whole number of at most 18 digits"]),
        (["model.onnx", "image.npy", "--window-size", "inf"], ["inf", "whole numbers of at least 1"]),
        (["model.onnx", "image.npy", "--precision", "0"], ["precision 0"]),
        (["model.onnx", "image.npy", "--alternative", "both"], ["both", "two-sided"]),
        (["model.onnx", "image.npy", "--method", "luck"], ["luck", "naive"]),
        (["model.onnx", "image.npy", "--output", "no/where.json"], ["no/where.json", "written"]),
        (["model.onnx", "image.npy", "--plot", "a.pdf"], [".png"]),
        (["inspect"], ["MODEL"]),
        (["inspect", "model.onnx", "--dim", "x"], ["--dim 'x'", "NAME=N"]),
        (["inspect", "model.onnx", "--dim", "x=0"], ["at least 1"]),
        (["inspect", "model.onnx", "--dim", "x=3"], ["no free axis"]),
        (["saliency", "model.onnx"], ["--output"]),
    ],
)
def test_usage_errors_exit_2(place, call, arguments, words):
    code, stdout, stderr = call(*arguments)
    code, text = one_line(code, stderr)
    assert code == 2 and stdout == ""
    for word in words:
        assert word in text, text


def test_models_that_can_t_be_analysed_exit_3(place, call):
    net = nets.Net(0, (1, 1, 8, 8))
    x = net.add("Tanh", net.conv("x", 1, 1))
    net.add("Erf", x, out="map")
    onnx.save(net.proto("map"), "smooth.onnx")
    code, stdout, stderr = call(
        *("smooth.onnx", "image.npy", "--sigma", "1", "--engine", "exact"),
        *("--json", "--quiet", "--output", "out.json"),
    )
    assert code == 3
    content = json.loads(stdout)
    assert content["status"] == "refused" and [finding["op"] for finding in content["findings"]] == [
        "Tanh",
        "Erf",
    ]
    assert content == json.loads(Path("out.json").read_text())
    lines = stderr.splitlines()
    assert len(lines) == 3 and lines[0].startswith("onnx-si: error: 2 nodes")
    assert all(line.startswith("  node 'node_") for line in lines[1:])


def test_unknown_tensor_exits_3(place, call):
    code, text = one_line(*call("model.onnx", "image.npy", "--saliency", "output:nothing")[::2])
    assert code == 3 and "nothing" in text and "map" in text


def test_a_model_that_breaks_the_specification_exits_3(place, call):
    proto = onnx.load("model.onnx")
    proto.graph.node[0].input[0] = "nowhere"
    onnx.save(proto, "broken.onnx")
    code, stdout, stderr = call("broken.onnx", "image.npy", "--json")
    code, text = one_line(code, stderr)
    assert code == 3 and "specification" in text
    content = json.loads(stdout)
    assert content["status"] == "refused" and content["model"]["path"] == "broken.onnx"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((9, 8)), ["(9, 8)", "(1, 1, 8, 8)", "NCHW"]),
        (np.zeros((2, 1, 8, 8)), ["(2, 1, 8, 8)"]),
        (np.full((8, 8), np.nan), ["64 values", "NaN"]),
        (np.full((8, 8), np.inf), ["infinite"]),
        (np.full((8, 8), 1e200), ["1e+200", "rescale"]),
        (np.zeros((8, 8), np.int16), ["int16", "--scale"]),
        (np.zeros((8, 0)), ["is empty", "(8, 0)"]),
        (np.zeros((8, 8)), ["noise", "--sigma"]),
    ],
)
def test_images_that_do_not_fit_exit_4(place, call, image, words):
    np.save("bad.npy", image)
    for arguments in (["model.onnx", "bad.npy"], ["model.onnx", "image.npy", "--reference", "bad.npy"]):
        if image.shape == (8, 8) and not image.any() and image.dtype == float and len(arguments) > 2:
            continue  # a flat reference is fine
        code, text = one_line(*call(*arguments)[::2])
        assert code == 4
        for word in words:
            assert word in text, text


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing.onnx", "image.npy"],
        ["image.npy", "image.npy"],
        ["model.onnx", "missing.npy"],
        ["model.onnx", "model.onnx"],
        ["model.onnx", "."],
        [".", "image.npy"],
        ["model.onnx", "image.npy", "--reference", "missing.npy"],
        ["inspect", "missing.onnx"],
        ["saliency", "missing.onnx", "--output", "out.onnx"],
    ],
)
def test_missing_and_wrong_files_exit_4(place, call, arguments):
    code, stdout, stderr = call(*arguments)
    assert one_line(code, stderr)[0] == 4 and stdout == ""


def test_a_region_that_the_mask_leaves_out_is_told_as_such(place, call):
    image = np.random.default_rng(1).normal(size=(8, 8))
    np.save("image.npy", image)
    found = onnx_si.test("model.onnx", image, sigma=1.0, threshold="minmax:0.5")
    level = str(found.saliency_map[~found.region].max())  # what the region alone exceeds
    np.save("mask.npy", ~found.region)
    asked = ("model.onnx", "image.npy", "--sigma", "1", "--threshold", level)
    code, _, stderr = call(*asked, "--mask", "mask.npy")
    told = "no pixel that the mask lets count passes the threshold"
    assert code == 5 and told in stderr and f"without the mask {found.region.sum()} would" in stderr


@pytest.mark.parametrize(
    ("threshold", "word", "pixels"), [("1e9", "no pixel", 0), ("-1e9", "all 64 pixels", 64)]
)
def test_nothing_to_test_exits_5(place, call, threshold, word, pixels):
    code, stdout, stderr = call("model.onnx", "image.npy", "--json", "--threshold", threshold)
    code, text = one_line(code, stderr)
    assert code == 5 and word in text and "ranges from" in text
    content = json.loads(stdout)
    assert content["status"] == "no_region" and content["region"]["pixels"] == pixels
    assert content["p_value"] is None and content["reasons"]["*"]
    assert call("model.onnx", "image.npy", "--threshold", threshold)[1] == ""


def test_interruption_exits_130(place, call, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "test", interrupted)
    assert call("model.onnx", "image.npy") == (130, "", "onnx-si: interrupted\n")


def test_lack_of_memory_is_said(place, call, monkeypatch):
    def large(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(verbs, "test", large)
    code, text = one_line(*call("model.onnx", "image.npy")[::2])
    assert code == 3 and "out of memory" in text


def test_a_fault_of_our_own_is_not_hidden(place, call, monkeypatch):
    def faulty(*args, **kwargs):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(verbs, "test", faulty)
    code, text = one_line(*call("model.onnx", "image.npy")[::2])
    assert code == 70 and "ZeroDivisionError at test_cli.py:" in text and "oops" in text and "report" in text


# ------------------------------------------------------------------------------------ hostile models


def run_hostile(call, content, *options):
    Path("hostile.onnx").write_bytes(content)
    code, stdout, stderr = call("hostile.onnx", "image.npy", "--sigma", "1", "--quiet", *options)
    assert code in (0, 2, 3, 4, 5), stderr
    assert (code == 0) == bool(stdout)
    if code:
        lines = [line for line in stderr.splitlines() if not line.startswith("onnx-si: warning: ")]
        assert lines[0].startswith("onnx-si: error: ")
        assert len(lines) == 1 or all(line.startswith("  node ") for line in lines[1:])
    return code, stderr


def test_truncated_at_many_places(place, call):
    content = Path("model.onnx").read_bytes()
    for keep in range(0, len(content), max(1, len(content) // 80)):
        assert run_hostile(call, content[:keep])[0] in (3, 4)


def test_damaged_in_many_ways(place, call):
    content = Path("model.onnx").read_bytes()
    for seed in range(150):
        rng = random.Random(seed)
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 3, 10])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        run_hostile(call, bytes(damaged))


def test_random_bytes(place, call):
    for seed in range(40):
        rng = random.Random(seed)
        assert run_hostile(call, rng.randbytes(rng.randrange(400)))[0] == 4


def model_bytes(nodes, initializers=(), shape=(1, 1, 8, 8), imports=(("", 17),)):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, shape)],
        list(initializers),
    )
    opsets = [helper.make_opsetid(*pair) for pair in imports]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


@pytest.mark.parametrize(
    ("nodes", "initializers", "shape"),
    [
        ([("Relu", ["x"])], [], (2**40, 1, 8, 8)),
        ([("Relu", ["x"])], [], (1, 1, 2**40, 2**40)),
        ([("Expand", ["x", "s"])], [ints("s", 2**20, 2**20, 8, 8)], (1, 1, 8, 8)),
        ([("Tile", ["x", "s"])], [ints("s", 2**15, 2**15, 2**10, 1)], (1, 1, 8, 8)),
        ([("Reshape", ["x", "s"])], [ints("s", -5, 3)], (1, 1, 8, 8)),
        ([("Pad", ["x", "s"])], [ints("s", 0, 0, 2**40, 0, 0, 0, 0, 0)], (1, 1, 8, 8)),
        ([("ConstantOfShape", ["s"], "big"), ("Add", ["x", "big"])], [ints("s", 2**20, 2**20)], (1, 1, 8, 8)),
        ([("Upsample", ["x", "x"])], [], (1, 1, 8, 8)),
    ],
)
def test_huge_sizes_in_small_files(place, call, nodes, initializers, shape):
    made = [helper.make_node(op, inputs, rest or ["map"], name=op) for op, inputs, *rest in nodes]
    started = time.monotonic()
    code, _ = run_hostile(call, model_bytes(made, initializers, shape))
    assert code in (3, 4) and time.monotonic() - started < 5


def test_a_tensor_that_holds_less_than_it_says(place, call):
    weights = TensorProto(name="w", dims=[2**40], data_type=TensorProto.FLOAT, raw_data=b"1234")
    code, stderr = run_hostile(call, model_bytes([helper.make_node("Add", ["x", "w"], ["map"])], [weights]))
    # onnx's checker tells the bytes, where it does not look our own words the shape
    assert code == 3 and "w" in stderr and any(size in stderr for size in ("4398046511104", "1099511627776"))


def nested(depth):
    """A graph in an attribute of a node of a graph, and so on, byte by byte: the library would refuse to."""

    def field(number, body):
        size, prefix = len(body), bytearray([number << 3 | 2])
        while size > 127:
            prefix.append(size & 127 | 128)
            size >>= 7
        return bytes(prefix) + bytes([size]) + body

    body = b""
    for _ in range(depth):
        body = field(1, field(5, field(6, body)))
    return field(7, body)


def test_deep_recursion(place, call):
    for depth in (10, 30, 200, 5000):
        assert run_hostile(call, nested(depth))[0] in (3, 4)


def test_escape_codes_in_names_are_shown_not_obeyed(place, call):
    node = helper.make_node("Tanh", ["x"], ["map"], name="\x1b[31mred\r\nonnx-si: all is well")
    code, stderr = run_hostile(call, model_bytes([node]), "--engine", "exact")
    assert code == 3 and "\x1b" not in stderr and "\\x1b[31mred" in stderr


def test_external_data_outside_the_folder(place, call):
    weights = TensorProto(name="w", dims=[1], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value="../../etc/passwd")
    code, stderr = run_hostile(call, model_bytes([helper.make_node("Add", ["x", "w"], ["map"])], [weights]))
    assert code == 4 and "outside" in stderr


# ------------------------------------------------------------------------------------ further verbs


def test_inspect(place, call):
    code, stdout, stderr = call("inspect", "model.onnx")
    assert (code, stderr) == (0, "")
    assert "Conv" in stdout and "affine" in stdout and "guarantee: exact" in stdout
    code, stdout, _ = call("inspect", "model.onnx", "--json")
    assert code == 0 and json.loads(stdout)["path"] == "model.onnx"


def test_inspect_of_a_model_that_can_t_be_analysed_is_a_success(place, call):
    Path("smooth.onnx").write_bytes(model_bytes([helper.make_node("Tanh", ["x"], ["map"], name="bend")]))
    code, stdout, _ = call("inspect", "smooth.onnx")
    assert code == 0 and "guarantee: certified" in stdout and "bend" in stdout
    random = helper.make_node("RandomNormalLike", ["x"], ["map"], name="noise")
    Path("random.onnx").write_bytes(model_bytes([random]))
    code, stdout, _ = call("inspect", "random.onnx")
    assert code == 0 and "guarantee: refused" in stdout and "noise" in stdout


def test_saliency_saves_a_model(place, call):
    onnx.save(nets.cam_nchw(seed=1, size=8, classes=2).proto, "classifier.onnx")
    code, stdout, stderr = call(
        "saliency", "classifier.onnx", "--output", "with_map.onnx", "--saliency", "cam"
    )
    assert (code, stdout) == (0, "") and "with_map.onnx" in stderr
    assert call("saliency", "classifier.onnx", "--output", "with_map.onnx", "--quiet") == (0, "", "")
    assert [info.name for info in onnx_si.load("with_map.onnx").outputs][-1] == "saliency"
    code, text = one_line(*call("saliency", "classifier.onnx", "--output", "x.onnx", "--target", "9")[::2])
    assert code == 2 and "2 classes" in text


def test_a_classifier_with_a_hidden_layer_gets_a_gradient_map(place, call):
    """Its head allows no class activation map: the automatic choice is Grad-CAM, others can be named."""
    onnx.save(nets.dense_net(seed=7, size=8).proto, "dense.onnx")
    np.save("picture.npy", np.random.default_rng(1).normal(size=(8, 8)))
    code, stdout, stderr = call("dense.onnx", "picture.npy", "--sigma", "1", "--json", "--verbose")
    result = json.loads(stdout)
    assert code == 0 and result["status"] == "tested" and result["guarantee"] == "exact"
    told = {"method": "gradcam", "target": "predicted", "threshold": "max:0.5", "coarsen": 1}
    assert result["saliency"] == told
    assert "saliency gradcam: no output is a map" in stderr and "feature maps 'features' of (4, 4)" in stderr
    assert result["parity"]["pixels"] == []
    for method in ("gradient", "grad-input", "gradcam:features", "occlusion:2"):
        code, stdout, _ = call("dense.onnx", "picture.npy", "--sigma", "1", "--saliency", method, "--json")
        assert code == 0 and json.loads(stdout)["saliency"]["method"] == method
        assert call("saliency", "dense.onnx", "--output", "map.onnx", "--saliency", method, "--quiet")[0] == 0
        again = call("map.onnx", "picture.npy", "--sigma", "1", "--threshold", "max:0.5", "--json")
        assert json.loads(again[1])["region"] == json.loads(stdout)["region"]
    code, stdout, _ = call("inspect", "dense.onnx", "--json")
    fits = {found["method"]: found["available"] for found in json.loads(stdout)["saliency"]}
    assert not fits.pop("cam") and not fits.pop("rollout") and all(fits.values())
    assert set(fits) == {"gradcam", "gradient", "grad-input", "occlusion", "output:NAME"}


def test_a_smooth_classifier_has_gradient_maps_that_are_saved_and_tested_by_chains(place, call):
    """Where an exact test is asked for its own nodes are named, not those that were appended."""
    net = nets.Net(0, (1, 1, 4, 4))
    x = net.add("Tanh", net.add("Flatten", net.conv("x", 1, 2)))
    onnx.save(net.finish(net.add("MatMul", net.add("Softplus", x), net.normal(32, 2))).proto, "smooth.onnx")
    np.save("small.npy", np.random.default_rng(0).normal(size=(4, 4)))
    asked = ("smooth.onnx", "small.npy", "--saliency", "gradient", "--sigma", "1")
    code, stdout, stderr = call(*asked, "--draws", "19")
    assert code == 0 and "monte-carlo" in stdout
    code, stdout, stderr = call(*asked, "--engine", "exact")
    assert (code, stdout) == (3, "")
    assert "2 nodes can't be analysed exactly" in stderr and "Tanh" in stderr and "Softplus" in stderr
    assert (
        call("saliency", "smooth.onnx", "--output", "map.onnx", "--saliency", "gradient", "--quiet")[0] == 0
    )
    made = onnx_si.evaluate(onnx_si.load("map.onnx"), {"x": np.load("small.npy")[None, None]})["saliency"]
    assert made.shape == (4, 4) and made.min() >= 0 and made.max() > 1e-3


def test_a_model_called_like_a_verb(place, call):
    Path("model.onnx").rename("inspect")
    assert call("./inspect", "image.npy", "--quiet")[0] == 0
    assert call("inspect", "./inspect", "--json")[0] == 0


def test_help_names_every_verb_and_every_exit_code(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    for word in (*cli.VERBS, "0 done", "2 usage", "5 nothing to test", "--threshold"):
        assert word in text


# ------------------------------------------------------------------------------------ progress, processes


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress_at(cells):
    return Progress(bounds=(0.01, 0.2), cells=cells, pieces=10 * cells, seconds=float(cells))


def test_progress_elsewhere_is_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr("onnx_si.report.progress.APART", 0.0)
    stream = io.StringIO()
    with Watch(stream) as watch:
        watch(progress_at(3))
    assert (
        stream.getvalue()
        == "onnx-si: searching for 3 s: p-value between 0.01 and 0.2, 30 linear pieces in 3 cells\n"
    )


def test_progress_tells_how_long_it_may_take_by_how_the_bounds_halved(monkeypatch):
    monkeypatch.setattr("onnx_si.report.progress.APART", 0.0)
    stream = io.StringIO()
    with Watch(stream) as watch:
        for seconds, width in ((1, 0.8), (3, 0.4), (4, 0.39), (5, 0.2), (6, 0.1)):
            watch(replace(progress_at(seconds), bounds=(0.0, width), settled=0.25, precision=0.1))
    first, *_, third, last = stream.getvalue().splitlines()
    assert first.endswith("; 25 % of the line's probability settled, how long it takes can't be told yet")
    assert third.endswith("about 2 s left if it goes on so"), "2 s for each halving, one is left"
    assert last.endswith("its confidence interval is left")


def test_progress_says_nothing_of_a_short_search(monkeypatch):
    for stream in (io.StringIO(), Terminal()):
        with Watch(stream) as watch:
            watch(progress_at(1))
        assert "searching" not in stream.getvalue()


def test_progress_on_a_terminal_renews_its_line(monkeypatch):
    monkeypatch.setattr("onnx_si.report.progress.PATIENCE", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    with Watch(stream) as watch:
        time.sleep(0.3)
        watch(progress_at(7))
        time.sleep(0.3)
    assert "7 cells" in stream.getvalue()
    assert "\x1b[3" not in stream.getvalue(), "no colour was asked for"


def test_progress_can_be_asked_for(place, call, monkeypatch):
    monkeypatch.setattr("onnx_si.report.progress.APART", 0.0)
    assert "searching for" in call("model.onnx", "image.npy", "--progress")[2]
    assert "searching for" in call("model.onnx", "image.npy")[2]
    assert "searching for" not in call("model.onnx", "image.npy", "--quiet")[2]
    assert "searching for" not in call("model.onnx", "image.npy", "--no-progress")[2]


def process(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(MODELS.parent)}
    command = [sys.executable, "-m", "onnx_si", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, **options)


def test_as_a_process(place):
    done = process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"onnx-si {onnx_si.__version__}\n", "")
    done = process("model.onnx", "missing.npy")
    assert done.returncode == 4 and done.stdout == "" and done.stderr.count("\n") == 1


def test_a_reader_that_goes_away(place):
    read, write = os.pipe()
    os.close(read)
    command = [
        sys.executable,
        "-m",
        "onnx_si",
        "model.onnx",
        "image.npy",
        "--json",
        "--quiet",
        "--sigma",
        "1",
    ]
    environment = {**os.environ, "PYTHONPATH": str(MODELS.parent)}
    done = subprocess.run(
        command, stdout=write, stderr=subprocess.PIPE, text=True, env=environment, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
