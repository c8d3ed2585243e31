"""Size, place and connected components of a region."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Component:
    """Pixels that touch by their faces; the box has the first and the one behind the last for every axis."""

    pixels: int
    bbox: Box


def bounding_box(region: NDArray[np.bool_]) -> Box:
    """First pixel and the one behind the last, for every axis of space; the region is not empty."""
    return tuple((int(index.min()), int(index.max()) + 1) for index in np.nonzero(region))


def components(region: NDArray[np.bool_]) -> tuple[Component, ...]:
    """Connected components, the largest first."""
    labels, count = ndimage.label(region)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    boxes = [tuple((s.start, s.stop) for s in place) for place in ndimage.find_objects(labels)]
    found = [Component(int(size), box) for size, box in zip(sizes, boxes, strict=True)]
    return tuple(sorted(found, key=lambda component: -component.pixels))
