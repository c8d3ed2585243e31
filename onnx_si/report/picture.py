"""PNG of a result: the image and its saliency with the region's outline, and the p-value above."""

import os

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from onnx_si.ground.layout import Layout
from onnx_si.report.as_shown import Array, Mask, displayable, outline, shown

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
    colours, saliency, region, index = shown(image, layout, saliency, region)
    if index is not None:
        subtitle = f"{subtitle}; slice {index}, which holds most of it"
    figure = _curves(colours, saliency, region) if region.ndim == 1 else _maps(colours, saliency, region)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    figure.supxlabel(subtitle, fontsize=9, color="0.3")
    FigureCanvasAgg(figure)  # the figure draws on it; no window system, no global state
    figure.savefig(os.fspath(path), format="png", metadata={"Software": None})


def _maps(colours: Array, saliency: Array, region: Mask) -> Figure:
    height, width = region.shape
    tall = min(2.0, max(0.4, height / width))
    figure = Figure(figsize=(9.0, 3.4 * tall + 1.1), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    values = displayable(colours)
    drawn = left.imshow(values, cmap="gray", interpolation="nearest")
    if values.ndim == 2:
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
