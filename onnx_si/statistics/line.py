"""What a search is given: a line of images and the null distribution of the place on it."""

from dataclasses import dataclass, replace

from onnx_si.rules.rules import Array
from onnx_si.statistics.truncated import Distribution, Normal


@dataclass(frozen=True, kw_only=True)
class ImageLine:
    """The images start + direction * z that conditioning leaves, and the null distribution of z.

    `statistic` is the observed z, in the image's own units, or in units of the noise where the null is one
    of several pixels; `standard_error` is its scale. `degrees_of_freedom` is that of a chi or t
    distribution, and `image_share` the share of a contrast's variance that the image has (the rest is the
    references'). `dimension_is_the_images` tells whether the statistic is in the image's units. After a
    randomised selection the place on the line is the statistic with noise added, and `tested` holds the
    statistic itself and its standard error. `rounding` bounds the rounding of the statistic.
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
    tested: tuple[float, float] | None = None
    rounding: float = 0.0

    @property
    def observed(self) -> float:
        """The statistic of the test."""
        return self.statistic if self.tested is None else self.tested[0]

    @property
    def error(self) -> float | None:
        """Its standard error; None where it is a length in units of the noise."""
        if not self.dimension_is_the_images:
            return None
        return self.standard_error if self.tested is None else self.tested[1]

    @property
    def untruncated(self) -> Distribution:
        """The statistic's own distribution under the null, without any selection."""
        return self.distribution if self.tested is None else Normal(0.0, self.tested[1])

    def part(self, box: tuple[slice, ...]) -> "ImageLine":
        """The line of a box of the images."""
        return replace(self, start=self.start[box], direction=self.direction[box])
