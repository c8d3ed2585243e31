"""Killed at any moment and started again, an audit ends as if nothing had happened."""

import errno
import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support import audits

import onnx_si
from onnx_si.auditing import journal, row, tables, workers
from onnx_si.auditing import running as run
from onnx_si.auditing.images import Entry
from onnx_si.auditing.of_files import Files
from onnx_si.auditing.running import run_audit
from onnx_si.auditing.wish import read_wish
from onnx_si.auditing.workers import rows
from onnx_si.errors import NothingToTest, UsageError

COMMAND = [sys.executable, "-m", "onnx_si", "audit", "audit.toml", "--quiet"]
ROOT = Path(__file__).parents[2]
WHOLE = os.environ.get("ONNX_SI_WHOLE_AUDIT") == "1"  # 50 kills and 100,000 images, not a sample of them
PATIENCE = 240  # seconds for a process that must end
TOML = (
    'model = "model.onnx"\nmanifest = "list.csv"\n[test]\nsigma = 1.0\nthreshold = "minmax:0.5"\nverify = 0\n'
)


pytestmark = pytest.mark.usefixtures("no_fsync")


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
    """The coordinator ends within one write after the other, each time a little later."""
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
    for step in itertools.count(1):  # without an end: what is written last is written in one go
        budget["left"] = step
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "open", opened)
            patch.setattr(Path, "replace", replaced)
            try:
                run_audit(wish, out, jobs=0)
                break
            except Killed:
                ends += 1
    assert ends >= 30
    assert audits.files(out) == wanted


def test_rows_count_and_times_follow(place, tmp_path):
    """Ended between a row and its time, or where power failed: no image is lost for want of its time."""
    wish = audits.wish(place)
    run_audit(wish, tmp_path / "out", jobs=0)
    wanted = audits.files(tmp_path / "out")
    times = tmp_path / "out" / "timings.jsonl"
    lines = times.read_text().splitlines()
    for kept in ([*lines, '{"number":6,"seconds":1.0}'], lines[:2]):
        times.write_text("".join(f"{line}\n" for line in kept))
        run_audit(wish, tmp_path / "out", jobs=0)
        assert audits.files(tmp_path / "out") == wanted
        told = [json.loads(line) for line in times.read_text().splitlines()]
        assert [one["number"] for one in told] == list(range(6))
    assert [one["seconds"] is None for one in told] == [False] * 2 + [True] * 4


@pytest.mark.parametrize(("jobs", "kills"), [("0", 50 if WHOLE else 1), ("2", 50 if WHOLE else 3)])
def test_kill_9_at_random_moments(place, jobs, kills):
    """Real processes: the coordinator testing by itself, and one with workers, which end with it."""
    whole = run_audit(read_wish(place / "audit.toml"), place / "whole", jobs=0)
    began = time.monotonic()
    finish(start(place, "--jobs", jobs, "--output", "first"), place / "first", whole)
    usual, rng, name = time.monotonic() - began, np.random.default_rng(0), 0
    for _ in range(kills):
        process = start(place, "--jobs", jobs, "--output", f"out{name}")
        try:
            said = process.communicate(timeout=float(rng.uniform(0.2, 1.2) * usual))[0]
            assert process.returncode == 0, said.decode()
            check(place / f"out{name}", whole)  # it was finished before it was killed: another one
            name += 1
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate(timeout=PATIENCE)  # ends when its workers have closed the pipe, too
    finish(start(place, "--jobs", jobs, "--output", f"out{name}"), place / f"out{name}", whole)


def finish(process, folder, whole):
    said = process.communicate(timeout=PATIENCE)[0].decode()
    assert process.returncode == 0, said
    check(folder, whole)


def check(folder, whole):
    """The bytes of an undisturbed run, in every file and picture."""
    assert audits.files(folder) == audits.files(whole.folder)
    names = sorted(file.name for file in (whole.folder / "pictures").iterdir())
    assert sorted(file.name for file in (folder / "pictures").iterdir()) == names
    for name in names:
        assert (folder / "pictures" / name).read_bytes() == (whole.folder / "pictures" / name).read_bytes()


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
        (lambda p: (p / "list.csv").write_text("image\nimages/scan1.npy\n"), r"\(count 6, now 1\)"),
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
    with pytest.raises(UsageError, match=r"the configuration \(test sigma 1.0, now 2.0\) changed"):
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


def test_a_lock_that_was_taken_away_meanwhile_is_none(tmp_path, monkeypatch):
    """A run that ends between another's opening and locking: a third has a file of its own by then."""
    own = fcntl.flock

    def late(stream, how):
        (tmp_path / journal.RUNNING).unlink()
        (tmp_path / journal.RUNNING).touch()
        return own(stream, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(UsageError, match="another audit runs there"), journal.alone(tmp_path):
        pass
    assert (tmp_path / journal.RUNNING).exists()  # the third's


def test_a_full_disk_stops_it_and_loses_nothing(place, tmp_path, monkeypatch):
    wish = audits.wish(place)
    run_audit(wish, tmp_path / "whole", jobs=0)
    own, count = os.fsync, {"left": 4}

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
    own = Files.test

    def changing(files, analysis, base, **options):
        found = own(files, analysis, base, **options)
        if "scan3" in files.image:
            np.save(place / files.image, np.zeros((8, 8)))
        return found

    monkeypatch.setattr(Files, "test", changing)
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


HELD = []


def hungry(job, entry):
    """In a worker: each image keeps most of what it may hold, and one wants more than that by itself."""

    def test(files, analysis, base, **options):
        if entry.number == 2:
            np.empty(1 << 28)
        HELD.append(np.empty(50 << 20))
        raise NothingToTest("alive", pixels=0, size=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Files, "test", test)
        return row.do(job, entry)


def test_a_worker_holds_no_more_than_its_share(place, monkeypatch):
    """What an image leaves behind is no fault of the next; what one needs by itself is a row."""
    monkeypatch.setattr(workers, "do", hungry)
    sha256 = row.sha256_of(place / "model.onnx")
    job = row.Job(text="x", model="model.onnx", sha256=sha256, options={"memory": 512 << 20}, base=str(place))
    images = [Entry(number=number, image=f"images/scan{number}.npy") for number in range(4)]
    found = [done.row for done in rows(job, images, 1)]
    assert [one["status"] for one in found] == ["no_region", "no_region", "failed", "no_region"]
    assert found[2]["reason"] == row.NO_MEMORY


def peak_of(place, folder, count):
    """Bytes that the coordinator of so many rows takes at most."""
    tracemalloc.start()
    try:
        found = run_audit(audits.wish(place), folder, jobs=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.document["groups"][0]["failed"] == count
    return peak


def manifest(place, count):
    with (place / "list.csv").open("w") as stream:
        stream.write("image,group,ward\n")
        stream.writelines(f"images/scan0.npy,g{i % 3},{i}\n" for i in range(count))


def test_memory_does_not_grow_with_the_images(tmp_path, monkeypatch):
    """The coordinator of many rows; what is kept of one is a few numbers."""
    place = audits.folder_of(tmp_path / "data", count=1)
    one = {**row.killed(Entry(number=0, image=""), "stub").row}

    def stubs(job, entries, jobs, scheduler):
        for entry in entries:
            yield row.Done(
                row={**one, "number": entry.number, "image": entry.image, "group": entry.group}, seconds=0
            )

    monkeypatch.setattr(run, "rows", stubs)
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 50)
    peaks = {200: [], 1200: []}
    for number, count in enumerate((200, 200, 1200, 1200)):
        manifest(place, count)
        peaks[count].append(peak_of(place, tmp_path / f"out{number}", count))
    # the lesser of two: what is imported, and the interpreter's table of names when it doubles, count once
    assert min(peaks[1200]) - min(peaks[200]) < 1000 * 400  # a row as it is written has some 2,000


RESIDENT = """
import json, pathlib, sys
from onnx_si.auditing.running import run_audit
from onnx_si.auditing.wish import read_wish
found = run_audit(read_wish("audit.toml"), sys.argv[1], jobs=2)
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
print(json.dumps([found.document["groups"][0], peak]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells no resident memory")
def test_real_tests_take_no_memory_of_the_coordinator(tmp_path):
    """The whole: a process that tests images by workers, one in a hundred with a region, and what it held."""
    place = audits.folder_of(tmp_path / "data", count=2)
    model = onnx_si.load(str(place / "model.onnx"))
    images = (np.load(place / f"images/scan{i}.npy")[None, None] for i in range(2))
    low, high = (float(next(iter(onnx_si.evaluate(model, {"x": one}).values())).max()) for one in images)
    assert low < high
    text = TOML.replace('"minmax:0.5"', repr((low + high) / 2)).replace("[test]", "pictures = false\n[test]")
    (place / "audit.toml").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    peaks = []
    for count in (100, 100_000 if WHOLE else 200):
        with (place / "list.csv").open("w") as stream:
            stream.write("image,group,ward\n")
            stream.writelines(f"images/scan{int(i % 100 == 99)}.npy,g{i % 3},{i}\n" for i in range(count))
        command = [sys.executable, "-c", RESIDENT, str(tmp_path / f"out{count}")]
        limit = None if WHOLE else PATIENCE
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=limit
        )
        assert done.returncode == 0, done.stderr
        counts, peak = json.loads(done.stdout)
        assert (counts["images"], counts["tested"]) == (count, count // 100)
        peaks.append(peak)
    print(f"resident at most {peaks} kB")
    assert peaks[1] - peaks[0] < 48 << 10
