"""The report of an audit, written as it is made: whole or not at all."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from onnx_si.auditing.journal import STRANGE, as_whole, writing
from onnx_si.auditing.summary import Summary


def write_report(
    path: Path, document: Mapping[str, Any], rows: Iterator[Mapping[str, Any]], summary: Summary, base: str
) -> None:
    """Write `report.html`; `base` is where commands are to be run, from the report's folder."""
    from onnx_si.report.html.pages import audit_page  # workers do not need it

    with (
        writing(path),
        as_whole(path) as partial,
        partial.open("w", encoding="utf-8", errors=STRANGE) as stream,
    ):
        for piece in audit_page(document, rows, summary.p_values.array(), summary.adjusted, base):
            stream.write(piece)


def relative(base: Path, folder: Path) -> str:
    """The way from a folder to another, so that both can move together."""
    try:
        return Path(os.path.relpath(base, folder)).as_posix()
    except ValueError:  # on two drives
        return str(base.resolve())
