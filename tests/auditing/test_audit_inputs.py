"""Audits and records of models that take more than an image: values in files, and what is bound to them."""

import json
import os
import shlex

import numpy as np
import onnx
import pytest

import onnx_si
from onnx_si.auditing.running import run_audit
from onnx_si.auditing.wish import wish_of
from onnx_si.cli.main import main
from onnx_si.report.html.command import command

SIZE = 8


def two_inputs():
    """A map of two channels, each times its gain, added up with an offset."""
    rng = np.random.default_rng(0)
    weight = onnx.numpy_helper.from_array(rng.normal(size=(2, 1, 3, 3)).astype(np.float32), "weight")
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    nodes = [
        onnx.helper.make_node("Conv", ["x", "weight"], ["conv"], pads=[1] * 4),
        onnx.helper.make_node("Relu", ["conv"], ["shown"]),
        onnx.helper.make_node("Mul", ["shown", "gain"], ["weighted"]),
        onnx.helper.make_node("ReduceSum", ["weighted", "axes"], ["sum"], keepdims=1),
        onnx.helper.make_node("Add", ["sum", "offset"], ["map"]),
    ]
    shapes = {"x": [1, 1, SIZE, SIZE], "gain": [1, 2, 1, 1], "offset": [1]}
    kind = onnx.TensorProto.FLOAT
    taken = [onnx.helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()]
    made = onnx.helper.make_tensor_value_info("map", kind, [1, 1, SIZE, SIZE])
    graph = onnx.helper.make_graph(nodes, "two inputs", taken, [made], [weight, axes])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def place(tmp_path):
    """A model that multiplies its map by one input and adds another, images, and the factor in a file."""
    data = tmp_path / "data"
    data.mkdir()
    onnx.save(two_inputs(), data / "model.onnx")
    np.save(data / "gain.npy", np.array([2.0, 0.5]))
    rng = np.random.default_rng(1)
    for number in range(3):
        np.save(data / f"scan{number}.npy", rng.normal(size=(SIZE, SIZE)))
        np.save(data / f"reference{number}.npy", rng.normal(size=(SIZE, SIZE)))
    (data / "audit.toml").write_text(
        'model = "model.onnx"\nimages = ["scan0.npy", "scan1.npy"]\npictures = false\n[test]\nsigma = 1.0\n'
        'threshold = "minmax:0.5"\ninputs = { gain = "gain.npy", offset = 0.5 }\n'
    )
    return data


def rows(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("jobs", ["0", "1"])
def test_a_file_of_an_input_stands_beside_the_configuration(place, tmp_path, monkeypatch, capsys, jobs):
    """Wherever the audit is run from, as the images do; another file of that name is not taken."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    np.save(elsewhere / "gain.npy", np.array([-3.0, 1.0]))
    monkeypatch.chdir(elsewhere)
    asked = ["audit", str(place / "audit.toml"), "--output", str(tmp_path / "out"), "--jobs", jobs]
    assert main([*asked, "--dry-run"]) == 0
    plan = capsys.readouterr().out
    assert "exact" in plan and "refused" not in plan
    assert main(asked) == 0
    found = rows(tmp_path / "out")
    for number, row in enumerate(found):
        wanted = onnx_si.test(
            place / "model.onnx",
            place / f"scan{number}.npy",
            sigma=1.0,
            threshold="minmax:0.5",
            inputs={"gain": np.array([2.0, 0.5]), "offset": 0.5},
        )
        assert row["result"]["p_value"] == wanted.p_value
        assert row["result"]["config"]["inputs"] == {"gain": "gain.npy", "offset": 0.5}
    assert main(["replay", str(tmp_path / "out" / "results.jsonl")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 of 2 agree"


def test_an_audit_does_not_go_on_with_another_value_of_an_input(place, tmp_path, capsys):
    asked = ["audit", str(place / "audit.toml"), "--output", str(tmp_path / "out"), "--jobs", "0"]
    assert main(asked) == 0
    np.save(place / "gain.npy", np.array([1.0, 1.0]))
    assert main(asked) == 2
    assert "of an input" in capsys.readouterr().err


@pytest.mark.parametrize("column", ["reference", "mask"])
def test_an_audit_does_not_go_on_with_another_file_of_a_row(place, tmp_path, capsys, column):
    """The images of finished rows had been looked at, not what they were compared with."""
    np.save(place / "mask.npy", np.pad(np.ones((SIZE - 1, SIZE)), ((1, 0), (0, 0))))
    beside = {"reference": "reference0.npy;reference1.npy", "mask": "mask.npy"}[column]
    (place / "list.csv").write_text(f"image,{column}\nscan0.npy,{beside}\nscan1.npy,\n")
    text = (place / "audit.toml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("images")]
    (place / "audit.toml").write_text("\n".join(['manifest = "list.csv"', *lines]))
    asked = ["audit", str(place / "audit.toml"), "--output", str(tmp_path / "out"), "--jobs", "0"]
    assert main(asked) == 0
    assert main(asked) == 0  # nothing has changed
    changed = place / beside.rpartition(";")[2]
    np.save(changed, np.flip(np.load(changed)))
    assert main(asked) == 2
    assert "a reference or a mask in it" in capsys.readouterr().err


def test_an_audit_does_not_write_over_the_file_of_an_input(place):
    (place / "results.csv").write_bytes((place / "gain.npy").read_bytes())
    content = {
        "model": "model.onnx",
        "images": ["scan0.npy"],
        "test": {"sigma": 1.0, "inputs": {"gain": "results.csv", "offset": 0}},
    }
    with pytest.raises(onnx_si.UsageError, match="would write over"):
        run_audit(wish_of(content, base=place, where="test"), place, jobs=0)


@pytest.mark.parametrize(("gain", "offset"), [("gain.npy", "0.5"), ("2,0.25", "-1")])
def test_the_printed_command_says_the_inputs(place, monkeypatch, gain, offset):
    monkeypatch.chdir(place)
    asked = ["model.onnx", "scan0.npy", "--sigma", "1", "--threshold", "minmax:0.5"]
    asked += ["--input", f"gain={gain}", "--input", f"offset={offset}"]
    assert main([*asked, "--output", "r.json"]) == 0
    record = json.loads((place / "r.json").read_text())
    assert main([*shlex.split(command(record))[1:], "--output", "again.json"]) == 0
    assert json.loads((place / "again.json").read_text())["p_value"] == record["p_value"]


def test_no_command_is_printed_for_an_array_of_several_axes(place):
    asked = {"sigma": 1.0, "threshold": "minmax:0.5"}
    row = onnx_si.test(
        place / "model.onnx",
        place / "scan0.npy",
        inputs={"gain": np.array([2.0, 0.5]), "offset": 0.5},
        **asked,
    )
    assert "--input gain=2.0,0.5" in command(row.to_dict())
    several = onnx_si.test(
        place / "model.onnx",
        place / "scan0.npy",
        inputs={"gain": np.array([2.0, 0.5]).reshape(1, 2, 1, 1), "offset": 0.5},
        **asked,
    )
    assert command(several.to_dict()) == "" and several.p_value == row.p_value


ARRAYS = {
    "mask": np.pad(np.ones((SIZE - 2, SIZE), bool), ((2, 0), (0, 0))),
    "covariance": {"H": 0.5 * np.eye(SIZE), "W": np.eye(SIZE)},
    "noise_from": [np.random.default_rng(7).normal(size=(SIZE, SIZE))],
    "sigma_from": np.pad(np.ones((1, SIZE), bool), ((0, SIZE - 1), (0, 0))),
    "reference": np.zeros((SIZE, SIZE)),
}


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_a_test_with_an_array_beside_files_is_not_repeated_without_it(place, tmp_path, capsys, name):
    """No command is printed, and no replay is run, that would be another test."""
    sigma = {} if name in ("covariance", "noise_from", "sigma_from") else {"sigma": 1.0}
    asked = {"inputs": {"gain": 1, "offset": 0}, "threshold": "top:0.1", **sigma}
    if name == "sigma_from":
        asked["mask"] = np.roll(ARRAYS["mask"], 0)
    found = onnx_si.test(place / "model.onnx", place / "scan0.npy", **{name: ARRAYS[name]}, **asked)
    document = found.to_dict()
    assert command(document) == ""
    (tmp_path / "r.json").write_text(json.dumps(document))
    main(["replay", str(tmp_path / "r.json")])
    said = capsys.readouterr().out
    assert name in said and "in memory" in said and "DIFFERS" not in said
    if name != "reference":
        assert "in memory" in document["reasons"][f"config.{name}"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
def test_a_pipe_among_the_images_is_a_row_and_not_waited_for(place):
    (place / "scans").mkdir()
    os.mkfifo(place / "scans" / "pipe.npy")
    options = {"sigma": 1.0, "inputs": {"gain": "gain.npy", "offset": 0.5}}
    asked = {"model": "model.onnx", "images": ["scans"], "test": options}
    run_audit(wish_of(asked, base=place, where="here"), place / "out", jobs=0)
    (row,) = rows(place / "out")
    assert row["status"] == "failed" and "pipe.npy: is no file" in row["reason"]
