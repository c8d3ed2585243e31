"""A wish that a search ends, from a signal or another thread: its bounds so far are the result."""

from collections.abc import Callable

WHY = "it was interrupted"
TIME_OVER = "its time limit was over"


class Stopped(KeyboardInterrupt):
    """Raised in the middle of a step; what the step had begun stays undecided."""


class Stop:
    """Asks a search to end; give it to a test as `stop`."""

    def __init__(self) -> None:
        self.asked = False
        self._in_search = self._in_step = False

    def ask(self) -> None:
        """End the search after its step, or the next one at its beginning; from any thread."""
        self.asked = True

    def interrupt(self) -> None:
        """For a signal's handler: end the step under way as well, or whatever is done before a search.

        Raises
        ------
        Stopped
            If a step is under way.
        KeyboardInterrupt
            If no search has begun, or this is asked for a second time.
        """
        if self.asked or not self._in_search:
            raise KeyboardInterrupt
        self.asked = True
        if self._in_step:
            raise Stopped

    def during(self, step: Callable[[], bool]) -> bool:
        """Make a step.

        Raises
        ------
        Stopped
            If that was asked for before the step, or in the middle of it.
        """
        self._in_search = self._in_step = True
        try:
            if self.asked:
                raise Stopped
            return step()
        finally:
            self._in_step = False
