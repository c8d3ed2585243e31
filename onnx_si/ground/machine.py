"""What a search asks of the machine: memory that stays with the process, and no more threads than it uses."""

import ctypes
import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import cast

from threadpoolctl import ThreadpoolController

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
LARGEST_ON_HEAP = 32 << 20  # the largest value that glibc takes
KEPT = 1 << 30
PAD = 64 << 20
SHARE_KEPT = 4  # one part of so many

_alone: ContextVar[bool] = ContextVar("alone", default=False)


def keep_freed_memory(limit: int) -> bool:
    """Let freed tensors up to 32 MiB, 1 GiB in all, stay with the process, less where that is more than a
    share of what a run may hold; False where there is no glibc.

    A search makes and drops tensors of some megabytes by the thousand. By default glibc gives each of them
    back to the system at once, and getting zeroed pages again costs up to a third of the time.
    """
    mallopt = _mallopt()
    if mallopt is None:
        return False
    kept = min(KEPT, limit // SHARE_KEPT)
    largest, pad = LARGEST_ON_HEAP * kept // KEPT, PAD * kept // KEPT
    settings = ((M_MMAP_THRESHOLD, largest), (M_TRIM_THRESHOLD, kept), (M_TOP_PAD, pad))
    taken = [mallopt(name, value) for name, value in settings]
    return all(taken)


@functools.cache
def _mallopt() -> Callable[[int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return cast("Callable[[int, int], int]", ctypes.CDLL("libc.so.6").mallopt)
    except (OSError, AttributeError):
        return None


def one_blas_thread() -> AbstractContextManager[object]:
    """One BLAS thread: the matrix products of a search are small or many, and threads would wait for each
    other, by a factor of ten where another process uses a core.
    """
    return cast("AbstractContextManager[object]", _thread_pools().limit(limits=1, user_api="blas"))


@contextmanager
def one_core() -> Iterator[None]:
    """`cores()` is 1 inside: for a worker beside others, which have the other cores."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def cores() -> int:
    """Cores that this process may use; 1 inside `one_core`."""
    if _alone.get():
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fewer_jobs(jobs: int, count: int, of: str) -> str | None:
    """What to tell of jobs that would be more than there are cores, or than there is work for."""
    used = min(cores(), count)
    if jobs <= max(used, 1):
        return None
    why = f"there are {cores()} cores" if used == cores() else f"there are {count} {of}"
    return f"jobs {used}: {why}, so that more than these, as the {jobs} asked for, would wait or stand idle"


@functools.cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()
