"""Answers about a few objects, each worked out once while many parts of one piece of work ask for it."""

import contextlib
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

Value = TypeVar("Value")
Answers = dict[Hashable, tuple[tuple[object, ...], Any]]

_current: ContextVar[Answers | None] = ContextVar("answers", default=None)


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Inside, `asked` keeps its answers; inside another one, that one's are used too."""
    token = _current.set({} if _current.get() is None else _current.get())
    try:
        yield
    finally:
        _current.reset(token)


def asked(
    about: tuple[object, ...],
    question: Hashable,
    answer: Callable[[], Value],
    keep: Callable[[Value], bool] = lambda _: True,
) -> Value:
    """What `answer` gives; outside of `asking` it is called every time.

    Parameters
    ----------
    about : tuple of object
        Told apart by identity, held as long as the answer is, and not changed meanwhile.
    question : hashable
    answer : function
    keep : function
        Whether an answer is small enough to be kept.
    """
    known = _current.get()
    if known is None:
        return answer()
    key = (*map(id, about), question)
    if key in known:
        found: Value = known[key][1]
        return found
    made = answer()
    if keep(made):
        known[key] = (about, made)  # as long as they are held, no other object has their identity
    return made


def list_of(about: tuple[object, ...], question: Hashable) -> list[Any] | None:
    """A list to be added to, one for all who ask the same; None outside of `asking`."""
    return asked(about, question, list) if _current.get() is not None else None
