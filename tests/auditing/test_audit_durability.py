"""Killed at any moment and started again, an audit ends as if nothing had happened."""

import errno
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support import audits

from onnx_si.auditing import journal, row, workers
from onnx_si.auditing import running as run
from onnx_si.auditing.images import Entry
from onnx_si.auditing.running import run_audit
from onnx_si.auditing.workers import rows
from onnx_si.errors import UsageError

COMMAND = [sys.executable, "-m", "onnx_si", "audit", "audit.toml", "--quiet"]
ROOT = Path(__file__).parents[2]
TOML = (
    'model = "model.onnx"\nmanifest = "list.csv"\npictures = false\n'
    '[test]\nsigma = 1.0\nthreshold = "minmax:0.5"\nverify = 0\n'
)


@pytest.fixture
def place(tmp_path):
    folder = audits.folder_of(tmp_path / "data")
    (folder / "audit.toml").write_text(TOML)
    return folder


def start(place, *more):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    return subprocess.Popen(
        [*COMMAND, *more], cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


class Killed(BaseException):
    """Where a process was ended, as far as files can tell."""


def test_ended_at_every_write_it_goes_on_to_the_same_bytes(place, tmp_path, monkeypatch):
    """The coordinator ends before, in the middle of and after every write and rename, 50 times and more."""
    wish = audits.wish(place, gates={"max_failed": 0})
    run_audit(wish, tmp_path / "whole", jobs=0)
    wanted = audits.files(tmp_path / "whole")
    out, ends = tmp_path / "out", 0
    own_open, own_replace = Path.open, Path.replace

    class Half:
        """A file that takes half of what is written to it, and then the process ends."""

        def __init__(self, stream):
            self.stream = stream

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.stream.close()

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def write(self, content):
            budget["left"] -= 1
            if budget["left"] == 0:
                self.stream.write(content[: len(content) // 2])
                self.stream.flush()
                raise Killed
            return self.stream.write(content)

    def opened(path, *args, **kwargs):
        stream = own_open(path, *args, **kwargs)
        mode = args[0] if args else kwargs.get("mode", "r")
        return Half(stream) if out in path.parents and any(c in mode for c in "wa") else stream

    def replaced(path, target):
        budget["left"] -= 1
        if budget["left"] == 0:
            raise Killed
        return own_replace(path, target)

    budget = {"left": 0}
    step = 1
    while True:
        budget["left"] = step
        monkeypatch.setattr(Path, "open", opened)
        monkeypatch.setattr(Path, "replace", replaced)
        try:
            run_audit(wish, out, jobs=0)
            break
        except Killed:
            ends += 1
        finally:
            monkeypatch.undo()
        if ends % 7 == 0:  # sometimes far, so that every place is reached from every other
            step += 1  # without an end: what is written at the end is written in one go
    assert ends >= 50
    assert audits.files(out) == wanted


@pytest.mark.parametrize(("jobs", "tries"), [("0", 12), ("2", 3)])
def test_kill_9_at_random_moments(place, tmp_path, jobs, tries):
    """Real processes: the coordinator testing by itself, and one with workers, which end with it."""
    run_audit(audits.wish(place), tmp_path / "whole", jobs=0)
    wanted = (tmp_path / "whole" / "results.jsonl").read_bytes()
    rng, kills = np.random.default_rng(0), 0
    for _ in range(tries):
        process = start(place, "--jobs", jobs)
        try:
            process.communicate(timeout=float(rng.uniform(0.5, 4.0)))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
    process = start(place, "--jobs", jobs)
    said = process.communicate()[0].decode()
    assert process.returncode == 0, said
    assert (place / "audit" / "results.jsonl").read_bytes() == wanted
    assert kills


def test_half_a_line_is_cut_off(place, tmp_path):
    wish = audits.wish(place)
    run_audit(wish, tmp_path / "out", jobs=0)
    wanted = audits.files(tmp_path / "out")
    with (tmp_path / "out" / "results.jsonl").open("rb+") as stream:
        stream.truncate(stream.seek(0, 2) - 40)
    run_audit(wish, tmp_path / "out", jobs=0)
    assert audits.files(tmp_path / "out") == wanted


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda p: (p / "model.onnx").write_bytes((p / "model.onnx").read_bytes() + b"\x7a\x00"),
            "model's file",
        ),
        (lambda p: np.save(p / "images" / "scan1.npy", np.zeros((8, 8))), "scan1.npy: has changed"),
        (lambda p: (p / "images" / "scan1.npy").unlink(), "gone"),
        (lambda p: (p / "list.csv").write_text("image\nimages/scan1.npy\n"), "list of images"),
    ],
    ids=["model", "image", "gone", "manifest"],
)
def test_what_has_changed_is_noticed(place, tmp_path, change, said):
    wish = audits.wish(place)
    run_audit(wish, tmp_path / "out", jobs=0)
    change(place)
    with pytest.raises(UsageError, match=said):
        run_audit(wish, tmp_path / "out", jobs=0)
    run_audit(wish, tmp_path / "out", jobs=0, restart=True)


def test_another_configuration_is_noticed(place, tmp_path):
    run_audit(audits.wish(place), tmp_path / "out", jobs=0)
    other = audits.wish(place, test={"sigma": 2.0, "threshold": "minmax:0.5", "verify": 0})
    with pytest.raises(UsageError, match="the configuration"):
        run_audit(other, tmp_path / "out", jobs=0)
    assert run_audit(other, tmp_path / "out", jobs=0, restart=True).document["config"]["test"]["sigma"] == 2.0


def test_gates_may_change_on_a_finished_audit(place, tmp_path):
    """They say nothing about the rows."""
    run_audit(audits.wish(place), tmp_path / "out", jobs=0)
    assert not run_audit(audits.wish(place, gates={"min_rejected": 1.0}), tmp_path / "out", jobs=0).passed


def test_a_second_run_is_refused_while_the_first_lives(place, tmp_path):
    (tmp_path / "out").mkdir()
    with journal.alone(tmp_path / "out"), pytest.raises(UsageError, match="another audit runs there"):
        run_audit(audits.wish(place), tmp_path / "out", jobs=0)
    run_audit(audits.wish(place), tmp_path / "out", jobs=0)


def test_a_full_disk_stops_it_and_loses_nothing(place, tmp_path, monkeypatch):
    wish = audits.wish(place)
    run_audit(wish, tmp_path / "whole", jobs=0)
    own, count = os.fsync, {"left": 7}

    def full(descriptor):
        count["left"] -= 1
        if count["left"] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return own(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="the disk is full"):
        run_audit(wish, tmp_path / "out", jobs=0)
    monkeypatch.undo()
    assert (tmp_path / "out" / "results.jsonl").read_bytes()
    run_audit(wish, tmp_path / "out", jobs=0)
    assert audits.files(tmp_path / "out") == audits.files(tmp_path / "whole")


def test_a_disk_that_is_full_for_a_picture_stops_it_too(place, tmp_path, monkeypatch):
    """The image is not to blame: no row says that it failed."""
    wish = audits.wish(place, pictures=True)
    run_audit(wish, tmp_path / "whole", jobs=0)
    own, count = Path.write_bytes, {"left": 2}

    def full(path, content):
        count["left"] -= "pictures" in path.parts
        if count["left"] < 0:
            own(path, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return own(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UsageError, match="the disk is full"):
        run_audit(wish, tmp_path / "out", jobs=0)
    monkeypatch.undo()
    assert not list((tmp_path / "out" / "pictures").glob(".*"))
    run_audit(wish, tmp_path / "out", jobs=0)
    assert audits.files(tmp_path / "out") == audits.files(tmp_path / "whole")


def test_an_image_that_changes_while_it_is_read_is_no_result(place, tmp_path, monkeypatch):
    own = row.read_image

    def changing(path):
        found = own(path)
        if Path(path).name == "scan3.npy":
            np.save(path, found + 1)
        return found

    monkeypatch.setattr(row, "read_image", changing)
    found = list(run_audit(audits.wish(place), tmp_path / "out", jobs=0).rows())
    assert [one["number"] for one in found if "changed while it was read" in (one["reason"] or "")] == [3]


def test_half_a_picture_of_a_killed_worker_is_removed(place, tmp_path):
    wish = audits.wish(place, pictures=True)
    (tmp_path / "out" / "pictures").mkdir(parents=True)
    (tmp_path / "out" / "pictures" / ".123-000000-scan0.png").write_bytes(b"half")
    run_audit(wish, tmp_path / "out", jobs=0)
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 6


def dying(job, entry):
    """In a worker: one image kills it, always; another one once."""
    if entry.number == 2 or (entry.number == 4 and not Path(job.model).exists()):
        Path(job.model).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return row.killed(entry, "alive")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_is_killed_costs_one_row(tmp_path, monkeypatch, jobs):
    """One worker is a process of its own, too."""
    monkeypatch.setattr(workers, "do", dying)
    job = row.Job(text="x", model=str(tmp_path / "mark"), sha256="", options={}, base="")
    images = [Entry(number=number, image=f"{number}.npy") for number in range(8)]
    found = [done.row for done in rows(job, images, jobs)]
    assert [one["number"] for one in found] == list(range(8))
    assert [one["number"] for one in found if one["reason"] != "alive"] == [2]
    assert "was killed" in found[2]["reason"]


def test_two_workers_give_the_bytes_of_one_process(place, tmp_path):
    wish = audits.wish(place, pictures=True)
    one = run_audit(wish, tmp_path / "one", jobs=0)
    two = run_audit(wish, tmp_path / "two", jobs=2)
    assert audits.files(tmp_path / "one") == audits.files(tmp_path / "two")
    for found in one.rows():
        name = found["picture"]
        assert name is None or (one.folder / name).read_bytes() == (two.folder / name).read_bytes()


def test_memory_does_not_grow_with_the_images(tmp_path, monkeypatch):
    """The coordinator of 20,000 rows; what is kept is a few numbers for each."""
    place = audits.folder_of(tmp_path / "data", count=1)
    with (place / "list.csv").open("w") as stream:
        stream.write("image,group,ward\n")
        stream.writelines(f"images/scan0.npy,g{i % 3},{i}\n" for i in range(20_000))
    one = {**row.killed(Entry(number=0, image=""), "stub").row}

    def stubs(job, entries, jobs, scheduler):
        for entry in entries:
            yield row.Done(
                row={**one, "number": entry.number, "image": entry.image, "group": entry.group}, seconds=0
            )

    monkeypatch.setattr(run, "rows", stubs)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    tracemalloc.start()
    run_audit(audits.wish(place), tmp_path / "out", jobs=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["groups"][0]["failed"] == 20_000
