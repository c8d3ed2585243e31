"""How many trials are finished, for a person who waits."""

from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

LINES = 10  # on a stream that is no terminal, from start to end


class Bar:
    """A bar on a terminal, elsewhere about `LINES` lines; call it with finished and wanted trials."""

    def __init__(self, stream: TextIO):
        self._console = Console(file=stream, markup=False, emoji=False, highlight=False)
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task("trials", total=None)
        self._next = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def __call__(self, finished: int, wanted: int) -> None:
        if self._console.is_terminal:
            self._bar.update(self._task, completed=finished, total=wanted)
        elif finished >= self._next:
            self._next = finished + wanted / LINES
            self._console.print(f"onnx-si: {finished} of {wanted} trials")
