"""When the time of a test is over."""

import math
import time
from dataclasses import dataclass

GRACE = 0.5  # seconds that are left where a person has asked for an end


class TimeUp(Exception):
    """Raised in the middle of work that has no time left."""


def now() -> float:
    """Seconds of a clock that only goes forward."""
    return time.monotonic()


@dataclass(frozen=True)
class Deadline:
    """A moment of `now`, so many seconds after a beginning; by default none."""

    at: float = math.inf
    seconds: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> "Deadline":
        """So many seconds from now; None: never."""
        return cls() if seconds is None else cls(now() + seconds, seconds)

    def later(self, share: float) -> "Deadline":
        """The same with a share of its seconds more."""
        return Deadline(self.at + share * self.seconds, self.seconds) if self.limits else self

    @property
    def limits(self) -> bool:
        return self.at < math.inf

    def over(self) -> bool:
        """Whether it has passed; a clock is looked at only where there is a limit."""
        return self.limits and now() >= self.at

    def left(self) -> float:
        """Seconds until it has passed."""
        return self.at - now() if self.limits else math.inf

    def check(self) -> None:
        """Raise TimeUp if it has passed."""
        if self.over():
            raise TimeUp
