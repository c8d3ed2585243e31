"""A program in a terminal of its own, where Ctrl-C reaches everything that it began."""

import os
import re
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

CTRL_C = b"\x03"


@dataclass(frozen=True)
class Ended:
    """How a program ended after Ctrl-C: what a shell calls its exit code, all that it wrote, the seconds that
    it took, and the processes of its terminal that are left.
    """

    code: int
    text: str
    seconds: float
    left: list[str]


def interrupted(arguments: list[str], sign: str, seconds: float = 0.0, patience: float = 60.0) -> Ended:
    """Run a module of this python, and press Ctrl-C so many seconds after it has written a sign."""
    import pty  # not on every system

    process, terminal = pty.fork()
    if not process:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests that run in the background ignore it
        os.execv(sys.executable, [sys.executable, "-m", *arguments])
    written, pressed, end, due = b"", None, time.monotonic() + patience, None
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.01)[0]:
            try:
                written += os.read(terminal, 1 << 16)
            except OSError:  # Linux says so where nobody writes any more
                break
        if due is None and re.search(sign.encode(), written):
            due = time.monotonic() + seconds
        if pressed is None and due is not None and time.monotonic() >= due:
            pressed = time.monotonic()
            os.write(terminal, CTRL_C)
    else:
        os.killpg(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    took = time.monotonic() - (pressed or end - patience)
    left = _of_session(process)
    while left and time.monotonic() < end:  # what watches over their files ends a moment later
        time.sleep(0.05)
        left = _of_session(process)
        if time.monotonic() > (pressed or 0.0) + took + 1.0:
            break
    os.close(terminal)
    return Ended(code if code >= 0 else 128 - code, written.decode(errors="replace"), took, left)


def _of_session(session: int) -> list[str]:
    """Commands of the processes of a session that run."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, own = (place / "stat").read_text().rsplit(")", 1)[1].split()[:4]
            if int(own) == session and state != "Z":
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
