"""A covariance from independent images of background, under a model of its structure."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import InputError
from onnx_si.ground.layout import Layout
from onnx_si.statistics.noise.covariance import Array, Covariance, Diagonal, Full
from onnx_si.statistics.noise.noise import Noise
from onnx_si.statistics.noise.structured import Separable, Stationary

INDEPENDENT = "independent"
LARGEST_SHIFT = 4  # shifts go up to this part of a side: beyond it too few pairs of pixels are left


def estimate_covariance(images: Sequence[NDArray[np.float64]], layout: Layout, model: str) -> Noise:
    """Covariance of independent images of one scene without signal, each value's mean over them removed.

    Unlike the one variance of independent noise, a covariance's shape can't be estimated without an effect
    on the level: direction and truncation set depend on it. Tests treat the estimate as the truth, so their
    level is approximate, and the result says so; it comes closer with every image.

    Parameters
    ----------
    images : sequence of arrays
        At least two, in the shape that the model takes.
    layout : Layout
        Of that shape.
    model : str
        In `MODELS`.

    Returns
    -------
    Noise
        Neither known nor with degrees of freedom.

    Raises
    ------
    InputError
        If the images differ in shape, or are too few for the model.

    Source
    ------
    Unbiased moments of the residuals on (number of images - 1) degrees of freedom. Separable: the factors'
    moments, as the first step of Dutilleul, J. Stat. Comput. Simul. 64 (1999). Stationary: the sample
    autocovariance up to a quarter of a side (Box and Jenkins), made positive semidefinite on the torus of
    `Stationary` by leaving out what is negative of its spectrum.
    """
    if len({image.shape for image in images}) != 1:
        raise InputError(f"noise images of shapes {[image.shape for image in images]}; give one shape")
    if len(images) < 2:
        raise InputError(f"noise model {model} needs at least two noise images of one scene, got one")
    stack = np.stack(list(images))
    residuals = stack - stack.mean(axis=0)
    if not np.square(residuals).sum() > 0:
        raise InputError("the noise images are all the same; give ones with noise in them, or --covariance")
    covariance = MODELS[model](residuals, layout)
    return Noise(
        covariance=covariance,
        source=f"estimated from {len(images)} independent images of one scene",
        known=False,
    )


def _diagonal(residuals: Array, layout: Layout) -> Covariance:
    return Diagonal(np.square(residuals).sum(axis=0) / (len(residuals) - 1))


def _full(residuals: Array, layout: Layout) -> Covariance:
    freedom, size = len(residuals) - 1, residuals[0].size
    if freedom < size:
        raise InputError(
            f"noise model full of {size} values needs {size + 1} noise images or more, got {freedom + 1}; "
            "use stationary or separable"
        )
    rows = residuals.reshape(freedom + 1, size)
    return Full(rows.T @ rows / freedom)


def _separable(residuals: Array, layout: Layout) -> Covariance:
    freedom, size = len(residuals) - 1, residuals[0].size
    variance = float(np.square(residuals).sum()) / (freedom * size)
    factors: list[Array | None] = [None] * (residuals.ndim - 1)
    for axis, length in enumerate(residuals.shape[1:]):
        if length == 1:
            continue
        if freedom * (size // length) < length:
            raise InputError(
                f"noise model separable: {freedom + 1} noise images are too few for the {length} values "
                f"along axis {layout.axes[axis]}; give more, or use stationary"
            )
        rows = np.moveaxis(residuals, axis + 1, 0).reshape(length, -1)
        factors[axis] = rows @ rows.T * (length / (freedom * size * variance))
    first = next((axis for axis, factor in enumerate(factors) if factor is not None), 0)
    scaled = factors[first]
    factors[first] = variance * (np.eye(residuals.shape[first + 1]) if scaled is None else scaled)
    return Separable(tuple(factors))


def _stationary(residuals: Array, layout: Layout) -> Covariance:
    """Channels have one autocovariance and are independent of each other."""
    shape = residuals.shape[1:]
    torus = [2 * n - 1 if axis in layout.spatial_axes else 1 for axis, n in enumerate(shape)]
    axes = layout.spatial_axes
    sizes = [torus[axis] for axis in axes]
    inner = tuple(axis + 1 for axis in axes)
    power = np.square(np.abs(np.fft.fftn(residuals, sizes, axes=inner)))
    others = tuple(axis for axis in range(residuals.ndim) if axis not in inner)
    sums = np.fft.ifftn(power.sum(axis=others)).real
    channels = residuals[0].size // int(np.prod([shape[axis] for axis in axes]))
    weights = np.ones(())
    for axis in axes:
        n = shape[axis]
        shifts = np.minimum(np.arange(2 * n - 1), 2 * n - 1 - np.arange(2 * n - 1))
        reach = max(1, n // LARGEST_SHIFT)
        weights = np.multiply.outer(weights, np.where(shifts <= reach, 1 / np.maximum(n - shifts, 1), 0.0))
    unbiased = sums * weights / (channels * (len(residuals) - 1))
    spectrum = np.maximum(np.fft.fftn(unbiased).real, 0.0)
    kernel = np.fft.fftshift(np.fft.ifftn(spectrum).real)
    return Stationary((0.5 * (kernel + np.flip(kernel))).reshape(torus), shape)


MODELS: dict[str, Callable[[Array, Layout], Covariance]] = {
    "diagonal": _diagonal,
    "separable": _separable,
    "stationary": _stationary,
    "full": _full,
}
