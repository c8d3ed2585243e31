"""What a user may choose."""

import dataclasses
from collections.abc import Mapping, Sequence

from onnx_si.errors import UsageError
from onnx_si.statistics.noise import INDEPENDENT, MODELS
from onnx_si.statistics.truncated import LEAST_SHARE

METHODS = ("selective", "over-conditioning", "naive", "bonferroni", "permutation")
NOISE_MODELS = (INDEPENDENT, *MODELS)
RESIZES = ("linear", "nearest")
LARGEST_RING = 10_000
LARGEST_SHARE = 100.0
MOST_POINTS = 100_000
MOST_WHOLE = 2**63 - 1  # of any whole number that is chosen
MOST_FREEDOM = 10**9
LEAST_LEVEL = 1e-15  # 1 - alpha must be a number below 1
LEAST_MEMORY = 1 << 20
ALTERNATIVES = ("two-sided", "two-sided-abs", "greater", "less")


@dataclasses.dataclass(frozen=True)
class Options:
    """What a user may choose; None means: not chosen.

    Parameters
    ----------
    hypothesis : str
        A name in `onnx_si.statistics.hypotheses.HYPOTHESES`.
    saliency : str
        `auto`, `cam`, `gradcam`, `gradient`, `grad-input`, `occlusion`, or one with a choice: `output:NAME`,
        `gradcam:NAME`, `occlusion:K`.
    target : int or "predicted"
    scores : str
        The tensor of the class scores, where several outputs could be.
    threshold : str or float
        A value, `max:F`, `minmax:F`, `top:F` or `argmax`.
    sigma : float
        Noise standard deviation, in the image's units.
    sigma_df : int
        Degrees of freedom on which `sigma` (or the covariance's scale) was estimated independently; None:
        known.
    noise_model : str
        Structure of the covariance that is estimated from independent images, of `NOISE_MODELS`.
    ring : int
        Width of the ring of hypothesis `neighborhood`, in pixels.
    channels : sequence of int
        Channels of the image that enter the statistic; None: all.
    components : bool
        Test every connected component of the region as well.
    randomise : float
        The region is selected on the image with extra noise of this share of the noise's covariance; None:
        not.
    seed : int
        Of everything that is drawn at random (extra noise, permutations).
    resize : str
        How a coarse map is brought to the image's size: of `RESIZES`.
    resize_input : str
        The image has another size than the model's input and is resized, of `RESIZES`; None: it has the same.
    layout, scale, mean, std
        How the image becomes the model's input.
    dims : mapping of str to int
        Sizes of free axes of the model's input, by name or by N, C, D, H, W; None: those of the image.
    methods : sequence of str
        Of `METHODS`; the selective one always runs, the others are compared with it.
    precision, alpha : float
        Wanted width of the p-value's bounds; level of the decision and of the confidence interval.
    decide : bool
        Stop as soon as the decision at alpha is certain.
    alternative : str
        Of `ALTERNATIVES`.
    budget_bytes : int
        Memory that one tensor may take on the line.
    p_value_only : bool
        Leave out what a simulation does not read: estimate, confidence interval, and the deployed runtime
        (unless `verify` is given).
    verify : int
        Points of the line that are asked of the deployed runtime after the test, on the file itself; 0: none.
    memory : int
        Bytes that a test may hold beside what was there before it; None: half of what is free.
    """

    hypothesis: str | None = None
    saliency: str | None = None
    target: int | str | None = None
    scores: str | None = None
    threshold: str | float | None = None
    sigma: float | None = None
    sigma_df: int | None = None
    noise_model: str | None = None
    ring: int | None = None
    channels: Sequence[int] | None = None
    components: bool = False
    randomise: float | None = None
    seed: int = 0
    resize: str | None = None
    resize_input: str | None = None
    layout: str | None = None
    scale: float | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    dims: Mapping[str, int] | None = None
    methods: Sequence[str] = ("selective",)
    precision: float | None = None
    alpha: float | None = None
    decide: bool = False
    alternative: str | None = None
    budget_bytes: int = 64 << 20
    p_value_only: bool = False
    verify: int | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        for name in ("target", "ring", "verify", "seed", "sigma_df", "memory"):
            value = getattr(self, name)
            if isinstance(value, int) and abs(value) > MOST_WHOLE:
                raise UsageError(f"{name} is larger than 2^63, which no count or index is")
        if self.alternative is not None:
            one_of("alternative", self.alternative, ALTERNATIVES)
        for name in ("resize", "resize_input"):
            if getattr(self, name) is not None:
                one_of(name, getattr(self, name), RESIZES)
        if self.noise_model is not None:
            one_of("noise model", self.noise_model, NOISE_MODELS)
        for method in self.methods:
            one_of("method", method, METHODS)
        for name in ("alpha", "precision"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise UsageError(f"{name} {value:g}; it lies between 0 and 1")
        if self.alpha is not None and self.alpha < LEAST_LEVEL:
            raise UsageError(f"alpha {self.alpha:g}; give at least {LEAST_LEVEL:g}")
        if self.sigma_df is not None and not 1 <= self.sigma_df <= MOST_FREEDOM:
            raise UsageError(
                f"{self.sigma_df} degrees of freedom of sigma; give at least 1, at most {MOST_FREEDOM:g}"
            )
        if self.memory is not None and self.memory < LEAST_MEMORY:
            raise UsageError(f"memory {self.memory}; give at least {LEAST_MEMORY} bytes")
        if self.ring is not None and not 1 <= self.ring <= LARGEST_RING:
            raise UsageError(f"ring {self.ring}; give 1 to {LARGEST_RING} pixels")
        if self.randomise is not None and not LEAST_SHARE <= self.randomise <= LARGEST_SHARE:
            raise UsageError(f"randomise {self.randomise:g}; give {LEAST_SHARE:g} to {LARGEST_SHARE:g}")
        if self.randomise is not None and self.alternative == "two-sided-abs":
            raise UsageError("two-sided-abs is not available with --randomise; use two-sided")
        if self.verify is not None and not 0 <= self.verify <= MOST_POINTS:
            raise UsageError(f"verify {self.verify}; give 0 to {MOST_POINTS} points")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}; give a whole number of at least 0")
        if self.budget_bytes < 1 << 20:
            raise UsageError(f"budget_bytes {self.budget_bytes}; give at least {1 << 20}")


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} '{value}'; allowed are {', '.join(allowed)}")
