"""Values that must stay equal for an event to hold: on which intervals they do, and where they part."""

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.event import Tied
from onnx_si.domains.piecewise.blur import widened
from onnx_si.domains.piecewise.quadratic import Pieces, PiecewiseQuadratic
from onnx_si.ground.intervals import Intervals
from onnx_si.rules.rules import Array

Index = NDArray[np.intp]


def of_bows(
    tied: Tied | None, margin: PiecewiseQuadratic, slack: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Intervals on which as many pixels are tied as must be, for certain and up to rounding."""
    if tied is None:
        every = np.ones(len(margin.bends), np.bool_)
        return every, every
    rivals, count = np.flatnonzero(tied.rivals), len(margin.knots)
    ends = np.abs(margin.values.reshape(count, -1)[:, rivals])
    hang = 0.25 * np.abs(margin.bends.reshape(count - 1, -1)[:, rivals])
    distance = np.maximum(np.maximum(ends[:-1], ends[1:]), hang)
    surely, nearly = (np.count_nonzero(distance <= at_most, axis=1) for at_most in (0.0, slack))
    return surely >= tied.count, nearly >= tied.count


def screened(
    tied: Tied | None, flat: Array, possible: Index, unclear: Index, slack: float
) -> tuple[Index, Index]:
    """Of intervals that are possible, or unclear, those on which values are equal as well."""
    if tied is None:
        return possible, unclear
    others = np.abs(flat[:, np.flatnonzero(tied.rivals)])

    def equal(rows: Index, at_most: float) -> NDArray[np.bool_]:
        distance = np.maximum(others[rows], others[rows + 1])
        return np.asarray(np.count_nonzero(distance <= at_most, axis=1) >= tied.count)

    surely, nearly = equal(possible, 0.0), equal(possible, slack)
    doubtful = np.concatenate([unclear[equal(unclear, slack)], possible[nearly & ~surely]])
    return possible[surely], np.sort(doubtful)


def untied(tied: Tied | None, margin: Pieces, inside: Array, error: float) -> Array:
    """Around the ends at which too few values remain equal."""
    if tied is None:
        return np.empty((0, 2))
    knots, flat = margin.knots, np.abs(margin.values.reshape(len(margin.knots), -1))
    others = flat[:, np.flatnonzero(tied.rivals)]
    found = []
    for place in Intervals.of(inside).bounds.ravel():
        for row in (knots.searchsorted(place, "left") - 1, knots.searchsorted(place, "right") - 1):
            if 0 <= row < len(knots) - 1 and knots[row] < knots[row + 1]:
                apart = np.partition(others[row] + others[row + 1], tied.count - 1)[tied.count - 1]
                if apart > error:
                    found.append((place, error * (knots[row + 1] - knots[row]) / apart))
    pieces = np.array(found).reshape(-1, 2)
    return widened(pieces[:, [0, 0]], pieces[:, 1])
