"""Command lines run in a child process, and what of it breaks the promises of SECURITY.md."""

import contextlib
import os
import resource
import shutil
import signal
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from onnx_si.cli.main import main

CAN_WATCH = hasattr(os, "fork") and Path("/proc/self/clear_refs").exists()
CODES = (0, 2, 3, 4, 5)
SECONDS, KILLED_AFTER = 10, 100  # of the processor, and on the wall
MOST_BYTES = 2 << 30
LONGEST_LINE = 2_000
ADDRESSES = 5 << 30  # more ends the process before it takes the machine along
NATIVE = "native"  # file of what is said past python's own streams
MEMORY = ["--memory", "1G"]  # what a run is told that it may hold


@dataclass(frozen=True)
class Ran:
    """What a command line did; `code` is None where it killed the process."""

    code: int | None
    text: str
    seconds: float
    bytes: int

    def faults(self, codes=CODES):
        """Every broken promise, in words."""
        if self.code is None:
            yield f"killed: {self.text[-200:]}"
        elif self.code not in codes:
            yield f"exit code {self.code}: {self.text[-300:]}"
        if "Traceback" in self.text or "a fault of onnx-si" in self.text:
            yield f"a traceback or a fault of ours: {self.text[-300:]}"
        if self.seconds > SECONDS:
            yield f"{self.seconds:.1f} s"
        if self.bytes > MOST_BYTES:
            yield f"{self.bytes / 2**30:.2f} GB"
        if any(not (c.isprintable() or c in "\n") for c in self.text):
            yield f"control characters: {ascii(self.text)[-300:]}"
        if max(map(len, self.text.split("\n"))) > LONGEST_LINE:
            yield "a long line"


def _resident(name):
    """A line of the process' status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def _run(argv, told):
    """One command line in this process; what it said goes into a file."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts at what is resident now
    before, started = _resident("VmRSS"), time.process_time()
    with told.open("w") as stream, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            code = main([*argv, *MEMORY])
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            traceback.print_exc()
            code = 70
    return code, time.process_time() - started, _resident("VmHWM") - before


def _confine(folder):
    """For a child: an end in time and in memory, and words of native libraries in a file."""
    signal.alarm(KILLED_AFTER)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(folder / NATIVE, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)


def _said(told):
    """What a command line said, and what native libraries did on the same terminal."""
    native = told.with_name(NATIVE)
    return told.read_text(errors="replace") + native.read_text(errors="replace")


def run(argv, folder):
    """Run a command line in a child of its own.

    Parameters
    ----------
    argv : list of str
    folder : Path
        For what it says.
    """
    told, noted = folder / "told", folder / "noted"
    told.write_text("")
    noted.write_text("")
    started = time.perf_counter()
    child = os.fork()
    if not child:
        try:
            _confine(folder)
            code, seconds, held = _run(argv, told)
            noted.write_text(f"{code} {seconds} {held}")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    parts, text = noted.read_text().split(), _said(told)
    if not parts:
        return Ran(None, text, time.perf_counter() - started, 0)
    return Ran(int(parts[0]), text, float(parts[1]), int(parts[2]))


@contextlib.contextmanager
def _folder():
    made = Path(tempfile.mkdtemp())
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def broken(kinds, seeds):
    """Faults of the cases of some seeds, each case one of the kinds.

    All of them run in one child process, which a case that kills it, or never ends, takes along: another
    one goes on behind it.

    Parameters
    ----------
    kinds : list of functions
        (seed, folder) -> command line.
    seeds : range
    """
    found, start = [], seeds.start
    while start < seeds.stop:
        with _folder() as folder:
            start, more = _through(kinds, range(start, seeds.stop), folder)
            found += more
    return found


def _through(kinds, seeds, folder):
    """Run cases until one kills the process; gives where to go on and what was found."""
    noted = folder / "noted"
    noted.write_text("")
    child = os.fork()
    if not child:
        _confine(folder)
        try:
            with noted.open("a", buffering=1) as out:
                for seed in seeds:
                    _one(kinds[seed % len(kinds)], seed, folder, out)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    lines = [line.split("\t", 2) for line in noted.read_text().splitlines()]
    found = [f"seed {seed}, {kind}: {text}" for seed, kind, text in lines if text != "begins"]
    last = max((int(seed) for seed, _, _ in lines), default=seeds.start)
    if status:
        found.append(f"seed {last}, {kinds[last % len(kinds)].__name__}: killed (status {status})")
    return (last + 1 if status else seeds.stop), found


def _one(kind, seed, folder, out):
    print(seed, kind.__name__, "begins", sep="\t", file=out)
    place, told = folder / str(seed), folder / "told"
    place.mkdir()
    argv = kind(seed, place)
    os.truncate(folder / NATIVE, 0)
    signal.alarm(KILLED_AFTER)
    code, seconds, held = _run(argv, told)
    signal.alarm(0)
    for fault in Ran(code, _said(told), seconds, held).faults():
        print(seed, kind.__name__, fault.replace("\n", " | ").replace("\t", " "), sep="\t", file=out)
    shutil.rmtree(place, ignore_errors=True)
