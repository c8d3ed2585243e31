"""Run recorded tests again, and compare them number by number."""

import functools
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnx_si.analysis.options import OPTIONS, Options
from onnx_si.analysis.outcome import refusal, versions
from onnx_si.analysis.prepare import Analysis
from onnx_si.auditing.journal import LOCK, read_lines
from onnx_si.auditing.of_files import Files, placed
from onnx_si.auditing.row import sha256_of
from onnx_si.errors import InputError, NothingToTest, OnnxSIError, UnsupportedModel
from onnx_si.graph import Model, load
from onnx_si.ground.paths import FILE, NOTHING, what_is_at
from onnx_si.ground.words import so_many
from onnx_si.report.documents import AUDIT_ROW, RESULT
from onnx_si.report.documents.shape import plain
from onnx_si.report.html.command import given_again, in_memory
from onnx_si.search.stop import WHY as INTERRUPTED

CLOSE = 1e-9
# What a test costs, and how the deployed runtime rounds, may differ where every answer is the same.
NOT_COMPARED = ("search", "reasons", "versions", "defaults", "schema", "model.path", "parity.max_difference")
ADDED = ("p_value_adjusted_bounds",)  # keys that earlier records of the same schema lack
FIRST = ("status", "p_value", "statistic")  # what is told first where it differs
LARGEST = 1 << 28  # bytes of a single result
MOST_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Record:
    """A recorded test: its document, and what the audit's row says beside it."""

    name: str
    document: Mapping[str, Any] | None
    image_sha256: str | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What running a record again gave: how many values were compared, and those that differ."""

    name: str
    compared: int
    differences: tuple[str, ...] = ()
    skipped: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def __str__(self) -> str:
        if self.skipped is not None:
            return f"{self.name}: not run: {self.skipped}"
        if self.agrees:
            return f"{self.name}: agrees, {so_many(self.compared, 'value')}"
        more = len(self.differences) - MOST_SHOWN
        shown = "; ".join(self.differences[:MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        return f"{self.name}: DIFFERS, {len(self.differences)} of {so_many(self.compared, 'value')}: {shown}"


def records(path: Path) -> Iterator[Record]:
    """The tests that a result or an audit's rows hold.

    Raises
    ------
    InputError
        If it is neither.
    """
    if path.suffix.lower() == ".jsonl":
        if what_is_at(path) != FILE:
            raise InputError(f"{path}: is no file; give a RESULT.json or an audit's results.jsonl")
        yield from (_record(line, path) for line in read_lines(path))
        return
    try:
        if what_is_at(path) == NOTHING:
            raise InputError(f"{path}: does not exist; give a RESULT.json or an audit's results.jsonl")
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path}: is larger than {LARGEST} bytes; a result is not")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: can't be read as JSON ({error})") from error
    yield _record(content, path)


def _record(content: Any, path: Path) -> Record:
    schema = content.get("schema") if isinstance(content, dict) else None
    try:
        if schema == AUDIT_ROW.name:
            image, sha256 = content["image"], content["image_sha256"]
            return Record(name=image, document=content["result"], image_sha256=sha256, why=content["reason"])
        if schema == RESULT.name:
            return Record(name=content["image"]["path"] or "image in memory", document=content)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: lacks {error}, which schema {schema} has") from error
    raise InputError(f"{path}: has schema {schema!r}, not {RESULT.name} or {AUDIT_ROW.name}")


def base_of(path: Path) -> Path:
    """Where a record's paths start: beside an audit's lock as it says, else where the program runs.

    Raises
    ------
    InputError
        If the lock can't be read.
    """
    lock = path.parent / LOCK
    if path.suffix.lower() != ".jsonl" or what_is_at(lock) != FILE:
        return Path()
    try:
        return path.parent / str(json.loads(lock.read_text(encoding="utf-8"))["base"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{lock}: does not say where paths start ({error}); give --base") from error


def replay(record: Record, base: Path) -> Agreement:
    """Run one record again. What goes wrong on the way is a difference."""
    document = record.document
    if document is None:
        return Agreement(
            name=record.name, compared=0, skipped=f"it failed before a test began ({record.why})"
        )
    if _ended_by_time(document):
        why = "its time limit ended it, and how far a search comes in a time depends on the machine"
        return Agreement(name=record.name, compared=0, skipped=why)
    if _was_interrupted(document):
        why = "the record is of a search that was stopped, and how far it had come can't be repeated"
        return Agreement(name=record.name, compared=0, skipped=why)
    told = document.get("image", {}).get("path")
    if told is None or document["model"]["path"] is None:
        return Agreement(name=record.name, compared=0, skipped="model or image were in memory")
    arrays = _in_memory(document)
    if arrays:
        why = f"{' and '.join(arrays)} given in memory, not as a file"
        return Agreement(name=record.name, compared=0, skipped=why)
    try:
        if record.image_sha256 not in (None, sha256_of(base / told)):
            return Agreement(name=record.name, compared=1, differences=("the image's file has changed",))
        now = _again(document, base)
    except (OnnxSIError, OSError) as error:
        return Agreement(name=record.name, compared=1, differences=(f"can't be run again: {error}",))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"is no whole record ({type(error).__name__}: {error})"
        return Agreement(name=record.name, compared=1, differences=(what,))
    found = list(_compared(document, now))
    return Agreement(
        name=record.name,
        compared=len(found),
        differences=tuple(text for text in found if text),
    )


def _ended_by_time(document: Mapping[str, Any]) -> bool:
    try:
        return document["config"]["time_limit"] is not None and document["search"]["complete"] is False
    except (KeyError, TypeError):
        return False  # of an earlier version, or no whole record


def _in_memory(document: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return in_memory(document)
    except (KeyError, TypeError, AttributeError):
        return ()  # no whole record


def _was_interrupted(document: Mapping[str, Any]) -> bool:
    warnings = document.get("warnings")
    return isinstance(warnings, list) and any(str(text).startswith(INTERRUPTED) for text in warnings)


def told_versions(document: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Packages that are others now than when a test was recorded."""
    before = {} if document is None else document.get("versions", {})
    return tuple(
        f"{name} {before[name]}, now {now}"
        for name, now in versions().items()
        if name in before and before[name] != now
    )


def _again(document: Mapping[str, Any], base: Path) -> dict[str, Any]:
    config = document["config"]
    options = {
        name: value
        for name, value in given_again(document).items()
        if name in OPTIONS and name != "time_limit"
    }
    paths = document["reference"]["paths"] or ()
    analysis = _analysis(base / document["model"]["path"], json.dumps(options, sort_keys=True), str(base))
    files = Files(
        image=document["image"]["path"],
        reference=paths,
        mask=config.get("mask"),
        covariance=config.get("covariance"),
        noise_from=config.get("noise_from") or (),
        sigma_from=config.get("sigma_from"),
    )
    try:
        found = files.test(analysis, base).to_dict()
    except (NothingToTest, UnsupportedModel) as error:
        refused = refusal(error, analysis.model, has_reference=bool(paths), **options)
        found = replace(refused, reference_paths=tuple(paths)).to_dict()
    found["warnings"] = [text.replace(f"{base}{os.sep}", "") for text in found["warnings"]]
    same = {"image": {**found["image"], "path": document["image"]["path"]}}
    same["reference"] = {**found["reference"], "paths": document["reference"]["paths"]}
    kept = ("mask", "covariance", "noise_from", "sigma_from", "inputs", "time_limit")
    told = {name: config.get(name) for name in kept}
    return dict(plain({**found, **same, "config": {**found["config"], **told}}))


@functools.lru_cache(maxsize=2)
def _model(path: Path) -> Model:
    return load(path)


@functools.lru_cache(maxsize=2)
def _analysis(path: Path, options: str, base: str) -> Analysis:
    return Analysis(_model(path), Options(**placed(json.loads(options), Path(base))))


def _compared(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """For every value '' where it agrees, else what differs."""
    if path in NOT_COMPARED:
        return
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = {*before, *now} - {key for key in ADDED if key not in before}
        for key in sorted(keys, key=lambda key: (key not in FIRST, key)):
            yield from _compared(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from _compared(one, other, f"{path}.{number}")
    else:
        yield "" if _same(before, now, path) else f"{path} was {_short(before)}, is {_short(now)}"


def _same(before: Any, now: Any, path: str) -> bool:
    """Numbers to 1e-9: of a p-value relative to itself, however small it is; of others of 1 at least."""
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in (before, now)):
        return type(before) is type(now) and bool(before == now)
    least = 0.0 if "p_value" in path else CLOSE
    return math.isclose(before, now, rel_tol=CLOSE, abs_tol=least)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
