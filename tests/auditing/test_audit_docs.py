"""What docs/audit.md says and shows is true of the folder that is shipped."""

import csv
import re
import runpy
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from onnx_si.auditing.gates import GATES
from onnx_si.auditing.images import OWN
from onnx_si.auditing.own_options import CONTROLS
from onnx_si.auditing.running import MADE
from onnx_si.auditing.wish import read_wish
from onnx_si.cli.main import main

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "models" / "audit_32"
TEXT = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_run_that_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (
        main(["audit", str(SHIPPED / "audit.toml"), "--output", "out", "--no-progress", "--jobs", "2"]) == 0
    )
    shown = next(block for block in blocks("text") if block.startswith("passed"))
    assert capsys.readouterr().out == shown
    assert {file.name for file in Path("out").iterdir()} - {".running", "pictures"} <= set(MADE)
    assert main(["replay", "out/results.jsonl", "--only", "scan_03.npy"]) == 0
    assert capsys.readouterr().out.endswith("1 of 1 agree\n")


def test_the_configuration_that_is_shown_is_part_of_the_shipped_one(tmp_path):
    (shown,) = blocks("toml")
    shipped = tomllib.loads((SHIPPED / "audit.toml").read_text())
    for key, value in tomllib.loads(shown).items():
        if isinstance(value, dict):
            assert value.items() <= shipped[key].items()
        else:
            assert shipped[key] == value
    assert len(read_wish(SHIPPED / "audit.toml").gates) == 7


def test_every_gate_column_control_and_file_is_told():
    for word in (*GATES, *OWN, *CONTROLS, *MADE):
        assert f"`{word}`" in TEXT, word


def test_the_shipped_images_are_those_of_the_script(tmp_path, monkeypatch):
    """Made again from the seed, in another folder: the same bytes."""
    monkeypatch.syspath_prepend(str(ROOT / "models"))
    sys.modules.pop("common", None)
    import common

    monkeypatch.setattr(common, "HERE", tmp_path)
    runpy.run_path(str(ROOT / "models" / "make_audit.py"))["main"]()
    sys.modules.pop("common", None)
    made = sorted(file.relative_to(tmp_path) for file in tmp_path.rglob("*.*") if file.is_file())
    assert len(made) == 25
    for name in made:
        assert (tmp_path / name).read_bytes() == (ROOT / "models" / name).read_bytes(), name
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) < 300_000


def test_half_of_them_have_a_signal():
    with (SHIPPED / "images.csv").open(newline="") as stream:
        groups = {row["image"]: row["group"] for row in csv.DictReader(stream)}
    assert sorted(groups.values()) == ["empty"] * 12 + ["square"] * 12
    brightest = {
        name: np.lib.stride_tricks.sliding_window_view(np.load(SHIPPED / name), (8, 8))
        .mean(axis=(2, 3))
        .max()
        for name in groups
    }
    assert all((value > 1.5) == (groups[name] == "square") for name, value in brightest.items())


@pytest.mark.parametrize("number", range(2))
def test_the_python_that_is_shown_compiles(number):
    compile(blocks("python")[number], "docs/audit.md", "exec")
