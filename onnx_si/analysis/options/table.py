"""docs/options.md, made from the records: `python -m onnx_si.analysis.options.table > docs/options.md`."""

from collections.abc import Iterator, Mapping

from onnx_si.analysis.options import FILES, OPTIONS, Option

_HEAD = """\
# Options

Made from the records in `onnx_si/analysis/options/` ([adding one](adding-an-option.md)). Python's keyword
is the name; on the command line it is `--name`, with `-` in place of `_`. What the user says beats the
model's metadata, and that beats the default. An option that has no effect is an error.
"""


def table() -> str:
    """The document."""
    return "\n".join(_lines({**FILES, **OPTIONS}))


def _lines(options: Mapping[str, Option]) -> Iterator[str]:
    yield _HEAD
    for title in dict.fromkeys(option.title for option in options.values()):
        yield f"## {title[0].upper()}{title[1:]}\n"
        yield "| option | takes | default | metadata | taken by | what it says |"
        yield "|---|---|---|---|---|---|"
        yield from (_row(option) for option in options.values() if option.title == title)
        yield ""


def _row(option: Option) -> str:
    default = option.default if option.shown_default is None else option.shown_default
    says = option.help if option.needs is None else f"{option.help} (needs {option.needs.words})"
    cells = (
        f"`{option.name}`",
        option.kind.words,
        "" if default is None else str(default),
        "" if option.metadata is None else f"`{option.metadata}`",
        ", ".join(option.verbs) or "Python only",
        says,
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    print(table(), end="")
