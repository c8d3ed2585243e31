"""One channel in place of several: images without colours for a model that takes colours."""

import numpy as np
from numpy.typing import NDArray

from onnx_si.analysis.frame import Input
from onnx_si.errors import InputError

Array = NDArray[np.float64]


def one_channel(array: Array, taken: Input, what: str) -> Array:
    """The one channel of an image that was saved in colour, in front or behind; else as it is.

    Raises
    ------
    InputError
        If its channels are not the same.
    """
    axis = channels_saved(array.shape, taken)
    if axis is None:
        return array
    first = np.take(array, [0], axis=axis)
    if not np.array_equal(array, np.broadcast_to(first, array.shape)):
        raise InputError(f"--gray: {what} has {array.shape[axis]} channels that differ; leave --gray out")
    return first


def channels_saved(shape: tuple[int, ...], taken: Input) -> int | None:
    """The axis of an array that has as many channels as the model."""
    count = taken.sizes[taken.layout.channel_axis or 0]
    axes = (len(shape) - 1, len(shape) - 1 - len(taken.layout.spatial_axes))
    return next((axis for axis in axes if axis >= 0 and shape[axis] == count), None)
