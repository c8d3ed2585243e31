"""The noise's standard deviation from data: independent images of background, or the image itself."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import InputError
from onnx_si.statistics.noise.covariance import Scalar
from onnx_si.statistics.noise.noise import Noise

MAD_OF_NORMAL = 0.6744897501960817  # median absolute deviation of N(0, 1)


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


def estimate_from_image(image: NDArray[np.float64], spatial_axes: tuple[int, ...]) -> Noise:
    """Robust estimate from the finest Haar details of the image itself.

    Parameters
    ----------
    image : array
    spatial_axes : tuple of int
        Differences are taken along each of them, so that smooth content drops out.

    Raises
    ------
    InputError
        If the image is too small or too flat for it.

    Source
    ------
    Donoho and Johnstone, Biometrika 81 (1994), section 3.1: median absolute detail divided by 0.6745.
    """
    std = robust_std(image, spatial_axes)
    if not std > 0:
        raise InputError(
            "the noise can't be estimated from this image (too small, or half of it is flat); give --sigma"
        )
    return Noise.scalar(std, "estimated from the image (median absolute Haar detail)", known=False)


def robust_std(image: NDArray[np.float64], spatial_axes: tuple[int, ...]) -> float:
    """Standard deviation of noise by the finest Haar details; 0 where half of them are, or without any."""
    detail = image
    for axis in spatial_axes:
        pairs = detail.shape[axis] // 2
        even = np.take(detail, np.arange(0, 2 * pairs, 2), axis=axis)
        odd = np.take(detail, np.arange(1, 2 * pairs, 2), axis=axis)
        detail = (even - odd) / np.sqrt(2)
    return float(np.median(np.abs(detail))) / MAD_OF_NORMAL if detail.size else 0.0
