"""How many trials or images are finished, and how fast, for a person who waits."""

import threading
import time
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

LINES = 10  # on a stream that is no terminal, from start to end,
APART = 10.0  # and the seconds between them where nobody asked for lines


class _Rate(ProgressColumn):
    """How many are finished in a second, of late."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if not speed else f"{speed:.3g}/s")


class Bar:
    """A bar on a terminal, elsewhere about `LINES` lines; call it with how many are finished, of how many.

    Parameters
    ----------
    stream : text stream
    what : str
        They are.
    asked : bool
        Whether somebody wants to see it; if not, a stream that is no terminal has a line only where it takes
        long.
    """

    def __init__(self, stream: TextIO, what: str = "trials", *, asked: bool = True):
        self._console = Console(file=stream, markup=False, emoji=False, highlight=False)
        columns = (BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task(what, total=None)
        self._what, self._next = what, 0.0
        self._began: tuple[float, int] | None = None
        self._apart = 0.0 if asked else APART
        self._latest = time.monotonic()
        self._silence = threading.Timer(APART, self._say_it_lives)
        self._silence.daemon = True

    def __enter__(self) -> Self:
        self._silence.start()
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._silence.cancel()
        if self._console.is_terminal:
            self._bar.stop()

    def _say_it_lives(self) -> None:
        self._console.print(f"onnx-si: the first of the {self._what} takes more than {APART:g} s")

    def __call__(self, finished: int, wanted: int) -> None:
        if finished:
            self._silence.cancel()
        if self._console.is_terminal:
            self._bar.update(self._task, completed=finished, total=wanted)
        elif finished >= self._next and time.monotonic() - self._latest >= self._apart:
            self._next, self._latest = finished + wanted / LINES, time.monotonic()
            speed = self._speed(finished, wanted)
            self._console.print(f"onnx-si: {finished} of {wanted} {self._what}{speed}")
        elif self._began is None:
            self._speed(finished, wanted)

    def _speed(self, finished: int, wanted: int) -> str:
        """How fast it was since the first call, and how long the rest will take."""
        now = time.monotonic()
        if self._began is None:
            self._began = now, finished
        began, before = self._began
        if finished == before or now <= began:
            return ""
        rate = (finished - before) / (now - began)
        return f", {rate:.3g}/s, {(wanted - finished) / rate:.0f} s left"
