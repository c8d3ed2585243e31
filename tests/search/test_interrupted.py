"""A search that is interrupted at any moment gives the bounds so far, by Ctrl-C, SIGTERM or `stop`."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import onnx_si
from onnx_si.cli.main import main
from onnx_si.search import Stop
from onnx_si.search import frontier as run
from onnx_si.search.stop import WHY, Stopped

MODELS = Path(__file__).parents[2] / "models"
MODEL, IMAGE = str(MODELS / "paper_cam_16.onnx"), str(MODELS / "paper_cam_16_image.npy")
FINE = {"precision": 1e-9, "budget_bytes": 1 << 20}


@pytest.fixture(scope="module")
def whole():
    """The test that nothing interrupts."""
    return onnx_si.test(MODEL, IMAGE, **FINE)


def after(steps, act, monkeypatch):
    """Act in the middle of the step that follows so many steps: its cells are taken and not put back."""
    popped = run.Frontier.pop
    taken = [0]

    def pop(frontier, width=0.0):
        cell = popped(frontier, width)
        taken[0] += 1
        if taken[0] == steps + 1:
            act()
        return cell

    monkeypatch.setattr(run.Frontier, "pop", pop)


@pytest.mark.parametrize("steps", [0, 1, 2, 4, 7])
def test_bounds_are_true_wherever_a_step_is_cut_short(monkeypatch, whole, steps):
    stop = Stop()
    after(steps, stop.interrupt, monkeypatch)
    found = onnx_si.test(MODEL, IMAGE, stop=stop, **FINE)
    assert found.to_dict()["search"]["complete"] is False
    assert any(WHY in text for text in found.warnings)
    low, high = found.p_value_bounds
    assert low <= whole.p_value_bounds[0] <= whole.p_value_bounds[1] <= high
    assert high - low > FINE["precision"]
    missing = whole.truncation.subtract(found.truncation.union(found.undecided)).bounds
    assert (missing[:, 1] - missing[:, 0]).sum() < 1e-9
    added = found.truncation.subtract(whole.truncation.union(whole.undecided)).bounds
    assert (added[:, 1] - added[:, 0]).sum() < 1e-9


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("steps", [0, 2])
def test_a_signal_ends_a_test_with_its_result(request, tmp_path, monkeypatch, capsys, whole, number, steps):
    started = signal.signal(number, signal.default_int_handler)  # a process in the background ignores Ctrl-C
    request.addfinalizer(lambda: signal.signal(number, started))
    before = signal.getsignal(number)
    after(steps, lambda: signal.raise_signal(number), monkeypatch)
    output = tmp_path / "o.json"
    assert main([MODEL, IMAGE, "--precision", "1e-9", "--json", "--output", str(output)]) == 130
    stdout, stderr = capsys.readouterr()
    assert signal.getsignal(number) is before
    document = json.loads(stdout)
    assert document["status"] == "tested" and document["search"]["complete"] is False
    low, high = document["p_value_bounds"]
    assert low <= whole.p_value_bounds[0] <= whole.p_value_bounds[1] <= high
    assert json.loads(output.read_text()) == document
    assert any("interrupted" in text for text in document["warnings"])
    assert "interrupted" in stderr and "Traceback" not in stderr


def test_components_end_as_well(monkeypatch, capsys):
    after(2, lambda: signal.raise_signal(signal.SIGTERM), monkeypatch)
    assert main([MODEL, IMAGE, "--components", "--json"]) == 130
    parts = json.loads(capsys.readouterr().out)["region"]["components"]
    assert parts and all(part["p_value_bounds"] in (None, [0.0, 1.0]) for part in parts)


def test_a_signal_before_the_search_ends_the_program(monkeypatch, capsys):
    monkeypatch.setattr("onnx_si.cli.verbs.load", lambda path: os.kill(os.getpid(), signal.SIGTERM))
    assert main([MODEL, IMAGE]) == 130
    assert capsys.readouterr().err == "onnx-si: interrupted\n"


@pytest.mark.parametrize("module", ["numpy", "onnxruntime"])
def test_ctrl_c_while_modules_are_imported_has_no_traceback(module):
    """At the first of them and at one of a verb's."""
    code = f"""
import os, signal, sys
class Now:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Now())
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it
from onnx_si.__main__ import main
sys.exit(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, MODEL, IMAGE], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "onnx-si: interrupted\n")


def test_asked_twice_it_ends_at_once():
    stop = Stop()
    with pytest.raises(Stopped):
        stop.during(stop.interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        stop.interrupt()
    assert not isinstance(caught.value, Stopped)


def test_another_thread_may_ask():
    stop = Stop()

    def ask(progress):
        thread = threading.Thread(target=stop.ask)
        thread.start()
        thread.join()

    result = onnx_si.test(MODEL, IMAGE, progress=ask, stop=stop, **FINE)
    assert result.to_dict()["search"]["complete"] is False
