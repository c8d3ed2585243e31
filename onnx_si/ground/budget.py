"""What a run may hold: one limit in bytes, and one question that is asked before memory is taken.

Files, constants, loops and functions that are written out, covariances and the search ask; what would not fit
is refused in words while it costs nothing.
"""

import contextlib
import functools
import os
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

SHARE = 0.5  # of the free memory, for a run that was not told a limit
UNKNOWN_FREE = 8 << 30  # where the system does not tell how much is free
SMALL = 1 << 20  # a request that is never counted
NODE_BYTES = 16 << 10  # of a node that is written out, bound and kept
LEAST = 64 << 20
MARGIN = 0.1  # of a limit that a run was told
DATA = "RLIMIT_DATA"
TAKEN = {"RLIMIT_AS": "VmSize", DATA: "VmData"}  # limits, and what of a process' status they are of


@dataclass(frozen=True)
class Budget:
    """A limit in bytes, what the process held when the run began, and where the system itself says no."""

    limit: int
    start: int
    wall: int

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
    made = _within(_current.get(), limit)
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)


def _within(outer: Budget | None, limit: int | None) -> Budget:
    if limit is None:
        if outer is not None:
            return outer
        free = free_memory()  # nobody said that the other half of it may not be touched
        return Budget(limit=int(SHARE * free), start=resident(), wall=free)
    if outer is None:
        return Budget(limit=limit, start=resident(), wall=above(limit))
    least = min(limit, outer.limit)
    return Budget(limit=least, start=outer.start, wall=above(least))


def above(limit: int) -> int:
    """Where the system says no to a run that was told a limit: memory that is mapped need not be used."""
    return limit + int(MARGIN * limit)


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


def resident() -> int:
    """Bytes that the process holds now; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as stream:  # noqa: PTH123 - asked for often
            return int(stream.read(200).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def free_memory() -> int:
    """Bytes that can be taken without swapping, by the machine, the group that the process is in and its
    own limits (`ulimit -v`, `ulimit -d`)."""
    found = [size for size in (_available(), _of_group(), _of_process()) if size is not None]
    return max(LEAST, min(found, default=UNKNOWN_FREE))


def _available() -> int | None:
    return _field(Path("/proc/meminfo"), "MemAvailable")


def _of_process() -> int | None:
    """What the limits of the process leave, if it has any."""
    left = [soft - (status(TAKEN[name]) or 0) for name, (soft, _) in own_limits().items() if soft >= 0]
    return min(left, default=None)


@functools.cache  # before this process set some itself
def own_limits() -> dict[str, tuple[int, int]]:
    """The limits that the process was started with; none where the system does not tell."""
    if status("VmSize") is None:
        return {}
    import resource  # only where there is /proc

    return {name: resource.getrlimit(getattr(resource, name)) for name in TAKEN}


def status(name: str) -> int | None:
    """A line of what the system says of this process, in bytes; None where it does not tell."""
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
