"""Size, place and connected components of a region."""

import math
from dataclasses import dataclass
from typing import Any

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


def in_millimetres(pixels: int, box: Box, spacing: tuple[float, ...] | None) -> dict[str, Any]:
    """Size of a pixel, of the region (area or volume) and its box in mm; null where that is not known."""
    if spacing is None:
        return dict.fromkeys(("spacing_mm", "size_mm", "bbox_mm"))
    sides = [[low * step, high * step] for (low, high), step in zip(box, spacing, strict=True)]
    return {"spacing_mm": list(spacing), "size_mm": pixels * math.prod(spacing), "bbox_mm": sides}


def component_masks(region: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], ...]:
    """Connected components as masks, the largest first."""
    labels, count = scipy.ndimage.label(region)
    masks = [labels == number for number in range(1, count + 1)]
    return tuple(sorted(masks, key=lambda mask: -int(np.count_nonzero(mask))))


def components(region: NDArray[np.bool_]) -> tuple[Component, ...]:
    """Connected components, the largest first."""
    masks = component_masks(region)
    return tuple(Component(int(np.count_nonzero(mask)), bounding_box(mask)) for mask in masks)
