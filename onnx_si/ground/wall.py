"""The system's own limit, set to what a run may hold: for computations whose size no one can tell before."""

import contextlib
import errno
import threading
from collections.abc import Iterator

from onnx_si.ground.budget import DATA, budget, own_limits, resident, status

FLOOR = 128 << 20  # that is never refused: libraries are loaded late
STARVED = ("can't start new thread", "bad_alloc", "bad allocation", "Failed to allocate")


@contextlib.contextmanager
def ceiling(most: int | None = None) -> Iterator[None]:
    """Inside, the system itself refuses memory beyond the limit, with MemoryError, where it can be told to;
    of a run that was told no limit, memory beyond what was free.

    Only in the main thread: the ceiling is the whole process's.

    Parameters
    ----------
    most : int, optional
        Bytes beside what the process holds, for one that has its share; default what the run's limit leaves.
    """
    if threading.current_thread() is not threading.main_thread() or not own_limits():
        yield
        return
    with budget() as whole:
        before = _bounded(whole.wall - max(0, resident() - whole.start) if most is None else most)
    try:
        yield
    finally:
        _set(before)


def hold_at_most(limit: int) -> None:
    """From now on the system refuses this process more than so many bytes beside what it holds, where it
    can be told to, with MemoryError. For a process that is nobody else's; a later call sets another limit.
    """
    if not own_limits():
        return
    import scipy.linalg  # noqa: F401 - BLAS maps memory for each core when it is loaded

    _set(own_limits()[DATA])
    _bounded(limit)


def starved(error: BaseException) -> bool:
    """Whether an exception, or one behind it, means that there was no memory left."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, MemoryError) or (isinstance(link, OSError) and link.errno == errno.ENOMEM):
            return True
        if isinstance(link, RuntimeError | ImportError) and any(words in str(link) for words in STARVED):
            return True
        link = link.__cause__
    return False


def _bounded(most: int) -> tuple[int, int]:
    """Let the system refuse more than so many bytes that the process may write to; gives the limit before."""
    import resource  # only where there is /proc

    before = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = (status("VmData") or 0) + max(most, FLOOR)
    known = [limit for limit in (*before, wanted) if limit != resource.RLIM_INFINITY]
    _set((min(known), before[1]))
    return before


def _set(limits: tuple[int, int]) -> None:
    import resource  # only where there is /proc

    resource.setrlimit(resource.RLIMIT_DATA, limits)
