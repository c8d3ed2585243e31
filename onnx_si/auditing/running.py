"""Run an audit: images in, a folder with rows, tables, verdict and report out."""

import contextlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from onnx_si.analysis.inputs import require_read_so
from onnx_si.analysis.options import Options
from onnx_si.analysis.options.of_image import how_of
from onnx_si.analysis.prepare import Analysis
from onnx_si.auditing.apart import require_apart
from onnx_si.auditing.gates import judge
from onnx_si.auditing.images import Entry, entries
from onnx_si.auditing.journal import (
    LOCK,
    MADE,
    PICTURES,
    ROWS,
    TIMINGS,
    Journal,
    alone,
    encoded,
    read_lines,
    write_whole,
    writing,
)
from onnx_si.auditing.lock import lock_of, require_same
from onnx_si.auditing.of_files import placed
from onnx_si.auditing.page import relative, write_report
from onnx_si.auditing.row import Job, sha256_of
from onnx_si.auditing.summary import summarise
from onnx_si.auditing.tables import write_csv, write_junit, write_parquet
from onnx_si.auditing.wish import Wish
from onnx_si.auditing.workers import processes, rows
from onnx_si.errors import InputError, UsageError
from onnx_si.graph import load
from onnx_si.report.documents import AUDIT
from onnx_si.report.documents.shape import plain

Advance = Callable[[int, int], None]  # finished, of so many


@dataclass(frozen=True, kw_only=True)
class Audit:
    """A finished audit: its folder, and its summary as a document of schema `onnx-si/audit/1`.

    `kept` is what makes the folder live as long as this object, where it is a temporary one.
    """

    folder: Path
    document: Mapping[str, Any]
    kept: object = field(default=None, repr=False, compare=False)

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return bool(self.document["passed"])

    def rows(self) -> Iterator[dict[str, Any]]:
        """The documents of its images, one by one."""
        return read_lines(self.folder / ROWS)

    def adjusted(self) -> dict[int, float]:
        """Adjusted p-values over all images, by the number of the tested image."""
        found = summarise(self.rows(), self.document["control"], self.document["rate"])
        return dict(found.adjusted)

    def summary(self) -> dict[str, Any]:
        """The summary's document."""
        return dict(self.document)

    def save(self, folder: str | Path) -> None:
        """Copy everything to another folder, which must not exist.

        Raises
        ------
        UsageError
            If it exists, or can't be written.
        """
        target = Path(folder)
        if target.exists():
            raise UsageError(f"{target}: exists already; give a new folder")
        with writing(target):
            shutil.copytree(self.folder, target, ignore=shutil.ignore_patterns(".*"))

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict and why."""
        from onnx_si.report.html.pages import audit_fragment  # few audits are shown in a notebook

        return audit_fragment(self.document)

    def to_frame(self) -> Any:
        """The rows of `results.csv` as a pandas DataFrame.

        Raises
        ------
        UsageError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UsageError("a data frame needs pandas: pip install pandas") from error
        return pandas.read_csv(self.folder / "results.csv", keep_default_na=True)


def run_audit(
    wish: Wish,
    folder: str | Path,
    *,
    jobs: int = -1,
    scheduler: str | None = None,
    restart: bool = False,
    advance: Advance = lambda finished, wanted: None,
    kept: object = None,
) -> Audit:
    """Test every image, or those that an interrupted run has left, and judge the gates.

    Parameters
    ----------
    wish : Wish
    folder : path-like
        Where everything is written; made if it is not there.
    jobs : int
        Worker processes; -1: one for each core, 0: this process.
    scheduler : str, optional
        Address of a Dask scheduler in place of `jobs`.
    restart : bool
        Begin anew, whatever the folder holds of an audit.
    advance : callable
        Told how many images are finished, of how many.
    kept : object
        What the audit keeps alive: a temporary folder.

    Raises
    ------
    UsageError, InputError, UnsupportedModel
        If the audit can't begin, or go on: the model, an option, the folder. What is wrong with one image is
        in its row.
    """
    place = Path(folder)
    require_apart(wish, entries(wish), place)
    require_read_so(how_of(wish.options), _files(wish))
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    count = processes(jobs)
    with alone(place):
        if restart:
            _clear(place)
        model = load(wish.place(wish.model))
        Analysis(model, Options(**placed(wish.options, wish.base)))  # what is wrong for all is told first
        lock = lock_of(wish, model, entries(wish), relative(wish.base, place))
        _bind(place, lock)
        found, took = Journal(place / ROWS), Journal(place / TIMINGS, durable=False)
        done = _finished(found, took, wish)
        total = lock["images"]["count"]
        count = min(count, max(1, total - done))
        job = _job(wish, model.sha256 or "", place)
        advance(done, total)
        left = itertools.islice(entries(wish), done, None)
        with contextlib.closing(rows(job, left, count, scheduler)) as made:
            for number, one in enumerate(made, done + 1):
                took.add({"number": one.row["number"], "seconds": round(one.seconds, 6)})
                found.add(one.row)
                advance(number, total)
        document = _judged(wish, place, lock)
    return Audit(folder=place, document=document, kept=kept)


def _files(wish: Wish) -> Iterator[Path]:
    """Everything that is read as an image is."""
    shared = (wish.sigma_from, *wish.noise_from)
    each = (name for entry in entries(wish) for name in (entry.image, entry.mask, *entry.reference))
    return (wish.place(name) for name in itertools.chain(shared, each) if name)


def _clear(place: Path) -> None:
    with writing(place):
        for name in MADE:
            (place / name).unlink(missing_ok=True)
        shutil.rmtree(place / PICTURES, ignore_errors=True)


def _bind(place: Path, lock: Mapping[str, Any]) -> None:
    """Go on with the same audit, or begin one in a folder that holds none."""
    path = place / LOCK
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: can't be read ({error}); --restart begins anew") from error
        require_same(before, lock, place)
        if before.get("base") != lock["base"]:  # the folder was moved
            write_whole(path, _pretty(lock))
        return
    strange = [name for name in MADE if (place / name).exists()]
    if strange:
        raise UsageError(f"{place}: holds {', '.join(strange)} but no {LOCK}; --restart removes them")
    write_whole(path, _pretty(lock))


def _finished(found: Journal, took: Journal, wish: Wish) -> int:
    """How many images are done; every one of them must still be what it was.

    Raises
    ------
    UsageError
        If an image's file has changed.
    """
    done = 0
    for row, entry in zip(found, entries(wish), strict=False):
        if row.get("number") != done or row.get("image") != plain(entry.image):
            raise InputError(f"{found.path}, line {done + 1}: is not of image {done}; --restart begins anew")
        _require_unchanged(row, entry, wish.place(entry.image))
        done += 1
    took.cut(done)
    for number in range(took.count(), done):  # lost, as they are not on the disk at once
        took.add({"number": number, "seconds": None})
    return done


def _require_unchanged(row: Mapping[str, Any], entry: Entry, file: Path) -> None:
    before = row["image_sha256"]
    if before is None:
        return
    try:
        now = sha256_of(file)
    except OSError as error:
        raise UsageError(f"{entry.image}: was tested, but is gone now; --restart begins anew") from error
    if now != before:
        raise UsageError(f"{entry.image}: has changed since it was tested; --restart begins anew")


def _job(wish: Wish, sha256: str, place: Path) -> Job:
    pictures = None
    if wish.pictures:
        with writing(place / PICTURES):
            (place / PICTURES).mkdir(exist_ok=True)
            for left in (place / PICTURES).glob(".*.png"):  # half drawn when a worker was killed
                left.unlink(missing_ok=True)
        pictures = str((place / PICTURES).resolve())
    job = Job(
        text="",
        base=str(wish.base.resolve()),  # workers may have another working directory
        model=wish.model,
        sha256=sha256,
        options=dict(wish.options),
        covariance=wish.covariance,
        noise_from=wish.noise_from,
        sigma_from=wish.sigma_from,
        pictures=pictures,
    )
    return replace(job, text=repr(job))


def _judged(wish: Wish, place: Path, lock: Mapping[str, Any]) -> dict[str, Any]:
    """Counts, gates, and all files that follow from the rows."""

    def again() -> Iterator[dict[str, Any]]:
        return read_lines(place / ROWS)

    summary = summarise(again(), wish.control, wish.rate)
    verdicts = judge(wish.gates, summary)
    document = AUDIT.make(
        {
            "passed": all(verdict.passed for verdict in verdicts),
            "gates": [asdict(verdict) for verdict in verdicts],
            "control": wish.control,
            "rate": wish.rate,
            "groups": [{"group": name, **asdict(counts)} for name, counts in summary.groups.items()],
            "model": lock["model"],
            "config": lock["config"],
            "versions": lock["versions"],
        },
        {"gates.*.found": "there was nothing to judge by", "groups.*.*": "nothing was tested"},
        "not known",
    )
    write_csv(place / "results.csv", again(), summary)
    with contextlib.suppress(ImportError):
        import pyarrow  # noqa: F401 - only where it is installed

        write_parquet(place / "results.parquet", again(), summary)
    write_junit(place / "junit.xml", again(), summary, verdicts)
    write_report(place / "report.html", document, again(), summary, lock["base"])
    write_whole(place / "summary.json", _pretty(document))
    return document


def _pretty(content: Mapping[str, Any]) -> bytes:
    return encoded(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
