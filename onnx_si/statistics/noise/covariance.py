"""Covariance matrices of an image's values, by their structure: no n x n matrix is made of a structured one.

Every class has `times` (the matrix times an image), `block` (its dense part on few values), `sample` and a
description. Images have the model's input shape, batch axis included.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import InputError, UsageError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SMALLEST, LARGEST = 1e-150, 1e150  # standard deviations: the variance must be a number too
SYMMETRY = 1e-10  # relative difference of a matrix and its transpose that rounding in a file explains


class Covariance(Protocol):
    """The covariance matrix of an image's values."""

    def times(self, direction: Array) -> Array:
        """The matrix times an image."""
        ...

    def block(self, mask: Mask) -> Array:
        """Its rows and columns on m chosen values, (m, m)."""
        ...

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """One image of this noise."""
        ...

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether it belongs to images of this shape."""
        ...

    def __str__(self) -> str:
        """What it is, in a few words."""
        ...


@dataclass(frozen=True)
class Scalar:
    """Independent values of one standard deviation.

    Raises
    ------
    UsageError
        If it is not a positive number.
    """

    std: float

    def __post_init__(self) -> None:
        if not SMALLEST < self.std < LARGEST:
            raise UsageError(
                f"noise standard deviation {self.std:g}; it must be a positive number between {SMALLEST:g} "
                f"and {LARGEST:g}"
            )

    def times(self, direction: Array) -> Array:
        return self.std**2 * direction

    def block(self, mask: Mask) -> Array:
        return self.std**2 * np.eye(int(np.count_nonzero(mask)))

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return self.std * rng.standard_normal(shape)

    def fits(self, shape: tuple[int, ...]) -> bool:
        return True

    def __str__(self) -> str:
        return f"independent normal, std {self.std:.6g}"


@dataclass(frozen=True, eq=False)
class Diagonal:
    """Independent values with a variance each, in the image's shape.

    Raises
    ------
    InputError
        If a variance is not a positive number.
    """

    variances: Array

    def __post_init__(self) -> None:
        low, high = float(self.variances.min()), float(self.variances.max())
        if not (low > SMALLEST**2 and high < LARGEST**2):
            raise InputError(f"variances from {low:g} to {high:g}; every one must be a positive number")

    def times(self, direction: Array) -> Array:
        return self.variances * direction

    def block(self, mask: Mask) -> Array:
        return np.diag(self.variances[mask])

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.sqrt(self.variances) * rng.standard_normal(shape)

    def fits(self, shape: tuple[int, ...]) -> bool:
        return self.variances.shape == shape

    def __str__(self) -> str:
        low, high = np.sqrt(self.variances.min()), np.sqrt(self.variances.max())
        text = f"{low:.6g}"
        return f"independent normal, std {text}{'' if text == f'{high:.6g}' else f' to {high:.6g}'}"


@dataclass(frozen=True, eq=False)
class Full:
    """Any covariance matrix (n, n), rows in the order of the image's values as the model takes them.

    Raises
    ------
    InputError
        If it is not symmetric and positive definite.
    """

    matrix: Array

    def __post_init__(self) -> None:
        require_covariance(self.matrix, "the covariance matrix")

    def times(self, direction: Array) -> Array:
        return (self.matrix @ direction.ravel()).reshape(direction.shape)

    def block(self, mask: Mask) -> Array:
        chosen = np.flatnonzero(mask)
        return self.matrix[np.ix_(chosen, chosen)]

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return (np.linalg.cholesky(self.matrix) @ rng.standard_normal(len(self.matrix))).reshape(shape)

    def fits(self, shape: tuple[int, ...]) -> bool:
        return len(self.matrix) == math.prod(shape)

    def __str__(self) -> str:
        return f"normal, full covariance of {len(self.matrix)} values"


def require_variances(variances: Array, what: str) -> None:
    """Refuse what is empty, or holds a variance that is no positive number in reach of double precision.

    Raises
    ------
    InputError
    """
    low, high = float(variances.min(initial=math.inf)), float(variances.max(initial=0.0))
    if not (low > SMALLEST**2 and high < LARGEST**2):
        raise InputError(
            f"{what} has variances from {low:g} to {high:g}; every one must be a positive number"
        )


def require_covariance(matrix: Array, what: str) -> None:
    """Refuse what is not square, finite, symmetric and positive definite.

    Raises
    ------
    InputError
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        raise InputError(f"{what} has shape {matrix.shape}; a square matrix of finite numbers is needed")
    require_variances(np.diag(matrix), what)
    if np.abs(matrix - matrix.T).max() > SYMMETRY * np.abs(matrix).max():
        raise InputError(f"{what} is not symmetric; give one that equals its transpose")
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise InputError(f"{what} is not positive definite; every eigenvalue must be positive") from None
