"""Fourier transforms, linear in the signal, and the windows and mel weights that go with them."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import double, malformed, shape_of
from onnx_si.ops.elementwise import computed
from onnx_si.ops.opaque import at_one_point
from onnx_si.rules.registry import Context, Input, Variable, axis_of, handles, integers, optional, variable
from onnx_si.rules.rules import Affine, Array, Disputed, Opaque, Rule


def transform_matrix(inside: int, parts: int, length: int, inverse: bool, onesided: bool) -> Array:
    """Weights (inside, parts, outside, parts of the result) of a discrete Fourier transform.

    `parts` is 1 for real numbers and 2 for complex ones; only a one-sided inverse gives real numbers.
    """
    affordable((inside, parts, length, 2))
    basis = np.eye(inside)[:, None] * np.array([1, 1j])[:parts, None]
    if inverse and onesided:
        return np.asarray(np.fft.irfft(basis, n=length, axis=2)[..., None])
    transform = np.fft.ifft if inverse else np.fft.fft
    result = transform(basis, n=length, axis=2)
    if onesided:
        result = result[:, :, : length // 2 + 1]
    return np.stack([result.real, result.imag], axis=-1)


def transformed(x: Array, matrix: Array, axis: int) -> Array:
    """The transform along an axis of x (..., parts)."""
    moved = np.moveaxis(x, axis, -2)
    return np.moveaxis(np.einsum("...np,npkq->...kq", moved, matrix, optimize=True), -2, axis)


@handles("DFT", since=(17, 20))
def dft(
    x: Input,
    dft_length: Input = None,
    axis_input: Input = None,
    *,
    context: Context,
    axis: int = 1,
    inverse: int = 0,
    onesided: int = 0,
) -> Rule:
    """The axis is an input, by default the last but one, from version 20 on, and an attribute before."""
    x = variable(x, "input")
    if context.version >= 20:
        (axis,) = (-2,) if axis_input is None else integers(axis_input, "axis")
    where = axis_of(axis, x.ndim)
    if x.ndim < 2 or where == x.ndim - 1 or x.shape[-1] not in (1, 2):
        raise malformed(f"a transform along axis {axis} of shape {x.shape}")
    inside, parts = x.shape[where], x.shape[-1]
    usual = 2 * (inside - 1) if inverse and onesided else inside
    (length,) = (usual,) if dft_length is None else integers(dft_length, "dft_length")
    if length < 1:
        raise malformed(f"a transform of length {length}")
    matrix = transform_matrix(inside, parts, length, bool(inverse), bool(onesided))
    rule = Affine(linear=lambda x, w: transformed(x, w, where + 1), weights=(matrix,), terms=inside * parts)
    if inverse and onesided and length // 2 + 1 != inside:
        why = f"a one-sided inverse of length {length} from {inside} frequencies: runtimes mirror others"
        return Disputed(evaluate=rule.evaluate, reason=why)
    return rule


@handles("STFT", since=(17,))
def stft(
    x: Input, frame_step: Input, window: Input = None, frame_length: Input = None, *, onesided: int = 1
) -> Rule:
    shape = shape_of(x)
    (step,) = integers(frame_step, "frame_step")
    if len(shape) != 3 or shape[2] not in (1, 2) or step < 1:
        raise malformed(f"a signal of shape {shape} in steps of {step}")
    usual = shape[1] if window is None else shape_of(window)[0]
    (length,) = (usual,) if frame_length is None else integers(frame_length, "frame_length")
    if not 1 <= length <= shape[1] or (window is not None and shape_of(window) != (length,)):
        raise malformed(f"frames of {length} of a signal of {shape[1]}, window {shape_of(window)}")
    matrix = transform_matrix(length, shape[2], length, False, bool(onesided))
    places = step * np.arange(1 + (shape[1] - length) // step)[:, None] + np.arange(length)
    framed = partial(_framed, places=places)
    if isinstance(window, Variable):
        return computed(partial(_tapered, matrix=matrix, places=places), x, window, kind="bilinear")
    taper = optional(window, "window")
    weighted = matrix if taper is None else matrix * double(taper)[:, None, None, None]
    variable(x, "signal")
    return Affine(linear=framed, weights=(weighted,), terms=length * shape[2])


def _framed(x: Array, matrix: Array, places: NDArray[np.intp]) -> Array:
    """The transform of each frame, whose elements lie at some places."""
    return np.asarray(np.einsum("zbfnp,...npkq->zbfkq", x[:, :, places], matrix, optimize=True))


def _tapered(x: Array, window: Array, matrix: Array, places: NDArray[np.intp]) -> Array:
    """The same with a window for each point of the batch."""
    pairs = _paired(x, window)
    return np.stack([_framed(a[None], matrix * b[:, None, None, None], places)[0] for a, b in pairs])


def _paired(a: Array, b: Array) -> list[tuple[Array, Array]]:
    """Points of two batches, one of which may have a single point for all."""
    count = max(len(a), len(b))
    return [(a[i % len(a)], b[i % len(b)]) for i in range(count)]


def _window(length: Input, periodic: int, of_angle: Callable[[Array], Array]) -> Opaque:
    def values(length: Array) -> Array:
        count = affordable((int(length),))[0]
        return of_angle(2 * np.pi * np.arange(count) / (count if periodic else count - 1))

    return at_one_point(values, length)


@handles("HannWindow", since=(17,))
def hann_window(length: Input, *, output_datatype: int = 1, periodic: int = 1) -> Opaque:
    return _window(length, periodic, lambda a: 0.5 - 0.5 * np.cos(a))


@handles("HammingWindow", since=(17,))
def hamming_window(length: Input, *, output_datatype: int = 1, periodic: int = 1) -> Opaque:
    return _window(length, periodic, lambda a: 25 / 46 - 21 / 46 * np.cos(a))


@handles("BlackmanWindow", since=(17,))
def blackman_window(length: Input, *, output_datatype: int = 1, periodic: int = 1) -> Opaque:
    return _window(length, periodic, lambda a: 0.42 - 0.5 * np.cos(a) + 0.08 * np.cos(2 * a))


@handles("MelWeightMatrix", since=(17,))
def mel_weight_matrix(
    bins: Input, dft_length: Input, rate: Input, lowest: Input, highest: Input, *, output_datatype: int = 1
) -> Opaque:
    """Triangles over the spectrum, their corners evenly spaced on the mel scale."""

    def weights(bins: Array, length: Array, rate: Array, lowest: Array, highest: Array) -> Array:
        count, _ = affordable((int(bins), int(length) // 2 + 1))
        low, high = (2595 * np.log10(1 + edge / 700) for edge in (float(lowest), float(highest)))
        mels = low + (high - low) / (count + 2) * np.arange(count + 2)
        corners = ((length + 1) * (700 * (10 ** (mels / 2595) - 1)) // rate).astype(int)
        output = np.zeros((int(length) // 2 + 1, count))
        for i, (left, centre, right) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
            rise, fall = np.arange(left, centre + 1), np.arange(centre, right)
            output[rise, i] = 1.0 if centre == left else (rise - left) / (centre - left)
            output[fall, i] = (right - fall) / max(right - centre, 1)
        return output

    return at_one_point(weights, bins, dft_length, rate, lowest, highest)
