"""Hypothesis `global`: every pixel of the region equals the same pixel of the reference."""

import math

import numpy as np
import scipy  # loads its parts when they are used

from onnx_si.errors import InputError, UsageError
from onnx_si.statistics.hypotheses.contrast import Array, Data, Mask
from onnx_si.statistics.hypotheses.hypothesis import Hypothesis, reference_of
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.noise import Covariance, Diagonal, Scalar
from onnx_si.statistics.truncated import Chi, Ratio

EPS = float(np.finfo(np.float64).eps)
ROUNDINGS = 8  # of a length, besides those of adding up
LARGEST_BLOCK = 4000  # values of the region, beyond which a dense block of a covariance is too large


def all_pixels(data: Data, region: Mask) -> ImageLine:
    """Line of the length of the difference between image and reference over the region.

    With D the difference on the region's d values and V = (1 + 1/K) Sigma its covariance there, T^2 = D'
    V^-1 D. Under the null T is chi with d degrees of freedom, and independent of D's direction and of
    everything that is uncorrelated with D. Holding both fixed leaves the images a + c z, z >= 0, with c =
    Sigma V^-1 D / T (V^-1 D filled up with zeros). For independent noise of one standard deviation sigma
    that moves pixel i of the region by sigma sqrt(1 + 1/K) K / (1 + K) D_i / |D| per unit of z.

    Where the noise's scale is only estimated, independently on v degrees of freedom, T^2 + v (in units of the
    estimate) is held fixed too, and T^2 / (T^2 + v) is Beta(d/2, v/2): the F-test, truncated to S.

    Parameters
    ----------
    data : Data
    region : boolean array
        In the image's shape: every value of it is one degree of freedom.

    Returns
    -------
    ImageLine
        Dimensionless: z is in units of the noise, and `standard_error` is 1.

    Raises
    ------
    UsageError
        Without a reference, or if the region is too large for a correlated covariance.

    Source
    ------
    Miwa, Duy, Takeuchi, ICLR 2023, the global null; whitening for a general covariance and the ratio as in
    the F-test of a linear model.
    """
    difference = (data.image - reference_of(data, "global"))[region]
    inflation = 1 + 1 / data.references
    solved = _solve(data.noise.covariance, region, difference) / inflation
    statistic = math.sqrt(float(difference @ solved))
    if statistic == 0:
        raise UsageError("image and reference are the same in the region; a test needs two different images")
    filled = np.zeros(data.image.shape)
    filled[region] = solved / statistic
    direction = data.noise.times(filled)
    freedom, of_noise = difference.size, data.noise.degrees_of_freedom
    distribution = (
        Chi(freedom, 1.0)
        if of_noise is None
        else Ratio(freedom, of_noise, math.hypot(statistic, math.sqrt(of_noise)))
    )
    return ImageLine(
        start=data.image - direction * statistic,
        direction=direction,
        statistic=statistic,
        standard_error=1.0,
        distribution=distribution,
        degrees_of_freedom=freedom,
        dimension_is_the_images=False,
        rounding=EPS * (ROUNDINGS + math.sqrt(freedom)) * statistic,
    )


def _largest(covariance: Covariance) -> float:
    """Values of a region whose block of a covariance is not too large."""
    return math.inf if isinstance(covariance, Scalar | Diagonal) else LARGEST_BLOCK


def _solve(covariance: Covariance, region: Mask, values: Array) -> Array:
    """The inverse of the covariance's block on the region, times values there."""
    if isinstance(covariance, Scalar):
        return values / covariance.std**2
    if isinstance(covariance, Diagonal):
        return values / covariance.variances[region]
    if values.size > _largest(covariance):
        raise UsageError(
            f"hypothesis 'global' with correlated noise needs a dense matrix of the region's {values.size} "
            f"values, and at most {LARGEST_BLOCK} are allowed; use --hypothesis mean, a higher --threshold "
            "or fewer --channels"
        )
    try:
        solved: Array = scipy.linalg.cho_solve(
            scipy.linalg.cho_factor(covariance.block(region), lower=True), values
        )
    except np.linalg.LinAlgError as error:
        raise InputError(
            "the noise's covariance on the region is singular: some combination of its values has no noise; "
            "give a positive definite covariance"
        ) from error
    return solved


GLOBAL = Hypothesis(
    line=all_pixels,
    null="every pixel of the region is the same pixel of the reference",
    if_true="image and reference differed in the region by noise alone",
    needs_reference=True,
    alternatives=("greater",),
    largest=_largest,
)
