"""The map and its margin over the threshold: made once for all images of a shape."""

import contextlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from onnx_si.analysis.frame import Frame
from onnx_si.analysis.scene import Array, Mask
from onnx_si.analysis.settings import Settings
from onnx_si.analysis.sizes import require_fitting
from onnx_si.domains.again import at_image
from onnx_si.errors import Undefined, UnsupportedModel
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
from onnx_si.program.program import Program, bind
from onnx_si.runtime.deployed import FileMap


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


@dataclass(frozen=True, kw_only=True)
class Marking:
    """A map and its margin for the images of a frame, bound to one of them.

    Nothing here depends on an image's values, except `bound` where it is not repeatable.
    """

    frame: Frame
    saliency: SaliencyMap
    marker: Marker
    bound: Program
    bound_at: Array

    def at(self, image: Array) -> Program:
        """The bound margin at an image of the frame's shape."""
        if np.array_equal(image, self.bound_at):
            return self.bound
        if self.bound.repeatable:
            with contextlib.suppress(Undefined):  # binding anew tells what is wrong with which node
                return at_image(self.bound, image)
        return bind_margin(self.saliency, self.marker, image)

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
        return FileMap(frame.loaded, made.model, made.tensor, frame.input.name, frame.layout, frame.steps)


def marking_of(frame: Frame, image: Array, mask: Mask | None, settings: Settings) -> Marking:
    """Make map and margin and bind them to an image of the frame's shape.

    Raises
    ------
    UsageError, UnsupportedModel
        If the model has no such map or threshold.
    """
    given = settings.threshold
    argmax = None if given is None else given == ARGMAX
    try:
        saliency = build(frame.model, image, settings.saliency, settings.target, frame.view, argmax)
    except UnsupportedModel:
        require_fitting(frame.model, image.shape, frame.layout)  # the one reason that all others follow from
        raise
    threshold = default_threshold(saliency) if given is None else parse_threshold(given)
    marker = _marker(saliency, threshold, frame, mask)
    bound = bind_margin(saliency, marker, image)
    return Marking(frame=frame, saliency=saliency, marker=marker, bound=bound, bound_at=image)


def _marker(saliency: SaliencyMap, threshold: Threshold, frame: Frame, mask: Mask | None) -> Marker:
    if threshold.kind == "top":
        return Marker(saliency.model, saliency.margin_tensor, threshold, mask)
    model, margin = with_margin(saliency, threshold, math.prod(frame.view.space), mask)
    return Marker(model, margin, threshold, mask)


def bind_margin(saliency: SaliencyMap, marker: Marker, image: Array) -> Program:
    """The marker's model at an image; the map itself is only shown."""
    return bind(marker.model, image, (marker.tensor,), shown=(saliency.tensor,))
