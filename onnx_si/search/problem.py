"""What a search is given: a line of images and the null distribution of the place on it."""

from dataclasses import dataclass

from onnx_si.ops.rules import Array
from onnx_si.truncated import Distribution, Normal


@dataclass(frozen=True)
class TestLine:
    """The images start + direction * z that conditioning leaves, and the null distribution of z.

    `statistic` is the observed z, in the image's own units, or in units of the noise where the null is one
    of several pixels; `standard_error` is its scale. `degrees_of_freedom` is that of a chi or t
    distribution, and `image_share` the share of a contrast's variance that the image has (the rest is the
    references'). `dimension_is_the_images` tells whether the statistic is in the image's units.
    """

    __test__ = False  # not a test class of pytest

    start: Array
    direction: Array
    statistic: float
    standard_error: float
    distribution: Distribution
    degrees_of_freedom: int | None = None
    image_share: float = 1.0
    dimension_is_the_images: bool = True

    @property
    def has_interval(self) -> bool:
        """Whether the statistic's mean can be estimated."""
        return isinstance(self.distribution, Normal)
