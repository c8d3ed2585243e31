"""Whatever a file, an image or an option holds, SECURITY.md's promises are kept.

`ONNX_SI_FUZZ=20000` runs so many cases of each kind.
"""

import os

import pytest

from onnx_si.ground.guard import DEBUG

from .kinds import KINDS
from .running import CAN_WATCH, Ran, broken, run

CASES = int(os.environ.get("ONNX_SI_FUZZ", "300"))
BLOCK = 100

pytestmark = pytest.mark.skipif(not CAN_WATCH, reason="peaks of memory are read from /proc, after a fork")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)  # in turn: each gets its share
@pytest.mark.parametrize("first", range(0, CASES, BLOCK))
def test_promises(kind, first, monkeypatch):
    monkeypatch.delenv(DEBUG)
    assert broken([kind], range(first, min(first + BLOCK, CASES))) == []


@pytest.mark.parametrize(
    ("ran", "words"),
    [
        (Ran(70, "", 0.0, 0), "exit code 70"),
        (Ran(1, "", 0.0, 0), "exit code 1"),
        (Ran(None, "", 0.0, 0), "killed"),
        (Ran(0, "Traceback (most recent call last)", 0.0, 0), "traceback"),
        (Ran(0, "", 11.0, 0), "11.0 s"),
        (Ran(0, "", 0.0, 3 << 30), "3.00 GB"),
        (Ran(0, "a\x1b[31m", 0.0, 0), "control characters"),
        (Ran(0, "a\x9b", 0.0, 0), "control characters"),
        (Ran(0, "n" * 3_000, 0.0, 0), "a long line"),
    ],
)
def test_a_broken_promise_is_seen(ran, words):
    (fault,) = ran.faults()
    assert words in fault
    assert list(Ran(0, "all is well\n", 1.0, 1 << 20).faults()) == []


def kills(seed, folder):
    if seed == 2:
        os.abort()
    return ["--no-such-option", str(folder)]


def test_a_death_is_seen_and_the_rest_goes_on(monkeypatch):
    monkeypatch.delenv(DEBUG)
    (found,) = broken([kills], range(5))
    assert found.startswith("seed 2, kills: killed")


def test_a_fault_of_ours_is_seen(monkeypatch, tmp_path):
    monkeypatch.delenv(DEBUG)

    def faulty(*_, **__):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("onnx_si.inspection.inspector.inspect_model", faulty)
    assert any("exit code 70" in fault for fault in run(["inspect", "m.onnx"], tmp_path).faults())
