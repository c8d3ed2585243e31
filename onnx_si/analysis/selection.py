"""The salient region of a scene, in float64 and in the deployed runtime."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit

from onnx_si.analysis.blackbox import BlackBox
from onnx_si.analysis.marking import Marker, Marking
from onnx_si.analysis.nothing import nothing_to_test
from onnx_si.analysis.offered import limit_of
from onnx_si.analysis.scene import Array, Mask, Scene
from onnx_si.analysis.settings import Settings
from onnx_si.analysis.shown import engine_of, event_of, parity_of_itself
from onnx_si.domains.event import RegionEvent, TopEvent
from onnx_si.engines.choosing import Either
from onnx_si.engines.engine import Engine
from onnx_si.engines.exact import Exact
from onnx_si.engines.proving import Certified
from onnx_si.errors import UnsupportedModel
from onnx_si.maps import SaliencyMap, Threshold, with_margin
from onnx_si.maps.saturation import alike, edge_saturates
from onnx_si.program.program import Program
from onnx_si.report import MapChosen, Parity
from onnx_si.runtime.session import RUNTIME

NO_SCALE = "half of the maximum, as the map has no fixed scale"
SCORES = (
    "(scores that a Sigmoid would follow: --threshold 0; a reconstruction: give the model's error as a map)"
)
NOT_ASKED = "only the p-value was asked for"
NEARLY_ALL = 0.9  # share of the image from which a region is more likely a wrong scale or threshold


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The salient region of a scene and everything that decides it.

    `engine` follows the region along a line, `event` is what has to be the same there, `mask` the pixels
    that may count (None: all). `why` says why it is this engine, where nobody chose it and it is settled.
    """

    marking: Marking
    engine: Engine
    map: Array
    region: Mask
    event: RegionEvent
    mask: Mask | None
    parity: Parity
    why: str = ""

    @property
    def saliency(self) -> SaliencyMap:
        return self.marking.saliency

    @property
    def marker(self) -> Marker:
        return self.marking.marker

    @property
    def threshold(self) -> str:
        return str(self.marker.threshold)


def select(scene: Scene, marking: Marking, settings: Settings) -> Selection:
    """Compute the salient region, in float64 and in the deployed runtime.

    Raises
    ------
    UnsupportedModel
        If the map can't be analysed exactly.
    NothingToTest
        If no pixel, or every pixel that may count, passes the threshold.
    """
    if marking.bound is None:
        return _by_the_runtime(scene, marking, settings)
    saliency, marker = marking.saliency, marking.marker
    bound = marking.at(scene.seen)
    marking.follow(bound, marker.tensor)
    values = _finite(bound, marker.tensor)
    region, shown = marker.region(values), bound.values[saliency.tensor]
    level = _level(saliency, marker.threshold, values, shown)
    _require_unsaturated(saliency, marker.threshold, values, level, region, scene.mask)
    other = _other_threshold(marking, region, shown, scene.mask)
    if other is not None:
        return select(scene, other, settings)
    engine, event = _followed(marking, bound, region, scene)
    parity = Parity(runtime=RUNTIME, pixels=None, max_difference=None, problem=NOT_ASKED)
    if not settings.p_value_only:
        parity = compare_deployed(marking, scene, region, shown)
    return Selection(
        marking=marking,
        engine=engine,
        map=shown,
        region=region,
        event=event,
        mask=scene.mask,
        parity=parity,
    )


def _by_the_runtime(scene: Scene, marking: Marking, settings: Settings) -> Selection:
    """The region that the deployed runtime marks, and an engine that asks it alone."""
    box = BlackBox(marking)
    shown = box.steady(scene.seen)
    region = marking.marker.region_of(shown)
    other = _other_threshold(marking, region, shown, scene.mask)
    if other is not None:
        return select(scene, other, settings)
    selection = Selection(
        marking=marking,
        engine=engine_of(scene, settings, box),
        map=shown,
        region=region,
        event=event_of(marking.marker, region),
        mask=scene.mask,
        parity=parity_of_itself(),
        why=marking.why,
    )
    return selection if marking.proving is None else _or_proven(selection, marking.proving, scene, settings)


def _or_proven(selection: Selection, proving: Marking, scene: Scene, settings: Settings) -> Selection:
    """The same with an engine that proves bounds where the line allows it, if float64 marks this region too.

    Where it does not, rounding alone decides the region, and the runtime's is the one that is tested.
    """
    region = selection.region
    try:
        bound = proving.at(scene.seen)
        same = np.array_equal(proving.marker.region(_finite(bound, proving.marker.tensor)), region)
        certified, event = _followed(proving, bound, region, scene) if same else (None, selection.event)
    except UnsupportedModel as error:
        return replace(selection, why=f"{selection.why}; no bounds can be proven: {error}")
    if not isinstance(certified, Certified) or event.tied is not None:
        why = "pixels are equal" if same else "float64 marks another region than the runtime"
        return replace(selection, why=f"{selection.why}; no bounds are proven where {why}")
    chosen = Either(certified=certified, chains=selection.engine, limit=limit_of(settings), why=selection.why)
    difference = float(np.abs(bound.values[selection.saliency.tensor] - selection.map).max())
    parity = replace(selection.parity, max_difference=difference)
    return replace(selection, engine=chosen, parity=parity, why="")


def _other_threshold(marking: Marking, region: Mask, shown: Array, mask: Mask | None) -> Marking | None:
    """The marking to be taken in place of one whose region is everything; None: this one will do.

    Raises
    ------
    NothingToTest
        If the region is empty, or everything and nothing takes its place.
    """
    count = int(np.count_nonzero(region))
    everything = region.size if mask is None else int(np.count_nonzero(mask))
    if count == everything and marking.by_range is not None:
        return marking.by_range
    if count in (0, everything):
        raise nothing_to_test(marking, shown, count, told_of(marking.saliency, str(marking.marker.threshold)))
    return None


def _level(saliency: SaliencyMap, threshold: Threshold, values: Array, shown: Array) -> float:
    """Where a map that ends in a Sigmoid or Softmax has its threshold, on the scores; 0 of other maps."""
    if not saliency.is_logit or threshold.kind == "top":
        return 0.0
    if saliency.behind(threshold.kind):
        return saliency.logit(threshold.level)
    return float(logit(np.ravel(shown - values)[0]))  # the margin is what the map is above it


def _require_unsaturated(
    saliency: SaliencyMap, threshold: Threshold, values: Array, level: float, region: Mask, mask: Mask | None
) -> None:
    """Refuse a region that depends on probabilities which the deployed precision can't tell apart."""
    if not saliency.is_logit:
        return
    if not saliency.behind(threshold.kind):
        values = logit(np.clip(values + expit(level), 0.0, 1.0)) - level
    log, mask = (
        saliency.link == "log-probability",
        np.ones(region.shape, np.bool_) if mask is None else mask,
    )
    if threshold.kind == "top":
        close = edge_saturates(values, region, mask, log=log)
    else:
        close = bool((alike(values + level, level, log=log) & mask).any())
    if close:
        raise UnsupportedModel(
            f"threshold {threshold}: at its edge single precision gives one {saliency.link} for several "
            "scores, so that rounding decides the region; take the scores themselves as the map "
            "(--saliency output:NAME), or ask the runtime alone (--engine monte-carlo)"
        )


def _followed(
    marking: Marking, bound: Program, region: Mask, scene: Scene
) -> tuple[Exact | Certified, RegionEvent]:
    """What follows the margin along the line, and the event that it looks for."""
    saliency, marker = marking.saliency, marking.marker
    threshold, mask = marker.threshold, marker.mask
    if threshold.kind != "top":
        return marking.follow(bound, marker.tensor), RegionEvent(region, mask)
    model, margin = with_margin(saliency, threshold, region.size, mask, region)
    ranked = np.ones(region.shape, np.bool_) if marker.ranked is None else marker.ranked
    program = marking.beyond(model, margin, scene.seen)
    ties = threshold.count(int(np.count_nonzero(ranked))) + 1 - int(np.count_nonzero(region & ranked))
    return marking.follow(program, margin), TopEvent(region, region, ties, marker.ranked)


def _finite(program: Program, tensor: str) -> Array:
    """The value of an output that is followed all the way.

    Raises
    ------
    UnsupportedModel
        If it is not finite, or does not depend on the image.
    """
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


def compare_deployed(marking: Marking, scene: Scene, region: Mask, shown: Array) -> Parity:
    """Run the deployed runtime on the file itself and compare the regions; a file that it can't run is no
    obstacle.
    """
    try:
        file = marking.file
        if not file.takes(scene.seen):
            kind = marking.frame.loaded.inputs[0].type
            raise UnsupportedModel(
                f"the model's input is {kind}: the runtime rounds the image, the analysis does not"
            )
        (deployed,) = file.run(scene.seen[None])
    except UnsupportedModel as error:
        return Parity(runtime=RUNTIME, pixels=None, max_difference=None, problem=str(error))
    differs = np.argwhere(region != marking.marker.region_of(deployed))
    pixels = tuple(tuple(int(i) for i in position) for position in differs)
    return Parity(runtime=RUNTIME, pixels=pixels, max_difference=float(np.abs(shown - deployed).max()))


def told_of(saliency: SaliencyMap, threshold: str) -> MapChosen:
    """What a document says of a map."""
    coarsen = 1 if saliency.blocks is None else saliency.blocks.side
    return MapChosen(method=saliency.method, target=saliency.target, threshold=threshold, coarsen=coarsen)


def reasons(selection: Selection, settings: Settings) -> Iterator[str]:
    """Why this engine, map, class and threshold, where nobody chose them."""
    if selection.why:
        yield f"engine {selection.engine.guarantee}: {selection.why}"
    yield from reasons_of(selection.saliency, selection.marker.threshold, settings)


def reasons_of(saliency: SaliencyMap, threshold: Threshold, settings: Settings) -> Iterator[str]:
    """The same, of a map and a threshold that no image was tested with."""
    if settings.saliency == "auto":
        yield f"saliency {saliency.method}: {saliency.why or _why_automatic(saliency.method)}"
    if saliency.target == "predicted" and "target" in settings.left_open:
        which = "most pixels, class 0 aside" if saliency.chooses_class else "largest score"
        yield f"target predicted: the class with the {which}; its choice is part of the selection event"
    if settings.threshold is None:
        ends = "what splits yes from no on this map"
        why = ends if saliency.split is not None else NO_SCALE
        if saliency.split is None and saliency.method.startswith("output:"):
            why = f"{NO_SCALE} {SCORES}"
        if saliency.chooses_class:
            why = "the map has a channel for each class"
        if threshold.chosen:
            why = (
                "the map's smallest value exceeds half of its largest, so that all pixels pass max:0.5; the "
                "choice is part of the selection event"
            )
        yield f"threshold {threshold}: {why}"
    yield from (f"map: {note}" for note in saliency.notes)


def _why_automatic(method: str) -> str:
    head = "the head allows it" if method == "cam" else "the head allows no class activation map"
    return f"no output is a map, and {head}"


def warnings(selection: Selection) -> Iterator[str]:
    """What the user should know about the map and its region."""
    parity, share = selection.parity, float(selection.region.mean())
    if share > NEARLY_ALL:
        yield (
            f"the region is {share:.1%} of the image: are the values those that the model was made for "
            "(--scale), and does the threshold suit the map?"
        )
    if selection.marking.bound is None:
        return
    if parity.pixels is None:
        yield f"the deployed region was not checked: {parity.problem}"
    elif parity.pixels:
        yield (
            f"{len(parity.pixels)} pixels of the region differ between {parity.runtime} and float64; "
            f"--engine monte-carlo tests the region that {parity.runtime} marks"
        )
