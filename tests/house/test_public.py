"""What the package promises to code that imports it."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from support import nets

import onnx_si
from onnx_si import errors
from onnx_si.cli.main import main

PUBLIC = {
    "Analysis",
    "Finding",
    "InputError",
    "Model",
    "NothingToTest",
    "OnnxSIError",
    "Result",
    "SaliencyUnavailable",
    "UnsupportedModel",
    "UnsupportedOp",
    "UsageError",
    "audit",
    "evaluate",
    "load",
    "prepare",
    "saliency",
    "simulate",
    "test",
}


def test_the_public_names():
    assert set(onnx_si.__all__) == PUBLIC
    assert onnx_si.__all__ == sorted(onnx_si.__all__)
    for name in PUBLIC:
        assert getattr(onnx_si, name).__doc__, name


def test_signatures():
    assert list(inspect.signature(onnx_si.load).parameters) == ["path", "memory"]
    assert list(inspect.signature(onnx_si.evaluate).parameters) == ["model", "inputs"]
    assert list(inspect.signature(onnx_si.saliency).parameters) == ["model", "method", "target"]
    names = ["model", "image", "reference", "mask", "covariance", "noise_from", "sigma_from"]
    names += ["progress", "stop", "notice", "options"]
    assert list(inspect.signature(onnx_si.test).parameters) == names
    names = ["model", "signals", "trials", "tested", "detectable", "base", "size", "references", "noise"]
    names += ["estimate_sigma", "noise_images", "seed", "mask", "covariance", "jobs", "resume", "progress"]
    names += ["notice", "options"]
    assert list(inspect.signature(onnx_si.simulate).parameters) == names
    assert list(inspect.signature(onnx_si.prepare).parameters) == ["model", "options"]
    names = ["model", "images", "folder", "reference", "mask", "covariance", "noise_from", "sigma_from"]
    names += ["control", "rate", "gates", "pictures", "jobs", "scheduler", "restart", "options"]
    assert list(inspect.signature(onnx_si.audit).parameters) == names


def test_no_public_keyword_is_of_any_type():
    """A type checker in a user's editor completes and checks them."""
    for function in (onnx_si.prepare, onnx_si.test, onnx_si.simulate, onnx_si.audit):
        options = inspect.signature(function).parameters["options"].annotation
        assert typing.get_origin(options) is typing.Unpack and typing.is_typeddict(*typing.get_args(options))


def test_a_model_takes_its_proto_first():
    proto = nets.map_net(seed=1, size=8).proto
    assert onnx_si.Model(proto).proto is onnx_si.Model(proto=proto).proto is proto
    with pytest.raises(TypeError, match="positional"):
        onnx_si.Model(proto, "model.onnx")


def test_exit_codes_of_the_errors():
    codes = {
        errors.OnnxSIError: 1,
        errors.UsageError: 2,
        errors.UnsupportedModel: 3,
        errors.UnsupportedOp: 3,
        errors.SaliencyUnavailable: 3,
        errors.InputError: 4,
        errors.NothingToTest: 5,
    }
    assert {error: error.exit_code for error in codes} == codes


def test_no_function_hides_a_module_of_its_name():
    names = [found.name for found in pkgutil.walk_packages(onnx_si.__path__, "onnx_si.")]
    for name in (name for name in names if not name.endswith("__main__")):
        module = importlib.import_module(name)
        parent, _, leaf = name.rpartition(".")
        assert getattr(importlib.import_module(parent), leaf) is module, name


def test_what_an_import_leaves_out():
    """No converter's framework and no window system; drawing is imported when something is drawn."""
    heavy = {"torch", "tensorflow", "matplotlib", "tkinter", "jinja2"}
    code = f"import onnx_si, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_drawing_leaves_pyplot_alone(tmp_path):
    code = (
        "import numpy as np, sys; from onnx_si.ground.layout import Layout; "
        "from onnx_si.report.picture import save_png; "
        "save_png(sys.argv[1], np.zeros((1, 4)), Layout('NW', ''), np.zeros(4), np.ones(4, bool), 't', 's'); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_attributes_of_a_result():
    model = nets.cam_nchw(seed=1)
    image, reference = np.random.default_rng(1).normal(size=(2, 6, 6))
    result = onnx_si.test(model, image, reference=reference, sigma=1.0, saliency="cam", threshold="max:0.5")
    assert isinstance(result, onnx_si.Result)
    low, high = result.p_value_bounds
    assert low <= result.p_value <= high
    assert result.region.dtype == np.bool_ and result.region.shape == (6, 6)
    assert len(result.confidence_interval) == 2
    assert isinstance(result.to_dict(), dict) and isinstance(result.summary(), str)
    told = result.to_dict()["search"]
    drawn = {name for name, value in told.items() if value is None}
    assert drawn == {"draws", "seed", "estimate"} and told["peak_bytes"] > 0
    assert sum(told["fates"].values()) == told["cells"]
    assert "p_value" in repr(result) and "array" not in repr(result)
    assert result.saliency.method == "cam" and result.noise.std == 1.0 and result.model.opset == model.opset
    assert result.search.pieces == told["pieces"] and dict(result.model) == result.to_dict()["model"]


def test_targets_are_numbers_or_predicted():
    model = nets.cam_nchw(seed=1, classes=3)
    image = np.random.default_rng(1).normal(size=(6, 6))
    by_int = onnx_si.test(model, image, sigma=1.0, target=1)
    by_numpy = onnx_si.test(model, image, sigma=1.0, target=np.int64(1))
    assert by_int.p_value == by_numpy.p_value and by_int.saliency["target"] == 1
    for wrong in ("cat", 1.5):
        with pytest.raises(errors.UsageError, match="target"):
            onnx_si.test(model, image, sigma=1.0, target=wrong)
    with pytest.raises(errors.UsageError, match="3 classes"):
        onnx_si.test(model, image, sigma=1.0, target=7)


@pytest.mark.parametrize("target", [None, 2])
def test_saliency_gives_a_model_that_carries_its_map(tmp_path, target):
    model = nets.cam_nchw(seed=1, classes=3)
    proto = onnx_si.saliency(model, method="cam", target=target)
    onnx.checker.check_model(proto, full_check=True)
    assert [value.name for value in proto.graph.output][-1] == "saliency"
    image = np.random.default_rng(1).normal(size=(1, 1, 6, 6))
    onnx.save(proto, tmp_path / "extended.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "extended.onnx", providers=["CPUExecutionProvider"])
    (shown,) = session.run(["saliency"], {"x": image.astype(np.float32)})
    extended = onnx_si.load(tmp_path / "extended.onnx")
    before = onnx_si.test(model, image, sigma=1.0, saliency="cam", target=target, threshold="minmax:0.5")
    after = onnx_si.test(extended, image, sigma=1.0, threshold="minmax:0.5")
    np.testing.assert_allclose(shown, before.saliency_map, rtol=1e-4, atol=1e-5)
    assert after.saliency["method"] == "output:saliency"
    assert after.p_value == pytest.approx(before.p_value, abs=2e-4)


def test_notices_are_what_the_result_holds():
    heard = []
    model = nets.map_net(seed=3, size=8)
    image = np.random.default_rng(5).normal(size=(8, 8))
    result = onnx_si.test(model, image, notice=lambda kind, text: heard.append((kind, text)))
    assert [text for kind, text in heard if kind == "default"] == list(result.defaults)
    assert [text for kind, text in heard if kind == "warning"] == list(result.warnings)
    assert len(result.warnings) == 1 and "estimated" in result.warnings[0]


README = Path(__file__).parents[2] / "README.md"
MOVES = (
    "p-value",
    "interval",
    "parity",
    "search",
    "in",
)  # lines whose digits another processor may round differently


def fenced(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", [0, 1])
def test_the_readme_shows_what_its_commands_print(capsys, monkeypatch, number):
    monkeypatch.chdir(README.parent)
    commands = [line for block in fenced("sh") for line in block.splitlines() if "onnx-si models/" in line]
    arguments = commands[number].split("onnx-si ", 1)[1].split()
    assert main([*arguments, "--quiet"]) == 0
    printed = capsys.readouterr().out.splitlines()
    shown = fenced("text")[number].splitlines()
    labels = {line.split()[0] for line in shown if not line.startswith(" ")}
    assert labels <= {line.split()[0] for line in printed if not line.startswith(" ")}
    for line in shown:
        if not line.startswith((" ", *MOVES)):
            assert line in printed


def test_the_readme_s_python_runs(tmp_path, monkeypatch):
    (tmp_path / "models").symlink_to(README.parent / "models")
    monkeypatch.chdir(tmp_path)
    (code,) = fenced("python")
    exec(code, {})  # noqa: S102
    assert (tmp_path / "example.png").stat().st_size > 2000
