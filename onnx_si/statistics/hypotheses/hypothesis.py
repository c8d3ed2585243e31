"""What every hypothesis consists of."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from onnx_si.errors import UsageError
from onnx_si.statistics.hypotheses.contrast import Array, Data, Mask
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.noise import Covariance


def unlimited(covariance: Covariance) -> float:
    """Any region can be tested."""
    return math.inf


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A null hypothesis about a region: the line it leaves, and what a user should know of it.

    `line(data, region)` depends on the data through the region only as far as the direction goes: that is
    what makes the p-value valid. `null` states the hypothesis, `if_true` completes "if ...". With
    `alternatives` only these make sense, the first by default. `largest` tells of a covariance how many
    values of a region can be tested at most.
    """

    line: Callable[[Data, Mask], ImageLine]
    null: str
    if_true: str
    needs_reference: bool = False
    alternatives: tuple[str, ...] | None = None
    largest: Callable[[Covariance], float] = unlimited


def reference_of(data: Data, name: str) -> Array:
    """The mean of the references.

    Raises
    ------
    UsageError
        If there is none.
    """
    if data.reference is None:
        raise UsageError(
            f"hypothesis '{name}' compares with a reference image: give --reference, "
            "or --hypothesis background"
        )
    return data.reference
