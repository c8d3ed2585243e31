"""The last few things that were made, each once, for threads that share them."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """Makes a value for a key when it is first asked for, and keeps the last `most` that were used."""

    def __init__(self, most: int):
        self._most = most
        self._values: dict[Key, Value] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key; whatever `make` raises is raised, and nothing is kept then."""
        with self._lock:
            value = self._values.pop(key) if key in self._values else make()
            self._values[key] = value  # the last one used stands last
            for old in list(self._values)[: -self._most]:
                del self._values[old]
        return value
