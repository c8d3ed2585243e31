"""Rows in several processes, given back in order; a process that dies costs one image, not the audit."""

import contextlib
import functools
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onnx_si.auditing.images import Entry
from onnx_si.auditing.row import Done, Job, do, killed
from onnx_si.errors import UsageError
from onnx_si.ground.budget import above, budget, share_of
from onnx_si.ground.deaf import deaf_children
from onnx_si.ground.machine import cores
from onnx_si.ground.wall import hold_at_most

DIED = (
    "the process that tested it was killed: by the system for want of memory, or by a fault of native code "
    "on this image"
)
STARVED = 3  # how a worker ends that wants for memory

Work = Callable[[Job, Entry], Done]
PATIENCE = 0.5  # seconds between two looks of a worker at its coordinator


def processes(jobs: int) -> int:
    """How many processes a number of jobs means; -1: one for each core that this process may use, and more
    than these only wait for each other.
    """
    if jobs == -1:
        return cores()
    if jobs < 0:
        raise UsageError(
            f"jobs {jobs}; give 0 for this process alone, at least 1 worker, or -1 for all cores"
        )
    return min(jobs, cores())


def rows(job: Job, entries: Iterable[Entry], jobs: int, scheduler: str | None = None) -> Generator[Done]:
    """Test entries, and give their rows in the same order.

    Each worker of this machine may hold its share of what the run may, or what the job's option `memory`
    says; the system refuses it more. One that would need more ends, and its image is tried once more in a new
    process.

    Parameters
    ----------
    job : Job
    entries : iterable of Entry
        Taken as they are needed: few more than there are workers.
    jobs : int
        Worker processes; 0: this process.
    scheduler : str, optional
        Address of a Dask scheduler whose workers do it instead.
    """
    if jobs == 0 and scheduler is None:
        yield from (do(job, entry) for entry in entries)
        return
    waiting = _Waiting(entries)
    pool = _cluster() if scheduler is not None else _processes(jobs, job.options.get("memory"))
    with _backend(scheduler):
        while True:
            try:
                with contextlib.closing(pool.rows(job, waiting)) as found:
                    for done in found:
                        waiting.taken()
                        yield done
                return
            except _lost():
                yield pool.alone(job, waiting.first())
                waiting.taken()


class _Waiting:
    """Entries that were handed out and are not yet back, so that they can be handed out again."""

    def __init__(self, entries: Iterable[Entry]):
        self._rest = iter(entries)
        self._out: deque[Entry] = deque()

    def __iter__(self) -> Iterator[Entry]:
        yield from tuple(self._out)
        for entry in self._rest:
            self._out.append(entry)
            yield entry

    def first(self) -> Entry:
        """The one whose row is next."""
        return self._out[0]

    def taken(self) -> None:
        """The next row is there."""
        self._out.popleft()


@dataclass(frozen=True, kw_only=True)
class _Pool:
    """What joblib is asked for: so many processes, each begun in one way, that do the work."""

    jobs: int
    work: Work
    options: Mapping[str, Any]

    def rows(self, job: Job, entries: Iterable[Entry]) -> Any:
        """The rows of entries, in their order, few of them ahead of what is taken."""
        from joblib import Parallel, delayed  # takes long to import

        # joblib takes one job for this very process; of two workers that get one image at a time one is idle
        one = self.jobs == 1
        how = {"n_jobs": 2 if one else self.jobs, "pre_dispatch": 1 if one else "2*n_jobs", "batch_size": 1}
        parallel = Parallel(return_as="generator", **how, **self.options)
        with deaf_children():
            return parallel(delayed(self.work)(job, entry) for entry in entries)

    def alone(self, job: Job, entry: Entry) -> Done:
        """One entry in a process of its own: its row says if it is the one that kills."""
        from joblib import Parallel, delayed

        try:
            with deaf_children():
                found = Parallel(n_jobs=2, batch_size=1, return_as="generator", **self.options)(
                    [delayed(self.work)(job, entry)]
                )
            (done,) = found
        except _lost():
            return killed(entry, DIED)
        return done  # type: ignore[no-any-return]


def _cluster() -> _Pool:
    """The workers of a cluster, whose memory is its own affair."""
    return _Pool(jobs=-1, work=do, options={})


def _processes(jobs: int, memory: int | None) -> _Pool:
    """Processes of this machine, each with its share of the memory that a run may hold."""
    each = memory or share_of(jobs)
    with budget() as whole:
        most = above(memory) if memory else max(above(each), whole.wall // jobs)
    wall = Wall(coordinator=os.getpid(), memory=each, most=most)
    return _Pool(jobs=jobs, work=functools.partial(wall.test, do), options={"initializer": wall.begin})


@dataclass(frozen=True, kw_only=True)
class Wall:
    """What a worker keeps to: the process that began it, the bytes that it may hold, and where the system
    says no."""

    coordinator: int
    memory: int
    most: int

    def begin(self) -> None:
        """At the start of a worker: it ends with its coordinator, and the system bounds its memory."""
        threading.Thread(target=self._watch, daemon=True).start()
        hold_at_most(self.most)

    def _watch(self) -> None:
        """End this process soon after the one that began it, however that ended, and even before this."""
        while os.getppid() == self.coordinator:
            time.sleep(PATIENCE)
        os._exit(1)

    def test(self, work: Work, job: Job, entry: Entry) -> Done:
        """One entry in a worker; one that wants for memory ends it, if it is not new."""
        with budget(self.memory):
            done = work(job, entry)
        used = next(_tasks()) > 0
        if done.starved and used and os.getpid() != self.coordinator:
            os._exit(STARVED)  # what was tested here before holds memory, too: a new process judges
        return done


@functools.cache
def _tasks() -> Iterator[int]:
    """Counts what this process has tested."""
    return itertools.count()


def _lost() -> tuple[type[BaseException], ...]:
    """What is raised when a worker dies."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    found: list[type[BaseException]] = [TerminatedWorkerError]
    with contextlib.suppress(ImportError):
        from distributed.scheduler import KilledWorker

        found.append(KilledWorker)
    return tuple(found)


@contextlib.contextmanager
def _backend(scheduler: str | None) -> Iterator[None]:
    """joblib's own processes, or a Dask cluster."""
    if scheduler is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError("--scheduler needs Dask: pip install 'onnx-si[dask]'") from error
    from joblib import parallel_config

    try:
        client = Client(scheduler, timeout="10s")
    except OSError as error:
        raise UsageError(f"--scheduler {scheduler}: no scheduler answers there ({error})") from error
    with client, parallel_config(backend="dask"):
        yield
