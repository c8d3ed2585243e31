"""Lines of progress where there is no terminal."""

import io

import pytest

from onnx_si.simulation import bar


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    now = [0.0]
    monkeypatch.setattr(bar.time, "monotonic", lambda: now[0])
    return now


def lines_of(clock, *, asked, seconds):
    """What is written while 100 trials take so long."""
    stream = io.StringIO()
    with bar.Bar(stream, asked=asked) as told:
        for finished in range(101):
            clock[0] = seconds * finished / 100
            told(finished, 100)
    return stream.getvalue().splitlines()


def test_a_long_first_trial_is_told(monkeypatch):
    monkeypatch.setattr(bar, "APART", 0.01)
    stream = io.StringIO()
    with bar.Bar(stream, asked=False) as told:
        told._silence.join(10)
    assert stream.getvalue().splitlines() == ["onnx-si: the first of the trials takes more than 0.01 s"]


def test_who_asked_sees_about_ten_lines(clock):
    assert len(lines_of(clock, asked=True, seconds=1)) == 11


def test_nobody_else_sees_any_of_what_is_short(clock):
    assert lines_of(clock, asked=False, seconds=9) == []


def test_and_a_line_now_and_then_of_what_is_long(clock):
    lines = lines_of(clock, asked=False, seconds=40)
    assert len(lines) == 4
    assert lines[0] == "onnx-si: 25 of 100 trials, 2.5/s, 30 s left"
