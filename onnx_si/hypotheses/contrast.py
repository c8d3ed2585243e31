"""Linear contrasts of image and reference: statistic, standard error and the line that conditioning
leaves.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.noise import Noise
from onnx_si.search.problem import TestLine
from onnx_si.truncated import Normal

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    """What was observed: the image, the mean of the references (same shape) and how many they are, the
    noise.
    """

    image: Array
    reference: Array | None
    references: int
    noise: Noise


def contrast_line(data: Data, on_image: Array, on_reference: Array | None = None) -> TestLine:
    """The line of a contrast T = <on_image, image> + <on_reference, reference>.

    Parameters
    ----------
    data : Data
    on_image, on_reference : arrays
        The two parts of the test direction eta; zero mean of T is the null hypothesis.

    Returns
    -------
    TestLine
        With direction Sigma eta / (eta' Sigma eta), of which only the image's part moves the network.

    Source
    ------
    Miwa, Duy, Takeuchi, ICLR 2023, section 3 (conditioning on the nuisance parameter).
    """
    spread = data.noise.times(on_image)
    statistic = float(np.vdot(on_image, data.image))
    variance = float(np.vdot(on_image, spread))
    if on_reference is not None and data.reference is not None:
        statistic += float(np.vdot(on_reference, data.reference))
        variance += float(np.vdot(on_reference, data.noise.times(on_reference))) / data.references
    direction = spread / variance
    standard_error = float(np.sqrt(variance))
    return TestLine(
        data.image - direction * statistic, direction, statistic, standard_error, Normal(0.0, standard_error)
    )
