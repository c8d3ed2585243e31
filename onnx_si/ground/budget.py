"""What a run may hold: one limit in bytes, and one question that is asked before memory is taken.

Files, constants, loops and functions that are written out, covariances and the search ask; what would not fit
is refused in words while it costs nothing.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

SHARE = 0.5  # of the free memory, for a run that was not told a limit
UNKNOWN_FREE = 8 << 30  # where the system does not tell how much is free
SMALL = 1 << 20  # a request that is never counted
SLACK = 1 << 30  # of addresses, for what libraries take by themselves
NODE_BYTES = 16 << 10  # of a node that is written out, bound and kept
LEAST = 64 << 20


@dataclass(frozen=True)
class Budget:
    """A limit in bytes, and what the process held when the run began."""

    limit: int
    start: int

    def left(self) -> int:
        """Bytes that may still be taken."""
        return max(0, self.limit - max(0, resident() - self.start))


_current: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextlib.contextmanager
def budget(limit: int | None = None) -> Iterator[Budget]:
    """Inside, all that is taken together stays below a limit; inside another one, below both.

    Parameters
    ----------
    limit : int, optional
        Bytes; default `SHARE` of what is free now.
    """
    outer = _current.get()
    if outer is None:
        made = Budget(int(SHARE * free_memory()) if limit is None else limit, resident())
    else:
        made = outer if limit is None else Budget(min(limit, outer.limit), outer.start)
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)


def share_of(workers: int) -> int:
    """The limit of each of several processes that run beside each other."""
    with budget() as whole:
        return max(LEAST, whole.limit // workers)


def excess(needed: int) -> str | None:
    """Why so many more bytes can't be taken; None where they can."""
    if needed <= SMALL:
        return None
    with budget() as whole:
        left = whole.left()
    if needed <= left:
        return None
    of = f"{in_words(left)} of the {in_words(whole.limit)} that a run may hold are left"
    return f"it takes {in_words(needed)} of memory, and {of} (--memory)"


def in_words(size: int) -> str:
    """A number of bytes for a person."""
    for unit, name in ((1 << 60, "EiB"), (1 << 30, "GiB"), (1 << 20, "MiB")):
        if size >= unit:
            return f"{size // unit}{'' if size >= 100 * unit else f'.{size % unit * 10 // unit}'} {name}"
    return f"{size} bytes"


@contextlib.contextmanager
def ceiling() -> Iterator[None]:
    """Inside, the system itself refuses memory beyond the limit, with MemoryError, where it can be told to.

    For computations whose size no one can tell before. Only in the main thread: the ceiling is the whole
    process's.
    """
    addresses = _status("VmSize")
    if addresses is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    import resource  # only where there is /proc

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with budget() as whole:
        wanted = addresses + whole.left() + SLACK
    known = [limit for limit in (soft, hard, wanted) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def hold_at_most(limit: int) -> None:
    """From now on the system refuses this process more than so many bytes beside what it holds, where it
    can be told to, with MemoryError. For a process that is nobody else's; a later call sets another limit.
    """
    addresses = _status("VmSize")
    if addresses is None:
        return
    import resource  # only where there is /proc

    soft, hard = _limits()
    known = [one for one in (soft, hard, addresses + limit + SLACK) if one != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))


@functools.cache  # before this process set its own
def _limits() -> tuple[int, int]:
    import resource  # only where there is /proc

    return resource.getrlimit(resource.RLIMIT_AS)


def resident() -> int:
    """Bytes that the process holds now; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as stream:  # noqa: PTH123 - asked for often
            return int(stream.read(200).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def free_memory() -> int:
    """Bytes that can be taken without swapping, by the machine, the group that the process is in and its
    own limit of addresses (`ulimit -v`)."""
    found = [size for size in (_available(), _of_group(), _of_addresses()) if size is not None]
    return max(LEAST, min(found, default=UNKNOWN_FREE))


def _available() -> int | None:
    return _field(Path("/proc/meminfo"), "MemAvailable")


def _of_addresses() -> int | None:
    """What the limit of the process' addresses leaves, if it has one."""
    taken = _status("VmSize")
    if taken is None:
        return None
    import resource  # only where there is /proc

    soft, _ = _limits()
    return None if soft == resource.RLIM_INFINITY else soft - taken


def _status(name: str) -> int | None:
    return _field(Path("/proc/self/status"), name)


def _field(file: Path, name: str) -> int | None:
    """A line `name: N kB` of a file of the system, in bytes."""
    try:
        lines = file.read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _of_group() -> int | None:
    """What a container's limit leaves."""
    for folder, limit, used in (
        ("/sys/fs/cgroup", "memory.max", "memory.current"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            return int((Path(folder) / limit).read_text()) - int((Path(folder) / used).read_text())
        except (OSError, ValueError):  # "max", or another kind of system
            continue
    return None
