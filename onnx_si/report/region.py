"""Size, place and connected components of a region."""

from dataclasses import dataclass

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Component:
    """Pixels that touch by their faces; the box has the first and the one behind the last for every axis."""

    pixels: int
    bbox: Box


def bounding_box(region: NDArray[np.bool_]) -> Box:
    """First pixel and the one behind the last, for every axis of space; the region is not empty."""
    return tuple((int(index.min()), int(index.max()) + 1) for index in np.nonzero(region))


def component_masks(region: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], ...]:
    """Connected components as masks, the largest first."""
    labels, count = scipy.ndimage.label(region)
    masks = [labels == number for number in range(1, count + 1)]
    return tuple(sorted(masks, key=lambda mask: -int(np.count_nonzero(mask))))


def components(region: NDArray[np.bool_]) -> tuple[Component, ...]:
    """Connected components, the largest first."""
    masks = component_masks(region)
    return tuple(Component(int(np.count_nonzero(mask)), bounding_box(mask)) for mask in masks)
