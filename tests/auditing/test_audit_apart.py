"""An audit writes over nothing that it reads, and a restart removes none of it."""

import shutil

import numpy as np
import pytest
from support import audits

from onnx_si.auditing.running import run_audit
from onnx_si.cli.main import main
from onnx_si.errors import UsageError


@pytest.fixture
def place(tmp_path):
    return audits.folder_of(tmp_path / "data")


def contents(place):
    return {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}


def moved(place, old, new):
    """A file of the audit under a name that is written."""
    (place / new).parent.mkdir(exist_ok=True)
    shutil.copy(place / old, place / new)
    return new


CASES = {
    "manifest": (lambda p: {"manifest": moved(p, "list.csv", "results.csv")}, "the manifest, results.csv"),
    "model": (lambda p: {"model": moved(p, "model.onnx", "report.html")}, "the model, report.html"),
    "mask": (
        lambda p: {"mask": moved(p, "images/scan0.npy", "pictures/mask.npy")},
        "a file that it reads, pictures/mask.npy",
    ),
    "images": (
        lambda p: {"manifest": None, "images": [moved(p, "images/scan0.npy", "pictures/a.npy")]},
        "an image, pictures/a.npy",
    ),
    "a pattern": (
        lambda p: (
            moved(p, "images/scan0.npy", "pictures/a.npy") and {"manifest": None, "images": ["**/*.npy"]}
        ),
        "an image, pictures/a.npy",
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("restart", [False, True])
def test_what_is_read_is_kept(place, name, restart):
    make, said = CASES[name]
    more = {key: value for key, value in make(place).items() if value is not None}
    if "images" in more:
        (place / "list.csv").unlink()
        wish = audits.wish_of(
            {"model": "model.onnx", "test": {"sigma": 1.0}, **more}, base=place, where="test"
        )
    else:
        wish = audits.wish(place, **more)
    before = contents(place)
    with pytest.raises(UsageError, match="would write over " + said):
        run_audit(wish, place, jobs=0, restart=restart)
    assert contents(place) == before


def test_a_link_is_followed(place, tmp_path):
    (tmp_path / "elsewhere").symlink_to(place)
    wish = audits.wish(place, manifest=moved(place, "list.csv", "results.csv"))
    with pytest.raises(UsageError, match="would write over the manifest"):
        run_audit(wish, tmp_path / "elsewhere", jobs=0)


def test_the_command_line(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    moved(place, "list.csv", "results.csv")
    line = ["audit", "model.onnx", "results.csv", "--output", ".", "--sigma", "1", "--no-isolate", "--quiet"]
    for more in ([], ["--restart"], ["--dry-run"]):
        assert main([*line, *more]) == 2
        assert "would write over the manifest, results.csv" in capsys.readouterr().err


def test_files_of_other_names_may_lie_there(place):
    assert run_audit(audits.wish(place), place, jobs=0).document["model"]["path"] == "model.onnx"
    np.load(place / "images" / "scan0.npy")
