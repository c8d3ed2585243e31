"""What a test needs to be told: the user's options, then the model's metadata, then defaults with reasons."""

import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnx_si.errors import UsageError
from onnx_si.hypotheses import HYPOTHESES
from onnx_si.truncated import LEAST_SHARE, Alternative

METHODS = ("selective", "over-conditioning", "naive", "bonferroni", "permutation")
RESIZES = ("linear", "nearest")
LARGEST_RING = 10_000
LARGEST_SHARE = 100.0
ALTERNATIVES = ("two-sided", "two-sided-abs", "greater", "less")


@dataclasses.dataclass(frozen=True)
class Options:
    """What a user may choose; None means: not chosen.

    Parameters
    ----------
    hypothesis : str
        A name in `onnx_si.hypotheses.HYPOTHESES`.
    saliency : str
        `auto`, `cam` or `output:NAME`.
    target : int or "predicted"
    threshold : str or float
        A value, `max:F`, `minmax:F` or `top:F`.
    sigma : float
        Noise standard deviation, in the image's units.
    sigma_df : int
        Degrees of freedom on which `sigma` (or the covariance's scale) was estimated independently; None:
        known.
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
    """

    hypothesis: str | None = None
    saliency: str | None = None
    target: int | str | None = None
    threshold: str | float | None = None
    sigma: float | None = None
    sigma_df: int | None = None
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

    def __post_init__(self) -> None:
        if self.alternative is not None:
            _one_of("alternative", self.alternative, ALTERNATIVES)
        for name in ("resize", "resize_input"):
            if getattr(self, name) is not None:
                _one_of(name, getattr(self, name), RESIZES)
        for method in self.methods:
            _one_of("method", method, METHODS)
        for name in ("alpha", "precision"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise UsageError(f"{name} {value:g}; it lies between 0 and 1")
        if self.ring is not None and not 1 <= self.ring <= LARGEST_RING:
            raise UsageError(f"ring {self.ring}; give 1 to {LARGEST_RING} pixels")
        if self.randomise is not None and not LEAST_SHARE <= self.randomise <= LARGEST_SHARE:
            raise UsageError(f"randomise {self.randomise:g}; give {LEAST_SHARE:g} to {LARGEST_SHARE:g}")
        if self.randomise is not None and self.alternative == "two-sided-abs":
            raise UsageError("two-sided-abs is not available with --randomise; use two-sided")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}; give a whole number of at least 0")
        if self.budget_bytes < 1 << 20:
            raise UsageError(f"budget_bytes {self.budget_bytes}; give at least {1 << 20}")


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} '{value}'; allowed are {', '.join(allowed)}")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _target(value: Any) -> int | str:
    """A class index or "predicted"; the text of a number counts as one."""
    if value == "predicted":
        return "predicted"
    try:
        return int(value) if isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"target '{value}'; give a class index, or predicted") from error


_FROM_METADATA: dict[str, tuple[str, Callable[[str], Any]]] = {
    "hypothesis": ("onnx_si.hypothesis", str),
    "saliency": ("onnx_si.saliency", str),
    "target": ("onnx_si.target", _target),
    "threshold": ("onnx_si.threshold", str),
    "sigma": ("onnx_si.noise_std", float),
    "layout": ("onnx_si.layout", str),
    "scale": ("onnx_si.scale", float),
    "resize_input": ("onnx_si.resize_input", str),
    "mean": ("onnx_si.mean", _numbers),
    "std": ("onnx_si.std", _numbers),
}

# Saliency and target have reasons only when the map is known, so they are given later.
_DEFAULTS: dict[str, tuple[Any, str]] = {
    "saliency": ("auto", ""),
    "target": ("predicted", ""),
    "alternative": ("two-sided", "a region may be brighter or darker"),
    "ring": (1, ""),
    "resize": ("linear", ""),
    "precision": (1e-4, "wanted width of the p-value's bounds"),
    "alpha": (0.05, "level of the decision and of the confidence interval"),
}

_NOT_CHOSEN = frozenset({"sigma_source", "left_open", "reasons"})

# What depends on the image or on the map, where nobody chose it.
_UNDECIDED = dict.fromkeys(
    (
        "threshold",
        "sigma",
        "sigma_df",
        "channels",
        "randomise",
        "resize_input",
        "layout",
        "scale",
        "mean",
        "std",
        "dims",
    )
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options with the model's metadata and the defaults filled in.

    What depends on the image or on the map stays None where nobody chose it: `threshold`, `sigma` and so on.
    `left_open` names what neither options nor metadata chose; `reasons` has a line for each value that was
    not an option.
    """

    hypothesis: str
    saliency: str
    target: int | str
    threshold: str | float | None
    sigma: float | None
    sigma_source: str
    sigma_df: int | None
    ring: int
    channels: tuple[int, ...] | None
    components: bool
    randomise: float | None
    seed: int
    resize: str
    resize_input: str | None
    layout: str | None
    scale: float | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    dims: dict[str, int] | None
    methods: tuple[str, ...]
    precision: float
    alpha: float
    decide: bool
    alternative: Alternative
    budget_bytes: int
    left_open: frozenset[str] = frozenset()
    reasons: tuple[str, ...] = ()

    def config(self) -> dict[str, Any]:
        """The values alone: enough, with model and images, to run the same test again."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if name not in _NOT_CHOSEN}


def settle(options: Options, metadata: Mapping[str, str], has_reference: bool) -> Settings:
    """Fill in what the user left open: options beat metadata, metadata beats defaults.

    Parameters
    ----------
    options : Options
    metadata : mapping of str to str
        The model's own, with keys `onnx_si.*`.
    has_reference : bool

    Raises
    ------
    UsageError
        If a value in the metadata can't be read, or a name is not known.
    """
    chosen = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    stored = _from_metadata(chosen, metadata)
    wish = HYPOTHESES.get(stored.get("hypothesis", ""))
    if wish is not None and wish.needs_reference and not has_reference:
        del stored["hypothesis"]  # the model's wish can't be met; the default says why
    defaults = {"hypothesis": _default_hypothesis(has_reference), **_DEFAULTS}
    asked = {**{"hypothesis": defaults["hypothesis"][0]}, **stored, **chosen}["hypothesis"]
    _one_of("hypothesis", asked, tuple(HYPOTHESES))
    allowed = HYPOTHESES[asked].alternatives
    if allowed is not None:
        _one_of(f"with hypothesis {asked}, alternative", chosen.get("alternative", allowed[0]), allowed)
        defaults["alternative"] = (allowed[0], f"the tail that speaks against hypothesis {asked}")
    open_ones = {
        name: default for name, default in defaults.items() if name not in chosen and name not in stored
    }
    values = {**_UNDECIDED, **{name: value for name, (value, _) in open_ones.items()}, **stored, **chosen}
    values["target"] = _target(values["target"])
    for name in ("mean", "std", "methods", "channels"):
        values[name] = None if values[name] is None else tuple(values[name])
    reasons = [f"{name} {_shown(value)}: the model's own metadata say so" for name, value in stored.items()]
    reasons += [f"{name} {value}: {why}" for name, (value, why) in open_ones.items() if why]
    source = "the model's metadata" if "sigma" in stored else "given"
    left_open = frozenset(values) - set(chosen) - set(stored)
    return Settings(**values, sigma_source=source, left_open=left_open, reasons=tuple(reasons))


def _default_hypothesis(has_reference: bool) -> tuple[str, str]:
    if has_reference:
        return "mean", "a reference was given"
    return "background", "no reference was given, so the region is compared with the rest of the image"


def _shown(value: Any) -> str:
    return ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)


def _from_metadata(chosen: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, Any]:
    """What the model says about everything that the user left open."""
    stored = {}
    for name, (key, read) in _FROM_METADATA.items():
        if name in chosen or key not in metadata:
            continue
        try:
            stored[name] = read(metadata[key])
        except ValueError as error:
            raise UsageError(
                f"the model's metadata say {key} = '{metadata[key][:80]}', which can't be read; give --{name}"
            ) from error
    return stored
