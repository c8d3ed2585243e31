"""Ctrl-C and SIGTERM: a test under way ends with what it knows, everything else just ends."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130


@contextlib.contextmanager
def on_end(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` when the process is asked to end; a signal that is ignored stays so.

    Python lets only the main thread have handlers: elsewhere nothing changes.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        act()

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in ENDING}
    for number, old in before.items():
        if old is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def interrupt() -> None:
    """What Ctrl-C does in python."""
    raise KeyboardInterrupt


def leave() -> None:
    """End the process at once, while modules are imported: nothing is begun, and some of them would turn an
    exception into another one.
    """
    os.write(2, b"onnx-si: interrupted\n")
    os._exit(INTERRUPTED)
