"""The ends of S, each as the interval in which it lies for all that rounding allows."""

import numpy as np

from onnx_si.domains.task import Task
from onnx_si.errors import UnsupportedModel
from onnx_si.ground.deadline import Deadline
from onnx_si.ground.intervals import Intervals
from onnx_si.rules.rules import Array
from onnx_si.search.examine import Examiner
from onnx_si.search.tuning import Tuning
from onnx_si.statistics.line import ImageLine

EPS = float(np.finfo(np.float64).eps)
FEW_ULPS = 4  # units in the last place that rounding may move the images at an end of S
ULPS = 1024  # units in the last place that S reaches beyond the statistic, or nothing but rounding decides it


def require_around(line: ImageLine, found: Array, unclear: Intervals) -> None:
    """Refuse a region that holds on no more than rounding on one side of the statistic, or on neither.

    Parameters
    ----------
    line : ImageLine
    found : array (n, 2)
        Stretches of S, and what is not examined yet.
    unclear : Intervals
        What rounding left open.

    Raises
    ------
    UnsupportedModel
    """
    at, near = line.statistic, rounding_of_places(line, ULPS)
    bridged = Intervals.of(found + np.array([-near, near]) / 8)  # ends are as uncertain themselves
    around = Intervals.of([(at - near, at + near)])
    if unclear.contains(at) or around.subtract(bridged):
        raise UnsupportedModel(
            "nothing but rounding decides the region of this image: numbers that are compared are equal, "
            "or zero, but for rounding, so that images as near as you like have another region; "
            "choose another map (--saliency) or threshold"
        )


def ends_of(
    inside: Intervals,
    undecided: Intervals,
    blurred: list[Array],
    task: Task,
    examiner: Examiner,
    deadline: Deadline,
    tuning: Tuning,
) -> Intervals:
    """The ends of S, each as the interval in which it lies.

    Parameters
    ----------
    inside, undecided : Intervals
        What was found.
    blurred : list of array (n, 2)
        The intervals of ends that exact examinations gave; one that a part of the network found has
        none and is looked at again.
    task : Task
    examiner : Examiner
        Counts the work.
    deadline : Deadline
        After it no end is looked at again: it may lie anywhere near.
    tuning : Tuning

    Raises
    ------
    UnsupportedModel
        If the statistic may lie on either side of an end.
    TimeUp
        If nothing but the deadline is the reason.
    """
    ends, line = inside.bounds[np.isfinite(inside.bounds)], task.line
    pieces = np.concatenate([np.empty((0, 2)), *blurred])
    known = touching(pieces, inside)
    bare = [end for end in ends.tolist() if not (known.contains(end) or undecided.contains(end))]
    bare.sort(key=lambda end: abs(end - line.statistic))
    again = [_looked_at(end, task, examiner, deadline, tuning.around_ends) for end in bare]
    off = line.rounding + rounding_of_places(line, FEW_ULPS)
    pieces = np.concatenate([np.stack([ends, ends], axis=1), pieces, *again])
    found = touching(pieces + np.array([-off, off]), inside)
    if found.contains(line.statistic):
        if bare:
            deadline.check()
        raise UnsupportedModel(
            "nothing but rounding decides the region of this image: double precision can't tell on which "
            "side of an end of the truncation set the statistic lies; is --sigma in the units of the "
            "image, and is the noise far smaller than the pixels' values?"
        )
    return found


def touching(pieces: Array, inside: Intervals) -> Intervals:
    """Those of some pieces that meet a set, or hold an end of it."""
    joined, (low, high) = Intervals.of(pieces).bounds, inside.bounds.T
    meets = high.searchsorted(joined[:, 0], "left") < low.searchsorted(joined[:, 1], "right")
    return Intervals(joined[meets])


def rounding_of_places(line: ImageLine, ulps: float) -> float:
    """How far a place on the line may move by so many roundings of it and of the images."""
    largest = float(np.abs(line.start + line.direction * line.statistic).max())
    return ulps * EPS * (abs(line.statistic) + largest / float(np.abs(line.direction).max()))


def _looked_at(
    end: float, task: Task, examiner: Examiner, deadline: Deadline, around: tuple[float, ...]
) -> Array:
    """The interval of an end by the whole network, near it and then farther around it."""
    counted = Examiner(domains=examiner.domains, budget_bytes=examiner.budget_bytes, deadline=deadline)
    low = high = end
    for near in around:
        low, high = end - near * task.line.standard_error, end + near * task.line.standard_error
        if low < end < high:
            found = counted.resolve(task, low, high).blurred
            examiner.count(counted)
            if Intervals.of(found).contains(end):
                return found
    return np.array([[low, high]])
