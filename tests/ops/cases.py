"""The small cases that drive every test of the handlers: op, attributes, inputs, schema versions."""

from .making import (
    CLASSIC,
    FEATURES,
    HANDLERS,
    NEWEST,
    REVIEWED,
    C,
    Case,
    Changing,
    P,
    V,
    byte,
    effective_versions,
    floats,
    gate,
    index,
    ints,
    level,
    model_of,
    one,
    truth,
)
from .tables import (
    classic,
    jumps,
    layers,
    linear,
    moves,
    picks,
    points,
    pointwise,
    quantised,
    reductions,
    resizing,
    sampling,
    smooth,
)

CASES = [
    case
    for table in (
        *(pointwise, linear, reductions, moves, resizing),
        *(jumps, smooth, picks, sampling, quantised, layers, classic),
    )
    for case in table.CASES
]
"""Ops that are exact on a line."""

SMOOTH = [
    case for table in (jumps, smooth, picks, sampling, quantised, layers, classic) for case in table.SMOOTH
]
"""Functions that are not piecewise linear are exact where their input is constant on pieces."""

POINTS = points.POINTS
"""Outputs that are constant, or whose shape depends on values: compared at single images only."""

__all__ = [
    "CASES",
    "CLASSIC",
    "FEATURES",
    "HANDLERS",
    "NEWEST",
    "POINTS",
    "REVIEWED",
    "SMOOTH",
    "C",
    "Case",
    "Changing",
    "P",
    "V",
    "byte",
    "effective_versions",
    "floats",
    "gate",
    "index",
    "ints",
    "level",
    "model_of",
    "one",
    "truth",
]
