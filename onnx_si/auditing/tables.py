"""An audit's rows as CSV, Parquet and JUnit: written line by line, under a temporary name."""

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from onnx_si.auditing.gates import Verdict
from onnx_si.auditing.journal import STRANGE, as_whole, encoded, writing
from onnx_si.auditing.summary import ALL, Summary
from onnx_si.auditing.warned import warnings_of
from onnx_si.errors import UsageError
from onnx_si.report.audited import allowed, limit

COLUMNS: tuple[tuple[str, type], ...] = (
    *(("number", int), ("image", str), ("group", str), ("status", str), ("p_value", float)),
    *(("p_value_adjusted", float), ("rejected", bool), ("p_value_low", float), ("p_value_high", float)),
    *(("statistic", float), ("standard_error", float), ("interval_low", float), ("interval_high", float)),
    *(("pixels", int), ("fraction", float), ("guarantee", str), ("noise_level", str)),
    *(
        ("parity_pixels", int),
        ("information", float),
        ("warnings", int),
        ("image_sha256", str),
        ("picture", str),
        ("reason", str),
    ),
)
ROWS_AT_ONCE = 1024


def flat(row: Mapping[str, Any], summary: Summary) -> dict[str, Any]:
    """One row as values by `COLUMNS`, and after them the manifest's own columns."""
    result = row["result"] if row["status"] == "tested" else None
    adjusted = summary.adjusted.get(row["number"])
    values = {name: row.get(name) for name in ("number", "image", "group", "status", "image_sha256")}
    values |= {"picture": row["picture"], "reason": row["reason"], "p_value_adjusted": adjusted}
    values["warnings"] = len(warnings_of(row))
    values["rejected"] = None if adjusted is None else adjusted <= summary.rate
    if result is not None:
        low, high = result["p_value_bounds"]
        start, end = result["confidence_interval"]
        pixels = result["parity"]["pixels"]
        values |= {
            "p_value": result["p_value"],
            "p_value_low": low,
            "p_value_high": high,
            "interval_low": start,
            "interval_high": end,
            "statistic": result["statistic"],
            "standard_error": result["standard_error"],
            "pixels": result["region"]["pixels"],
            "fraction": result["region"]["fraction"],
            "guarantee": result["guarantee"],
            "noise_level": result["noise"]["level"],
            "parity_pixels": None if pixels is None else len(pixels),
            "information": result["fragility"]["information"],
        }
    named = {name: values.get(name) for name, _ in COLUMNS}
    return {**named, **_apart(row["columns"], named)}


def _apart(columns: Mapping[str, str], named: Mapping[str, Any]) -> dict[str, str]:
    """A manifest's columns; those that have one of our names get `_` behind it, until no other has theirs."""
    found: dict[str, str] = {}
    for name, text in columns.items():
        free = name
        while free in named or free in found or (free != name and free in columns):
            free += "_"
        found[free] = text
    return found


def write_csv(path: Path, rows: Iterator[Mapping[str, Any]], summary: Summary) -> None:
    """One line a row. A text that a spreadsheet would take for a formula gets an apostrophe in front."""
    with (
        writing(path),
        as_whole(path) as partial,
        partial.open("w", encoding="utf-8", errors=STRANGE, newline="") as stream,
    ):
        writer = None
        for row in rows:
            values = {_safe(name): _safe(value) for name, value in flat(row, summary).items()}
            if writer is None:
                writer = csv.DictWriter(stream, list(values), restval="", extrasaction="ignore")
                writer.writeheader()
            writer.writerow(values)


def _safe(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value


def write_parquet(path: Path, rows: Iterator[Mapping[str, Any]], summary: Summary) -> None:
    """The same as Parquet.

    Raises
    ------
    UsageError
        If pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(f"{path}: needs pyarrow: pip install 'onnx-si[parquet]'") from error
    kinds = {int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_(), str: pyarrow.string()}
    own = [(name, kinds[kind]) for name, kind in COLUMNS]
    batches = _batches(_plain(flat(row, summary)) for row in rows)
    first = next(batches, [])
    known = dict(COLUMNS)
    extra = [(name, pyarrow.string()) for name in (first[0] if first else ()) if name not in known]
    schema = pyarrow.schema([*own, *extra])
    with (
        writing(path),
        as_whole(path) as partial,
        partial.open("wb") as stream,  # pyarrow itself takes no name that is not UTF-8
        parquet.ParquetWriter(stream, schema) as writer,
    ):
        for batch in itertools.chain([first], batches):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Texts that UTF-8 can say."""
    return {
        encoded(name).decode(): encoded(value).decode() if isinstance(value, str) else value
        for name, value in values.items()
    }


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def write_junit(
    path: Path, rows: Iterator[Mapping[str, Any]], summary: Summary, verdicts: Sequence[Verdict]
) -> None:
    """One test case for each image and each gate: an image that failed is an error, one that has no test is
    skipped, a gate that does not hold is a failure.
    """
    counts = summary.groups[ALL]
    totals = {
        "name": "onnx-si audit",
        "tests": counts.images + len(verdicts),
        "failures": sum(not verdict.passed for verdict in verdicts),
        "errors": counts.failed,
    }
    skipped = {"skipped": counts.no_region + counts.refused}  # the schema of Jenkins has it here alone
    with (
        writing(path),
        as_whole(path) as partial,
        partial.open("w", encoding="utf-8", errors=STRANGE) as stream,
    ):
        stream.write('<?xml version="1.0" encoding="utf-8"?>\n')
        stream.write(f"<testsuites{_attributes(totals)}>\n<testsuite{_attributes({**totals, **skipped})}>\n")
        stream.writelines(_image_case(row, summary) for row in rows)
        stream.writelines(_gate_case(verdict) for verdict in verdicts)
        stream.write("</testsuite>\n</testsuites>\n")


def _image_case(row: Mapping[str, Any], summary: Summary) -> str:
    names = {"classname": f"images.{row['group'] or 'images'}", "name": row["image"]}
    if row["status"] == "failed":
        inner = f"<error{_attributes({'message': row['reason']})}/>"
    elif row["status"] != "tested":
        inner = f"<skipped{_attributes({'message': row['reason']})}/>"
    else:
        p_values = row["result"]["p_value"], summary.adjusted[row["number"]]
        inner = "<system-out>p-value {:.6g}, adjusted {:.6g}</system-out>".format(*p_values)
    return f"<testcase{_attributes(names)}>{inner}</testcase>\n"


def _gate_case(verdict: Verdict) -> str:
    gate = asdict(verdict)
    names = {"classname": "gates", "name": f"{verdict.gate} {limit(gate)} ({verdict.group})"}
    if verdict.passed:
        return f"<testcase{_attributes(names)}/>\n"
    message = f"{verdict.words}; allowed: {allowed(gate)} ({verdict.gate})"
    return f"<testcase{_attributes(names)}><failure{_attributes({'message': message})}/></testcase>\n"


def _attributes(values: Mapping[str, Any]) -> str:
    return "".join(f" {name}={quoteattr(_xml(str(value)))}" for name, value in values.items())


def _xml(text: str) -> str:
    """Characters that XML 1.0 can't hold are shown as escapes."""
    return "".join(c if c in "\t\n" or c.isprintable() else ascii(c)[1:-1] for c in text)
