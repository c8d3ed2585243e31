"""The salient region of a scene, in float64 and in the deployed runtime."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import NothingToTest, UnsupportedModel
from onnx_si.graph import Model
from onnx_si.line.program import Program, bind
from onnx_si.parity import RUNTIME, run_deployed
from onnx_si.report import Parity
from onnx_si.saliency import (
    SaliencyMap,
    Threshold,
    build,
    default_threshold,
    parse_threshold,
    with_margin,
)
from onnx_si.scene import Array, Scene
from onnx_si.settings import Settings


@dataclass(frozen=True)
class Selection:
    """The salient region of a scene and everything that decides it."""

    saliency: SaliencyMap
    threshold: str
    program: Program
    margin: str
    map: Array
    region: NDArray[np.bool_]
    parity: Parity


def select(scene: Scene, settings: Settings) -> Selection:
    """Compute the salient region, in float64 and in the deployed runtime.

    Raises
    ------
    UnsupportedModel
        If the map can't be analysed exactly.
    NothingToTest
        If no pixel, or every pixel, passes the threshold.
    """
    saliency = build(scene.model, scene.image, settings.saliency, settings.target, scene.view)
    threshold = (
        default_threshold(saliency) if settings.threshold is None else parse_threshold(settings.threshold)
    )
    extended, margin = with_margin(saliency, threshold, math.prod(scene.view.space))
    program = bind(extended, scene.image, (margin,))
    program.require_exact()
    margins = program.values[margin]
    if not np.isfinite(margins).all():
        raise UnsupportedModel(
            "the saliency of this image is infinite or not a number; check the model's weights"
        )
    region = margins > 0
    count = int(np.count_nonzero(region))
    shown = bind(extended, scene.image, (saliency.tensor,)).values[saliency.tensor]
    if count in (0, region.size):
        raise _nothing_to_test(saliency, threshold, shown, count)
    parity = compare_deployed(extended, scene, margin, margins)
    return Selection(saliency, str(threshold), program, margin, shown, region, parity)


def compare_deployed(model: Model, scene: Scene, margin: str, margins: Array) -> Parity:
    """Run the deployed runtime on the same image and compare the regions; a model that it can't run is no
    obstacle.
    """
    try:
        (deployed,) = run_deployed(model, scene.image, scene.input_name, (margin,))
    except UnsupportedModel as error:
        return Parity(RUNTIME, None, None, str(error))
    differs = np.argwhere((margins > 0) != (deployed > 0))
    pixels = tuple(tuple(int(i) for i in position) for position in differs)
    return Parity(RUNTIME, pixels, float(np.abs(margins - deployed).max()))


def _nothing_to_test(saliency: SaliencyMap, threshold: Threshold, shown: Array, count: int) -> NothingToTest:
    """The error for a region that is empty or everything, with the range of the map."""
    low, high = float(shown.min()), float(shown.max())
    what = "no pixel passes" if count == 0 else f"all {count} pixels pass"
    negative = threshold.kind == "max" and high <= 0
    advice = "minmax:F suits a map without positive values" if negative else "choose --threshold inside"
    return NothingToTest(
        f"{what} the threshold {threshold}; the map ({saliency.method}) ranges from {low:.4g} to {high:.4g}: "
        f"{advice}, or another --saliency",
        pixels=count,
        size=shown.size,
        saliency={"method": saliency.method, "target": saliency.target, "threshold": str(threshold)},
    )


def reasons(selection: Selection, settings: Settings) -> Iterator[str]:
    """Why this map, class and threshold, where nobody chose them."""
    saliency = selection.saliency
    if settings.saliency == "auto":
        own = saliency.method.startswith("output:")
        why = "the first output that is a map" if own else "no output is a map, and the head allows it"
        yield f"saliency {saliency.method}: {why}"
    if saliency.target == "predicted" and "target" in settings.left_open:
        yield "target predicted: the class with the largest score; its choice is part of the selection event"
    if settings.threshold is None:
        ends = "what splits yes from no on this map"
        why = ends if saliency.split is not None else "half of the maximum, as the map has no fixed scale"
        yield f"threshold {selection.threshold}: {why}"


def warnings(selection: Selection) -> Iterator[str]:
    """What the user should know about the map and its region."""
    yield from selection.saliency.notes
    parity = selection.parity
    if parity.pixels is None:
        yield f"the deployed region was not checked: {parity.problem}"
    elif parity.pixels:
        yield f"{len(parity.pixels)} pixels of the region differ between {parity.runtime} and float64"
