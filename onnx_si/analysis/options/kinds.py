"""Kinds of values that an option takes: how one is read from text, and what of Python's own is one."""

import numbers
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnx_si.ground.terminal import whole_number

PREDICTED, EACH = "predicted", "all"
LARGEST_SIZE = 2**20  # of one axis
MOST_WHOLE = 2**63 - 1  # of any whole number that is chosen
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of value.

    `accept` gives a value of Python in the form that settings hold, `read` one from the command line or the
    model's metadata; both raise TypeError or ValueError, and `words` then say what was wanted. `each` reads
    one of several values on the command line.
    """

    words: str
    accept: Callable[[Any], Any]
    read: Callable[[str], Any]
    choices: tuple[str, ...] = ()
    each: Callable[[str], Any] | None = None


def _plain(value: Any) -> Any:
    """A value of numpy as one of Python; truth values are no numbers."""
    value = value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value
    if isinstance(value, bool):
        raise TypeError
    return value


def _number(value: Any) -> Any:
    value = _plain(value)
    if not isinstance(value, numbers.Real):
        raise TypeError
    return value


def _read_factor(text: str) -> float:
    """A number, or a fraction of two: `1/255`."""
    above, stroke, below = text.partition("/")
    if stroke and not float(below):
        raise ValueError
    return float(above) / float(below) if stroke else float(text)


def _factor(value: Any) -> Any:
    """Of a file of options, which can't divide, a text as well."""
    return _read_factor(value) if isinstance(value, str) else _number(value)


def _whole(value: Any) -> int:
    found = operator.index(_plain(value))
    if abs(found) > MOST_WHOLE:
        raise ValueError
    return found


def _read_whole(text: str) -> int:
    found = whole_number(text)
    if found is None:
        raise ValueError
    return _whole(found)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return str(value)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError
    return bool(value)


def _target(value: Any) -> int | str:
    if isinstance(value, str):
        return value if value in (PREDICTED, EACH) else _read_whole(value)
    return _whole(value)


def _level(value: Any) -> Any:
    return value if isinstance(value, str) else _number(value)


def _several(each: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def accept(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            raise TypeError
        return tuple(each(one) for one in value)

    return accept


def _one_or_several(value: Any) -> tuple[Any, ...]:
    alone = isinstance(value, numbers.Real) or (isinstance(value, np.ndarray) and value.ndim == 0)
    return (_number(value),) if alone else _several(_number)(value)


def _sizes(value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise TypeError
    return {_text(name): _whole(size) for name, size in value.items()}


def _parted(each: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    return lambda text: tuple(each(part) for part in text.split(","))


def _size(text: str) -> tuple[str, int]:
    """`NAME=N`."""
    name, _, number = text.rpartition("=")
    if not name or not number.isdecimal() or not 1 <= _read_whole(number) <= LARGEST_SIZE:
        raise ValueError
    return name, _read_whole(number)


def _bytes(text: str) -> int:
    """`2G`, `500M`, or a number of bytes."""
    match = re.fullmatch(r"(\d{1,15})([KMGT]?)(i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError
    return _whole(int(match[1]) * UNITS[match[2].upper()])


def _size_in_bytes(value: Any) -> int:
    """In Python a number of bytes, or a text as on the command line."""
    return _bytes(value) if isinstance(value, str) else _whole(value)


def _given(value: Any) -> dict[str, Any]:
    """Values by name: texts stay as they are, numbers and arrays become plain numbers in lists."""
    if not isinstance(value, Mapping):
        raise TypeError
    plain = {_text(name): one if isinstance(one, str) else _listed(one) for name, one in value.items()}
    return dict(plain)


def _page(text: str) -> str:
    if text != "all" and (not text.isdecimal() or int(text) < 1):
        raise ValueError
    return text


def _listed(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else np.asarray(value).tolist()


def _named(text: str) -> tuple[str, str]:
    """`NAME=VALUE`."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise ValueError
    return name, value


NUMBER = Kind(words="a number", accept=_number, read=float)
MEASURE = Kind(words="a number", accept=_number, read=_read_factor)  # 20/255 on the command line
FACTOR = Kind(words="a number, or a fraction such as 1/255", accept=_factor, read=_read_factor)
WHOLE = Kind(words="a whole number", accept=_whole, read=_read_whole)
BYTES = Kind(words="a size such as 2G or 500M", accept=_size_in_bytes, read=_bytes)
TEXT = Kind(words="a text", accept=_text, read=str)
SWITCH = Kind(words="True or False", accept=_switch, read=str)
TARGET = Kind(words="a class index, predicted, or all", accept=_target, read=_target)
LEVEL = Kind(words="a number or a text", accept=_level, read=str)
NUMBERS = Kind(words="numbers separated by commas", accept=_one_or_several, read=_parted(float))
INDICES = Kind(words="whole numbers separated by commas", accept=_several(_whole), read=_parted(_read_whole))
SIZES = Kind(
    words="NAME=N with a size of at least 1",
    accept=_sizes,
    read=lambda text: dict(map(_size, text.split(","))),
    each=_size,
)
GIVEN = Kind(
    words="NAME=VALUE, a number, numbers separated by commas, or a .npy file",
    accept=_given,
    read=lambda text: dict(map(_named, text.split(";"))),
    each=_named,
)
SIGNALS = Kind(words="numbers", accept=_one_or_several, read=_parted(float), each=float)
PAGE = Kind(
    words="a number from 1 on, or all", accept=lambda value: _page(str(value)), read=lambda text: _page(text)
)
FILE = Kind(words="a file", accept=lambda value: value, read=str)
BASE = Kind(words="a number, or files", accept=lambda value: value, read=str, each=str)
FILES = Kind(words="files", accept=lambda value: value, read=str, each=str)


def choice(names: Sequence[str]) -> Kind:
    """One of some names."""
    return Kind(words=f"one of {', '.join(names)}", accept=_text, read=str, choices=tuple(names))


def choices(names: Sequence[str]) -> Kind:
    """Some of some names; `all` is all of them."""

    def accept(value: Any) -> tuple[str, ...]:
        given = (value,) if isinstance(value, str) else _several(_text)(value)
        return tuple(names) if "all" in given else given

    words = f"some of {', '.join(names)}, or all"
    return Kind(words=words, accept=accept, read=_parted(str), choices=(*names, "all"), each=str)
