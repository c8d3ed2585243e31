"""What every option consists of: one record, from which parsers, checks, metadata and documents are made."""

import dataclasses
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnx_si.analysis.options.kinds import Kind
from onnx_si.errors import UsageError, WrongType
from onnx_si.ground import terminal
from onnx_si.ground.words import shown

TEST, SIMULATE, SALIENCY, INSPECT, AUDIT = "test", "simulate", "saliency", "inspect", "audit"
EVERYWHERE = (TEST, SIMULATE, SALIENCY, INSPECT)


@dataclass(frozen=True)
class Check:
    """What an option's value must fulfil; `words` complete the error "NAME VALUE; ..."."""

    holds: Callable[[Any], bool]
    words: str

    def passes(self, value: Any) -> bool:
        """Whether a value fulfils it; one that can't even be asked, such as infinity, does not."""
        try:
            return self.holds(value)
        except (ArithmeticError, ValueError):
            return False


def within(low: float, high: float, words: str) -> Check:
    """Ends included; `words` follow "give LOW to HIGH"."""
    return Check(lambda value: low <= value <= high, f"give {low:g} to {high:.12g}{words}")


PROPORTION = Check(lambda value: 0 < value < 1, "it lies between 0 and 1")
NOT_NEGATIVE = Check(lambda value: value >= 0, "give a whole number of at least 0")


@dataclass(frozen=True)
class Need:
    """Without which an option has no effect: `holds` of the settled values, `words` complete "it needs"."""

    holds: Callable[[Mapping[str, Any]], bool]
    words: str


@dataclass(frozen=True, kw_only=True)
class Option:
    """One thing that a user may choose.

    Parameters
    ----------
    kind : Kind
    help : str
        For `--help`; the default is added to it, as `shown_default` or `default`.
    default : optional
        None: it depends on the image or the map, or on nothing that a record can say.
    why : str
        A reason of the default that is told with each result; empty: it is not told.
    check, needs : optional
        What a value must fulfil, and without what an option has no effect, which is an error.
    metadata : str, optional
        Key of the model's metadata that says it where the user doesn't.
    metavar, shown_default : str, optional
        For `--help`.
    once : str, optional
        Another flag, for one value at a time, of an option that takes several.
    verbs : tuple of str
        Verbs of the command line that take it; none: it is of the programming interface only. What `test`
        takes, `audit` does.
    required : bool
        Of a verb's own options.
    example : str
        A value as a TOML file says it, where the default is none.
    name, title : str
        The keyword, and the heading of `--help` that it stands under: filled in by `records_of`.
    """

    kind: Kind
    help: str
    default: Any = None
    why: str = ""
    check: Check | None = None
    needs: Need | None = None
    metadata: str | None = None
    metavar: str | None = None
    shown_default: str | None = None
    once: str | None = None
    verbs: tuple[str, ...] = (TEST, SIMULATE)
    required: bool = False
    example: str = ""
    name: str = ""
    title: str = ""

    def has_effect(self, settled: Mapping[str, Any]) -> bool:
        """Whether it changes anything beside the other values."""
        return self.needs is None or self.needs.holds(settled)

    @property
    def flag(self) -> str:
        """As it is written on the command line; a switch that is on by default is turned off there."""
        off = "no-" if self.default is True else ""
        return f"--{off}{self.name.replace('_', '-')}"

    def accepted(self, value: Any) -> Any:
        """A value that was given in Python, in the form that settings hold.

        Raises
        ------
        UsageError
            If it is of another type, or not allowed.
        """
        try:
            found = self.kind.accept(value)
        except (TypeError, ValueError) as error:
            raise WrongType(f"{self.name}: {self.kind.words}, not {shown(value)}") from error
        self.require_allowed(found)
        return found

    def fault_of(self, value: Any) -> str | None:
        """What is wrong with a value, without its name; None where nothing is."""
        try:
            found = self.kind.accept(value)
        except (TypeError, ValueError):
            return f"give {self.kind.words}"
        if self.kind.choices and found not in self.kind.choices:
            return f"allowed are {', '.join(self.kind.choices)}"
        return None if self.check is None or self.check.passes(found) else self.check.words

    def require_allowed(self, value: Any) -> None:
        """Raise UsageError if a value of the right type is none of the choices, or fails the check."""
        for one in (value if isinstance(value, tuple) else (value,)) if self.kind.choices else ():
            one_of(self.name, one, self.kind.choices)
        if self.check is not None and not self.check.passes(value):
            text = f"{value:g}" if isinstance(value, float) else terminal.shown(value)
            raise UsageError(f"{self.name} {text}; {self.check.words}")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise UsageError if a name is none of those allowed."""
    if value not in allowed:
        raise UsageError(f"{name} '{terminal.shown(value)}'; allowed are {', '.join(allowed)}")


def records_of(theme: Any) -> dict[str, Option]:
    """The records that a TypedDict is annotated with, by name; its docstring's first line is the title."""
    found: dict[str, Option] = {}
    for name, hint in typing.get_type_hints(theme, include_extras=True).items():
        option = next(one for one in typing.get_args(hint) if isinstance(one, Option))
        found[name] = dataclasses.replace(option, name=name, title=option.title or _title(theme))
    return found


def _title(theme: Any) -> str:
    return str(theme.__doc__ or "").splitlines()[0].rstrip(".").lower()
