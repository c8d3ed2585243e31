"""The table of a simulation as a person sees it."""

import io
import re
from pathlib import Path

import pytest

import onnx_si
from onnx_si.simulation.printed import print_table

MODELS = Path(__file__).parents[2] / "models"
BOLD = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    """A stream that says that a person reads it."""

    def isatty(self):
        return True


@pytest.fixture(scope="module")
def simulation():
    model = MODELS / "paper_cam_8.onnx"
    return onnx_si.simulate(model, trials=6, signals=[0.0, 3.0], sigma=1.0, components=True, jobs=1)


@pytest.mark.parametrize("columns", [80, 60])
def test_nothing_is_cut_where_a_terminal_is_narrow(simulation, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    narrow, wide = Terminal(), io.StringIO()
    print_table(simulation, narrow)
    print_table(simulation, wide)
    seen = [BOLD.sub("", text.getvalue()) for text in (narrow, wide)]
    assert all(len(line) <= columns for line in seen[0].splitlines())
    assert max(map(len, seen[1].splitlines())) > 80
    assert sorted("".join(seen[0].split())) == sorted("".join(seen[1].split()))
