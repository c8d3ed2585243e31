"""An audit from Python, in a notebook, and as somebody's own test."""

import numpy as np
import pytest
from support import audits, nets

import onnx_si
from onnx_si.errors import UsageError
from onnx_si.testing import assert_audit_passes, assert_regions_real

OPTIONS = {"sigma": 1.0, "threshold": "minmax:0.5", "verify": 0, "jobs": 0}


@pytest.fixture
def place(tmp_path):
    return audits.folder_of(tmp_path / "data")


def images(*places):
    return [np.load(place) for place in places]


def test_files_as_on_the_command_line(place, tmp_path):
    found = onnx_si.audit(
        str(place / "model.onnx"), place / "list.csv", tmp_path / "out", gates={"max_failed": 0}, **OPTIONS
    )
    assert found.passed and found.folder == tmp_path / "out" and (found.folder / "report.html").is_file()
    assert found.summary()["groups"][0]["images"] == 6 and len(list(found.rows())) == 6
    again = onnx_si.audit(
        str(place / "model.onnx"), place / "list.csv", tmp_path / "out", gates={"max_failed": 0}, **OPTIONS
    )
    assert again.summary() == found.summary()


def test_arrays_and_a_model_in_memory(tmp_path):
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(3, 8, 8))
    found = onnx_si.audit(nets.map_net(seed=1, size=8), arrays, reference=rng.normal(size=(8, 8)), **OPTIONS)
    rows = list(found.rows())
    assert [row["image"].rpartition("/")[2] for row in rows] == [f"image{i}.npy" for i in range(3)]
    assert {row["result"]["hypothesis"] for row in rows if row["status"] == "tested"} == {"mean"}
    found.save(tmp_path / "kept")
    with pytest.raises(UsageError, match="exists already"):
        found.save(tmp_path / "kept")
    folder = found.folder
    assert folder.is_dir()
    del found
    assert not folder.exists() and (tmp_path / "kept" / "report.html").is_file()


def test_a_model_is_what_load_takes(place):
    proto = nets.map_net(seed=1, size=8).proto
    with pytest.raises(TypeError, match="its bytes, or an onnx"):
        onnx_si.audit(3, np.zeros((1, 8, 8)), **OPTIONS)
    image = np.random.default_rng(0).normal(size=(1, 8, 8))
    for model in (proto, proto.SerializeToString()):
        found = onnx_si.audit(model, image, **OPTIONS)
        (row,) = found.rows()
        assert row["status"] == "tested"


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        onnx_si.audit(nets.map_net(seed=1, size=8), np.zeros((1, 8, 8)), tmp_path, **OPTIONS)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match="no array of numbers"):
        onnx_si.audit(nets.map_net(seed=1, size=8), [object()], tmp_path / "new", **OPTIONS)


def test_every_fault_is_told(place):
    with pytest.raises(UsageError, match="3 faults"):
        onnx_si.audit(str(place / "none.onnx"), place / "list.csv", rate=3, sigmo=1)
    with pytest.raises(UsageError, match="give either images or manifest"):
        onnx_si.audit(str(place / "model.onnx"))


def test_a_data_frame(place):
    pandas = pytest.importorskip("pandas", reason="needs the package pandas")
    found = onnx_si.audit(str(place / "model.onnx"), place / "list.csv", **OPTIONS)
    frame = found.to_frame()
    assert isinstance(frame, pandas.DataFrame) and list(frame["number"]) == list(range(6))
    wanted = [row["result"]["p_value"] if row["status"] == "tested" else None for row in found.rows()]
    assert [None if np.isnan(value) else value for value in frame["p_value"]] == wanted


def test_regions_that_are_real(place):
    lesions = [place / "images" / f"scan{number}.npy" for number in (1, 3, 5)]
    model = str(place / "model.onnx")
    with pytest.raises(AssertionError, match=r"3 images must have a region that is more than noise"):
        assert_regions_real(model, lesions, rate=1e-12, **OPTIONS)
    found = assert_regions_real(model, lesions, share=0.0, **OPTIONS)
    assert found.document["groups"][0]["images"] == 3
    with pytest.raises(AssertionError, match="1 failed or were refused"):
        assert_regions_real(model, [place / "list.csv", *lesions][1:] + [bad(place)], share=0.0, **OPTIONS)


def bad(place):
    (place / "images" / "bad.npy").write_bytes(b"nothing")
    return place / "images" / "bad.npy"


def test_gates_as_a_test(place):
    with pytest.raises(AssertionError, match="FAILED max_failed 0"):
        assert_audit_passes(str(place / "model.onnx"), [bad(place)], {"max_failed": 0}, **OPTIONS)
    with pytest.raises(AssertionError, match="no gates"):
        assert_audit_passes(str(place / "model.onnx"), place / "list.csv", **OPTIONS)
    assert assert_audit_passes(
        str(place / "model.onnx"), place / "list.csv", {"max_failed": 0}, **OPTIONS
    ).passed
