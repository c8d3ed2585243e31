"""Covariances with a structure over the image's axes: a product of small matrices, or a function of the
shift.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import InputError
from onnx_si.statistics.noise.covariance import Array, Mask, require_covariance, require_variances


@dataclass(frozen=True, eq=False)
class Separable:
    """A Kronecker product of one small covariance matrix for each axis of the image; None is the identity.

    Work and memory are those of the axes, never of all pairs of pixels: n (n_1 + n_2 + ...) for `times`.

    Raises
    ------
    InputError
        If a factor is not symmetric and positive definite.
    """

    factors: tuple[Array | None, ...]

    def __post_init__(self) -> None:
        for axis, factor in enumerate(self.factors):
            if factor is not None:
                require_covariance(factor, f"the covariance along axis {axis}")
        sizes = [np.diag(factor) for factor in self.factors if factor is not None]
        ends = [math.prod(float(extreme(d)) for d in sizes) for extreme in (np.min, np.max)]
        require_variances(np.array(ends), "the product of the covariances along the axes")

    def times(self, direction: Array) -> Array:
        return _along_axes(self.factors, direction)

    def block(self, mask: Mask) -> Array:
        result: Array = np.ones(())
        for factor, index in zip(self.factors, np.nonzero(mask), strict=True):
            same = (index[:, None] == index).astype(np.float64)
            result = result * (same if factor is None else factor[np.ix_(index, index)])
        return result

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        roots = tuple(None if factor is None else np.linalg.cholesky(factor) for factor in self.factors)
        return _along_axes(roots, rng.standard_normal(shape))

    def fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == len(self.factors) and all(
            factor is None or len(factor) == size for factor, size in zip(self.factors, shape, strict=True)
        )

    def __str__(self) -> str:
        sizes = " x ".join("1" if factor is None else str(len(factor)) for factor in self.factors)
        return f"normal, separable covariance of axes {sizes}"


@dataclass(frozen=True, eq=False)
class Stationary:
    """Covariance that depends on the shift between two values only: `autocovariance[h + shift]`, zero beyond.

    Parameters
    ----------
    autocovariance : array
        As many axes as the image, odd sizes, shift zero in the middle, the same for a shift and its opposite.
    shape : tuple of int
        Of the image.

    Raises
    ------
    InputError
        If it is no autocovariance.

    Source
    ------
    Dietrich and Newsam, SIAM J. Sci. Comput. 18 (1997): the matrix is a part of a circulant one on a larger
    torus, whose eigenvalues are a Fourier transform; where none is negative the matrix is positive
    semidefinite, and samples are exact.
    """

    autocovariance: Array
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        kernel = self.autocovariance
        if kernel.ndim != len(self.shape) or any(size % 2 == 0 for size in kernel.shape):
            raise InputError(
                f"an autocovariance of shape {kernel.shape} for an image of shape {self.shape}; as many axes "
                "and odd sizes are needed, with shift zero in the middle"
            )
        middle = kernel[tuple(size // 2 for size in kernel.shape)]
        require_variances(np.atleast_1d(middle), "the autocovariance")
        if not np.array_equal(kernel, np.flip(kernel)):
            raise InputError("the autocovariance of a shift and of its opposite differ; they must be equal")
        lowest = float(self._transform().min())
        rounding = 16 * math.log2(kernel.size + 1) * np.finfo(np.float64).eps * float(np.abs(kernel).sum())
        if not lowest > -rounding:
            raise InputError(
                f"the autocovariance is not positive definite: its spectrum falls to {lowest:.3g}; "
                "use one whose Fourier transform is nowhere negative"
            )

    def times(self, direction: Array) -> Array:
        return self._filtered(direction, self._spectrum())

    def block(self, mask: Mask) -> Array:
        kernel = self.autocovariance
        half = [size // 2 for size in kernel.shape]
        shifts = [index[:, None] - index for index in np.nonzero(mask)]
        near = np.all([np.abs(s) <= h for s, h in zip(shifts, half, strict=True)], axis=0)
        places = tuple(np.where(near, s + h, 0) for s, h in zip(shifts, half, strict=True))
        return np.where(near, kernel[places], 0.0)

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        spectrum = self._spectrum()
        return self._filtered(rng.standard_normal(self._torus()), np.sqrt(spectrum))

    def fits(self, shape: tuple[int, ...]) -> bool:
        return shape == self.shape

    def __str__(self) -> str:
        reach = " x ".join(str(size // 2) for size in self.autocovariance.shape)
        return f"normal, stationary covariance that reaches {reach} values"

    def _torus(self) -> tuple[int, ...]:
        return tuple(n + k // 2 for n, k in zip(self.shape, self.autocovariance.shape, strict=True))

    def _spectrum(self) -> Array:
        """Eigenvalues on the torus; what is below zero is so by rounding."""
        return np.maximum(self._transform(), 0.0)

    def _transform(self) -> Array:
        torus = self._torus()
        wrapped = np.zeros(torus)
        places = [(np.arange(k) - k // 2) % n for k, n in zip(self.autocovariance.shape, torus, strict=True)]
        np.add.at(wrapped, np.ix_(*places), self.autocovariance)
        return np.fft.fftn(wrapped).real

    def _filtered(self, image: Array, spectrum: Array) -> Array:
        axes = tuple(range(len(self.shape)))
        wide = np.fft.fftn(image, spectrum.shape, axes=axes)
        result = np.fft.ifftn(wide * spectrum).real
        return result[tuple(slice(size) for size in self.shape)]


def _along_axes(matrices: Sequence[NDArray[np.floating[Any]] | None], image: Array) -> Array:
    """Multiply along every axis by that axis' matrix."""
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            image = np.moveaxis(np.tensordot(matrix, image, axes=(1, axis)), 0, axis)
    return image
