"""What is imported: nothing that takes long is loaded before it is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import onnx_si

MODELS = Path(__file__).parents[2] / "models"
MODEL, IMAGE = str(MODELS / "paper_cam_8.onnx"), str(MODELS / "paper_cam_8_image.npy")
SLOW = {"scipy.stats", "scipy.optimize", "matplotlib", "joblib", "rich", "multiprocessing", "difflib"}
WITH_A_MODEL = {"onnx", "onnxruntime", "networkx", "scipy.special", "PIL", "onnx_si.search", "onnx_si.ops"}
SELDOM = {  # needed by some models and options only
    "networkx",
    "onnx_si.domains.polynomial",
    "onnx_si.engines.montecarlo",
    "onnx_si.inspection",
    "onnx_si.maps.backward",
    "onnx_si.maps.occlusion",
    "onnx_si.maps.rollout",
}
MOST_OWN = 370  # modules of this project that an exact p-value of a plain network loads
MOST = 420  # modules of a command that needs no model; numpy is some 200 of them


def loaded(*arguments):
    """Exit code, and the modules that the command line has loaded at its end."""
    script = (
        "import sys\nfrom onnx_si.cli.main import main\n"
        "try:\n    code = main(sys.argv[1:])\nexcept SystemExit as end:\n    code = end.code\n"
        "print('loaded', code, *sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(MODELS.parent)}
    command = [sys.executable, "-c", script, *arguments]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    _, code, *modules = found.stdout.splitlines()[-1].split()
    return int(code), set(modules)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["simulate", "--help"], 0),
        (["inspect", "--help"], 0),
        (["saliency", "--help"], 0),
        (["audit", "--help"], 0),
        (["--treshold", "1", "m.onnx", "a.npy"], 2),
    ],
)
def test_words_need_no_model(arguments, code):
    ended, modules = loaded(*arguments)
    assert ended == code
    assert not modules & (SLOW - {"difflib"} | WITH_A_MODEL)
    assert len(modules) < MOST


def test_a_p_value_loads_no_more_than_it_needs():
    ended, modules = loaded(MODEL, IMAGE, "--quiet")
    assert ended == 0 and not modules & (SLOW - {"multiprocessing", "difflib"} | SELDOM)
    assert sum(name.partition(".")[0] == "onnx_si" for name in modules) < MOST_OWN


def test_a_worker_loads_no_more_than_it_needs():
    script = "import sys, onnx_si.simulation.trial, onnx_si.auditing.row\nprint(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(MODELS.parent)}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert "onnx_si.auditing.row" in found.stdout.split()
    assert not set(found.stdout.split()) & {"scipy.stats", "scipy.optimize", "matplotlib", "joblib", "rich"}


def test_public_names_are_there_before_they_are_loaded():
    assert set(onnx_si.__all__) <= set(dir(onnx_si))
    with pytest.raises(AttributeError, match="no attribute 'tset'"):
        _ = onnx_si.tset
