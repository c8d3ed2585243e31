"""What a test needs to be told: the user's options, then the model's metadata, then defaults with reasons."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from onnx_si.analysis.options import OPTIONS, Options, one_of
from onnx_si.analysis.options.of_image import ImageSettings
from onnx_si.analysis.options.of_noise import NoiseSettings
from onnx_si.analysis.options.of_question import QuestionSettings
from onnx_si.analysis.options.of_testing import TestingSettings
from onnx_si.analysis.options.option import Option
from onnx_si.choices.guarantees import CERTIFIED, EXACT
from onnx_si.choices.noise_sources import FROM_MODEL, GIVEN
from onnx_si.errors import UsageError
from onnx_si.ground.terminal import shown
from onnx_si.statistics.hypotheses import HYPOTHESES

_READ_BY_AUTO = frozenset({"time_limit"})  # which engine it takes depends on it
_NOT_CHOSEN = frozenset({"sigma_source", "left_open", "reasons"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(QuestionSettings, NoiseSettings, ImageSettings, TestingSettings):
    """Options with the model's metadata and the defaults filled in.

    What depends on the image or on the map stays None where nobody chose it: `threshold`, `sigma` and so on.
    `left_open` names what neither options nor metadata chose; `reasons` has a line for each value that was
    not an option.
    """

    sigma_source: str
    left_open: frozenset[str] = frozenset()
    reasons: tuple[str, ...] = ()

    @property
    def added(self) -> float | None:
        """Covariance of the noise that is added before the region is selected, over that of the noise."""
        return self.randomise if self.thin is None else self.thin

    @property
    def asks_exact(self) -> bool:
        """Whether the network is followed where it can be."""
        return self.engine != "monte-carlo" and self.thin is None

    @property
    def may_draw(self) -> bool:
        """Whether the deployed runtime is asked alone where the network can't be followed exactly."""
        return self.engine not in (EXACT.name, CERTIFIED.name)

    def idle_with(self, engine: str) -> tuple[str, ...]:
        """What is not as usual, in vain, where `auto` took this engine (beside a chosen one: refused)."""
        values = dataclasses.asdict(self) | {"engine": engine}
        chosen = (option for name, option in OPTIONS.items() if values[name] != option.default)
        idle = (
            option for option in chosen if option.name not in _READ_BY_AUTO and not option.has_effect(values)
        )
        where = f"with the {engine} engine"
        return tuple(_in_vain(option, where) for option in idle if self.engine != engine)

    def config(self) -> dict[str, Any]:
        """The values alone: enough, with model and images, to run the same test again. What has no effect
        here is None.
        """
        values = dataclasses.asdict(self)
        idle = {name for name, option in OPTIONS.items() if not option.has_effect(values)}
        kept = {name: value for name, value in values.items() if name not in _NOT_CHOSEN}
        return {name: None if name in idle else value for name, value in kept.items()}


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
    chosen = options.chosen
    stored = _from_metadata(chosen, metadata)
    wish = HYPOTHESES.get(stored.get("hypothesis", ""))
    if wish is not None and wish.needs_reference and not has_reference:
        del stored["hypothesis"]  # the model's wish can't be met; the default says why
    defaults = {name: (option.default, option.why) for name, option in OPTIONS.items()}
    defaults["hypothesis"] = _default_hypothesis(has_reference)
    asked = {"hypothesis": defaults["hypothesis"][0], **stored, **chosen}["hypothesis"]
    one_of("hypothesis", asked, tuple(HYPOTHESES))
    allowed = HYPOTHESES[asked].alternatives
    if allowed is not None:
        one_of(f"with hypothesis {asked}, alternative", chosen.get("alternative", allowed[0]), allowed)
        defaults["alternative"] = (allowed[0], f"the tail that speaks against hypothesis {asked}")
    if chosen.get("p_value_only"):
        defaults["verify"] = (0, "")
    open_ones = {name: told for name, told in defaults.items() if name not in chosen and name not in stored}
    values = {**{name: value for name, (value, _) in open_ones.items()}, **stored, **chosen}
    _require_effect(chosen, values)
    reasons = [f"{name} {_shown(value)}: the model's own metadata say so" for name, value in stored.items()]
    reasons += [f"{name} {value}: {why}" for name, (value, why) in open_ones.items() if why]
    source = FROM_MODEL if "sigma" in stored else GIVEN
    return Settings(**values, sigma_source=source, left_open=frozenset(open_ones), reasons=tuple(reasons))


def _require_effect(chosen: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """An option that changes nothing is a mistake of the user, who believes that it does."""
    for name in chosen:
        option = OPTIONS[name]
        if option.needs is not None and not option.has_effect(values):
            raise UsageError(_in_vain(option))


def _in_vain(option: Option, where: str = "here") -> str:
    needs = "" if option.needs is None else option.needs.words
    return f"{option.flag} has no effect {where}: it needs {needs}"


def _default_hypothesis(has_reference: bool) -> tuple[str, str]:
    if has_reference:
        return "mean", "a reference was given"
    return "background", "no reference was given, so the region is compared with the rest of the image"


def _shown(value: Any) -> str:
    return ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)


def _from_metadata(chosen: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, Any]:
    """What the model says about everything that the user left open."""
    stored = {}
    for name, option in OPTIONS.items():
        key = option.metadata
        if key is None or name in chosen or key not in metadata:
            continue
        try:
            stored[name] = option.kind.read(metadata[key])
        except ValueError as error:
            raise UsageError(
                f"the model's metadata say {key} = '{shown(metadata[key], 80)}', which can't be read; "
                f"give {option.flag}"
            ) from error
    return stored
