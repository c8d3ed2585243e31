"""The test of the part of an image that is independent of the part its region was selected on."""

import dataclasses
import math

from onnx_si.statistics.hypotheses.contrast import Array, Data, Mask
from onnx_si.statistics.hypotheses.hypothesis import Hypothesis
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import Normal, Student


def thinned_line(hypothesis: Hypothesis, data: Data, region: Mask, extra: Array, share: float) -> ImageLine:
    """The statistic of image - extra / share, whose region was selected on image + extra.

    With X ~ N(s, Sigma) and w ~ N(0, F Sigma) drawn independently, Cov(X + w, X - w / F) = Sigma - Sigma = 0:
    the two parts are normal and so independent, and X - w / F ~ N(s, (1 + 1/F) Sigma). Whatever is selected
    on the first part, an ordinary test of the second has its level; nothing is conditioned on.

    It is computed as the hypothesis of everything over g = sqrt(1 + 1/F), so that the noise is Sigma again:
    the mean of K references then counts as that of K (1 + 1/F).

    Parameters
    ----------
    hypothesis : Hypothesis
    data : Data
        Of the image without the extra noise.
    region : boolean array
        Selected on image + extra.
    extra : array
        The noise that was added.
    share : float
        Its covariance over that of the image's noise, F.

    Returns
    -------
    ImageLine
        Its start and direction are of no use: there is no line to follow.

    Source
    ------
    Rasines and Young, Biometrika 110 (2023); Leiner, Duan, Wasserman, Ramdas, JASA (2023); Neufeld,
    Dharamshi, Gao, Witten, JMLR 25 (2024).
    """
    inflation = 1.0 + 1.0 / share
    scale = math.sqrt(inflation)
    rest = dataclasses.replace(
        data,
        image=(data.image - extra / share) / scale,
        reference=None if data.reference is None else data.reference / scale,
        references=data.references * inflation,
    )
    line = hypothesis.line(rest, region)
    if not line.dimension_is_the_images:
        return line
    law = line.distribution
    if isinstance(law, Normal):
        law = Normal(law.mean * scale, law.sd * scale)
    elif isinstance(law, Student):
        law = Student(law.df, law.radius * scale)
    return dataclasses.replace(
        line,
        statistic=line.statistic * scale,
        standard_error=line.standard_error * scale,
        distribution=law,
    )
