"""What a user may choose: one record for each option, grouped by theme, one file each.

An option is one entry of a theme's TypedDict, annotated with its record, and one line of the theme's settled
values. Command line, checks, metadata, the typed signatures, an audit's TOML file and docs/options.md
(`onnx_si.cli.table`) are made from them.
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, Unpack

from onnx_si.analysis.options.kinds import EACH
from onnx_si.analysis.options.of_image import ImageOptions
from onnx_si.analysis.options.of_noise import NoiseFiles, NoiseOptions, PhysicalOptions
from onnx_si.analysis.options.of_question import QuestionFiles, QuestionOptions
from onnx_si.analysis.options.of_testing import ChanceOptions, TestingOptions
from onnx_si.analysis.options.option import Option, one_of, records_of
from onnx_si.choices.compared import METHODS
from onnx_si.errors import UsageError, WrongType
from onnx_si.ground.words import did_you_mean


class SharedOptions(QuestionOptions, NoiseOptions, ImageOptions, TestingOptions, total=False):
    """Of `test` and of `simulate`."""


class AllOptions(SharedOptions, ChanceOptions, PhysicalOptions, total=False):
    """Of `test`."""


THEMES = (
    QuestionOptions,
    NoiseOptions,
    PhysicalOptions,
    ImageOptions,
    TestingOptions,
    ChanceOptions,
)
OPTIONS = MappingProxyType({name: one for theme in THEMES for name, one in records_of(theme).items()})
FILES = MappingProxyType(
    {name: one for theme in (QuestionFiles, NoiseFiles) for name, one in records_of(theme).items()}
)


def require_known(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise UsageError if a keyword is no option, with the nearest one."""
    known = tuple(known)
    for name in names:
        if name not in known:
            raise WrongType(f"unknown option {name}{did_you_mean(name, known)}")


class Options:
    """What a user chose, each value checked by its record; None is: not chosen."""

    def __init__(self, **chosen: Unpack[AllOptions]) -> None:
        require_known(chosen, (*OPTIONS, *FILES))
        self.chosen = MappingProxyType(
            {name: OPTIONS[name].accepted(value) for name, value in chosen.items() if value is not None}
        )
        if "thin" in self.chosen and "randomise" in self.chosen:
            raise UsageError("--thin and --randomise both say what the extra noise is for; give one of them")
        if "thin" in self.chosen and self.chosen.get("engine", "auto") != "auto":
            raise UsageError("--thin needs no engine: nothing is searched; leave --engine out")

        if "ring" in self.chosen and "ring_mm" in self.chosen:
            raise UsageError("--ring and --ring-mm both say how wide the ring is; give one of them")
        if self.chosen.get("target") == EACH and self.chosen.get("p_value_only"):
            raise UsageError(f"target {EACH}: a simulation follows one class; give an index, or predicted")

    def changed(self, **more: Any) -> "Options":
        """The same, with others in place of some."""
        return Options(**{**self.chosen, **more})


__all__ = [
    "FILES",
    "METHODS",
    "OPTIONS",
    "AllOptions",
    "Option",
    "Options",
    "SharedOptions",
    "one_of",
    "require_known",
]
