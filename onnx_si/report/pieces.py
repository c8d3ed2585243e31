"""Parts of a result: comparison with the deployed runtime and with other methods, components, estimates."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnx_si.ground.record import Record

IN_MEMORY = "was given in memory, not as a file"
LEFT_OPEN = "the search left open"  # how the reasons begin for what one that ended early did not settle


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The deployed runtime's region (onnxruntime, the model's own precision) against the analysed one
    (float64).

    `pixels` are the positions in the map that differ, None where the runtime can't run the file (`problem`
    says why); `max_difference` is the largest difference of the two maps. `points` is how many points of the
    line were asked of the runtime, `agreeing` at how many its region is what S says, and `too_near` how many
    are too near to an end of S, or to a threshold, to tell in the file's precision; None where not asked.
    """

    runtime: str
    pixels: tuple[tuple[int, ...], ...] | None
    max_difference: float | None
    problem: str | None = None
    points: int | None = None
    agreeing: int | None = None
    too_near: int | None = None


@dataclass(frozen=True, kw_only=True)
class Fragility:
    """What the selection leaves to test with.

    `distance` is that of the statistic from the nearest end of S, in standard errors, `information` the share
    of the statistic's information on its mean that is left; None where there is none, or where the search
    left it open, as `distance_open` and `information_open` then say.
    """

    distance: float | None = None
    information: float | None = None
    distance_open: str | None = None
    information_open: str | None = None

    def known(self) -> dict[str, float | None]:
        """As a document has it."""
        return {"distance": self.distance, "information": self.information}

    def reasons(self) -> dict[str, str]:
        """Why there is none, by path, where the search left it open."""
        found = {"fragility.distance": self.distance_open, "fragility.information": self.information_open}
        return {path: text for path, text in found.items() if text is not None}


@dataclass(frozen=True, kw_only=True)
class OtherNoise:
    """How wrong the standard deviation of the noise may be.

    `holds` are the smallest and largest one between which the decision is certainly the same, at most a
    factor of 100 away, `tipping` the nearest one at which it is another; None where there is none, for the
    reason given.
    """

    holds: tuple[float, float] | None = None
    tipping: float | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """P-values of other methods on the same region; None where not asked for, or as `reasons` say.

    `notes` are what the user should know of how they were computed.
    """

    naive: float | None = None
    over_conditioning: float | None = None
    bonferroni: float | None = None
    permutation: float | None = None
    monte_carlo: float | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def p_values(self) -> dict[str, float | None]:
        """By the method's name."""
        return {name: value for name, value in vars(self).items() if name not in ("reasons", "notes")}


@dataclass(frozen=True, kw_only=True)
class PartTest:
    """The test of one part of what a map shows; `p_value_adjusted` is Holm's, over all parts, and the upper
    one of its bounds.

    Where there is no test, all of these values are None and `reason` says why.
    """

    p_value: float | None = None
    p_value_bounds: tuple[float, float] | None = None
    p_value_adjusted: float | None = None
    p_value_adjusted_bounds: tuple[float, float] | None = None
    statistic: float | None = None
    standard_error: float | None = None
    reason: str | None = None


class ComponentTest(PartTest):
    """The test of one connected component."""


@dataclass(frozen=True, kw_only=True)
class ClassTest(PartTest):
    """The test of one class' region on a map of classes."""

    target: int
    pixels: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Median-unbiased estimate and equal-tailed confidence interval, with bounds over everything that the
    search left undecided; None where the test has none, for the reason given.
    """

    value: float | None = None
    value_bounds: tuple[float, float] | None = None
    interval: tuple[float, float] | None = None
    interval_bounds: tuple[tuple[float, float], tuple[float, float]] | None = None
    reason: str | None = None
    interval_reason: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class MapChosen(Record):
    """The map that a region is cut from: its method, its class, the threshold, and the side of the blocks
    that it was averaged over (1: it was not).
    """

    method: str
    target: int | str | None
    threshold: str
    coarsen: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseTaken(Record):
    """The noise that a test supposes, and where it is from; `level` is `exact` or `approximate`.

    `std` is None where values differ in theirs or are correlated, `degrees_of_freedom` where it was not
    estimated from independent data.
    """

    model: str
    std: float | None
    source: str
    known: bool
    degrees_of_freedom: int | None
    level: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelIdentity(Record):
    """Which file a model is; `path` and `sha256` are None for one in memory, and all is None of a file that
    can't be loaded.
    """

    path: str | None = None
    sha256: str | None = None
    producer: str | None = None
    opset: int | None = None
