"""The noise's standard deviation from data: independent images of background, or the image itself."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import InputError
from onnx_si.statistics.noise.covariance import Covariance, Scalar
from onnx_si.statistics.noise.noise import Noise

MAD_OF_NORMAL = 0.6744897501960817  # median absolute deviation of N(0, 1)
CLIPPED = 0.02  # share of values that are the largest or the smallest, from which that is no chance,
FEWEST_CLIPPED = 8  # and their number
MOST_PLACES = 32  # where a covariance's details are looked at


def estimate_from_images(images: Sequence[NDArray[np.float64]], channel_axis: int | None) -> Noise:
    """Pooled variance of independent images without signal: its scale is unknown, its degrees of freedom
    are.

    Parameters
    ----------
    images : sequence of arrays
        Of any one shape. Several are taken for one scene: each value's mean over them is removed. A single
        one is taken for constant background: the mean of each channel is removed.
    channel_axis : int or None

    Returns
    -------
    Noise
        With m images of n values the degrees of freedom are (m - 1) n, with one image n less its channels.

    Raises
    ------
    InputError
        If the images differ in shape, or nothing is left to estimate from.

    Source
    ------
    The pooled variance of an analysis of variance: independent of everything but these images, and over the
    true variance chi-squared.
    """
    if len({image.shape for image in images}) != 1:
        raise InputError(f"noise images of shapes {[image.shape for image in images]}; give one shape")
    stack = np.stack(list(images))
    if len(images) > 1:
        means, what = stack.mean(axis=0, keepdims=True), f"{len(images)} independent images of one scene"
    else:
        axes = tuple(a + 1 for a in range(stack.ndim - 1) if a != channel_axis)
        means, what = stack.mean(axis=axes, keepdims=True), "one independent image of constant background"
    freedom = stack.size - means.size
    variance = float(np.square(stack - means).sum()) / freedom if freedom else 0.0
    if not variance > 0:
        raise InputError(
            "the noise images are constant or too small; give ones with noise in them, or --sigma"
        )
    source = f"estimated from {what}, {freedom} degrees of freedom"
    return Noise.scalar(float(np.sqrt(variance)), source, known=False, degrees_of_freedom=freedom)


def estimate_from_pixels(
    image: NDArray[np.float64], pixels: NDArray[np.bool_], channel_axis: int | None
) -> Noise:
    """Variance of a part of the image that is background, about its mean, or those of its channels.

    Parameters
    ----------
    image : array
    pixels : boolean array
        In the image's shape: the values that are background.
    channel_axis : int or None

    Returns
    -------
    Noise
        With the values less their channels as degrees of freedom. As these values enter no statistic, it is
        independent of those; of the selection it is not, as the model sees them.

    Raises
    ------
    InputError
        If nothing is left to estimate from.
    """
    channels = 1 if channel_axis is None else image.shape[channel_axis]
    rows = np.moveaxis(image, channel_axis, 0) if channel_axis is not None else image[None]
    chosen = np.moveaxis(pixels, channel_axis, 0) if channel_axis is not None else pixels[None]
    parts = [row[mask] for row, mask in zip(rows, chosen, strict=True)]
    freedom = sum(part.size for part in parts) - channels
    squares = sum(float(np.square(part - part.mean()).sum()) for part in parts) if freedom > 0 else 0.0
    if not squares > 0:
        raise InputError(
            f"--sigma-from: {sum(part.size for part in parts)} values of background, too few or all "
            "the same; give more, or --sigma"
        )
    source = f"estimated from a part of the image that is background, {freedom} degrees of freedom"
    return Noise(
        covariance=Scalar(float(np.sqrt(squares / freedom))),
        source=source,
        known=False,
        degrees_of_freedom=freedom,
        beside=True,
    )


def estimate_from_image(
    image: NDArray[np.float64], spatial_axes: tuple[int, ...], mask: NDArray[np.bool_] | None = None
) -> Noise:
    """Robust estimate from the finest Haar details of the image itself.

    Parameters
    ----------
    image : array
    spatial_axes : tuple of int
        Differences are taken along each of them, so that smooth content drops out.
    mask : boolean array, optional
        In the image's shape: the values that may count. Others say nothing of the noise, nor do clipped ones.

    Raises
    ------
    InputError
        If the image is too small or too flat for it.

    Source
    ------
    Donoho and Johnstone, Biometrika 81 (1994), section 3.1: median absolute detail divided by 0.6745.
    """
    std = robust_std(image, spatial_axes, mask)
    if not std > 0:
        raise InputError(
            "the noise can't be estimated from this image (too small, or half of it is flat); give --sigma"
        )
    return Noise.scalar(std, "estimated from the image (median absolute Haar detail)", known=False)


def robust_std(
    image: NDArray[np.float64], spatial_axes: tuple[int, ...], mask: NDArray[np.bool_] | None = None
) -> float:
    """Standard deviation of noise by the finest Haar details; 0 where half of them are, or without any.

    A detail counts if all values that it is made of do: inside the mask, and not clipped.
    """
    whole = np.ones(image.shape, np.bool_) if mask is None else np.broadcast_to(mask, image.shape)
    for end in clipped_at(image[whole]):
        whole = whole & (image != end)
    details = _details(image, whole, spatial_axes)
    return float(np.median(np.abs(details))) / MAD_OF_NORMAL if details.size else 0.0


def _details(
    image: NDArray[np.float64], whole: NDArray[np.bool_], spatial_axes: tuple[int, ...]
) -> NDArray[np.float64]:
    """The finest Haar details, of blocks that are whole."""
    detail, counts = image, whole
    for axis in spatial_axes:
        pairs = detail.shape[axis] // 2
        places = np.arange(0, 2 * pairs, 2), np.arange(1, 2 * pairs, 2)
        even, odd = (np.take(detail, place, axis=axis) for place in places)
        detail = (even - odd) / np.sqrt(2)
        counts = np.logical_and(*(np.take(counts, place, axis=axis) for place in places))
    return detail[counts]


def detail_std(covariance: Covariance, shape: tuple[int, ...], spatial_axes: tuple[int, ...]) -> float:
    """Standard deviation of the finest Haar details of noise of a covariance: the median of some places."""
    axes = [axis for axis in spatial_axes if shape[axis] > 1]
    corners = [range(0, n - 1, 2) if axis in axes else range(n) for axis, n in enumerate(shape)]
    count = math.prod(map(len, corners))
    parity = np.indices((2,) * len(axes)).sum(axis=0).ravel() % 2
    signs = (1.0 - 2.0 * parity) / np.sqrt(parity.size)
    found = []
    for flat in sorted({round(place) for place in np.linspace(0, count - 1, min(count, MOST_PLACES))}):
        corner = np.unravel_index(flat, tuple(map(len, corners)))
        starts = [one[int(place)] for one, place in zip(corners, corner, strict=True)]
        block = np.zeros(shape, np.bool_)
        block[tuple(slice(at, at + 1 + (axis in axes)) for axis, at in enumerate(starts))] = True
        found.append(float(signs @ covariance.block(block) @ signs))
    return float(np.sqrt(max(0.0, np.median(found))))


def clipped_at(values: NDArray[np.float64]) -> tuple[float, ...]:
    """The smallest and the largest of some values, as far as so many are equal to it that it is no chance."""
    if not values.size or (low := float(values.min())) == (high := float(values.max())):
        return ()
    counts = {end: int(np.count_nonzero(values == end)) for end in (low, high)}
    return tuple(end for end, n in counts.items() if n >= max(FEWEST_CLIPPED, CLIPPED * values.size))


def correlation(
    a: NDArray[np.float64], b: NDArray[np.float64], spatial_axes: tuple[int, ...], mask: NDArray[np.bool_]
) -> float:
    """How far the noise of two channels is one, by their finest details: robust, between -1 and 1.

    Source
    ------
    Gnanadesikan and Kettenring, Biometrics 28 (1972): from the robust variances of the sum and the
    difference, each channel in units of its own noise.
    """
    scales = [robust_std(channel, spatial_axes, mask) for channel in (a, b)]
    if not all(scales):
        return 0.0
    one, other = a / scales[0], b / scales[1]
    both, apart = (robust_std(x, spatial_axes, mask) ** 2 for x in (one + other, one - other))
    return (both - apart) / (both + apart) if both + apart else 0.0
