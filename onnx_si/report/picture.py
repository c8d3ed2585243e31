"""PNG of a result: the image and its saliency with the region's outline, and the p-value above."""

import os
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from onnx_si.ground.layout import Layout

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

OUTLINE = "#00c8ff"
DPI = 120


def save_png(
    path: str | os.PathLike[str],
    image: Array,
    layout: Layout,
    saliency: Array,
    region: Mask,
    title: str,
    subtitle: str,
) -> None:
    """Draw one result; signals as curves, volumes as the slice that holds most of the region.

    Parameters
    ----------
    path : path-like
        The file to write.
    image : array
        In the model's input shape, read by `layout`.
    saliency, region : arrays
        Over the image's pixels.
    title, subtitle : str
    """
    colours = _channels_last(image, layout)
    saliency = saliency.reshape(region.shape)
    if region.ndim == 3:
        index = int(region.sum(axis=(1, 2)).argmax())
        colours, saliency, region = colours[index], saliency[index], region[index]
        subtitle = f"{subtitle}; slice {index}, which holds most of it"
    figure = _curves(colours, saliency, region) if region.ndim == 1 else _maps(colours, saliency, region)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    figure.supxlabel(subtitle, fontsize=9, color="0.3")
    FigureCanvasAgg(figure)  # the figure draws on it; no window system, no global state
    figure.savefig(os.fspath(path), format="png", metadata={"Software": None})


def _channels_last(image: Array, layout: Layout) -> Array:
    """Space first, then the channels (one at least), without the batch axis."""
    channel = layout.channel_axis
    moved = image[..., None] if channel is None else np.moveaxis(image, channel, -1)
    return moved.reshape(*layout.spatial_shape(image.shape), -1)


def _displayable(colours: Array) -> Array:
    """Grey, or colour stretched to 0..1; other numbers of channels are averaged."""
    if colours.shape[-1] != 3:
        return np.asarray(colours.mean(axis=-1))
    low, high = colours.min(), colours.max()
    return (colours - low) / (high - low) if high > low else np.zeros_like(colours)


def _maps(colours: Array, saliency: Array, region: Mask) -> Figure:
    height, width = region.shape
    tall = min(2.0, max(0.4, height / width))
    figure = Figure(figsize=(9.0, 3.4 * tall + 1.1), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    shown = _displayable(colours)
    drawn = left.imshow(shown, cmap="gray", interpolation="nearest")
    if shown.ndim == 2:
        figure.colorbar(drawn, ax=left, shrink=0.85)
    heat = right.imshow(saliency, cmap="magma", interpolation="nearest")
    figure.colorbar(heat, ax=right, shrink=0.85)
    for axes, name in ((left, "image"), (right, "saliency")):
        axes.set_title(f"{name}, region outlined", fontsize=10)
        axes.add_collection(
            LineCollection(list(outline(region)), colors=OUTLINE, linewidths=1.8, clip_on=False),
            autolim=False,
        )
    return figure


def outline(region: Mask) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Edges between the region and the rest, as ((x, y), (x, y)); pixel centres are at whole numbers."""
    padded = np.pad(region, 1)
    for row, column in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]):
        yield (column - 0.5, row - 0.5), (column + 0.5, row - 0.5)
    for row, column in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]):
        yield (column - 0.5, row - 0.5), (column - 0.5, row + 0.5)


def _curves(colours: Array, saliency: Array, region: Mask) -> Figure:
    figure = Figure(figsize=(9.0, 4.6), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot(colours, color="0.2" if colours.shape[-1] == 1 else None, linewidth=1)
    lower.plot(saliency, color="#b5367a", linewidth=1)
    for axes, name in ((upper, "signal"), (lower, "saliency")):
        axes.set_ylabel(name)
        _shade(axes, region)
    return figure


def _shade(axes: Axes, region: Mask) -> None:
    steps = np.flatnonzero(np.diff(np.pad(region, 1).astype(np.int8)))
    for first, stop in steps.reshape(-1, 2):
        axes.axvspan(first - 0.5, stop - 0.5, color=OUTLINE, alpha=0.25, linewidth=0)
