"""The images of an audit, one after the other: files and patterns, or the rows of a manifest."""

import csv
import glob
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx_si.auditing.summary import ALL
from onnx_si.auditing.wish import Wish
from onnx_si.errors import InputError, UsageError
from onnx_si.ground.files import MEDICAL
from onnx_si.ground.foreign import SUFFIXES
from onnx_si.ground.paths import FILE, FOLDER, what_is_at
from onnx_si.ground.readers import dicom
from onnx_si.ground.terminal import shown

OWN = ("image", "reference", "mask", "target", "sigma", "group")  # columns that mean something here
LONGEST_FIELD = 1 << 16
KNOWN = (*SUFFIXES, *MEDICAL)  # how the name of an image may end
ROWS_AT_ONCE = 4096  # of a Parquet file


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image: its number from 0, its files as paths from the audit's base, and what the manifest says.

    `fault` is why the row can't be tested, known before its image is read.
    """

    number: int
    image: str
    reference: tuple[str, ...] = ()
    mask: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    group: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None


def entries(wish: Wish) -> Iterator[Entry]:
    """All images, always in the same order; nothing is kept of those that have passed.

    Raises
    ------
    UsageError, InputError
        If there are none, or the manifest can't be read.
    """
    rows = _files(wish) if wish.manifest is None else _rows(wish, wish.manifest)
    empty = True
    for number, row in enumerate(rows):
        empty = False
        yield _entry(wish, number, row)
    if empty:
        what = wish.manifest or ", ".join(wish.images)
        raise UsageError(f"{what}: there are no images; allowed are {', '.join(KNOWN)}")


def _files(wish: Wish) -> Iterator[dict[str, str]]:
    """Files by name; folders without those inside. A folder that a pattern names is a DICOM series."""
    seen: set[str] = set()
    for pattern in wish.images:
        place = wish.place(pattern)
        if what_is_at(place) == FOLDER:
            inside = (file.name for file in place.iterdir() if file.name.lower().endswith(KNOWN))
            found = sorted(str(Path(pattern) / name) for name in inside)
        elif what_is_at(place) == FILE:
            found = [pattern]
        else:
            names = glob.iglob(pattern, root_dir=wish.base, recursive=True)  # noqa: PTH207 - may be absolute
            found = sorted(name for name in names if _is_one(wish.place(name)))
        if not found:
            raise UsageError(f"{shown(pattern)}: {_why_none(place)}; images are {', '.join(KNOWN)}")
        for name in found:
            if name not in seen:
                seen.add(name)
                yield {"image": name}


def _why_none(place: Path) -> str:
    """Why a file, a folder or a pattern names no image."""
    if what_is_at(place) == FOLDER:
        return "is a folder without an image in it"
    is_pattern = any(sign in place.name for sign in "*?[")
    return "no image has such a name" if is_pattern else "does not exist; give files, folders or patterns"


def _is_one(place: Path) -> bool:
    """Whether there is an image: a file, or the folder of a DICOM series."""
    found = what_is_at(place)
    return found == FILE or (found == FOLDER and dicom.is_dicom(place))


def _rows(wish: Wish, manifest: str) -> Iterator[dict[str, str]]:
    """Rows of a manifest; paths in it are relative to its folder."""
    file, folder = wish.place(manifest), Path(manifest).parent
    suffix = file.suffix.lower()
    if suffix == ".csv":
        rows = _csv(file)
    elif suffix == ".parquet":
        rows = _parquet(file)
    else:
        raise UsageError(f"{file}: a manifest is a .csv or .parquet file")
    for row in rows:
        kept = dict(row)
        for key in ("image", "mask"):
            if kept.get(key):
                kept[key] = str(folder / kept[key])
        if kept.get("reference"):
            kept["reference"] = ";".join(str(folder / one) for one in kept["reference"].split(";"))
        yield kept


def _csv(file: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(LONGEST_FIELD)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            _require_columns(reader.fieldnames or (), file)
            for row in reader:
                if None in row or None in row.values():
                    line = reader.line_num
                    raise InputError(f"{file}, line {line}: has another number of fields than line 1")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: can't be read as CSV ({error})") from error


def _parquet(file: Path) -> Iterator[dict[str, str]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise UsageError(f"{file}: needs pyarrow: pip install 'onnx-si[parquet]'") from error
    try:
        with file.open("rb") as stream:
            yield from _parquet_rows(parquet.ParquetFile(stream), file)
    except (OSError, ArrowException) as error:
        raise InputError(f"{file}: can't be read as Parquet ({error})") from error


def _parquet_rows(table: Any, file: Path) -> Iterator[dict[str, str]]:
    names = table.schema_arrow.names
    _require_columns(names, file)
    for batch in table.iter_batches(ROWS_AT_ONCE):
        for row in batch.to_pylist():
            yield {key: "" if value is None else str(value) for key, value in row.items()}


def _require_columns(names: Sequence[str], file: Path) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{file}: has column {twice[0]!r} twice; name each column once")
    if "image" not in names:
        raise InputError(f"{file}: has no column 'image', but {list(names) or 'nothing'}")


def _entry(wish: Wish, number: int, row: Mapping[str, str]) -> Entry:
    """A row as an entry; a value that can't be read is its fault, not the audit's."""
    given = {key: value.strip() for key, value in row.items() if key in OWN and value and value.strip()}
    options: dict[str, Any] = {}
    fault = None if "image" in given else "the manifest names no image here"
    if "target" in given:
        options["target"] = int(given["target"]) if given["target"].isdecimal() else given["target"]
    if "sigma" in given:
        try:
            options["sigma"] = float(given["sigma"])
        except ValueError:
            fault = f"sigma '{given['sigma']:.80}' is no number"
    if given.get("group") == ALL:
        raise InputError(f"{wish.manifest}, row {number + 1}: group '{ALL}' stands for all images; rename it")
    reference = given.get("reference", "")
    if not reference and wish.reference is not None:
        reference = wish.reference
    mask = given.get("mask") or wish.mask
    return Entry(
        number=number,
        image=given.get("image", ""),
        reference=tuple(reference.split(";")) if reference else (),
        mask=mask,
        options=options,
        group=given.get("group"),
        columns={key: value for key, value in row.items() if key not in OWN},
        fault=fault,
    )
