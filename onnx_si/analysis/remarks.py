"""What a step of a test remarks beside its value, and how the remarks of all steps are joined."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

Notice = Callable[[str, str], None]  # kind ("default" or "warning"), text
Value = TypeVar("Value")


@dataclass(frozen=True)
class Remarks:
    """What nobody chose, with the reasons, and what the user should know."""

    defaults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __add__(self, later: "Remarks") -> "Remarks":
        return Remarks(self.defaults + later.defaults, self.warnings + later.warnings)

    def tell(self, notice: Notice) -> None:
        """Each by itself, to whoever listens."""
        for text in self.defaults:
            notice("default", text)
        for text in self.warnings:
            notice("warning", text)


def remarks(*, defaults: Iterable[str] = (), warnings: Iterable[str] = ()) -> Remarks:
    """Those of one step."""
    return Remarks(tuple(defaults), tuple(warnings))


class Joined:
    """The remarks of the steps that were done, in their order; each is told as soon as its step is done, so
    that the user hears of it before a long search, and before a refusal.
    """

    def __init__(self, notice: Notice | None):
        self._notice = notice
        self.so_far = Remarks()

    def value(self, step: tuple[Value, Remarks]) -> Value:
        """The value of a step, its remarks taken."""
        value, said = step
        self.so_far += said
        if self._notice is not None:
            said.tell(self._notice)
        return value
