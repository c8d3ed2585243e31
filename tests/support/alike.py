"""Whether two things that a binder made say the same, down to the arrays in the rules."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from types import FunctionType, MethodType

import numpy as np


def difference(one, other, where=""):
    """Where two values differ first; None where they are alike."""
    if one is other:
        return None
    if type(one) is not type(other):
        return f"{where}: {type(one).__name__}, {type(other).__name__}"
    if isinstance(one, np.ndarray):
        alike = one.dtype == other.dtype and one.shape == other.shape
        alike = alike and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
        return None if alike else f"{where}: {one.dtype} {one.shape}, {other.dtype} {other.shape}"
    if isinstance(one, FunctionType) and one.__code__ is not other.__code__:
        return f"{where}: {one}, {other}"
    parts = _parts(one), _parts(other)
    if parts[0] is None:
        alike = one == other or (one != one and other != other)
        return None if alike else f"{where}: {one!r}, {other!r}"
    if parts[0].keys() != parts[1].keys():
        return f"{where}: {sorted(map(str, parts[0].keys() ^ parts[1].keys()))} is of one alone"
    found = (difference(parts[0][name], parts[1][name], f"{where}.{name}") for name in parts[0])
    return next(filter(None, found), None)


def _parts(value):
    """What a value is made of, by names; None where it is one thing."""
    if isinstance(value, MethodType):
        return {"function": value.__func__, "of": value.__self__}
    if isinstance(value, partial):
        return {"function": value.func, "arguments": value.args, "named": value.keywords}
    if isinstance(value, FunctionType):
        return dict(enumerate(cell.cell_contents for cell in value.__closure__ or ()))
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if type(value).__eq__ is object.__eq__ and hasattr(value, "__dict__"):
        return vars(value)
    return None
