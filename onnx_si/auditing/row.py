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

from numpy.typing import NDArray

from onnx_si.analysis.options import Options
from onnx_si.analysis.options.of_image import how_of
from onnx_si.analysis.outcome import refusal
from onnx_si.analysis.prepare import Analysis
from onnx_si.auditing.images import Entry
from onnx_si.auditing.journal import writing
from onnx_si.errors import InputError, NothingToTest, OnnxSIError, UnsupportedModel
from onnx_si.graph import load
from onnx_si.ground.files import read_image, spacing, told_from
from onnx_si.ground.machine import one_core
from onnx_si.report import Refused, Result
from onnx_si.report.documents import AUDIT_ROW
from onnx_si.statistics.noise import read_covariance

CHUNK = 1 << 20
LONGEST_NAME = 60
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

    def read(self, path: str) -> NDArray[Any]:
        """An image by its path from the base."""
        return read_image(Path(self.base) / path, how=how_of(self.options))

    def spacing(self, path: str) -> tuple[float, ...] | None:
        """Size of a pixel in mm, where an image's file says it."""
        return spacing(Path(self.base) / path, how_of(self.options))


@dataclass(frozen=True, kw_only=True)
class Done:
    """A finished row, and what it took."""

    row: Mapping[str, Any]
    seconds: float


def do(job: Job, entry: Entry) -> Done:
    """Test one image. Never raises for what is wrong with the image or the test; a model that changed on the
    way, and a full disk, are not its fault.

    Raises
    ------
    InputError
        If the model's file is no longer the one that the audit began with.
    """
    started = time.perf_counter()
    with one_core():
        row = _row(job, entry)
    return Done(row=row, seconds=time.perf_counter() - started)


def killed(entry: Entry, reason: str) -> Done:
    """The row of an image whose worker died."""
    return Done(row=_made(entry, "failed", reason, None, None, None), seconds=0.0)


def _row(job: Job, entry: Entry) -> Mapping[str, Any]:
    analysis = _analysis(job)
    sha256 = None
    try:
        if entry.fault is not None:
            raise InputError(entry.fault)
        image, sha256 = _read(job, entry.image)
        result = analysis.test(
            image,
            [job.read(path) for path in entry.reference] or None,
            mask=None if entry.mask is None else job.read(entry.mask),
            covariance=None if job.covariance is None else read_covariance(Path(job.base) / job.covariance),
            noise_from=[job.read(path) for path in job.noise_from],
            sigma_from=None if job.sigma_from is None else job.read(job.sigma_from),
            pixel_size=None if "pixel_size" in job.options else job.spacing(entry.image),
            **entry.options,
        )
    except (NothingToTest, UnsupportedModel) as error:
        found = refusal(error, analysis.model, has_reference=bool(entry.reference), **_told(job, entry))
        document = replace(found, **_paths(job, entry, found)).to_dict()
        return _made(entry, found.status, str(error), sha256, document, None)
    except OnnxSIError as error:
        return _made(entry, "failed", str(error).replace(f"{job.base}{os.sep}", ""), sha256, None, None)
    except MemoryError:
        return _made(entry, "failed", "out of memory", sha256, None, None)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        reason = f"a fault of onnx-si itself, please report it ({where}: {error})"
        return _made(entry, "failed", reason, sha256, None, None)
    read = (entry.image, *entry.reference, *job.noise_from)
    told = told_from(Path(job.base), read, how_of(job.options))
    result = replace(result, **_paths(job, entry, result), warnings=(*told, *result.warnings))
    picture = _picture(job, entry, result)
    return _made(entry, "tested", None, sha256, result.to_dict(), picture)


def _read(job: Job, path: str) -> tuple[NDArray[Any], str]:
    """An image and the hash of the very bytes that it was read from."""
    image = job.read(path)  # first, for it says best what is wrong with a file
    try:
        before = sha256_of(Path(job.base) / path)
        image = job.read(path)
        now = sha256_of(Path(job.base) / path)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error})") from error
    if now != before:
        raise InputError(f"{path}: was changed while it was read")
    return image, now


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
    }
    return {
        "image_path": entry.image,
        "reference_paths": entry.reference,
        "model": {**found.model, "path": job.model},
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
    """Of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@functools.lru_cache(maxsize=1)  # each worker reads the model and makes it ready once
def _analysis(job: Job) -> Analysis:
    model = load(Path(job.base) / job.model)
    if model.sha256 != job.sha256:
        raise InputError(f"{job.model} was changed while the audit ran; run it again with --restart")
    return Analysis(model, Options(**job.options))
