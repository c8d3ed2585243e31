"""Words about what a caller gave: a value as it is shown in an error, and the nearest name."""

import difflib
from collections.abc import Iterable
from typing import Any

from onnx_si.ground import terminal

LONGEST = 60


def shown(value: Any) -> str:
    """A value in an error: texts are told apart from numbers."""
    if isinstance(value, str):
        return f"the text '{terminal.shown(value, LONGEST)}'"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    kind = type(value).__name__
    text = " ".join(repr(value).split())
    return f"{text} ({kind})" if len(text) <= LONGEST else f"a value of type {kind}"


def so_many(count: int, what: str) -> str:
    """A number of things: 1 value, 2 values."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What is put behind an unknown name: the nearest one that there is, or nothing."""
    if len(name) > LONGEST:
        return ""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""
