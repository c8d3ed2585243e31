"""The deployed model as a black box: whether a place of a line has the observed region."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from onnx_si.analysis.marking import Marker, Marking
from onnx_si.analysis.scene import Array, Mask
from onnx_si.domains.event import RegionEvent, TopEvent
from onnx_si.errors import UnsupportedModel
from onnx_si.maps import ARGMAX
from onnx_si.runtime.together import FLICKER
from onnx_si.statistics.line import ImageLine

Flags = NDArray[np.bool_]
T = TypeVar("T", np.float64, np.bool_)
TOGETHER = 1 << 14  # values of an image from which a batch gains nothing and costs memory: one by one
IMAGES = 1 << 18  # values of the images that are asked about at once
WORKED = 1 << 14  # values of those that are worked out at once, in double precision: they stay in the cache
MANY = 4  # part of the pixels from which it takes longer to pick them than to leave out the others
NOWHERE, SMALLEST = 1e300, 1e-300  # distances of a map that is not finite, and of one at the threshold
CLOSE = 4  # times what two runs differ by: a value so close to the threshold may be on either side next time
EXTREMES = (np.float32, np.float64)  # types of maps of which the extremes are taken as they are
ELSEWHERE = {
    True: "the runtime sums in another order from run to run; export the model with ops that give the same "
    "numbers each time, or choose another map (--saliency)",
    False: "leave --provider out (the processor gives the same numbers each time), or choose another "
    "threshold (--threshold)",
}


def counted(event: RegionEvent, mask: Mask | None) -> Mask:
    """The pixels of which an event says what they are."""
    if not isinstance(event, TopEvent):
        return event.pixels
    return np.ones(event.observed.shape, np.bool_) if mask is None else mask


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
            If it is not finite, or the two differ: more than by rounding, the model itself draws random
            numbers; by rounding, where the region hangs on it, or the runtime is one that gives the same
            bits each time.
        """
        first: Array
        first, second = np.concatenate([self.maps(image[None]), self.maps(image[None])])
        if not np.isfinite(first).all():
            raise UnsupportedModel(
                "the saliency of this image is infinite or not a number; check the model's weights"
            )
        apart = float(np.abs(first - second).max())  # not a number, if the second is not finite
        if not apart <= FLICKER * float(np.abs(first).max()):
            raise UnsupportedModel(
                "the model gives another map when the same image is run again: it draws random numbers "
                "(dropout left on, RandomNormal) or remembers; export it for inference, with model.eval()"
            )
        if apart > 0:
            self._require_region(first, second, apart)
        return first

    def _require_region(self, first: Array, second: Array, apart: float) -> None:
        """Whether two maps of an image that differ by rounding are of one region, and will be next time."""
        marker, on_cpu = self._marker, self._file.on_cpu
        close = np.abs(marker.distance(first)) <= CLOSE * apart
        if marker.mask is not None:
            close &= marker.mask
        moved = not np.array_equal(marker.region_of(first), marker.region_of(second))
        if on_cpu or moved or close.any():
            raise UnsupportedModel(
                f"the region of this image flickers: run again, the map differs by {apart:.2g} (its largest "
                f"value is {float(np.abs(first).max()):.4g}), and {np.count_nonzero(close)} pixels are no "
                f"farther from the threshold than {CLOSE} times that; {ELSEWHERE[on_cpu]}"
            )

    def line(
        self, line: ImageLine, event: RegionEvent
    ) -> tuple[Callable[[Array], Array], Callable[[Array], Flags]]:
        """How far places of the line are from the event, see `distances`, and whether it holds there."""
        judge = Judge(self._marker, event, counted(event, self._marker.ranked))
        file, size = self._file, line.start.size
        images = _images(line, file.precision)
        most, alone = max(1, IMAGES // size), size > TOGETHER

        def asking(told: Callable[[NDArray[Any]], NDArray[T]]) -> Callable[[Array], NDArray[T]]:
            def few(places: Array) -> NDArray[T]:
                return told(file.maps(images(places), alone=alone))

            def ask(places: Array) -> NDArray[T]:
                if len(places) <= most:
                    return few(places)
                return np.concatenate([few(places[i : i + most]) for i in range(0, len(places), most)])

            return ask

        return asking(judge), asking(judge.holds)


def _images(line: ImageLine, kind: type[np.floating[Any]]) -> Callable[[Array], NDArray[Any]]:
    """The images at places of a line, worked out in double precision and then rounded to a type.

    They are in memory that the next ones are in again: what is given back is slow to get.
    """
    start, direction, each = line.start, line.direction, (-1, *(1,) * line.start.ndim)
    rows = max(1, WORKED // start.size)
    starts = np.repeat(start[None], rows, axis=0)  # added to as many in one stretch of memory
    wide, room = np.empty(starts.shape), np.empty((0, *start.shape), kind)

    def images(places: Array) -> NDArray[Any]:
        nonlocal room
        if len(room) < len(places):
            room = np.empty((len(places), *start.shape), kind)
        column = places.reshape(each)
        for first in range(0, len(places), rows):
            part = column[first : first + rows]
            made = np.multiply(direction, part, out=wide[: len(part)])
            room[first : first + len(part)] = np.add(made, starts[: len(part)], out=made)
        return room[: len(places)]

    return images


class Judge:
    """How far maps are from an event, as `distances` tells it; what is the same for all is made once.

    Parameters
    ----------
    marker : Marker
    event : RegionEvent
    pixels : array of bool
        Those of which the event says what they are.
    """

    def __init__(self, marker: Marker, event: RegionEvent, pixels: Mask):
        self._marker, self._event, self._pixels = marker, event, pixels
        by_pixel = marker.threshold.kind not in ("top", ARGMAX) and bool(pixels.any())
        self._quick = by_pixel and (marker.mask is None or not (pixels & ~marker.mask).any())
        inside, outside = pixels & event.observed, pixels & ~event.observed
        self._least_inside = _extreme(inside, np.minimum, np.inf)
        self._most_outside = _extreme(outside, np.maximum, -np.inf)
        self._observed, self._counts = event.observed.ravel(), None if pixels.all() else pixels.ravel()
        mask, level = marker.mask, marker.threshold.level
        fixed = marker.threshold.kind == "value"
        self._levels = {kind: _below(level, kind) for kind in EXTREMES} if fixed else {}
        self._ranged = None if mask is None else (_apart(mask, np.inf), _apart(mask, -np.inf))

    def __call__(self, maps: NDArray[Any]) -> Array:
        """How far each of several maps (n, *space) is."""
        shown = self._rows(maps)
        if shown is None:
            return distances(self._marker, np.asarray(maps, np.float64), self._event, self._pixels)
        # rounding keeps the order: the farthest pixel on either side is the one that is the farthest rounded
        bound = self._bound(shown)
        left = bound - self._least_inside(shown)
        found = np.maximum(self._most_outside(shown) - bound, left)
        if not found.all():  # a pixel of the region that is no more than at the threshold has left it
            found[(found == 0) & (left == 0)] = SMALLEST
        return found

    def holds(self, maps: NDArray[Any]) -> Flags:
        """Whether the event holds in each of several maps: that they are not far, told by the side that each
        pixel is on.
        """
        shown = self._rows(maps)
        if shown is None:
            return np.asarray(self(maps) <= 0)
        bound = self._levels.get(shown.dtype.type)
        if bound is None:
            bound = _below(self._bound(shown), shown.dtype.type)[:, None]
        wrong = (shown > bound) != self._observed
        if self._counts is not None:
            wrong &= self._counts
        return np.asarray(~np.logical_or.reduce(wrong, axis=1))

    def _rows(self, maps: NDArray[Any]) -> NDArray[Any] | None:
        """A row of pixels for each map; None where their extremes do not tell everything."""
        if not self._quick:
            return None
        shown = np.asarray(maps, maps.dtype if maps.dtype in EXTREMES else np.float64).reshape(len(maps), -1)
        return shown if np.isfinite(shown).all() else None

    def _bound(self, shown: NDArray[Any]) -> Array | float:
        lowest, highest = (shown, shown) if self._ranged is None else (shown + end for end in self._ranged)
        return self._marker.bound(lambda: _least(lowest), lambda: _most(highest))


def _below(bound: Array | float, kind: type[np.floating[Any]]) -> NDArray[Any]:
    """The largest numbers of a type that are not above others: what exceeds the ones exceeds the others."""
    exact = np.asarray(bound, np.float64)
    with np.errstate(over="ignore"):
        rounded = np.array(exact, kind)
    return np.nextafter(rounded, kind(-np.inf), out=rounded, where=rounded > exact)


def _apart(pixels: Mask, end: float) -> NDArray[np.float32]:
    """What is added to maps so that the other pixels are at one end of all."""
    return np.where(pixels.ravel(), 0.0, end).astype(np.float32)


def _extreme(pixels: Mask, of: np.ufunc, end: float) -> Callable[[NDArray[Any]], Array]:
    """From maps to the least or the largest of some pixels in each; `end` where there are none."""
    places, apart = np.flatnonzero(pixels), _apart(pixels, end)
    if 0 < len(places) <= pixels.size // MANY:
        return lambda shown: np.asarray(of.reduce(shown.take(places, axis=1), axis=1), np.float64)
    return lambda shown: np.asarray(of.reduce(shown + apart, axis=1), np.float64)


def _least(shown: NDArray[Any]) -> Array:
    return np.asarray(np.minimum.reduce(shown, axis=1), np.float64)


def _most(shown: NDArray[Any]) -> Array:
    return np.asarray(np.maximum.reduce(shown, axis=1), np.float64)


def distances(marker: Marker, maps: Array, event: RegionEvent, pixels: Mask) -> Array:
    """How far each of several maps (n, *space) is from an event: at most zero where it holds, else the
    largest distance from the threshold of a pixel that is on the wrong side, or their number where the map
    has two values only.

    A map that is not finite holds no event: such an image would have been refused.
    """
    kind, count = marker.threshold.kind, len(maps)
    finite = np.isfinite(maps).reshape(count, -1).all(axis=1)
    if not finite.all():
        maps = np.where(finite.reshape(-1, *(1,) * (maps.ndim - 1)), maps, 0.0)
    if kind == "top":
        off = np.array([marker.distance(shown, ~event.observed) for shown in maps])
        regions = np.array([marker.region_of(shown) for shown in maps])
    else:
        off = marker.distances(maps)
        regions = marker.above(off)
    wrong = ((regions != event.observed) & pixels).reshape(count, -1)
    if kind == ARGMAX:
        found = np.count_nonzero(wrong, axis=1).astype(np.float64)
    else:
        far, inside = np.abs(off).reshape(count, -1), ~wrong.any(axis=1)
        found = np.where(wrong, far, SMALLEST).max(axis=1)
        found[inside] = -far[inside][:, pixels.ravel()].min(axis=1, initial=np.inf)
    return np.where(finite, found, NOWHERE)
