"""The salient region of a scene, in float64 and in the deployed runtime."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from onnx_si.analysis.scene import Array, Mask, Scene
from onnx_si.analysis.settings import Settings
from onnx_si.domains.again import at_image
from onnx_si.errors import NothingToTest, UnsupportedModel
from onnx_si.graph import Model
from onnx_si.maps import (
    ARGMAX,
    SaliencyMap,
    Threshold,
    build,
    default_threshold,
    parse_threshold,
    top_region,
    with_margin,
)
from onnx_si.maps.saturation import alike, edge_saturates
from onnx_si.program.program import Program, bind
from onnx_si.report import Parity
from onnx_si.runtime.deployed import FileMap
from onnx_si.runtime.parity import RUNTIME
from onnx_si.search.event import RegionEvent, TopEvent

NOT_ASKED = "only the p-value was asked for"


@dataclass(frozen=True)
class Marker:
    """How one output of a model becomes a region, for any image: `tensor` is the margin, or for a threshold
    of kind `top` the map itself.
    """

    model: Model
    tensor: str
    threshold: Threshold
    counts: Mask | None

    def region(self, values: Array) -> Mask:
        """The region that this output means."""
        if self.threshold.kind == "top":
            return top_region(values, self.threshold, self.counts)
        return values > 0 if self.counts is None else (values > 0) & self.counts

    def distance(self, shown: Array, outside: Mask | None = None) -> Array:
        """How far the map itself is above the threshold; for one of kind `top`, above its largest value on
        the other pixels `outside` the region.
        """
        kind, level = self.threshold.kind, self.threshold.level
        chosen = shown if self.counts is None else shown[self.counts]
        if kind == "top":
            others = ~self.region_of(shown) if outside is None else outside
            return _above_others(shown, others if self.counts is None else others & self.counts)
        if kind == "value":
            bound = level
        else:
            bound = level * chosen.max() + (0.0 if kind == "max" else (1 - level) * chosen.min())
        return np.asarray(shown - bound)

    def region_of(self, shown: Array) -> Mask:
        """The region that the map itself means, by the threshold as it was written."""
        if self.threshold.kind == "top":
            return top_region(shown, self.threshold, self.counts)
        above: Mask = self.distance(shown) > 0
        return above if self.counts is None else above & self.counts


def _above_others(values: Array, others: Mask) -> Array:
    """Each value less the largest of the chosen others."""
    distance = np.asarray(values - values[others].max())
    first = np.unravel_index(np.where(others, values, -np.inf).argmax(), values.shape)
    rest = others.copy()
    rest[first] = False
    if rest.any():
        distance[first] = values[first] - values[rest].max()
    return distance


@dataclass(frozen=True)
class Selection:
    """The salient region of a scene and everything that decides it.

    `event` is what has to be the same along the line, `counts` the pixels that may count (None: all).
    """

    saliency: SaliencyMap
    threshold: str
    program: Program
    margin: str
    map: Array
    region: Mask
    event: RegionEvent
    marker: Marker
    counts: Mask | None
    parity: Parity


def select(scene: Scene, settings: Settings) -> Selection:
    """Compute the salient region, in float64 and in the deployed runtime.

    Raises
    ------
    UnsupportedModel
        If the map can't be analysed exactly.
    NothingToTest
        If no pixel, or every pixel that may count, passes the threshold.
    """
    saliency, marker = _marking(scene, settings)
    threshold = marker.threshold
    marked = _bound(marker, saliency.tensor, scene)
    values = _finite(marked, marker.tensor)
    region = marker.region(values)
    shown = marked.values[saliency.tensor]
    _require_unsaturated(saliency, threshold, values, region, scene.mask)
    count = int(np.count_nonzero(region))
    if count in (0, region.size if scene.mask is None else np.count_nonzero(scene.mask)):
        raise _nothing_to_test(saliency, threshold, shown, count)
    program, margin, event = _analysed(marker, marked, saliency, region, scene)
    if settings.p_value_only:
        parity = Parity(RUNTIME, None, None, NOT_ASKED)
    else:
        parity = compare_deployed(saliency, marker, scene, region, shown)
    return Selection(
        saliency,
        str(threshold),
        program,
        margin,
        shown,
        region,
        event,
        marker,
        scene.mask,
        parity,
    )


def _require_unsaturated(
    saliency: SaliencyMap, threshold: Threshold, values: Array, region: Mask, mask: Mask | None
) -> None:
    """Refuse a region that depends on probabilities which the deployed precision can't tell apart."""
    if not saliency.is_logit:
        return
    log, counts = (
        saliency.link == "log-probability",
        np.ones(region.shape, np.bool_) if mask is None else mask,
    )
    if threshold.kind == "top":
        close = edge_saturates(values, region, counts, log=log)
    else:
        level = saliency.logit(threshold.level)
        close = bool((alike(values + level, level, log=log) & counts).any())
    if close:
        raise UnsupportedModel(
            f"threshold {threshold}: at its edge single precision gives one {saliency.link} for several "
            "scores, so that rounding decides the region; take the scores themselves as the map "
            "(--saliency output:NAME)"
        )


def _marking(scene: Scene, settings: Settings) -> tuple[SaliencyMap, Marker]:
    """The map and its margin: made once for many images, as they depend on an image's shape only."""
    mask = None if scene.mask is None else scene.mask.tobytes()
    wanted = (settings.saliency, settings.target, settings.threshold, scene.view, mask)
    kept = scene.model.derived
    found: tuple[SaliencyMap, Marker] | None = kept.get(wanted)
    if found is None:
        given = settings.threshold
        argmax = None if given is None else given == ARGMAX
        saliency = build(scene.model, scene.seen, settings.saliency, settings.target, scene.view, argmax)
        threshold = default_threshold(saliency) if given is None else parse_threshold(given)
        found = saliency, _marker(saliency, threshold, scene)
        kept.clear()  # the last one is enough: whoever asks again asks for the same
        kept[wanted] = found
    return found


def _bound(marker: Marker, shown: str, scene: Scene) -> Program:
    """The marker's model at the image; bound once for many images where nothing depends on one."""
    kept, wanted = marker.model.derived, ("bound", marker.tensor, shown, scene.seen.shape)
    known: Program | None = kept.get(wanted)
    if known is not None and known.repeatable:
        return at_image(known, scene.seen)
    program = bind(marker.model, scene.seen, (marker.tensor,), shown=(shown,))
    kept[wanted] = program
    return program


def _marker(saliency: SaliencyMap, threshold: Threshold, scene: Scene) -> Marker:
    if threshold.kind == "top":
        return Marker(saliency.model, saliency.margin_tensor, threshold, scene.mask)
    model, margin = with_margin(saliency, threshold, math.prod(scene.view.space), scene.mask)
    return Marker(model, margin, threshold, scene.mask)


def _analysed(
    marker: Marker, marked: Program, saliency: SaliencyMap, region: Mask, scene: Scene
) -> tuple[Program, str, RegionEvent]:
    """What the search follows along the line, and the event that it looks for."""
    threshold, counts = marker.threshold, marker.counts
    if threshold.kind != "top":
        return marked, marker.tensor, RegionEvent(region, counts)
    model, margin = with_margin(saliency, threshold, region.size, counts, region)
    program = bind(model, scene.seen, (margin,))
    program.require_exact()
    allowed = region.size if counts is None else int(np.count_nonzero(counts))
    ties = threshold.count(allowed) + 1 - int(np.count_nonzero(region))
    return program, margin, TopEvent(region, region, ties, counts)


def _finite(program: Program, tensor: str) -> Array:
    """The value of an output that has an exact rule all the way.

    Raises
    ------
    UnsupportedModel
        If it has none, is not finite, or does not depend on the image.
    """
    program.require_exact()
    if tensor in program.folded:
        raise UnsupportedModel(
            "the map does not depend on the image: its region is the same for every image, so an ordinary "
            "test of these pixels is valid; choose another map (--saliency) for one that looks at the image"
        )
    values = program.values[tensor]
    if not np.isfinite(values).all():
        raise UnsupportedModel(
            "the saliency of this image is infinite or not a number; check the model's weights"
        )
    return values


def file_map(saliency: SaliencyMap, scene: Scene) -> FileMap:
    """The map by the deployed runtime on the file itself; made once for many images.

    Raises
    ------
    UnsupportedModel
        If the runtime can't run the file, or the map needs what its graph does not hold.
    """
    kept = saliency.model.derived
    if "file" not in kept:
        loaded = scene.model if scene.loaded is None else scene.loaded
        kept["file"] = FileMap(
            loaded, saliency.model, saliency.tensor, scene.input_name, scene.layout, scene.steps
        )
    found: FileMap = kept["file"]
    return found


def compare_deployed(
    saliency: SaliencyMap, marker: Marker, scene: Scene, region: Mask, shown: Array
) -> Parity:
    """Run the deployed runtime on the file itself and compare the regions; a file that it can't run is no
    obstacle.
    """
    try:
        (deployed,) = file_map(saliency, scene).run(scene.seen[None])
    except UnsupportedModel as error:
        return Parity(RUNTIME, None, None, str(error))
    differs = np.argwhere(region != marker.region_of(deployed))
    pixels = tuple(tuple(int(i) for i in position) for position in differs)
    return Parity(RUNTIME, pixels, float(np.abs(shown - deployed).max()))


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
        yield f"saliency {saliency.method}: {saliency.why or _why_automatic(saliency.method)}"
    if saliency.target == "predicted" and "target" in settings.left_open:
        which = "most pixels, class 0 aside" if saliency.chooses_class else "largest score"
        yield f"target predicted: the class with the {which}; its choice is part of the selection event"
    if settings.threshold is None:
        ends = "what splits yes from no on this map"
        why = ends if saliency.split is not None else "half of the maximum, as the map has no fixed scale"
        if saliency.chooses_class:
            why = "the map has a channel for each class"
        yield f"threshold {selection.threshold}: {why}"


def _why_automatic(method: str) -> str:
    head = "the head allows it" if method == "cam" else "the head allows no class activation map"
    return f"no output is a map, and {head}"


def warnings(selection: Selection) -> Iterator[str]:
    """What the user should know about the map and its region."""
    yield from selection.saliency.notes
    parity = selection.parity
    if parity.pixels is None:
        yield f"the deployed region was not checked: {parity.problem}"
    elif parity.pixels:
        yield f"{len(parity.pixels)} pixels of the region differ between {parity.runtime} and float64"
