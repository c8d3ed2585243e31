"""The constants that a rule holds, wherever it keeps them: in fields, bound arguments and sequences.

A rule keeps no array in a closure, where nobody can find it; numbers, shapes and functions may be there.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from types import MethodType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Held = TypeVar("Held")
Place = Callable[[NDArray[Any]], NDArray[Any]]


def placed(held: Held, place: Place) -> Held:
    """A rule, or a part of one, with each of its arrays as `place` gives it; itself where it holds none."""
    return _placed(held, place)  # type: ignore[no-any-return]


def _placed(value: Any, place: Place) -> Any:
    if isinstance(value, np.ndarray):
        return place(value)
    if isinstance(value, MethodType):
        owner = _placed(value.__self__, place)
        return value if owner is value.__self__ else MethodType(value.__func__, owner)
    if isinstance(value, partial):
        parts = [_placed(part, place) for part in (value.func, value.args, value.keywords)]
        if all(new is old for new, old in zip(parts, (value.func, value.args, value.keywords), strict=True)):
            return value
        return partial(parts[0], *parts[1], **parts[2])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        changed = _placed(fields, place)
        return value if changed is fields else dataclasses.replace(value, **changed)
    if isinstance(value, Mapping):
        items = {name: _placed(part, place) for name, part in value.items()}
        return value if all(items[name] is part for name, part in value.items()) else items
    if type(value) in (tuple, list):
        parts = [_placed(part, place) for part in value]
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else type(value)(parts)
    return value
