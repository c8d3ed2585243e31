"""Processes that Ctrl-C does not reach: a terminal sends it to all, and the one that began them acts."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def deaf_children() -> Iterator[None]:
    """What is begun meanwhile, workers of joblib and threads, never gets a SIGINT, not even before its first
    line.

    They inherit what this thread does not let through. A SIGINT that comes meanwhile waits for the end, so
    little is to be done here but to begin them. A system without masks of signals begins them as ever.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as of_workers

    resource_tracker.ensure_running()  # they let everything through when they have begun their own process
    of_workers.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
