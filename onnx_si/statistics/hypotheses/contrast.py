"""What was observed, and linear contrasts of it: statistic, standard error and the line that conditioning
leaves.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.noise import Noise
from onnx_si.statistics.truncated import Normal, Student

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
EPS, SMALLEST = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).smallest_subnormal)
PAIRWISE = 256  # roundings that a number passes through at most where numpy adds up a million
UNITS = 1.5 * EPS + PAIRWISE * float(np.finfo(np.longdouble).eps)  # weight, product, and the sum of products


@dataclass(frozen=True, kw_only=True)
class Data:
    """What was observed, and what a hypothesis may compare the region with.

    Parameters
    ----------
    image : array
        As the model takes it, before any preprocessing.
    reference : array or None
        Mean of the references, in the image's shape.
    references : int
        How many they are; not a whole number where the image's noise counts as more or less than once.
    noise : Noise
    mask : boolean array or None
        Values that may enter the test, in the image's shape (mask and choice of channels); None: all.
    spatial_axes : tuple of int
        Of the image.
    ring : int
        Width of a neighbourhood, in pixels.
    """

    image: Array
    reference: Array | None
    references: float
    noise: Noise
    mask: Mask | None = None
    spatial_axes: tuple[int, ...] = ()
    ring: int = 1

    def outside(self, region: Mask) -> Mask:
        """Everything that may enter the test and is not in the region."""
        return ~region if self.mask is None else self.mask & ~region


def difference_of_means(region: Mask, others: Mask) -> Array:
    """Weights whose sum over an image is the region's mean minus the others' mean."""
    inside, outside = np.count_nonzero(region), np.count_nonzero(others)
    return np.where(region, 1 / inside, 0.0) - np.where(others, 1 / outside, 0.0)


def inner_product(weights: Array, values: Array) -> tuple[float, float]:
    """The sum of weights times values, and a bound of its rounding, that of the weights included."""
    terms = weights * values
    total = float(terms.sum(dtype=np.longdouble))
    return total, UNITS * float(np.abs(terms).sum()) + SMALLEST


def contrast_line(data: Data, on_image: Array, on_reference: Array | None = None) -> ImageLine:
    """The line of a contrast T = <on_image, image> + <on_reference, reference>.

    Where only the noise's shape is known, up to an independent variance estimate on v degrees of freedom,
    the total sum of squares Q = T^2 / tau^2 + v s^2 is held fixed as well (tau^2 = eta' Sigma_0 eta for the
    shape Sigma_0, s^2 the estimate). Under the null T / tau and v s^2 are independent, N(0, sigma^2) and
    sigma^2 times chi-squared, so that U = T / (tau sqrt(Q)) does not depend on Q, on sigma or on the
    nuisance, and sqrt(v) U / sqrt(1 - U^2) is Student's t on v degrees of freedom. Given Q the statistic is
    tau sqrt(Q) U, Student's t rescaled to |T| < radius = sqrt(T^2 + v se^2); the region depends on T alone
    along the line, so conditioning on it truncates this distribution to S.

    Parameters
    ----------
    data : Data
    on_image, on_reference : arrays
        The two parts of the test direction eta; zero mean of T is the null hypothesis.

    Returns
    -------
    ImageLine
        With direction Sigma eta / (eta' Sigma eta), of which only the image's part moves the network.

    Source
    ------
    Miwa, Duy, Takeuchi, ICLR 2023, section 3 (conditioning on the nuisance parameter). Unknown scale:
    derived above; the selective t-test of Fithian, Sun, Taylor (arXiv 1410.2597) for regression has the same
    idea, with the residual sum of squares of the data themselves in the place of an independent estimate.
    """
    spread = data.noise.times(on_image)
    statistic, rounding = inner_product(on_image, data.image)
    moving = variance = float(np.vdot(on_image, spread))
    if on_reference is not None and data.reference is not None:
        compared, more = inner_product(on_reference, data.reference)
        statistic, rounding = statistic + compared, rounding + more + EPS * abs(statistic + compared)
        variance += float(np.vdot(on_reference, data.noise.times(on_reference))) / data.references
    direction = spread / variance
    standard_error = math.sqrt(variance)
    freedom = data.noise.degrees_of_freedom
    distribution = (
        Normal(0.0, standard_error)
        if freedom is None
        else Student(freedom, math.hypot(statistic, math.sqrt(freedom) * standard_error))
    )
    return ImageLine(
        start=data.image - direction * statistic,
        direction=direction,
        statistic=statistic,
        standard_error=standard_error,
        distribution=distribution,
        degrees_of_freedom=freedom,
        image_share=moving / variance,
        rounding=rounding,
    )
