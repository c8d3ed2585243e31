"""A child process that dies of a model is a refusal; one that lives changes nothing."""

import os
import signal
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnx_si.cli.main import main
from onnx_si.errors import UnsupportedModel
from onnx_si.runtime import isolation
from onnx_si.runtime.isolation import isolated, try_out


def note(path):
    path.write_text("was here")


def raises():
    raise ValueError("the parent meets it itself")


def segfault():
    os.kill(os.getpid(), signal.SIGSEGV)


def hostile_inference():
    """Aborts in the shape inference of the onnx package."""
    node = helper.make_node("Split", ["x"], ["a", "b", "c"], split=[4])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 4])],
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, None)],
    )
    onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)]))


def test_the_work_is_done_elsewhere(tmp_path):
    isolated(note, tmp_path / "note")
    assert (tmp_path / "note").read_text() == "was here"


def test_an_exception_is_the_parents_matter():
    isolated(raises)


@pytest.mark.parametrize(
    ("work", "words"),
    [(segfault, "SIGSEGV"), (os.abort, "SIGABRT")],
)
def test_a_death_is_a_refusal(work, words):
    with pytest.raises(
        UnsupportedModel, match=f"m.onnx: onnxruntime was killed by this model .{words}"
    ) as caught:
        isolated(work, what="m.onnx")
    assert caught.value.exit_code == 3


def test_native_inference_that_dies_is_survived():
    """Of this version of the onnx package; a later one may raise instead, which is no death."""
    try:
        isolated(hostile_inference)
    except UnsupportedModel as error:
        assert "was killed by this model" in str(error)


def test_no_end_is_a_refusal():
    with pytest.raises(UnsupportedModel, match=r"did not end within 0\.2 s"):
        isolated(time.sleep, 60, seconds=0.2)


@pytest.fixture
def files(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, "height", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        tmp_path / "m.onnx",
    )
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(8, 8)))
    return str(tmp_path / "m.onnx"), str(tmp_path / "x.npy")


def test_a_first_run_runs_the_file(files, monkeypatch):
    ran = []
    whole = isolation.session_of

    class Session:
        def __init__(self, proto):
            self.inner = whole(proto)

        def get_inputs(self):
            return self.inner.get_inputs()

        def run(self, names, given):
            ran.append({name: value.shape for name, value in given.items()})
            return self.inner.run(names, given)

    monkeypatch.setattr(isolation, "session_of", Session)
    try_out(files[0], {"height": 5})
    assert ran == [{"x": (1, 1, 5, 8)}]


@pytest.mark.parametrize("verb", [[], ["inspect"]])
def test_the_command_line(files, monkeypatch, capsys, verb):
    model, image = files
    call = [*verb, model, *([] if verb else [image, "--sigma", "1", "--quiet"])]
    plain = main(call)
    told = capsys.readouterr().out.splitlines()
    assert main([*call, "--isolate"]) == plain == 0
    again = capsys.readouterr().out.splitlines()
    assert [line for line in again if "search" not in line] == [line for line in told if "search" not in line]
    monkeypatch.setattr("onnx_si.runtime.isolation.try_out", lambda *_: os.abort())
    assert main([*call, "--isolate"]) == 3
    assert "onnxruntime was killed by this model" in capsys.readouterr().err
    assert main(call) == 0
