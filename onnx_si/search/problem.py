"""What a search is given: a line of images and the null distribution of the place on it."""

from dataclasses import dataclass, replace

from onnx_si.ops.rules import Array
from onnx_si.truncated import Distribution


@dataclass(frozen=True)
class TestLine:
    """The images start + direction * z that conditioning leaves, and the null distribution of z.

    `statistic` is the observed z, in the image's own units.
    """

    __test__ = False  # not a test class of pytest

    start: Array
    direction: Array
    statistic: float
    standard_error: float
    distribution: Distribution

    def part(self, box: tuple[slice, ...]) -> "TestLine":
        """The line of a box of the images."""
        return replace(self, start=self.start[box], direction=self.direction[box])
