"""A small PNG of a result, image and map side by side, the region outlined: quick to draw and to load."""

import io
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from onnx_si.ground.layout import Layout
from onnx_si.report.as_shown import Array, Mask, displayable, outline, shown, stretched

SIDE = 192  # pixels of the longer side of a panel, at least half of it
LARGEST = 384  # of a panel: larger images are reduced
GAP, HEIGHT = 8, 96
OUTLINE = (0, 200, 255)
HEAT = np.array(  # matplotlib's magma at nine places
    [
        *((0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122)),
        *((229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191)),
    ],
    np.float64,
)


def thumbnail(image: Array, layout: Layout, saliency: Array, region: Mask) -> bytes:
    """Draw one result: of a volume the slice that holds most of the region, a signal as curves.

    Parameters
    ----------
    image : array
        In the model's input shape, read by `layout`.
    saliency, region : arrays
        Over the image's pixels.

    Returns
    -------
    bytes
        A PNG, the same for the same result.
    """
    colours, saliency, region, _ = shown(image, layout, saliency, region)
    drawn = _curves(colours, saliency, region) if region.ndim == 1 else _panels(colours, saliency, region)
    stream = io.BytesIO()
    drawn.quantize(128, method=Image.Quantize.FASTOCTREE).save(stream, format="PNG")
    return stream.getvalue()


def _panels(colours: Array, saliency: Array, region: Mask) -> Image.Image:
    grey = stretched(displayable(colours))
    left = grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=-1)
    parts = [_panel(255 * left, region), _panel(_heat(saliency), region)]
    whole = Image.new("RGB", (2 * parts[0].width + GAP, parts[0].height), "white")
    whole.paste(parts[0], (0, 0))
    whole.paste(parts[1], (parts[0].width + GAP, 0))
    return whole


def _panel(colours: Array, region: Mask) -> Image.Image:
    """Every pixel a square of whole size, or, where the image is large, reduced."""
    rows, columns = region.shape
    factor = max(1, SIDE // max(rows, columns))
    drawn = Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8), "RGB")
    drawn = drawn.resize((columns * factor, rows * factor), Image.Resampling.NEAREST)
    pen, width = ImageDraw.Draw(drawn), 1 if factor == 1 else 2
    for start, end in outline(region):
        pen.line([(factor * (x + 0.5), factor * (y + 0.5)) for x, y in (start, end)], OUTLINE, width)
    if max(drawn.size) > LARGEST:
        drawn.thumbnail((LARGEST, LARGEST))
    return drawn


def _heat(saliency: Array) -> Array:
    at = stretched(saliency) * (len(HEAT) - 1)
    places = np.arange(len(HEAT))
    return np.stack([np.interp(at, places, HEAT[:, channel]) for channel in range(3)], axis=-1)


def _curves(colours: Array, saliency: Array, region: Mask) -> Image.Image:
    """The signal above, the map below, the region shaded."""
    whole = Image.new("RGB", (2 * SIDE, 2 * HEIGHT + GAP), "white")
    pen = ImageDraw.Draw(whole)
    scale = whole.width / len(region)
    for first, stop in np.flatnonzero(np.diff(np.pad(region, 1).astype(np.int8))).reshape(-1, 2):
        pen.rectangle((first * scale, 0, stop * scale, whole.height), fill=(190, 238, 255))
    _curve(pen, colours.mean(axis=-1), scale, 0, (50, 50, 50))
    _curve(pen, saliency, scale, HEIGHT + GAP, (181, 54, 122))
    return whole


def _curve(
    pen: ImageDraw.ImageDraw,
    values: NDArray[np.float64],
    scale: float,
    top: int,
    colour: tuple[int, int, int],
) -> None:
    heights = top + 4 + (HEIGHT - 8) * (1 - stretched(values))
    points = [((i + 0.5) * scale, float(height)) for i, height in enumerate(heights)]
    for start, end in pairwise(points):
        pen.line((start, end), colour, 1)
