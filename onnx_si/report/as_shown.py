"""What of an image, a map and a region is shown, whoever draws it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.ground.layout import Layout

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


AXES = ("slice", "row", "column")


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Two axes of an image: colours (channels last), map and region, and how long a pixel is along the first
    over the second; of a volume `place` says where it was cut.
    """

    colours: Array
    saliency: Array
    region: Mask
    aspect: float = 1.0
    place: str = ""


def planes(
    image: Array, layout: Layout, saliency: Array, region: Mask, spacing: tuple[float, ...] | None = None
) -> tuple[Plane, ...]:
    """What is drawn of an image: itself, or three slices of a volume, across each axis the one that holds
    most of the region.
    """
    colours = channels_last(image, layout)
    saliency = saliency.reshape(region.shape)
    sizes = spacing if spacing is not None and len(spacing) == region.ndim else (1.0,) * region.ndim
    if region.ndim != 3:
        return (Plane(colours=colours, saliency=saliency, region=region, aspect=sizes[0] / sizes[-1]),)
    found = []
    for axis, name in enumerate(AXES):
        rest = tuple(other for other in range(3) if other != axis)
        index = int(region.sum(axis=rest).argmax())
        cut = (slice(None),) * axis + (index,)
        aspect = sizes[rest[0]] / sizes[rest[1]]
        found.append(
            Plane(
                colours=colours[cut],
                saliency=saliency[cut],
                region=region[cut],
                aspect=aspect,
                place=f"{name} {index}",
            )
        )
    return tuple(found)


def channels_last(image: Array, layout: Layout) -> Array:
    """Space first, then the channels (one at least), without the batch axis."""
    channel = layout.channel_axis
    moved = image[..., None] if channel is None else np.moveaxis(image, channel, -1)
    return moved.reshape(*layout.spatial_shape(image.shape), -1)


def displayable(colours: Array) -> Array:
    """Grey, or colour stretched to 0..1; other numbers of channels are averaged."""
    if colours.shape[-1] != 3:
        return np.asarray(colours.mean(axis=-1))
    return stretched(colours)


def stretched(values: Array) -> Array:
    """To 0..1; what is the same everywhere becomes 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def outline(region: Mask) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Edges between the region and the rest, as ((x, y), (x, y)); pixel centres are at whole numbers."""
    padded = np.pad(region, 1)
    for row, column in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]):
        yield (column - 0.5, row - 0.5), (column + 0.5, row - 0.5)
    for row, column in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]):
        yield (column - 0.5, row - 0.5), (column - 0.5, row + 0.5)
