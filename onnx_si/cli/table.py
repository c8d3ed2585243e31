"""docs/options.md, made from the records: `python -m onnx_si.cli.table > docs/options.md`."""

from collections.abc import Iterator, Mapping, Sequence

from onnx_si.analysis.options import FILES, OPTIONS, Option
from onnx_si.auditing import own_options as audits
from onnx_si.simulation import keywords as simulations

_HEAD = """\
# Options

Made from the records in `onnx_si/analysis/options/`, `onnx_si/simulation/keywords.py` and
`onnx_si/auditing/own_options.py` ([adding one](adding-an-option.md)). Python's keyword is the name; on the
command line it is `--name`, with `-` in place of `_`. What the user says beats the model's metadata, and that
beats the default. An option that has no effect is an error. `audit` takes what `test` takes, and in its TOML
file under `[test]` as well; a file that is one for all images stands above that table.
"""


def table() -> str:
    """The document."""
    shared = [*FILES.values(), *OPTIONS.values()]
    own = {**audits.LISTED, **audits.OWN}
    parts = (_lines(shared, "##"), _of("simulate", simulations.OWN), _of("audit", own))
    return "\n".join([_HEAD, *(line for part in parts for line in part)])


def _of(verb: str, own: Mapping[str, Option]) -> Iterator[str]:
    """What a verb takes beside those, or with another meaning."""
    yield f"## Of `{verb}` alone\n"
    yield from _lines(list(own.values()), "###")


def _lines(options: Sequence[Option], mark: str) -> Iterator[str]:
    for title in dict.fromkeys(option.title for option in options):
        yield f"{mark} {title[0].upper()}{title[1:]}\n"
        yield "| option | takes | default | metadata | taken by | what it says |"
        yield "|---|---|---|---|---|---|"
        yield from (_row(option) for option in options if option.title == title)
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
