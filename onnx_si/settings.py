"""What a test needs to be told: the user's options, then the model's own metadata, then defaults with stated reasons."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from onnx_si.errors import UsageError
from onnx_si.hypotheses import HYPOTHESES

METHODS = ("selective", "over-conditioning", "naive")
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
        A value, `max:F` or `minmax:F`.
    sigma : float
        Known noise standard deviation, in the image's units.
    layout, scale, mean, std
        How the image becomes the model's input.
    methods : sequence of str
        Of `METHODS`.
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
    layout: str | None = None
    scale: float | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    methods: Sequence[str] = ("selective",)
    precision: float = 1e-4
    alpha: float = 0.05
    decide: bool = False
    alternative: str = "two-sided"
    budget_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        _one_of("alternative", self.alternative, ALTERNATIVES)
        for method in self.methods:
            _one_of("method", method, METHODS)
        for name, value in (("alpha", self.alpha), ("precision", self.precision)):
            if not 0 < value < 1:
                raise UsageError(f"{name} {value:g}; it lies between 0 and 1")
        if self.budget_bytes < 1 << 20:
            raise UsageError(f"budget_bytes {self.budget_bytes}; give at least {1 << 20}")


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} '{value}'; allowed are {', '.join(allowed)}")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _target(text: str) -> int | str:
    return text if text == "predicted" else int(text)


_FROM_METADATA = {
    "hypothesis": ("onnx_si.hypothesis", str),
    "saliency": ("onnx_si.saliency", str),
    "target": ("onnx_si.target", _target),
    "threshold": ("onnx_si.threshold", str),
    "sigma": ("onnx_si.noise_std", float),
    "layout": ("onnx_si.layout", str),
    "scale": ("onnx_si.scale", float),
    "mean": ("onnx_si.mean", _numbers),
    "std": ("onnx_si.std", _numbers),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options with the model's metadata and the defaults filled in.

    `chosen_by` says for each name whether `option`, `metadata` or `default` decided; `reasons` explains the defaults.
    """

    options: Options
    chosen_by: Mapping[str, str]
    reasons: tuple[str, ...]


def settle(options: Options, metadata: Mapping[str, str], has_reference: bool) -> Settings:
    """Fill in what the user left open: options beat metadata, metadata beats defaults.

    Raises
    ------
    UsageError
        If a value in the metadata can't be read, or a name is not known.
    """
    values: dict[str, Any] = {}
    chosen_by: dict[str, str] = {}
    for name, (key, read) in _FROM_METADATA.items():
        if getattr(options, name) is not None:
            chosen_by[name] = "option"
        elif key in metadata:
            chosen_by[name] = "metadata"
            try:
                values[name] = read(metadata[key])
            except ValueError as error:
                raise UsageError(f"the model's metadata says {key} = '{metadata[key]}', which can't be read") from error
        else:
            chosen_by[name] = "default"
    reasons = []
    if chosen_by["hypothesis"] == "default":
        values["hypothesis"] = "mean" if has_reference else "background"
        reasons.append(
            "hypothesis mean: a reference was given" if has_reference else "hypothesis background: no reference was given"
        )
    elif chosen_by["hypothesis"] == "metadata" and values["hypothesis"] == "mean" and not has_reference:
        values["hypothesis"], chosen_by["hypothesis"] = "background", "default"
        reasons.append("hypothesis background: the model's metadata asks for mean, but no reference was given")
    if chosen_by["saliency"] == "default":
        values["saliency"] = "auto"
    if chosen_by["target"] == "default":
        values["target"] = "predicted"
    settled = dataclasses.replace(options, **values)
    _one_of("hypothesis", str(settled.hypothesis), tuple(HYPOTHESES))
    return Settings(settled, chosen_by, tuple(reasons))
