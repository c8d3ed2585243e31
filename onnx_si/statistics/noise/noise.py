"""What is known about the noise of an image."""

from dataclasses import dataclass

from onnx_si.errors import UsageError
from onnx_si.statistics.noise.covariance import Array, Covariance, Scalar


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Normal noise: its covariance, where that comes from, and whether it was known before the image was
    seen.

    With `degrees_of_freedom` v only the covariance's shape is known: `covariance` is then the shape times an
    estimate of the variance that is independent of image and references, and v times that estimate over the
    true variance is chi-squared with v degrees of freedom. Tests use Student's t and stay exact.
    """

    covariance: Covariance
    source: str
    known: bool
    degrees_of_freedom: int | None = None

    def __post_init__(self) -> None:
        v = self.degrees_of_freedom
        if v is not None and (v < 1 or v != int(v)):
            raise UsageError(f"{v} degrees of freedom of the noise; give a whole number of at least 1")

    @classmethod
    def scalar(
        cls, std: float, source: str, *, known: bool, degrees_of_freedom: int | None = None
    ) -> "Noise":
        """Independent noise of one standard deviation, in the image's units."""
        return cls(covariance=Scalar(std), source=source, known=known, degrees_of_freedom=degrees_of_freedom)

    @property
    def exact(self) -> bool:
        """Whether tests keep their level exactly: the noise is known, or its scale is estimated
        independently.
        """
        return self.known or self.degrees_of_freedom is not None

    @property
    def std(self) -> float | None:
        """The one standard deviation of every value; None where they differ or are correlated."""
        return self.covariance.std if isinstance(self.covariance, Scalar) else None

    def times(self, direction: Array) -> Array:
        """The covariance matrix times a direction, both in the image's shape."""
        return self.covariance.times(direction)
