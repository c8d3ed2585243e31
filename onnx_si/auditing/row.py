"""One image of an audit: read, tested, drawn; whatever goes wrong becomes its row."""

import functools
import hashlib
import os
import re
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnx_si.analysis.options import Options
from onnx_si.analysis.outcome import refusal
from onnx_si.analysis.prepare import Analysis
from onnx_si.auditing.images import Entry
from onnx_si.auditing.journal import STRANGE, writing
from onnx_si.auditing.of_files import Files, placed
from onnx_si.errors import InputError, NothingToTest, OnnxSIError, UnsupportedModel
from onnx_si.graph import load
from onnx_si.ground.machine import one_core
from onnx_si.ground.paths import OTHER, what_is_at
from onnx_si.ground.wall import starved
from onnx_si.report import Refused, Result
from onnx_si.report.documents import AUDIT_ROW

CHUNK = 1 << 20
LONGEST_NAME = 60
NO_MEMORY = (
    "it needs more memory than a test may take; give --memory, or fewer --jobs for more of it each, and "
    "--restart"
)
APART = "timings are in timings.jsonl"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every row needs to be tested: enough for another process to do it.

    `text` tells jobs apart; the rest is not compared.
    """

    text: str
    base: str = field(compare=False)
    model: str = field(compare=False)
    sha256: str = field(compare=False)
    options: Mapping[str, Any] = field(compare=False)
    covariance: str | None = field(compare=False, default=None)
    noise_from: tuple[str, ...] = field(compare=False, default=())
    sigma_from: str | None = field(compare=False, default=None)
    pictures: str | None = field(compare=False, default=None)

    def place(self, path: str) -> Path:
        """A file by its path from the base."""
        return Path(self.base) / path

    def words(self, text: str) -> str:
        """A text with files as the audit was told of them, wherever it runs."""
        return text.replace(f"{self.base}{os.sep}", "")


@dataclass(frozen=True, kw_only=True)
class Done:
    """A finished row, and what it took; `starved` where memory was wanting."""

    row: Mapping[str, Any]
    seconds: float
    starved: bool = False


def do(job: Job, entry: Entry) -> Done:
    """Test one image. Never raises for what is wrong with the image or the test; a model that changed on the
    way, and a full disk, are not its fault.

    Raises
    ------
    InputError
        If the model's file is no longer the one that the audit began with.
    """
    started = time.perf_counter()
    starved = False
    with one_core():
        try:
            row = _row(job, entry)
        except MemoryError:
            starved = True
    if starved:  # what was taken is free again here
        row = _made(entry, "failed", NO_MEMORY, None, None, None)
    return Done(row=row, seconds=time.perf_counter() - started, starved=starved)


def killed(entry: Entry, reason: str) -> Done:
    """The row of an image whose worker died."""
    return Done(row=_made(entry, "failed", reason, None, None, None), seconds=0.0)


def _row(job: Job, entry: Entry) -> Mapping[str, Any]:
    analysis = _analysis(job)
    sha256 = None
    try:
        if entry.fault is not None:
            raise InputError(entry.fault)
        sha256 = _hash(job, entry.image)
        try:
            result = Files.of(entry, job).test(analysis, Path(job.base), **entry.options)
        finally:
            _require_same(job, entry, sha256)
    except (NothingToTest, UnsupportedModel) as error:
        found = refusal(error, analysis.model, has_reference=bool(entry.reference), **_told(job, entry))
        document = replace(found, **_paths(job, entry, found)).to_dict()
        return _made(entry, found.status, job.words(str(error)), sha256, document, None)
    except OnnxSIError as error:
        return _made(entry, "failed", job.words(str(error)), sha256, None, None)
    except Exception as error:
        if starved(error):
            raise MemoryError from error
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        reason = f"a fault of onnx-si itself, please report it ({where}: {error})"
        return _made(entry, "failed", reason, sha256, None, None)
    result = replace(result, **_paths(job, entry, result), warnings=tuple(map(job.words, result.warnings)))
    picture = _picture(job, entry, result)
    return _made(entry, "tested", None, sha256, result.to_dict(), picture)


def _hash(job: Job, path: str) -> str | None:
    """Of the image's bytes; None where there is no such file, of which the reader says more."""
    try:
        return sha256_of(job.place(path))
    except OSError:
        return None


def _require_same(job: Job, entry: Entry, before: str | None) -> None:
    """The image that was tested is the one of the hash."""
    if _hash(job, entry.image) != before:
        raise InputError(f"{entry.image}: was changed while it was read")


def _made(
    entry: Entry,
    status: str,
    reason: str | None,
    sha256: str | None,
    document: dict[str, Any] | None,
    picture: str | None,
) -> Mapping[str, Any]:
    """A row's document; the time that the test took is not in it, so that it is the same at every run."""
    if document is not None and document["search"]["seconds"] is not None:
        document["search"]["seconds"] = None
        document["reasons"]["search.seconds"] = APART
    return AUDIT_ROW.make(
        {
            "number": entry.number,
            "image": entry.image,
            "image_sha256": sha256,
            "group": entry.group,
            "columns": entry.columns,
            "status": status,
            "reason": reason,
            "picture": picture,
            "result": document,
        }
    )


def _told(job: Job, entry: Entry) -> dict[str, Any]:
    return {**job.options, **entry.options}


def _paths(job: Job, entry: Entry, found: Result | Refused) -> dict[str, Any]:
    """Files as the audit was told of them, wherever it runs."""
    files = {
        "mask": entry.mask,
        "covariance": job.covariance,
        "noise_from": job.noise_from or None,
        "sigma_from": job.sigma_from,
        "inputs": found.config["inputs"] and job.options["inputs"],
    }
    return {
        "image_path": entry.image,
        "reference_paths": entry.reference,
        "model": replace(found.model, path=job.model),
        "config": {**found.config, **files},
    }


def picture_name(entry: Entry) -> str:
    """A file's name for the picture of an image: its number, and what is plain of its own name."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(entry.image).stem).strip("-")[:LONGEST_NAME]
    return f"{entry.number:06d}-{plain or 'image'}.png"


def _picture(job: Job, entry: Entry, result: Result) -> str | None:
    """Draw a result under a temporary name and rename it; its place in the audit's folder.

    Raises
    ------
    UsageError
        If the disk is full, or the folder can't be written: that is no fault of the image.
    """
    if job.pictures is None:
        return None
    target = Path(job.pictures) / picture_name(entry)
    partial = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        with writing(target):
            partial.write_bytes(result.thumbnail())
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return f"{target.parent.name}/{target.name}"


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Of a file's bytes, read in pieces; of a folder's files, by their names.

    Raises
    ------
    OSError
        If there is neither: a pipe that no one writes to would be waited for without an end.
    """
    place, digest = Path(path), hashlib.sha256()
    if what_is_at(place) == OTHER:
        raise OSError(f"{place} is neither a file nor a folder")
    if place.is_dir():
        for file in sorted(one for one in place.iterdir() if one.is_file()):
            digest.update(f"{file.name}\0{sha256_of(file)}\n".encode("utf-8", STRANGE))
        return digest.hexdigest()
    with place.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@functools.lru_cache(maxsize=1)  # each worker reads the model and makes it ready once
def _analysis(job: Job) -> Analysis:
    model = load(Path(job.base) / job.model)
    if model.sha256 != job.sha256:
        raise InputError(f"{job.model} was changed while the audit ran; run it again with --restart")
    return Analysis(model, Options(**placed(job.options, Path(job.base))))
