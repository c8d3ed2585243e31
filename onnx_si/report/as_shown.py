"""What of an image, a map and a region is shown, whoever draws it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from onnx_si.ground.layout import Layout

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def shown(
    image: Array, layout: Layout, saliency: Array, region: Mask
) -> tuple[Array, Array, Mask, int | None]:
    """Colours (space first, then channels), map and region; of a volume the slice that holds most of it.

    Returns
    -------
    colours, saliency, region : arrays
    slice : int or None
        Which one; None where the image is no volume.
    """
    colours = channels_last(image, layout)
    saliency = saliency.reshape(region.shape)
    if region.ndim != 3:
        return colours, saliency, region, None
    index = int(region.sum(axis=(1, 2)).argmax())
    return colours[index], saliency[index], region[index], index


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
