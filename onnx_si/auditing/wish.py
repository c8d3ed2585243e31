"""What an audit is asked for, from a TOML file or from options, checked as a whole before the first image."""

import contextlib
import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx_si.analysis.options import OPTIONS, Options
from onnx_si.auditing.gates import GATES, Limit, limits_of
from onnx_si.auditing.own_options import KEYS
from onnx_si.errors import UsageError
from onnx_si.ground.paths import FILE, FOLDER, NOTHING, what_is_at
from onnx_si.ground.terminal import shown

LARGEST_FILE = 1 << 24  # bytes of a TOML file


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is audited, and what would make it fail.

    `images` are files, folders and patterns, `manifest` is a CSV or Parquet file in their place; paths are
    relative to `base`. `options` are those of `onnx_si.test`, for every image. `rate` is the false discovery
    rate (of Holm: the family-wise error rate) at which `control` rejects.
    """

    base: Path
    model: str
    images: tuple[str, ...] = ()
    manifest: str | None = None
    reference: str | None = None
    mask: str | None = None
    covariance: str | None = None
    noise_from: tuple[str, ...] = ()
    sigma_from: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    control: str = KEYS["control"].default
    rate: float = KEYS["rate"].default
    pictures: bool = KEYS["pictures"].default
    gates: tuple[Limit, ...] = ()

    def place(self, path: str) -> Path:
        """A path of the wish, from where the program runs."""
        return self.base / path


class Faults(UsageError):
    """Everything that is wrong with an audit's configuration."""

    def __init__(self, where: str, faults: Sequence[str]):
        self.faults = tuple(faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{where}: {count}", *(f"  {fault}" for fault in faults)]))


TABLES = ("test", "gates")


def read_wish(path: str | Path) -> Wish:
    """Read an audit's TOML file.

    Raises
    ------
    Faults
        With a line for every fault in it.
    UsageError
        If it can't be read, or is no TOML.
    """
    file = Path(path)
    try:
        found = what_is_at(file)
        if found != FILE:
            what = "does not exist" if found == NOTHING else "is no file"
            raise UsageError(f"{shown(file)}: {what}; give an audit's .toml file (--init writes one)")
        if file.stat().st_size > LARGEST_FILE:
            raise UsageError(f"{shown(file)}: is larger than {LARGEST_FILE} bytes; an audit's file is not")
        source = file.read_text(encoding="utf-8")
        content = tomllib.loads(source)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: can't be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: is no TOML: {error}") from error
    return wish_of(content, base=file.parent, where=str(file), lines=Lines(source))


class Lines:
    """On which line of a TOML file a key stands."""

    def __init__(self, source: str = ""):
        self._found: dict[str, int] = {}
        table = ""
        for number, line in enumerate(source.splitlines(), 1):
            if header := re.match(r"\s*\[+\s*([\w.-]+)\s*\]+", line):
                table = header[1] + "."
                self._found.setdefault(header[1], number)
            elif key := re.match(r"\s*([\w-]+)\s*=", line):
                self._found.setdefault(table + key[1], number)

    def of(self, key: str) -> str:
        """`line 4: `, or nothing where it is not known."""
        number = self._found.get(key)
        return "" if number is None else f"line {number}: "


def wish_of(content: Mapping[str, Any], *, base: Path, where: str, lines: Lines | None = None) -> Wish:
    """Check a configuration as a whole.

    Parameters
    ----------
    content : mapping
        As in the TOML file: the keys of `KEYS`, and the tables `test` and `gates`.
    base : Path
        What paths are relative to.
    where : str
        The file, or what else the user knows the configuration by.
    lines : Lines, optional

    Raises
    ------
    Faults
    """
    known = lines or Lines()
    faults: list[str] = []
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key in TABLES:
            continue
        if key not in KEYS:
            faults.append(f"{known.of(key)}{key}: there is no such key{_nearest(key, (*KEYS, *TABLES))}")
            continue
        fault = KEYS[key].fault_of(value)
        if fault is None:
            values[key] = KEYS[key].kind.accept(value)
        else:
            faults.append(f"{known.of(key)}{key} = {value!r:.80}: {fault}")
    values["options"] = _options(content.get("test", {}), known, faults)
    values["gates"] = _gates(content.get("gates", {}), known, faults)
    faults += _missing(values, base)
    if faults:
        raise Faults(where, faults)
    return Wish(base=base, **values)


def _options(table: Any, lines: Lines, faults: list[str]) -> dict[str, Any]:
    """Options of the test, each checked by itself, then together."""
    if not isinstance(table, Mapping):
        faults.append(f"{lines.of('test')}test: give a table of options")
        return {}
    allowed = set(OPTIONS)
    options = {key.replace("-", "_"): value for key, value in table.items()}
    before = len(faults)
    for key, value in options.items():
        place = lines.of(f"test.{key}") or lines.of(f"test.{key.replace('_', '-')}")
        if key not in allowed:
            faults.append(
                f"{place}test.{key}: there is no such option{_nearest(key, tuple(sorted(allowed)))}"
            )
            continue
        options[key] = _read(key, value)
        try:
            Options(**{key: options[key]})
        except (UsageError, TypeError, ValueError) as error:
            faults.append(f"{place}test.{error}")
    if len(faults) == before:
        try:
            Options(**options)
        except UsageError as error:
            faults.append(f"{lines.of('test')}test: {error}")
    return options


def _read(key: str, value: Any) -> Any:
    """An option's value; a text that says one in the words of the command line, such as 2G, is read."""
    kind = OPTIONS[key].kind
    if not isinstance(value, str):
        return value
    for read in (kind.accept, kind.read):
        with contextlib.suppress(TypeError, ValueError):
            return read(value)
    return value


def _gates(table: Any, lines: Lines, faults: list[str]) -> tuple[Limit, ...]:
    if not isinstance(table, Mapping):
        faults.append(f"{lines.of('gates')}gates: give a table")
        return ()
    found: list[Limit] = []
    for name, value in table.items():
        place = lines.of(f"gates.{name}")
        if name not in GATES:
            faults.append(f"{place}gates.{name}: there is no such gate{_nearest(name, tuple(GATES))}")
            continue
        try:
            found += limits_of(name, value)
        except ValueError as error:
            faults.append(f"{place}gates.{name} = {value!r:.80}: {error}")
    return tuple(found)


def _missing(values: Mapping[str, Any], base: Path) -> Iterator[str]:
    """What has to be there and is not."""
    if "model" not in values:
        yield "model is missing: the .onnx file"
    if ("images" in values) == ("manifest" in values):
        yield "give either images or manifest"
    for key in ("model", "manifest", "reference", "mask", "covariance"):
        if key in values and what_is_at(base / values[key]) != FILE:
            yield f"{key} = {shown(values[key])!r}: {shown(base / values[key])} is no file"
    named = {"sigma_from": [values["sigma_from"]] if "sigma_from" in values else []}
    for key, paths in (named | {"noise_from": values.get("noise_from", ())}).items():
        for path in paths:
            if what_is_at(base / path) not in (FILE, FOLDER):  # a DICOM series is a folder
                yield f"{key} = {shown(path)!r}: {shown(base / path)} is no file"


def _nearest(word: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, allowed, 1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(allowed)}"
