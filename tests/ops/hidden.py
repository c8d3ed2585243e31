"""Arrays that a rule keeps where nobody can find them: in closures and defaults of functions."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType

import numpy as np


def hidden(value):
    """Functions within a rule, however deep, that close over an array, or that can't be looked into."""
    return [found for found in functions(value, {}) if not open_to_all(found) or reaches_array(found, {})]


def open_to_all(found):
    """Whether it is a function of Python, or one of numpy or scipy, which hold nothing of a model."""
    native = isinstance(found, BuiltinFunctionType | np.ufunc | type)
    return isinstance(found, FunctionType) or native or type(found).__module__.startswith("numpy")


def parts_of(value):
    """What a value holds in the open."""
    if isinstance(value, MethodType):
        return (value.__self__, value.__func__)
    if isinstance(value, partial):
        return (value.func, *value.args, *value.keywords.values())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, tuple | list | set | frozenset) else None


def functions(value, seen):
    """Every function, or other callable that is no data, that a value holds."""
    if id(value) in seen:
        return
    seen[id(value)] = value
    parts = parts_of(value)
    if parts is not None:
        for part in parts:
            yield from functions(part, seen)
    elif callable(value):
        yield value


def arrays(value, seen):
    """Every array that a value holds in the open."""
    if isinstance(value, np.ndarray):
        yield value
    elif id(value) not in seen:
        seen[id(value)] = value
        for part in parts_of(value) or ():
            yield from arrays(part, seen)


def reaches_array(value, seen):
    """Whether an array can be reached from a value in any way."""
    if isinstance(value, np.ndarray):
        return True
    if id(value) in seen:
        return False
    seen[id(value)] = value
    parts = parts_of(value)
    if parts is None and isinstance(value, FunctionType):
        kept = (cell.cell_contents for cell in value.__closure__ or ())
        parts = (*kept, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
    return any(reaches_array(part, seen) for part in parts or ())
