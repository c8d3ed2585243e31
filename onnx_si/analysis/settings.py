"""What a test needs to be told: the user's options, then the model's metadata, then defaults with reasons."""

import dataclasses
import operator
from collections.abc import Callable, Mapping
from typing import Any

from onnx_si.analysis.options import Options, one_of
from onnx_si.errors import UsageError
from onnx_si.ground.words import shown, whole_number
from onnx_si.statistics.hypotheses import HYPOTHESES
from onnx_si.statistics.truncated import Alternative


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _target(value: Any) -> int | str:
    """A class index or "predicted"; the text of a number counts as one."""
    if value == "predicted":
        return "predicted"
    try:
        found = whole_number(value) if isinstance(value, str) else operator.index(value)
    except TypeError:
        found = None
    if found is None:
        raise UsageError(f"target '{shown(value)}'; give a class index, or predicted")
    return found


_FROM_METADATA: dict[str, tuple[str, Callable[[str], Any]]] = {
    "hypothesis": ("onnx_si.hypothesis", str),
    "saliency": ("onnx_si.saliency", str),
    "target": ("onnx_si.target", _target),
    "scores": ("onnx_si.scores", str),
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
    "verify": (64, ""),
}

_NOT_CHOSEN = frozenset({"sigma_source", "left_open", "reasons"})

# What depends on the image or on the map, where nobody chose it.
_UNDECIDED = dict.fromkeys(
    (
        "scores",
        "threshold",
        "sigma",
        "sigma_df",
        "noise_model",
        "channels",
        "randomise",
        "resize_input",
        "layout",
        "scale",
        "mean",
        "std",
        "dims",
        "memory",
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
    scores: str | None
    threshold: str | float | None
    sigma: float | None
    sigma_source: str
    sigma_df: int | None
    noise_model: str | None
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
    p_value_only: bool
    verify: int
    memory: int | None
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
    one_of("hypothesis", asked, tuple(HYPOTHESES))
    allowed = HYPOTHESES[asked].alternatives
    if allowed is not None:
        one_of(f"with hypothesis {asked}, alternative", chosen.get("alternative", allowed[0]), allowed)
        defaults["alternative"] = (allowed[0], f"the tail that speaks against hypothesis {asked}")
    open_ones = {
        name: default for name, default in defaults.items() if name not in chosen and name not in stored
    }
    values = {**_UNDECIDED, **{name: value for name, (value, _) in open_ones.items()}, **stored, **chosen}
    values["target"] = _target(values["target"])
    if "verify" not in chosen and values["p_value_only"]:
        values["verify"] = 0
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
                f"the model's metadata say {key} = '{shown(metadata[key], 80)}', which can't be read; "
                f"give --{name}"
            ) from error
    return stored
