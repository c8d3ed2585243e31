"""The result of one test: frozen, complete, and the same shape whatever happened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.intervals import Intervals
from onnx_si.layout import Layout

SCHEMA = "onnx-si/result/1"


@dataclass(frozen=True)
class Parity:
    """The deployed runtime's region (onnxruntime, the model's own precision) against the analysed one (float64).

    `pixels` are the positions in the map that differ; `max_difference` is the largest difference of the two saliency maps.
    """

    runtime: str
    pixels: tuple[tuple[int, ...], ...]
    max_difference: float


@dataclass(frozen=True)
class Comparison:
    """P-values of other methods on the same region; None where not asked for."""

    naive: float | None = None
    over_conditioning: float | None = None
    bonferroni: float | None = None
    permutation: float | None = None


@dataclass(frozen=True)
class Result:
    """One test from model and image to p-value, with its guarantee.

    Arrays are in the image's pixels; `statistic`, `standard_error`, `truncation` and the interval are in its units.
    """

    status: str
    guarantee: str
    p_value: float
    p_value_bounds: tuple[float, float]
    statistic: float
    standard_error: float
    degrees_of_freedom: int | None
    alternative: str
    hypothesis: str
    estimate: float
    confidence_interval: tuple[float, float]
    confidence_level: float
    truncation: Intervals
    undecided: Intervals
    region: NDArray[np.bool_]
    saliency_map: NDArray[np.float64]
    image: NDArray[np.float64]
    layout: Layout
    saliency: Mapping[str, Any]
    comparison: Comparison
    noise: Mapping[str, Any]
    model: Mapping[str, Any]
    search: Mapping[str, Any]
    parity: Parity
    config: Mapping[str, Any]
    image_path: str | None = None
    reference_paths: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
