"""Recorded tests run again, number by number."""

import json
import shlex

import numpy as np
import onnx
import pytest
from support import audits

from onnx_si.auditing.replay import _compared
from onnx_si.auditing.running import run_audit
from onnx_si.cli.main import main
from onnx_si.report.html.command import command
from onnx_si.search.stop import WHY


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An audit with randomised tests, a mask, a reference, and rows without a test."""
    place = audits.folder_of(tmp_path_factory.mktemp("replay") / "data", count=4)
    np.save(place / "mask.npy", np.pad(np.ones((7, 8)), ((1, 0), (0, 0))))
    np.save(place / "reference.npy", np.random.default_rng(5).normal(size=(8, 8)))
    (place / "images" / "bad.npy").write_bytes(b"nothing")
    np.save(place / "images" / "nothing.npy", np.full((8, 8), np.nan))
    with (place / "list.csv").open("a") as stream:
        stream.write("images/bad.npy,,\nimages/nothing.npy,,\n")
    test = {"sigma": 1.0, "threshold": "minmax:0.5", "randomise": 0.3, "seed": 7, "verify": 4}
    wish = audits.wish(place, test=test, mask="mask.npy", reference="reference.npy")
    return run_audit(wish, place / "out", jobs=0)


def say(capsys, *arguments):
    code = main(["replay", *map(str, arguments)])
    return code, capsys.readouterr().out.splitlines()


def test_what_was_drawn_is_drawn_again(made, capsys):
    code, lines = say(capsys, made.folder / "results.jsonl")
    assert code == 0 and lines[-1] == "4 of 6 agree, 2 not run"
    assert (
        sum(": agrees, " in line for line in lines) == 4 and sum(": not run: " in line for line in lines) == 2
    )


def test_an_image_without_a_region_agrees_whatever_it_would_have_been_compared_with(tmp_path, capsys):
    place = audits.folder_of(tmp_path / "data", count=2)
    np.save(place / "reference.npy", np.random.default_rng(5).normal(size=(8, 8)))
    wish = audits.wish(place, test={"sigma": 1.0, "threshold": 1e9}, reference="reference.npy")
    found = run_audit(wish, place / "out", jobs=0)
    assert {row["status"] for row in found.rows()} == {"no_region"}
    code, lines = say(capsys, found.folder / "results.jsonl")
    assert code == 0 and lines[-1] == "2 of 2 agree", lines
    one = [str(place / name) for name in ("model.onnx", "images/scan0.npy")]
    options = ["--reference", str(place / "reference.npy"), "--threshold", "1e9", "--output"]
    assert main([*one, *options, str(tmp_path / "r.json")]) == 5
    code, lines = say(capsys, tmp_path / "r.json")
    assert code == 0 and lines[-1] == "1 of 1 agree", lines


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"threshold": "1e9"},
        {"covariance": "cov.npy"},
        {"covariance": "cov.npy", "threshold": "1e9"},
        {"noise-from": "background.npy"},
        {"sigma-from": "part.npy", "threshold": "top:0.1", "mask": "mask.npy"},
        {"noise": "poisson:0.5,1"},
        {"sigma": "1.0"},
    ],
    ids=" ".join,
)
def test_a_model_that_says_its_noise_is_run_again_as_it_was(tmp_path, monkeypatch, capsys, said):
    """The standard deviation of its metadata stands in every record, also where it was not taken."""
    place = audits.folder_of(tmp_path / "data", count=2)
    proto = onnx.load(place / "model.onnx")
    onnx.helper.set_model_props(proto, {"onnx_si.noise_std": "1", "onnx_si.threshold": "minmax:0.5"})
    onnx.save(proto, place / "model.onnx")
    np.save(place / "cov.npy", np.full((8, 8), 0.9))
    np.save(place / "background.npy", np.random.default_rng(4).normal(size=(8, 8)))
    part = np.pad(np.ones((2, 8), bool), ((0, 6), (0, 0)))
    np.save(place / "part.npy", part)
    np.save(place / "mask.npy", ~part)
    monkeypatch.chdir(place)
    options = [text for name, value in said.items() for text in (f"--{name}", value)]
    one = ["model.onnx", "images/scan1.npy", *options]
    assert main([*one, "--output", "r.json"]) == (5 if said.get("threshold") == "1e9" else 0)
    code, lines = say(capsys, "r.json")
    assert code == 0 and lines[-1] == "1 of 1 agree", lines
    record = json.loads((place / "r.json").read_text())
    again = shlex.split(command(record))
    assert ("--sigma" in again) == ("sigma" in said)
    assert main([*again[1:], "--output", "again.json"]) == (5 if said.get("threshold") == "1e9" else 0)
    found = json.loads((place / "again.json").read_text())
    assert {key: found[key] for key in ("p_value", "noise", "config")} == {
        key: record[key] for key in ("p_value", "noise", "config")
    }


def test_the_record_of_a_search_that_was_stopped_is_not_run(made, tmp_path, capsys):
    rows = [json.loads(line) for line in (made.folder / "results.jsonl").read_text().splitlines()]
    result = next(row["result"] for row in rows if row["status"] == "tested")
    (tmp_path / "r.json").write_text(json.dumps({**result, "warnings": [f"{WHY}: the p-value is between"]}))
    code, lines = say(capsys, tmp_path / "r.json")
    assert code == 1 and "not run: the record is of a search that was stopped" in lines[-2]
    assert lines[-1] == "0 of 1 agree, 1 not run" and "DIFFERS" not in "".join(lines)


def test_only_one(made, capsys):
    code, lines = say(capsys, made.folder / "results.jsonl", "--only", "scan1.npy", "--json")
    (found,) = map(json.loads, lines)
    assert code == 0 and found["name"] == "images/scan1.npy" and found["agrees"] and found["compared"] > 50
    assert main(["replay", str(made.folder / "results.jsonl"), "--only", "scan9.npy"]) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one["result"].update(p_value=one["result"]["p_value"] * (1 + 3e-9)), "p_value was"),
        (lambda one: one["result"]["config"].update(seed=8), "p_value was"),
        (lambda one: one["result"]["config"].update(sigma=1.01), "statistic was|p_value was"),
        (lambda one: one["result"]["truncation"].pop(), "truncation was"),
        (lambda one: one["result"].pop("estimate"), "estimate was None"),
        (lambda one: one["result"].update(status="no_region"), "status was 'no_region', is 'tested'"),
        (lambda one: one.update(image_sha256="0" * 64), "the image's file has changed"),
        (lambda one: one["result"]["model"].update(sha256="0" * 64), "model.sha256 was"),
        (lambda one: one["result"]["model"].update(path="gone.onnx"), "can't be run again"),
        (lambda one: one["result"].update(config="none"), "no whole record"),
        (lambda one: one["result"]["config"].update(sigma="much"), "can't be run again|no whole record"),
    ],
)
def test_what_differs_is_told(made, tmp_path, capsys, change, said):
    import re

    row = next(row for row in made.rows() if row["status"] == "tested")
    change(row)
    (tmp_path / "results.jsonl").write_text(json.dumps(row) + "\n")
    code, lines = say(capsys, tmp_path / "results.jsonl", "--base", made.folder.parent)
    assert code == 1 and "DIFFERS" in lines[0] and re.search(said, lines[0]) and lines[-1] == "0 of 1 agree"


def test_a_result_of_the_plain_command(made, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(made.folder.parent)
    given = ["model.onnx", "images/scan1.npy", "--sigma", "1", "--threshold", "minmax:0.5", "--components"]
    given += ["--channels", "0", "--method", "all", "--noise-from", "images/scan0.npy", "images/scan2.npy"]
    given.remove("--sigma"), given.remove("1")
    assert main([*given, "--quiet", "--output", str(tmp_path / "r.json")]) == 0
    capsys.readouterr()
    code, lines = say(capsys, tmp_path / "r.json")
    assert code == 0 and lines[-1] == "1 of 1 agree"


def test_a_refusal_is_repeated_too(made, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(made.folder.parent)
    given = ["model.onnx", "images/scan1.npy", "--sigma", "1", "--threshold", "1e9", "--quiet"]
    assert main([*given, "--output", str(tmp_path / "r.json")]) == 5
    capsys.readouterr()
    code, lines = say(capsys, tmp_path / "r.json")
    assert code == 0 and ": agrees" in lines[0]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": "onnx-si/result/1"}', "[" * 100_000, "\xff"])
def test_what_is_no_record_is_told(tmp_path, capsys, content):
    (tmp_path / "r.json").write_text(content, encoding="latin-1")
    assert main(["replay", str(tmp_path / "r.json")]) == 4
    assert main(["replay", str(tmp_path / "none.jsonl")]) == 4


def test_an_audit_that_moved_is_found_again(made, tmp_path, capsys):
    import shutil

    shutil.copytree(made.folder.parent, tmp_path / "elsewhere")
    code, lines = say(capsys, tmp_path / "elsewhere" / "out" / "results.jsonl", "--only", "scan0.npy")
    assert code == 0, lines


def test_numbers_agree_to_their_own_size():
    def differ(before, now):
        return [text for text in _compared(before, now) if text]

    assert not differ({"p_value": 1e-20}, {"p_value": 1e-20 * (1 + 5e-10)})
    assert differ({"p_value": 1e-20}, {"p_value": 2e-20})
    assert not differ({"statistic": 0.0}, {"statistic": 1e-12}) and differ({"a": 1}, {"a": True})
    assert differ([1.0], [1.0, 2.0]) and not differ({"search": {"pieces": 1}}, {"search": {"pieces": 2}})
