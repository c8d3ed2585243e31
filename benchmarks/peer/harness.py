"""What both workers share: pinned cores, one thread for each, the clock, memory. Standard library only.

Call `prepare()` before anything imports numpy or torch.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class OutOfTime(BaseException):
    """The job's time limit is over. Not an `Exception`: no program under test shall take it for its own."""


@dataclass(frozen=True)
class Job:
    """One question, as written by `jobs.write_job`; paths are absolute."""

    folder: Path
    spec: dict[str, Any]

    @property
    def model(self) -> Path:
        """The network as a user has it."""
        return self.folder / "model.onnx"

    @property
    def saliency_model(self) -> Path:
        """The network with its saliency map as the only output."""
        return self.folder / "saliency.onnx"

    @property
    def peer_model(self) -> Path:
        """The same map in operators that the peer can run."""
        return self.folder / "peer.onnx"

    @property
    def data(self) -> Path:
        """`image` and, for the mean hypothesis, `reference`."""
        return self.folder / "data.npz"


def cores(text: str) -> tuple[int, ...]:
    """Numbers of cores between commas."""
    return tuple(int(number) for number in text.split(","))


def prepare() -> Job:
    """Read the job from the command line; pin this process to its cores and libraries to as many threads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=Path, help="folder written by jobs.write_job")
    parser.add_argument("--core", type=cores, default=(), help="CPU core to run on, or several: 0,1")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="change the question")
    arguments = parser.parse_args()
    if arguments.core and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, arguments.core)
    for name in THREAD_VARIABLES:
        os.environ[name] = str(max(1, len(arguments.core)))
    folder = arguments.job.resolve()
    spec = json.loads((folder / "job.json").read_text())
    changes = (change.split("=", 1) for change in arguments.set)
    return Job(folder, spec | {key: json.loads(value) for key, value in changes})


def measure(job: Job, call: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """Run `call` once, then again while it is quick; the first run also warms up and is reported apart.

    The job says how often at most (`repeats`), until how much time is spent (`repeat_seconds`), and how long
    the first run may take (`time_limit`, None: for ever).

    Returns the last result and `seconds` (median wall time of the runs after the first, or of the first where
    it took the whole budget), `cpu_seconds` likewise, `first_seconds`, `runs`, and the memory marks.

    Raises
    ------
    OutOfTime
        After the time limit; `cut_off` gives the numbers of that run.
    """
    rss_before = _memory("VmRSS")
    with _time_limit(job.spec["time_limit"]):
        result, first, first_cpu = _clocked(call)
    walls, cpus = [], []
    spent = first
    while spent < job.spec["repeat_seconds"] and len(walls) < job.spec["repeats"]:
        result, wall, cpu = _clocked(call)
        walls.append(wall)
        cpus.append(cpu)
        spent += wall
    return result, {
        "seconds": statistics.median(walls or [first]),
        "cpu_seconds": statistics.median(cpus or [first_cpu]),
        "first_seconds": first,
        "runs": 1 + len(walls),
        "peak_rss_bytes": _memory("VmHWM"),
        "rss_before_bytes": rss_before,
    }


def cut_off(job: Job) -> dict[str, Any]:
    """What can be said of a run that hit the time limit: it takes longer than that."""
    return {
        "timed_out": True,
        "seconds": job.spec["time_limit"],
        "peak_rss_bytes": _memory("VmHWM"),
    }


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `OutOfTime` in the middle of the work, as soon as the interpreter is back from compiled code."""
    if seconds is None:
        yield
        return

    def stop(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _clocked(call: Callable[[], Any]) -> tuple[Any, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def _memory(field: str) -> int:
    """Bytes, from /proc/self/status: unlike ru_maxrss, its peak leaves out the parent process."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def run(work: Callable[[Job], dict[str, Any]]) -> None:
    """Print the answer of `work` as one line of JSON; a failure is an answer too, with exit status 1."""
    job = prepare()
    try:
        answer = work(job)
    except Exception as error:  # whatever the program under test raises belongs in the table
        traceback.print_exc(file=sys.stderr)
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        print(json.dumps({"error": f"{type(error).__name__}: {error}".strip()[:500], "error_at": place}))
        raise SystemExit(1) from None
    print(json.dumps(answer))
