"""The line of a test whose region was selected on the image with extra noise added."""

import dataclasses

import numpy as np

from onnx_si.errors import UsageError
from onnx_si.statistics.hypotheses.contrast import Array, Data, Mask
from onnx_si.statistics.hypotheses.hypothesis import Hypothesis
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import Normal, Randomised


def randomised_line(
    hypothesis: Hypothesis, data: Data, region: Mask, extra: Array, share: float
) -> ImageLine:
    """The line of noisy images image + extra that has the statistic of the image itself.

    The extra noise w ~ N(0, share Sigma) splits like the image: w = b + c U with c the direction of the test
    and U = tau^2 / q eta'w, where tau^2 is the statistic's variance and q the image's part of it. b and U
    are independent, and Var U = share tau^4 / q. Held fixed are the image's nuisance a and b, so the noisy
    image is (a + b) + c (T + U), the region depends on T + U alone, and T given that T + U lies in S = {z :
    the region of (a + b) + c z is the observed one} is what the p-value is computed from. U is integrated
    out, not conditioned on, which is what gives the power.

    Parameters
    ----------
    hypothesis : Hypothesis
        A linear contrast.
    data : Data
        Of the image without the extra noise.
    region : boolean array
        Selected on image + extra.
    extra : array
        The noise that was added.
    share : float
        Its covariance over that of the image's noise.

    Returns
    -------
    ImageLine
        Its `statistic` is T + U, `tested` holds T and its standard error.

    Raises
    ------
    UsageError
        If the statistic is not normal.

    Source
    ------
    Tian and Taylor, Annals of Statistics 46 (2018); for noise proportional to Sigma the line is the plain
    test's.
    """
    line = hypothesis.line(data, region)
    if not isinstance(line.distribution, Normal):
        raise UsageError(
            "--randomise needs a normal statistic: not hypothesis global, and noise of known size (not "
            "--sigma-df or --noise-from)"
        )
    zero = None if data.reference is None else np.zeros_like(data.reference)
    of_extra = hypothesis.line(dataclasses.replace(data, image=extra, reference=zero), region)
    added = of_extra.statistic / line.image_share
    relative = share / line.image_share
    place, error = line.statistic + added, line.standard_error
    return dataclasses.replace(
        line,
        start=data.image + extra - line.direction * place,
        statistic=place,
        standard_error=error * float(np.sqrt(1 + relative)),
        distribution=Randomised(error, relative, line.statistic),
        tested=(line.statistic, error),
        rounding=line.rounding + of_extra.rounding / line.image_share,
    )
