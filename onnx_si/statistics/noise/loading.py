"""Covariances from arrays and files, told apart by their shapes."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnx_si.errors import InputError, UsageError
from onnx_si.ground.files import read_arrays
from onnx_si.ground.layout import Layout, fit
from onnx_si.statistics.noise.covariance import Covariance, Diagonal, Full
from onnx_si.statistics.noise.structured import Separable, Stationary

AUTOCOVARIANCE, VARIANCE = "autocovariance", "variance"


def read_covariance(path: str | os.PathLike[str]) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Read `.npy` (one array) or `.npz` (a structure, by the names that `covariance_of` knows).

    Raises
    ------
    InputError
        If the file can't be read.
    """
    arrays = read_arrays(path)
    return arrays if isinstance(arrays, dict) else np.asarray(arrays)


def covariance_of(
    given: ArrayLike | Mapping[str, ArrayLike] | Covariance, shape: tuple[int, ...], layout: Layout
) -> Covariance:
    """The covariance that an array or a mapping of arrays means.

    Parameters
    ----------
    given : array, mapping of str to array, or Covariance
        An array with one variance for each value of the image, or the full matrix (n, n). A mapping with a
        matrix for some of the axes C, D, H, W and a factor `variance` (separable), or with `autocovariance`
        over the axes of space (stationary).
    shape : tuple of int
        Of the image as the model takes it.
    layout : Layout

    Raises
    ------
    InputError
        If it does not belong to images of that shape, or is no covariance.
    """
    if isinstance(given, Mapping):
        found = _structured({name: _numbers(value) for name, value in given.items()}, shape, layout)
    elif hasattr(given, "times") and hasattr(given, "block"):
        found = given  # type: ignore[assignment]
    else:
        found = _plain(_numbers(given), shape, layout)
    if not found.fits(shape):
        raise InputError(f"{found}: it does not fit the image of shape {shape}")
    return found


def _numbers(values: Any) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise InputError(f"a covariance of type {array.dtype}, or with NaN; finite numbers are needed")
    return array.astype(np.float64)


def _plain(array: NDArray[np.float64], shape: tuple[int, ...], layout: Layout) -> Covariance:
    size = int(np.prod(shape))
    if array.shape == (size, size):
        return Full(array)
    if array.size != size:
        raise InputError(
            f"a covariance of shape {array.shape} for an image of shape {shape}: give its variances in that "
            f"shape, or the full matrix ({size}, {size})"
        )
    return Diagonal(fit(array, shape, layout, "the array of variances"))


def _structured(arrays: Mapping[str, Any], shape: tuple[int, ...], layout: Layout) -> Covariance:
    axes = [name for name in layout.axes if name in "CDHW"]
    if set(arrays) == {AUTOCOVARIANCE}:
        kernel = arrays[AUTOCOVARIANCE]
        if kernel.ndim != len(layout.spatial_axes):
            raise InputError(
                f"an autocovariance of shape {kernel.shape}; one axis for each of {layout.axes}'s axes "
                "of space"
            )
        sizes = [1] * len(shape)
        for axis, count in zip(layout.spatial_axes, kernel.shape, strict=True):
            sizes[axis] = count
        return Stationary(kernel.reshape(sizes), shape)
    if not arrays or set(arrays) - {*axes, VARIANCE}:
        raise InputError(
            f"a covariance with the entries {sorted(arrays)}; allowed are one matrix for each of the axes "
            f"{axes} and `{VARIANCE}`, or `{AUTOCOVARIANCE}` alone"
        )
    factors: list[NDArray[np.float64] | None] = [arrays.get(name) for name in layout.axes]
    factor = arrays.get(VARIANCE)
    if factor is not None:
        if factor.size != 1:
            raise UsageError(f"`{VARIANCE}` has shape {factor.shape}; it is one number")
        first = next((i for i, matrix in enumerate(factors) if matrix is not None), len(factors) - 1)
        matrix = factors[first]
        factors[first] = float(factor.ravel()[0]) * (np.eye(shape[first]) if matrix is None else matrix)
    return Separable(tuple(factors))
