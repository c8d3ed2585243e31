"""The map and its margin over the threshold: made once for all images of a shape."""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from onnx_si.analysis.frame import Frame
from onnx_si.analysis.offered import against
from onnx_si.analysis.padding import require_fitting
from onnx_si.analysis.scene import Array, Mask
from onnx_si.analysis.settings import Settings
from onnx_si.choices.guarantees import CERTIFIED
from onnx_si.domains.again import at_image
from onnx_si.engines.exact import Exact
from onnx_si.engines.proving import Certified
from onnx_si.errors import NotLinear, Undefined, UnsupportedModel
from onnx_si.graph import Model
from onnx_si.ground.machine import cores
from onnx_si.ground.once import asking
from onnx_si.maps import (
    ARGMAX,
    Blocks,
    SaliencyMap,
    Threshold,
    blocks_of,
    build,
    default_threshold,
    parse_threshold,
    top_region,
    with_margin,
)
from onnx_si.program.program import Program, bind
from onnx_si.program.walked import Remembered, remembered
from onnx_si.runtime.deployed import FileMap
from onnx_si.runtime.providers import providers

LARGE = 1 << 14  # values of an image from which a run of the model gains by more than one thread


@dataclass(frozen=True, kw_only=True)
class Marker:
    """How one output of a model becomes a region, for any image: `tensor` is the margin, or for a threshold
    of kind `top`, and where nothing but the deployed runtime is asked (`is_map`), the map itself. `blocks`
    are what the map was averaged over.
    """

    model: Model
    tensor: str
    threshold: Threshold
    mask: Mask | None
    is_map: bool = False
    blocks: Blocks | None = None

    @property
    def ranked(self) -> Mask | None:
        """The pixels that a share is taken of: those that may count (None: all), of each block one."""
        return self.mask if self.blocks is None else self.blocks.firsts(self.mask)

    def region(self, values: Array) -> Mask:
        """The region that this output means."""
        if self.is_map or self.threshold.kind == "top":
            return self.region_of(values)
        return values > 0 if self.mask is None else (values > 0) & self.mask

    def distance(self, shown: Array, outside: Mask | None = None) -> Array:
        """How far the map itself is above the threshold; for one of kind `top`, above its largest value on
        the other pixels `outside` the region.
        """
        if self.threshold.kind != "top":
            return np.asarray(self.distances(shown[None])[0])
        others = ~self.region_of(shown) if outside is None else outside
        ranked = self.ranked
        return _above_others(shown, others if ranked is None else others & ranked)

    def distances(self, maps: Array) -> Array:
        """How far each of several maps (n, *space) is above the threshold, which is none of kind `top`."""
        if self.threshold.kind in ("value", ARGMAX):
            return np.asarray(maps - self.threshold.level)
        chosen = (maps if self.mask is None else maps[:, self.mask]).reshape(len(maps), -1)
        bound = np.asarray(self.bound(lambda: chosen.min(axis=1), lambda: chosen.max(axis=1)))
        return np.asarray(maps - bound.reshape(-1, *(1,) * (maps.ndim - 1)))

    def bound(self, least: Callable[[], Array], most: Callable[[], Array]) -> Array | float:
        """What pixels have to exceed, of maps whose smallest and largest values are given when asked for."""
        kind, level = self.threshold.kind, self.threshold.level
        if kind in ("value", ARGMAX):
            return level
        if kind == "max":
            return level * most()
        low, high = least(), most()
        bound = level * high + (1 - level) * low
        if self.threshold.chosen:
            bound = np.where(low > level * high, bound, low - 1.0)  # else the choice would be another one
        return bound

    def region_of(self, shown: Array) -> Mask:
        """The region that the map itself means, by the threshold as it was written."""
        if self.threshold.kind == "top":
            return top_region(shown, self.threshold, self.mask, self.ranked)
        return self.above(self.distance(shown))

    def above(self, distance: Array) -> Mask:
        """The region that distances from the threshold mean, which is none of kind `top`."""
        above: Mask = distance > 0
        return above if self.mask is None else above & self.mask


def _above_others(values: Array, others: Mask) -> Array:
    """Each value less the largest of the chosen others."""
    distance = np.asarray(values - values[others].max())
    first = np.unravel_index(np.where(others, values, -np.inf).argmax(), values.shape)
    rest = others.copy()
    rest[first] = False
    if rest.any():
        distance[first] = values[first] - values[rest].max()
    return distance


@dataclass(frozen=True, kw_only=True)
class Marking:
    """A map and its margin for the images of a frame, bound to one of them.

    Nothing here depends on an image's values, except `bound` where it is not repeatable. `open_threshold`:
    nobody chose the threshold. Without `bound` the deployed runtime alone is asked for the map; `why` says
    why, where that was left open. A `certified` one is followed by proven bounds, any other exactly;
    `proving` is such a one that may answer in the runtime's place. `walk` is what was found at `bound_at`.
    """

    frame: Frame
    saliency: SaliencyMap
    marker: Marker
    bound: Program | None
    bound_at: Array
    open_threshold: bool = False
    provider: str | None = None
    why: str = ""
    certified: bool = False
    proving: "Marking | None" = None
    walk: Remembered | None = None

    def follow(self, program: Program, margin: str) -> Exact | Certified:
        """What follows a margin along lines.

        Raises
        ------
        UnsupportedOp
            With every node that stands in the way.
        """
        if self.certified:
            return Certified(program, margin)
        program.require_exact()
        return Exact(program, margin)

    def at(self, image: Array) -> Program:
        """The bound margin at an image of the frame's shape."""
        if self.bound is None:
            raise ValueError("the map of this marking was not bound")
        if np.array_equal(image, self.bound_at):
            return self.bound
        if self.bound.repeatable:
            with contextlib.suppress(Undefined):  # binding anew tells what is wrong with which node
                return at_image(self.bound, image)
        return bind_margin(self.saliency, self.marker, image)

    def going_on(self) -> AbstractContextManager[None]:
        """Inside, a graph to which something is appended is bound to `bound_at` by its new nodes alone."""
        return contextlib.nullcontext() if self.walk is None else self.walk.asking()

    def beyond(self, model: Model, tensor: str, image: Array) -> Program:
        """A tensor that was appended to the map's graph, bound to an image of the frame's shape."""
        bound, here = self.bound, np.array_equal(image, self.bound_at)
        if bound is not None and (here or (bound.repeatable and self.walk is not None)):
            with self.going_on():
                program = bind(model, self.bound_at, (tensor,))
            if here:
                return program
            if program.repeatable:
                with contextlib.suppress(Undefined):
                    return at_image(program, image)
        return bind(model, image, (tensor,))

    @cached_property
    def by_range(self) -> "Marking | None":
        """The same with a threshold between smallest and largest value, for images of which every pixel
        passes a share of the largest; None where the threshold is none of these, or was given.

        A region that is not everything tells by itself that this was not chosen; where it is chosen, its
        margin says so (see `Threshold.chosen`). So the choice is always conditioned on.
        """
        threshold = self.marker.threshold
        if not self.open_threshold or threshold.kind != "max":
            return None
        other = Threshold("minmax", threshold.level, chosen=True)
        if self.bound is None:
            marker = dataclasses.replace(self.marker, threshold=other)
            proving = None if self.proving is None else self.proving.by_range
            return dataclasses.replace(self, marker=marker, proving=proving)
        marker = _marker(self.saliency, other, self.frame, self.marker.mask)
        with self.going_on():
            bound = bind_margin(self.saliency, marker, self.bound_at)
        return dataclasses.replace(self, marker=marker, bound=bound)

    @cached_property
    def file(self) -> FileMap:
        """The map by the deployed runtime on the file itself.

        Raises
        ------
        UnsupportedModel
            If the runtime can't run the file, or the map needs what its graph does not hold.
        """
        frame = self.frame
        made = self.saliency
        return FileMap(
            frame.loaded,
            made.model,
            made.tensor,
            frame.input.name,
            frame.layout,
            frame.steps,
            providers(self.provider),
            cores() if math.prod(frame.shape) > LARGE else 1,
        )


def marking_of(frame: Frame, image: Array, mask: Mask | None, settings: Settings) -> Marking:
    """Make map and margin and bind them to an image of the frame's shape.

    Raises
    ------
    UsageError, UnsupportedModel
        If the model has no such map or threshold.
    """
    with asking():
        marking = marked(frame, _map_of(frame, image, mask, settings), image, mask, settings)
        made, outputs = marking.saliency, (info.name for info in frame.model.outputs)
        tensors = {made.tensor, made.margin_tensor, *outputs}
        walk = remembered(image, frame.input.name, tensors)
    return dataclasses.replace(marking, walk=walk)


def _map_of(frame: Frame, image: Array, mask: Mask | None, settings: Settings) -> SaliencyMap:
    """The map that is asked for."""
    given = settings.threshold
    argmax = None if given is None else given == ARGMAX
    blocks = blocks_of(settings.coarsen, frame.view.space, mask)
    view, followed = dataclasses.replace(frame.view, blocks=blocks), settings.asks_exact
    try:
        return build(frame.model, image, settings.saliency, settings.target, view, argmax, followed=followed)
    except UnsupportedModel:
        if frame.input.is_free:  # the one reason that all others follow from
            require_fitting(frame.loaded, frame.inner, frame.layout)
        raise


def marked(
    frame: Frame, saliency: SaliencyMap, image: Array, mask: Mask | None, settings: Settings
) -> Marking:
    """Bind a map that was made to an image of the frame's shape.

    Raises
    ------
    UsageError, UnsupportedModel
        If the map has no such threshold.
    """
    given = settings.threshold
    threshold = default_threshold(saliency) if given is None else parse_threshold(given)
    shown = Marking(
        frame=frame,
        saliency=saliency,
        marker=Marker(
            model=saliency.model,
            tensor=saliency.tensor,
            threshold=threshold,
            mask=mask,
            is_map=True,
            blocks=saliency.blocks,
        ),
        bound=None,
        bound_at=image,
        open_threshold=given is None,
        provider=settings.provider,
        certified=settings.engine == CERTIFIED.name,
    )
    kind = frame.loaded.inputs[0]
    if settings.may_draw and not kind.is_floating:
        why = f"the model's input is {kind.type}: the runtime rounds the image to whole numbers"
        return dataclasses.replace(shown, why=why)
    return _bound_or_drawn(shown, settings) if settings.asks_exact else shown


def _bound_or_drawn(shown: Marking, settings: Settings) -> Marking:
    """The margin bound where the network is piecewise linear; else the runtime alone, if that is allowed."""
    try:
        marker = _marker(shown.saliency, shown.marker.threshold, shown.frame, shown.marker.mask)
        bound = bind_margin(shown.saliency, marker, shown.bound_at)
    except NotLinear as error:
        if not settings.may_draw:
            raise
        return dataclasses.replace(shown, why=str(error))
    if bound.findings and settings.may_draw:
        return _drawn_or_proven(shown, marker, bound, settings)
    return dataclasses.replace(shown, marker=marker, bound=bound)


def _drawn_or_proven(shown: Marking, marker: Marker, bound: Program, settings: Settings) -> Marking:
    """The runtime alone, with proven bounds beside it where they are not out of the question."""
    why = _not_linear(bound)
    without = against(bound, marker.tensor, shown.saliency, marker.threshold, settings)
    if without is not None:
        return dataclasses.replace(shown, why=f"{why}; {without}")
    proving = dataclasses.replace(shown, marker=marker, bound=bound, certified=True)
    return dataclasses.replace(shown, why=why, proving=proving)


def _not_linear(bound: Program) -> str:
    """Which nodes make the map more than piecewise linear."""
    first, count = bound.findings[0], len(bound.findings)
    others = f", and {count - 1} more nodes" if count > 1 else ""
    return f"the network is not piecewise linear: node '{first.node}' ({first.op}): {first.reason}{others}"


def _marker(saliency: SaliencyMap, threshold: Threshold, frame: Frame, mask: Mask | None) -> Marker:
    if threshold.kind == "top":
        return Marker(
            model=saliency.model,
            tensor=saliency.margin_tensor,
            threshold=threshold,
            mask=mask,
            blocks=saliency.blocks,
        )
    model, margin = with_margin(saliency, threshold, math.prod(frame.view.space), mask)
    return Marker(model=model, tensor=margin, threshold=threshold, mask=mask, blocks=saliency.blocks)


def bind_margin(saliency: SaliencyMap, marker: Marker, image: Array) -> Program:
    """The marker's model at an image; the map itself is only shown."""
    return bind(marker.model, image, (marker.tensor,), shown=(saliency.tensor,))
