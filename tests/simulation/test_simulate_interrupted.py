"""Ctrl-C in a terminal reaches the workers as well: the simulation ends at once, and none of them speaks."""

import random
import sys
from pathlib import Path

import pytest
from support.terminal import interrupted

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="terminals and /proc of Linux")

MODELS = Path(__file__).parents[2] / "models"
MODEL = str(MODELS / "paper_cam_16.onnx")
SIMULATE = ["onnx_si", "simulate", MODEL, "--sigma", "1", "--trials", "100000", "--jobs", "2"]
AT_ONCE = 5.0  # seconds; half a second on a machine that does nothing else


def assert_quiet(ended):
    assert ended.code == 130
    assert "Traceback" not in ended.text and "interrupted" in ended.text
    assert not ended.left
    assert ended.seconds < AT_ONCE


def test_workers_say_nothing_at_whatever_moment():
    """The first half while they are started and import, the rest while they work."""
    moments = random.Random(0)
    for number in range(10):
        seconds = moments.uniform(0.0, 0.5 if number < 5 else 3.0)
        assert_quiet(interrupted(SIMULATE, r"0/100000", seconds))


def test_what_is_finished_is_told():
    ended = interrupted(SIMULATE, r"[ m][1-9][0-9]*/100000", 0.5)
    assert_quiet(ended)
    assert "what follows is of the first" in " ".join(ended.text.split())
    assert "selective" in ended.text


def test_nor_do_those_of_an_audit(tmp_path):
    image = (MODELS / "paper_cam_16_image.npy").read_bytes()
    for number in range(60):
        (tmp_path / f"{number}.npy").write_bytes(image)
    audit = ["onnx_si", "audit", MODEL, str(tmp_path), "--sigma", "1", "--jobs", "2"]
    for number, seconds in enumerate((0.1, 0.3, 0.6)):
        assert_quiet(interrupted([*audit, "--output", str(tmp_path / f"out{number}")], r"0/60", seconds))
