"""An inspected model's document as text with tables."""

from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

WIDE = 140  # of text that goes to a file or a pipe
MOST_METADATA = 50  # lines


def print_inspection(content: Mapping[str, Any], stream: TextIO) -> None:
    """Write the tables to a stream; names from the file are shown as they are, never read as markup.

    Parameters
    ----------
    content : mapping
        From `onnx_si.inspection.inspector.Inspection.to_dict`.
    stream : text stream
    """
    width = None if stream.isatty() else WIDE
    console = Console(file=stream, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)
    console.print(
        f"{content['path']}: opset {content['opset']}, made by {content['producer'] or 'an unknown tool'}"
    )
    if content["plan"]:
        rows = [(c["what"], c["choice"], c["reason"], c["option"]) for c in content["plan"]]
        console.print(_table(("will take", "", "because", "to change it"), rows))
    console.print(f"sha256 {content['sha256']}")
    told = list(content["metadata"].items())
    for key, value in told[:MOST_METADATA]:
        console.print(f"metadata {key} = {value}")
    if len(told) > MOST_METADATA:
        console.print(f"metadata ... and {len(told) - MOST_METADATA} more (--json has all)")
    console.print(_table(("input", "type", "shape", "layout", "why"), map(_tensor, content["inputs"])))
    console.print(_table(("output", "type", "shape", "layout", "why"), map(_tensor, content["outputs"])))
    if content["tensors"] is not None:
        console.print(_table(("tensor", "type", "shape", "layout", "why"), map(_tensor, content["tensors"])))
    console.print(_table(("op", "since", "count", "class", "nodes"), map(_op, content["ops"])))
    methods = [(m["method"], "yes" if m["available"] else "no", m["reason"]) for m in content["saliency"]]
    console.print(_table(("saliency", "fits", "why"), methods))
    for text in content["assumed"]:
        console.print(f"assumed: {text}")
    console.print(
        f"guarantee: {content['guarantee']}",
        style="bold red" if content["guarantee"] == "refused" else "bold green",
    )
    for reason in content["reasons"]:
        console.print(f"  {reason}")


def _table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _tensor(info: Mapping[str, Any]) -> tuple[str, ...]:
    shape = (
        "unknown" if info["shape"] is None else "x".join("?" if n is None else str(n) for n in info["shape"])
    )
    return info["name"], info["type"], shape or "scalar", info["layout"] or "-", info["reason"]


def _op(use: Mapping[str, Any]) -> tuple[str, ...]:
    name = f"{use['domain']}:{use['op']}" if use["domain"] else use["op"]
    since = "-" if use["since_version"] is None else str(use["since_version"])
    shown = ", ".join(use["nodes"][:6]) + (", ..." if len(use["nodes"]) > 6 else "")
    return name, since, str(use["count"]), use["class"], shown
