"""Text of strangers as it is shown, and places that they name."""

import os

import pytest

from onnx_si.analysis.options.kinds import BYTES
from onnx_si.ground.paths import FILE, FOLDER, NOTHING, OTHER, what_is_at, writable
from onnx_si.ground.terminal import LONGEST_LINE, shown, shown_line, whole_number
from onnx_si.report.documents.shape import plain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plain ü 猫", "plain ü 猫"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\r\t", "a\\nb\\r\\t"),
        ("\x9b\u202e\u2028", "\\x9b\\u202e\\u2028"),
        ("\udcff", "\\udcff"),
        ("abcdef", "abcdef"),
    ],
)
def test_escapes(text, words):
    assert shown(text) == words
    assert shown(words) == words


def test_long_text_is_cut():
    assert shown("n" * 100_000) == "n" * 200 + "... (100000 characters)"
    assert shown("abc", 2) == "ab... (3 characters)"
    assert len(shown("\x1b" * 300)) < 230


def test_a_long_word_does_not_hide_the_message():
    text = shown_line(f"node '{'n' * 100_000}' (Exp): smooth;\nchoose another map")
    assert text.startswith("node 'nnn") and text.endswith("nnn' (Exp): smooth; choose another map")
    assert len(shown_line("word " * 100_000)) < LONGEST_LINE + 50


def test_documents_hold_no_steering():
    found = plain({"a\x1b": ["\x9b", {"b": "n" * 5_000}], "c": "two\nlines"})
    assert found["a\\x1b"][0] == "\\x9b" and len(found["a\\x1b"][1]["b"]) < 1_600
    assert found["c"] == "two\nlines"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        (" -3 ", -3),
        ("9" * 30, int("9" * 30)),
        ("9" * 5_000, None),
        ("x", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_whole_numbers(text, number):
    assert whole_number(text) == number


def test_sizes_of_memory():
    sizes = [BYTES.read(text) for text in ("2G", "500M", "1t", "4096K", "2GiB", "1048576")]
    assert sizes == [2 << 30, 500 << 20, 1 << 40, 4 << 20, 2 << 30, 1 << 20]
    for text in ("", "x", "-1G", "1e9", "9" * 5_000):
        with pytest.raises(ValueError):
            BYTES.read(text)


LONG = "n" * 5_000


def test_places(tmp_path):
    (tmp_path / "a").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "fifo")
    found = [what_is_at(tmp_path / name) for name in ("a", ".", "fifo", "b", "loop", LONG)]
    assert found == [FILE, FOLDER, OTHER, NOTHING, NOTHING, NOTHING]
    assert what_is_at("a\0b") == NOTHING


def test_places_to_write(tmp_path):
    (tmp_path / "a").write_text("")
    os.mkfifo(tmp_path / "fifo")
    assert writable(tmp_path / "a") and writable(tmp_path / "new")
    bad = [tmp_path, tmp_path / "fifo", tmp_path / LONG, tmp_path / "no" / "folder", "a\0b", f"{LONG}/x"]
    assert not any(map(writable, bad))
