"""How far a search has come, for a person who waits: one line that renews itself, or a line now and then."""

import math
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from onnx_si.ground.words import so_many
from onnx_si.search import Progress

if TYPE_CHECKING:
    from rich.status import Status

PATIENCE = 2.0  # seconds before anything is shown on a terminal,
HALVINGS = 2  # of the bounds that tell how long the next ones take
APART = 10.0  # and between lines that go to a file


class Watch:
    """Shows a search that takes long; call it with each `Progress`.

    Parameters
    ----------
    stream : text stream
        Standard error. On a terminal one line renews itself and vanishes at the end, elsewhere lines add up.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._status: Status | None = None
        self._timer: threading.Timer | None = None
        self._latest = time.monotonic()
        self._halved = list[tuple[float, float]]()  # seconds and widths at which the bounds were half as wide
        if stream.isatty():
            from rich.console import Console  # takes long to import

            console = Console(file=stream, markup=False, emoji=False, highlight=False)
            self._status = console.status("searching the line ...")
            self._timer = threading.Timer(PATIENCE, self._status.start)
            self._timer.daemon = True

    def __enter__(self) -> Self:
        if self._timer is not None:
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        if self._status is not None:
            self._status.stop()

    def _ahead(self, progress: Progress) -> str:
        """What is settled, and how long it may take: as each halving of the bounds took lately."""
        if progress.settled is None:
            return ""
        width = progress.bounds[1] - progress.bounds[0]
        if not self._halved or width <= 0.5 * self._halved[-1][1]:
            self._halved.append((progress.seconds, width))
        left = "how long it takes can't be told yet"
        if 0 < progress.precision < width and len(self._halved) > HALVINGS:
            each = (progress.seconds - self._halved[-1 - HALVINGS][0]) / HALVINGS
            left = f"about {each * math.log2(width / progress.precision):.0f} s left if it goes on so"
        elif width <= progress.precision:
            left = "its confidence interval is left"
        return f"; {100 * progress.settled:.3g} % of the line's probability settled, {left}"

    def __call__(self, progress: Progress) -> None:
        low, high = progress.bounds
        pieces = f"{so_many(progress.pieces, 'linear piece')} in " if progress.pieces else ""
        text = (
            f"drawing for {progress.seconds:.0f} s: p-value between {low:.3g} and {high:.3g}, "
            f"{progress.chains} chains, {progress.passes} runs of the model"
            if progress.chains
            else f"searching for {progress.seconds:.0f} s: p-value between {low:.3g} and {high:.3g}, "
            f"{pieces}{progress.cells} cells{self._ahead(progress)}"
        )
        if self._status is not None:
            self._status.update(text)
        elif time.monotonic() - self._latest >= APART:
            self._latest = time.monotonic()
            print(f"onnx-si: {text}", file=self._stream, flush=True)
