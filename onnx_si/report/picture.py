"""PNG of a result: the image and its saliency with the region's outline, and the p-value above."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure, FigureBase

from onnx_si.ground.layout import Layout
from onnx_si.report.as_shown import Array, Mask, Plane, displayable, outline, planes

OUTLINE = "#00c8ff"
DPI = 120
BELOW = 0.9  # inches of the scale of the noise
FAR = 10.0  # factor that it shows either way where no turn is known


@dataclass(frozen=True, kw_only=True)
class NoiseScale:
    """The standard deviation that was taken, those between which the decision is certainly the same, and
    where it turns; None where that is not known.
    """

    decision: str
    std: float
    holds: tuple[float, float]
    tipping: float | None


def noise_scale(result: Mapping[str, Any]) -> NoiseScale | None:
    """What is to be drawn of a tested result's document; None where the decision is not certain."""
    noise, alpha = result["noise"], 1 - result["confidence_level"]
    low, high = noise["decision_holds_for"]
    if low is None or noise["std"] is None:
        return None
    decision = "significant" if result["p_value_bounds"][1] <= alpha else "not significant"
    return NoiseScale(
        decision=f"{decision} at level {alpha:.3g}",
        std=noise["std"],
        holds=(low, high),
        tipping=noise["tipping_std"],
    )


def save_png(
    path: str | os.PathLike[str],
    image: Array,
    layout: Layout,
    saliency: Array,
    region: Mask,
    title: str,
    subtitle: str,
    spacing: tuple[float, ...] | None = None,
    scale: NoiseScale | None = None,
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
    scale : NoiseScale, optional
        Drawn below.
    """
    drawn = planes(image, layout, saliency, region, spacing)
    first = drawn[0]
    if len(drawn) > 1:
        figure, above = _framed(10.0, 7.4, scale)
        _slices(above, drawn)
        subtitle = f"{subtitle}; the slices that hold most of it"
    elif region.ndim == 1:
        figure, above = _framed(9.0, 4.6, scale)
        _curves(above, first.colours, first.saliency, first.region)
    else:
        height, width = first.region.shape
        tall = min(2.0, max(0.4, first.aspect * height / width))
        figure, above = _framed(9.0, 3.4 * tall + 1.1, scale)
        _maps(above, first)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    figure.supxlabel(subtitle, fontsize=9, color="0.3")
    FigureCanvasAgg(figure)  # the figure draws on it; no window system, no global state
    figure.savefig(os.fspath(path), format="png", metadata={"Software": None})


def _framed(width: float, height: float, scale: NoiseScale | None) -> tuple[Figure, FigureBase]:
    """A figure and the part of it that is left for the image, above the scale of the noise."""
    below = 0.0 if scale is None else BELOW
    figure = Figure(figsize=(width, height + below), dpi=DPI, layout="constrained")
    if scale is None:
        return figure, figure
    rows = figure.add_gridspec(2, 1, height_ratios=[height, below])
    _noise(figure.add_subfigure(rows[1]).subplots(), scale)
    return figure, figure.add_subfigure(rows[0])


def _noise(axes: Axes, scale: NoiseScale) -> None:
    """On which standard deviations the decision is the same; where it turns, and which one was taken."""
    marks = {scale.std: "0.1"} if scale.tipping is None else {scale.tipping: "#d62728", scale.std: "0.1"}
    far = FAR if scale.tipping is None else 2 * max(scale.tipping / scale.std, scale.std / scale.tipping)
    left, right = scale.std / far, scale.std * far
    low, high = max(scale.holds[0], left), min(scale.holds[1], right)
    axes.axvspan(low, high, color=OUTLINE, alpha=0.25, linewidth=0)
    for place, colour in marks.items():
        axes.axvline(place, color=colour, linewidth=1.8)
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    axes.set_xticks(sorted(marks), [f"{place:.3g}" for place in sorted(marks)], fontsize=8)
    if scale.tipping is not None:  # however near to each other
        first, second = axes.get_xticklabels()
        first.set_horizontalalignment("right")
        second.set_horizontalalignment("left")
    axes.minorticks_off()
    axes.set_yticks([])
    turns = "" if scale.tipping is None else ", red where it turns"
    axes.set_title(
        f"standard deviation of the noise: {scale.decision} where shaded{turns}, black the one taken",
        fontsize=8,
    )


def _maps(figure: FigureBase, plane: Plane) -> None:
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


def _slices(figure: FigureBase, drawn: tuple[Plane, ...]) -> None:
    """Image above, map below, one column a slice; one scale for all slices of each."""
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


def _outlined(axes: Axes, region: Mask) -> None:
    lines = LineCollection(list(outline(region)), colors=OUTLINE, linewidths=1.8, clip_on=False)
    axes.add_collection(lines, autolim=False)


def _curves(figure: FigureBase, colours: Array, saliency: Array, region: Mask) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot(colours, color="0.2" if colours.shape[-1] == 1 else None, linewidth=1)
    lower.plot(saliency, color="#b5367a", linewidth=1)
    for axes, name in ((upper, "signal"), (lower, "saliency")):
        axes.set_ylabel(name)
        _shade(axes, region)


def _shade(axes: Axes, region: Mask) -> None:
    steps = np.flatnonzero(np.diff(np.pad(region, 1).astype(np.int8)))
    for first, stop in steps.reshape(-1, 2):
        axes.axvspan(first - 0.5, stop - 0.5, color=OUTLINE, alpha=0.25, linewidth=0)
