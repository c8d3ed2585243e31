"""Covariances from arrays and files, told apart by their shapes."""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnx_si.errors import InputError
from onnx_si.ground.budget import excess
from onnx_si.ground.files import read_arrays
from onnx_si.ground.layout import Layout, fit
from onnx_si.ground.terminal import shown
from onnx_si.statistics.noise.covariance import Covariance, Diagonal, Full
from onnx_si.statistics.noise.structured import Separable, Stationary

AUTOCOVARIANCE, VARIANCE = "autocovariance", "variance"
WORK = 4  # arrays of a covariance's size that checking it takes
FAR = 1001  # positions of an autocovariance that cost next to nothing, even beyond the image

Accept = Callable[[str | None, tuple[int, ...]], object]


def read_covariance(
    path: str | os.PathLike[str], accept: Accept = lambda name, shape: None
) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Read `.npy` (one array) or `.npz` (a structure, by the names that `covariance_of` knows).

    Parameters
    ----------
    path : path-like
    accept : callable, optional
        Called with name and shape of each array before its values are read; see `accepting`.

    Raises
    ------
    InputError
        If the file can't be read.
    """
    arrays = read_arrays(path, accept)
    return arrays if isinstance(arrays, dict) else np.asarray(arrays)


def accepting(shape: tuple[int, ...], layout: Layout) -> Accept:
    """What refuses arrays that, by their names and shapes, are no covariance of an image.

    Parameters
    ----------
    shape : tuple of int
        Of the image as the model takes it.
    layout : Layout

    Returns
    -------
    callable
        (name, shape), the name None for one that has none; raises InputError.
    """

    def accept(name: str | None, given: tuple[int, ...]) -> None:
        why = excess(8 * WORK * math.prod(given))
        if why is not None:
            raise InputError(f"a covariance of shape {shown(given)}: {why}")
        if name is None:
            _require_plain(given, shape)
        elif name == AUTOCOVARIANCE:
            _require_autocovariance(given, shape, layout)
        elif name not in (*_axes(layout), VARIANCE):
            raise _strange([name], layout)
        elif name in layout.axes and given != (shape[layout.axes.index(name)],) * 2:
            raise InputError(
                f"a covariance of shape {shown(given)} along {name} does not fit an image of shape {shape}"
            )
        elif name == VARIANCE and math.prod(given) != 1:
            raise InputError(f"`{VARIANCE}` has shape {shown(given)}; it is one number")

    return accept


def _require_plain(given: tuple[int, ...], shape: tuple[int, ...]) -> None:
    size = math.prod(shape)
    if given != (size, size) and math.prod(given) != size:
        raise InputError(
            f"a covariance of shape {shown(given)} for an image of shape {shape}: give its variances in that "
            f"shape, or the full matrix ({size}, {size})"
        )


def _require_autocovariance(given: tuple[int, ...], shape: tuple[int, ...], layout: Layout) -> None:
    sizes = layout.spatial_shape(shape)
    if len(given) != len(sizes):
        raise InputError(
            f"an autocovariance of shape {shown(given)}; one axis for each of {layout.axes}'s axes of space"
        )
    if any(have > max(2 * n - 1, FAR) for have, n in zip(given, sizes, strict=True)):
        raise InputError(
            f"an autocovariance of shape {shown(given)} for an image of {sizes}: it reaches beyond it; cut it"
        )


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
    accept = accepting(shape, layout)
    if isinstance(given, Mapping):
        for name, value in given.items():
            accept(name, np.shape(value))
        found = _structured({name: _numbers(value) for name, value in given.items()}, shape, layout)
    elif hasattr(given, "times") and hasattr(given, "block"):
        found = given  # type: ignore[assignment]
    else:
        accept(None, np.shape(given))
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
    return Diagonal(fit(array, shape, layout, "the array of variances"))


def _axes(layout: Layout) -> list[str]:
    return [name for name in layout.axes if name in "CDHW"]


def _strange(names: Iterable[str], layout: Layout) -> InputError:
    return InputError(
        f"a covariance with the entries {[*map(shown, sorted(names))]}; allowed are "
        f"one matrix for each of the axes {_axes(layout)} and `{VARIANCE}`, or `{AUTOCOVARIANCE}` alone"
    )


def _structured(arrays: Mapping[str, Any], shape: tuple[int, ...], layout: Layout) -> Covariance:
    if set(arrays) == {AUTOCOVARIANCE}:
        kernel = arrays[AUTOCOVARIANCE]
        sizes = [1] * len(shape)
        for axis, count in zip(layout.spatial_axes, kernel.shape, strict=True):
            sizes[axis] = count
        return Stationary(kernel.reshape(sizes), shape)
    if not arrays or set(arrays) - {*_axes(layout), VARIANCE}:
        raise _strange(arrays, layout)
    factors: list[NDArray[np.float64] | None] = [arrays.get(name) for name in layout.axes]
    factor = arrays.get(VARIANCE)
    if factor is not None:
        first = next((i for i, matrix in enumerate(factors) if matrix is not None), len(factors) - 1)
        matrix = factors[first]
        factors[first] = float(factor.ravel()[0]) * (np.eye(shape[first]) if matrix is None else matrix)
    return Separable(tuple(factors))
