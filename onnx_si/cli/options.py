"""From records of options to arguments of a parser, and from what was parsed to keyword arguments."""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from onnx_si.analysis.options import Option
from onnx_si.analysis.options.kinds import GIVEN, SIZES, SWITCH, WHOLE, Kind
from onnx_si.errors import UsageError
from onnx_si.ground.terminal import shown
from onnx_si.ground.words import did_you_mean

Group = argparse._ArgumentGroup | argparse.ArgumentParser

_NEGATIVE = re.compile(r"-\.?\d[\d.eE+,-]*")


class Parser(argparse.ArgumentParser):
    """Usage errors are one line, like every other error; an unknown option is told with the nearest one."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments") and self.prog == "onnx-si":
            message += " (one image is tested; onnx-si audit MODEL IMAGES --output DIR tests several)"
        words = re.sub(r"^argument (--[\w-]+): (?='.*; give )", r"\1 ", message)
        raise UsageError(f"{words}; see {self.prog} --help")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """What was given; unknown options come before everything else that may be wrong."""
        known = self._option_string_actions
        for argument in arguments:
            flag = argument.partition("=")[0]
            if argument == "--":
                break
            if flag.startswith("--") and flag not in known:
                self.error(f"unknown option {shown(flag)}{did_you_mean(flag, known)}")
            if f"-{flag}" in known:
                self.error(f"unknown option {shown(flag)}; did you mean -{flag}?")
        parsed = self.parse_args(with_negative_values(arguments))
        if getattr(parsed, "quiet", False) and getattr(parsed, "verbose", False):
            self.error("--quiet and --verbose say opposite things; give one of them")
        return parsed


def with_negative_values(arguments: Sequence[str]) -> list[str]:
    """Join `--mean -1,2` to `--mean=-1,2`: argparse takes most negative values for options."""
    joined: list[str] = []
    for argument in arguments:
        opens_value = bool(joined) and joined[-1].startswith("--") and "=" not in joined[-1]
        if opens_value and _NEGATIVE.fullmatch(argument):
            joined[-1] = f"{joined[-1]}={argument}"
        else:
            joined.append(argument)
    return joined


def add_options(parser: argparse.ArgumentParser, options: Iterable[Option]) -> None:
    """Every option under its heading, in the order of their records."""
    groups: dict[str, Group] = {}
    for option in options:
        if option.title not in groups:
            groups[option.title] = parser.add_argument_group(option.title)
        add_option(groups[option.title], option)


def add_option(group: Group, option: Option) -> None:
    """One option, with the flag that its name spells, and another one for a value at a time."""
    common: dict[str, Any] = {"dest": option.name, "default": None, "required": option.required}
    help_text = _help(option)
    if option.kind is SWITCH:
        action = "store_false" if option.default is True else "store_true"
        group.add_argument(option.flag, action=action, help=help_text, **common)
        return
    common["choices"] = option.kind.choices or None
    common["metavar"] = option.metavar
    if option.kind.each is None:
        group.add_argument(option.flag, type=_reader(option.kind, option.kind.read), help=help_text, **common)
        return
    common["type"] = _reader(option.kind, option.kind.each)
    if option.once != option.flag:
        group.add_argument(option.flag, action="extend", nargs="+", help=help_text, **common)
        help_text = f"one of {option.flag} (repeatable)"
    if option.once is not None:
        group.add_argument(option.once, action="append", help=help_text, **common)


def given_options(arguments: argparse.Namespace, options: Mapping[str, Option]) -> dict[str, Any]:
    """Keyword arguments: the options that were given."""
    found = {name: value for name in options if (value := getattr(arguments, name, None)) is not None}
    for name, value in found.items():
        if options[name].kind in (SIZES, GIVEN):
            found[name] = dict(value)
    return found


def _help(option: Option) -> str:
    default = option.shown_default
    if default is None and option.default is not None and option.kind is not SWITCH:
        default = str(option.default)
    words = option.help if option.kind.choices == () or option.metavar is None else _with_choices(option)
    words = f"do not {words}" if option.kind is SWITCH and option.default is True else words
    return f"{words} (default: {default})".replace("%", "%%") if default else words.replace("%", "%%")


def _with_choices(option: Option) -> str:
    return f"{option.help}: {', '.join(option.kind.choices)}"


def _reader(kind: Kind, read: Callable[[str], Any]) -> Callable[[str], Any]:
    def from_text(text: str) -> Any:
        try:
            return read(text)
        except (ValueError, UsageError):
            raise argparse.ArgumentTypeError(f"'{shown(text)}'; give {_wanted(kind, text)}") from None

    return from_text


def _wanted(kind: Kind, text: str) -> str:
    """What a value must be; a number that is none of the kind's was too large."""
    too_large = kind is WHOLE and re.fullmatch(r"[+-]?\d+", text.strip()) is not None
    return f"{kind.words} of at most 18 digits" if too_large else kind.words
