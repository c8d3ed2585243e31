"""One draw of a row: an image with its references, tested by every method."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import onnx_si
from benchmarks.validity.networks import PAPER, SIDE, network
from onnx_si.report.region import component_masks

PRECISION = 1e-3


def ar1(size: int, rho: float) -> np.ndarray:
    """Correlations of a first-order autoregression."""
    return rho ** np.abs(np.subtract.outer(np.arange(size), np.arange(size)))


def triangle(reach: int) -> np.ndarray:
    """A positive definite autocovariance over two axes of space."""
    line = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)
    return np.outer(line, line)


COVARIANCES = {
    "diagonal": lambda: np.linspace(0.25, 2.25, SIDE * SIDE).reshape(SIDE, SIDE),
    "full": lambda: np.kron(ar1(SIDE, 0.5), ar1(SIDE, 0.3)),
    "separable": lambda: {"H": ar1(SIDE, 0.5), "W": ar1(SIDE, 0.3)},
    "stationary": lambda: {"autocovariance": triangle(2)},
}


@dataclass(frozen=True)
class Row:
    """One line of the table: how data are drawn, and how they are tested.

    `freedom`: sigma is an estimate on so many degrees of freedom. `noise_images`: it is estimated from so
    many images. `signal`: mean of a square of half the side at a random place. `side`: of the image.
    `judged`: `level`, a p-value that is uniform; `family`, of which the rate may only be smaller; None,
    nothing. `of`: whose p-value it is, the region's, that of the `component` which holds a pixel drawn
    beforehand, or the least adjusted one of all components, the `family`.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    references: int = 1
    covariance: str | None = None
    freedom: int | None = None
    noise_images: int = 0
    signal: float = 0.0
    judged: str | None = "level"
    of: str = "region"
    model: str = PAPER
    side: int = SIDE
    methods: tuple[str, ...] = ("selective", "naive", "bonferroni")


@dataclass(frozen=True)
class Trial:
    """What one draw gave; None where there was no region."""

    p_value: float
    naive: float | None
    over: float | None
    permutation: float | None
    bonferroni: float | None
    covered: bool | None
    length: float | None


def one_trial(job: tuple[Row, np.random.SeedSequence]) -> Trial | None:
    """Draw an image with its references, and test it by every method."""
    row, seed = job
    rng = np.random.default_rng(seed)
    space, half = (row.side, row.side), row.side // 2
    truth = np.zeros(space)
    pixel = tuple(rng.integers(0, row.side, size=2))
    if row.signal:
        top, left = rng.integers(0, half + 1, size=2)
        truth[top : top + half, left : left + half] = row.signal
    drawn = [sample(rng, row.covariance, space) for _ in range(1 + row.references + row.noise_images)]
    image, others = drawn[0] + truth, drawn[1 : 1 + row.references]
    options: dict[str, Any] = {"threshold": "minmax:0.7", "precision": PRECISION, **row.options}
    options["methods"] = row.methods if row.of == "region" else ("selective",)
    if row.noise_images:
        options["noise_from"] = drawn[1 + row.references :]
    elif row.covariance:
        options["covariance"] = COVARIANCES[row.covariance]()
    else:
        scale = 1.0 if row.freedom is None else math.sqrt(rng.chisquare(row.freedom) / row.freedom)
        options |= {"sigma": scale, "sigma_df": row.freedom}
    try:
        result = onnx_si.test(
            network(row.model), image, others or None, seed=int(rng.integers(2**31)), **options
        )
    except onnx_si.NothingToTest:
        return None
    if row.of != "region":
        p_value = of_components(row, result, pixel)
        return None if p_value is None else Trial(p_value, None, None, None, None, None, None)
    region, compared = result.region, result.comparison
    value = truth[region].mean() - (truth[~region].mean() if result.hypothesis == "background" else 0.0)
    interval = result.confidence_interval
    return Trial(
        result.p_value,
        compared.naive,
        compared.over_conditioning,
        compared.permutation,
        compared.bonferroni,
        None if interval is None else bool(interval[0] <= value <= interval[1]),
        None if interval is None else float(interval[1] - interval[0]),
    )


def of_components(row: Row, result: onnx_si.Result, pixel: tuple[int, ...]) -> float | None:
    """The p-value of the component that holds a pixel, if one does, or the family's least adjusted one."""
    tests = result.component_tests
    if row.of == "family":
        return min(one.p_value_adjusted for one in tests if one.p_value_adjusted is not None)
    pairs = zip(component_masks(result.region), tests, strict=True)
    return next((one.p_value for mask, one in pairs if mask[pixel]), None)


def sample(rng: np.random.Generator, covariance: str | None, space: tuple[int, int]) -> np.ndarray:
    """One image of the noise, drawn with dense linear algebra of its own."""
    white = rng.normal(size=space)
    if covariance is None:
        return white
    if covariance == "diagonal":
        return np.sqrt(COVARIANCES["diagonal"]()) * white
    if covariance in ("full", "separable"):
        rows, columns = (np.linalg.cholesky(ar1(SIDE, rho)) for rho in (0.5, 0.3))
        return rows @ white @ columns.T
    shifts = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    root = np.linalg.cholesky(np.clip(1 - np.abs(shifts) / 3, 0, None))
    return root @ white @ root.T
