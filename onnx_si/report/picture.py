"""PNG of a result: the image and its saliency with the region's outline, and the p-value above."""

import os

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from onnx_si.ground.layout import Layout
from onnx_si.report.as_shown import Array, Mask, Plane, displayable, outline, planes

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
    spacing: tuple[float, ...] | None = None,
) -> None:
    """Draw one result; signals as curves, volumes as three slices through the region.

    Parameters
    ----------
    path : path-like
        The file to write.
    image : array
        In the model's input shape, read by `layout`.
    saliency, region : arrays
        Over the image's pixels.
    title, subtitle : str
    spacing : tuple of float, optional
        Size of a pixel in mm along each axis: it is drawn as long as it is.
    """
    drawn = planes(image, layout, saliency, region, spacing)
    first = drawn[0]
    if len(drawn) > 1:
        figure = _slices(drawn)
        subtitle = f"{subtitle}; the slices that hold most of it"
    elif region.ndim == 1:
        figure = _curves(first.colours, first.saliency, first.region)
    else:
        figure = _maps(first)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    figure.supxlabel(subtitle, fontsize=9, color="0.3")
    FigureCanvasAgg(figure)  # the figure draws on it; no window system, no global state
    figure.savefig(os.fspath(path), format="png", metadata={"Software": None})


def _maps(plane: Plane) -> Figure:
    height, width = plane.region.shape
    tall = min(2.0, max(0.4, plane.aspect * height / width))
    figure = Figure(figsize=(9.0, 3.4 * tall + 1.1), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    values = displayable(plane.colours)
    drawn = left.imshow(values, cmap="gray", interpolation="nearest", aspect=plane.aspect)
    if values.ndim == 2:
        figure.colorbar(drawn, ax=left, shrink=0.85)
    heat = right.imshow(plane.saliency, cmap="magma", interpolation="nearest", aspect=plane.aspect)
    figure.colorbar(heat, ax=right, shrink=0.85)
    for axes, name in ((left, "image"), (right, "saliency")):
        axes.set_title(f"{name}, region outlined", fontsize=10)
        _outlined(axes, plane.region)
    return figure


def _slices(drawn: tuple[Plane, ...]) -> Figure:
    """Image above, map below, one column a slice; one scale for all slices of each."""
    figure = Figure(figsize=(10.0, 7.4), dpi=DPI, layout="constrained")
    rows = figure.subplots(2, len(drawn))
    images = [displayable(plane.colours) for plane in drawn]
    maps = [plane.saliency for plane in drawn]
    for axes, values, colours, name in zip(
        rows, (images, maps), ("gray", "magma"), ("image", "saliency"), strict=True
    ):
        low, high = min(float(one.min()) for one in values), max(float(one.max()) for one in values)
        for panel, one, plane in zip(axes, values, drawn, strict=True):
            heat = panel.imshow(
                one, cmap=colours, interpolation="nearest", aspect=plane.aspect, vmin=low, vmax=high
            )
            panel.set_title(f"{name}, {plane.place}", fontsize=10)
            _outlined(panel, plane.region)
        if values[0].ndim == 2:
            figure.colorbar(heat, ax=list(axes), shrink=0.85)
    return figure


def _outlined(axes: Axes, region: Mask) -> None:
    lines = LineCollection(list(outline(region)), colors=OUTLINE, linewidths=1.8, clip_on=False)
    axes.add_collection(lines, autolim=False)


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
