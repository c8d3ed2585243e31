"""The verb `replay`."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from onnx_si.auditing.replay import Agreement, Record, base_of, records, replay, told_versions
from onnx_si.cli.options import Parser
from onnx_si.errors import UsageError
from onnx_si.ground.terminal import shown_line

DIFFERS = 1


def replay_parser() -> Parser:
    """Parser of the verb."""
    parser = Parser(
        prog="onnx-si replay",
        description="Run recorded tests again and say, number by number, whether they agree.",
        epilog="exit codes: 0 all agree, 1 one differs or could not be run, 2 usage, 4 bad file",
        allow_abbrev=False,
    )
    parser.add_argument(
        "record", metavar="RESULT.json | results.jsonl", help="what --output or an audit wrote"
    )
    parser.add_argument("--only", metavar="NAME", help="the image of this path, or of this file name")
    parser.add_argument(
        "--base",
        metavar="DIR",
        help="where the paths in it start (default: as audit.lock.json says, else here)",
    )
    parser.add_argument("--json", action="store_true", help="what was compared as JSON, one object a line")
    parser.add_argument("--quiet", action="store_true", help="only what does not agree, and the count")
    parser.set_defaults(memory=None, isolate=False)  # each record names its own model
    return parser


def run_replay(arguments: argparse.Namespace) -> int:
    """Run the verb; gives the exit code."""
    path = Path(arguments.record)
    base = base_of(path) if arguments.base is None else Path(arguments.base)
    count = agreeing = skipped = 0
    for number, record in enumerate(_wanted(path, arguments.only)):
        if number == 0 and not arguments.json:
            for text in told_versions(record.document):
                print(shown_line(f"another version: {text}"))
        found = replay(record, base)
        count, skipped = count + 1, skipped + (found.skipped is not None)
        agreeing += found.agrees and found.skipped is None
        _say(found, arguments)
    if not count:
        raise UsageError(f"{path}: holds no test of '{arguments.only}'")
    if not arguments.json:
        rest = f", {skipped} not run" if skipped else ""
        print(f"{agreeing} of {count} agree{rest}")
    return 0 if agreeing + skipped == count and agreeing else DIFFERS


def _wanted(path: Path, only: str | None) -> Iterator[Record]:
    return (one for one in records(path) if only in (None, one.name, Path(one.name).name))


def _say(found: Agreement, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps({**asdict(found), "agrees": found.agrees}))
    elif not arguments.quiet or not found.agrees:
        print(shown_line(str(found)))
