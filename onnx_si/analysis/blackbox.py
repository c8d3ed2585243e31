"""The deployed model as a black box: whether a place of a line has the observed region."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onnx_si.analysis.marking import Marking
from onnx_si.analysis.scene import Array, Mask
from onnx_si.errors import UnsupportedModel
from onnx_si.search.event import RegionEvent, TopEvent
from onnx_si.statistics.line import TestLine

TOGETHER = 1 << 15  # values of an image from which a batch gains nothing and costs memory: one by one
IMAGES = 1 << 18  # values of the images that are made at a time
FLICKER = 1e-5  # share of the map's largest value by which two runs may differ on an accelerator


def counted(event: RegionEvent, counts: Mask | None) -> Mask:
    """The pixels of which an event says what they are."""
    if not isinstance(event, TopEvent):
        return event.pixels
    return np.ones(event.observed.shape, np.bool_) if counts is None else counts


class BlackBox:
    """The file in onnxruntime, in its own precision: region and line are those of the runtime.

    Parameters
    ----------
    marking : Marking

    Raises
    ------
    UnsupportedModel
        If onnxruntime can't run the file.
    """

    def __init__(self, marking: Marking):
        self._marker, self._file = marking.marker, marking.file

    def maps(self, images: Array) -> Array:
        """The map of each image (n, *shape)."""
        found: Array = self._file.run(images, alone=images[0].size > TOGETHER)
        return found

    def steady(self, image: Array) -> Array:
        """The map of an image, run twice.

        Raises
        ------
        UnsupportedModel
            If the two differ, or are not finite: the model itself draws random numbers.
        """
        first: Array
        first, second = np.concatenate([self.maps(image[None]), self.maps(image[None])])
        if not np.isfinite(first).all():
            raise UnsupportedModel(
                "the saliency of this image is infinite or not a number; check the model's weights"
            )
        allowed = 0.0 if self._file.on_cpu else FLICKER * float(np.abs(first).max())
        flickers = not np.array_equal(self._marker.region_of(first), self._marker.region_of(second))
        if flickers or not (np.abs(first - second) <= allowed).all():
            raise UnsupportedModel(
                "the model gives another map when the same image is run again: it draws random numbers "
                "(dropout left on, RandomNormal) or remembers; export it for inference, with model.eval()"
            )
        return first

    def wrong(self, line: TestLine, event: RegionEvent) -> Callable[[Array], NDArray[np.intp]]:
        """How many pixels of the event are on the wrong side, at places of the line.

        A map that is not finite is no observed region: such an image would have been refused.
        """
        pixels = counted(event, self._marker.counts)
        most = max(1, IMAGES // line.start.size)

        def ask(places: Array) -> NDArray[np.intp]:
            parts = [
                self._wrong(line, event, pixels, places[i : i + most]) for i in range(0, len(places), most)
            ]
            return np.concatenate(parts) if parts else np.zeros(0, np.intp)

        return ask

    def _wrong(self, line: TestLine, event: RegionEvent, pixels: Mask, places: Array) -> NDArray[np.intp]:
        images = line.start + line.direction * places.reshape(-1, *(1,) * line.start.ndim)
        maps = self.maps(images)
        finite = np.isfinite(maps).reshape(len(maps), -1).all(axis=1)
        found = np.full(len(maps), event.observed.size, np.intp)
        for row in np.flatnonzero(finite):
            differs = (self._marker.region_of(maps[row]) != event.observed) & pixels
            found[row] = np.count_nonzero(differs)
        return found
