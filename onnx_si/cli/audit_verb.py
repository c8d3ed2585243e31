"""The verb `audit`."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_si.analysis.options import OPTIONS
from onnx_si.analysis.options.option import AUDIT
from onnx_si.auditing.own_options import FOR_ALL, JUDGED, OWN, WORK
from onnx_si.auditing.wish import Wish, read_wish, wish_of
from onnx_si.cli.arguments import options_of
from onnx_si.cli.options import Parser, add_options, given_options
from onnx_si.cli.say import say
from onnx_si.errors import UsageError
from onnx_si.ground.machine import fewer_jobs
from onnx_si.ground.paths import resolved
from onnx_si.ground.terminal import shown, shown_line
from onnx_si.ground.words import so_many

if TYPE_CHECKING:
    from onnx_si.auditing.running import Audit

GATE_FAILED = 1
MOST_REASONS = 5  # for which images were not tested


def audit_parser() -> Parser:
    """Parser of the verb."""
    parser = Parser(
        prog="onnx-si audit",
        description="Test many images and judge them together: a folder with verdict, table and report.",
        epilog="exit codes: 0 all gates hold, 1 one does not, 2 usage, 3 can't be analysed, 4 bad file",
        allow_abbrev=False,
    )
    parser.add_argument(
        "what",
        metavar="AUDIT.toml | MODEL",
        help="a configuration, or the .onnx file and then the images",
    )
    parser.add_argument("images", metavar="IMAGES", nargs="*", help="images, folders, patterns in quotes")
    add_options(parser, OWN.values())
    group = parser.add_argument_group("what is written")
    group.add_argument("--output", metavar="DIR", help="the audit's folder; default beside AUDIT.toml")
    group.add_argument("--init", action="store_true", help="write a commented configuration to stdout")
    group.add_argument("--dry-run", action="store_true", help="say what would be done, and time one image")
    group.add_argument(
        "--isolate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="check and run the model in a child process first: one that kills it is refused",
    )
    group.add_argument("--mlflow", action="store_true", help="log it to MLflow's store of the environment")
    group.add_argument("--json", action="store_true", help="the summary as JSON on stdout")
    group.add_argument("--quiet", action="store_true", help="only errors on stderr")
    group.add_argument("--progress", action=argparse.BooleanOptionalAction, default=None, help="on stderr")
    add_options(parser, options_of(AUDIT).values())
    return parser


def audit(arguments: argparse.Namespace) -> int:
    """Run the verb; gives the exit code."""
    from onnx_si.auditing.begin import commented, plan  # they take long to import
    from onnx_si.auditing.running import run_audit
    from onnx_si.auditing.tracking import log_to_mlflow, require_mlflow
    from onnx_si.runtime.isolation import isolated, try_out
    from onnx_si.simulation.bar import Bar

    if arguments.init:
        if arguments.what.endswith(".toml"):
            raise UsageError("--init takes a MODEL and IMAGES, and writes a configuration for them")
        of_all = given_options(arguments, FOR_ALL) | given_options(arguments, JUDGED)
        test = given_options(arguments, OPTIONS)
        print(commented(arguments.what, arguments.images, of_all, test), end="")
        return 0
    wish = _wish(arguments)
    folder = None if _nowhere(arguments) and arguments.dry_run else _folder(arguments)
    if arguments.isolate:
        model = str(wish.place(wish.model))
        isolated(try_out, model, what=model)
    how = {name: one.default for name, one in WORK.items()} | given_options(arguments, WORK)
    if folder is None or arguments.dry_run:
        print("\n".join(map(shown_line, plan(wish, folder, how["jobs"]).split("\n"))))
        return 0
    if arguments.mlflow:
        require_mlflow()
    fewer = None if how["scheduler"] else fewer_jobs(how["jobs"], how["jobs"], "images")
    if fewer is not None and not arguments.quiet:
        say(fewer)
    shows = not arguments.quiet if arguments.progress is None else arguments.progress
    bar = Bar(sys.stderr, "images", asked=arguments.progress is True) if shows else None
    if bar is None:
        found = run_audit(wish, folder, **how)
    else:
        with bar:
            found = run_audit(wish, folder, advance=bar, **how)
    _write(found, arguments)
    if arguments.mlflow:
        log_to_mlflow(found)
    return 0 if found.passed else GATE_FAILED


def _wish(arguments: argparse.Namespace) -> Wish:
    """From the file, or from the options."""
    options, judged = given_options(arguments, OPTIONS), given_options(arguments, JUDGED)
    for_all = given_options(arguments, FOR_ALL)
    if arguments.what.endswith(".toml"):
        flags = [{**FOR_ALL, **OPTIONS, **JUDGED}[name].flag for name in (*options, *for_all, *judged)]
        if strange := [*arguments.images, *flags]:
            raise UsageError(f"{', '.join(strange)}: {arguments.what} says what is audited; write it there")
        return read_wish(arguments.what)
    files: dict[str, Any] = {"model": arguments.what}
    manifests = [name for name in arguments.images if name.endswith((".csv", ".parquet"))]
    if manifests and len(arguments.images) == 1:
        files["manifest"] = manifests[0]
    elif arguments.images:
        files["images"] = list(arguments.images)
    asked = {**files, **for_all, **judged, "test": options}
    return wish_of(asked, base=Path(), where="the command line")


def _nowhere(arguments: argparse.Namespace) -> bool:
    """Whether nothing says what folder is written to."""
    return arguments.output is None and not arguments.what.endswith(".toml")


def _folder(arguments: argparse.Namespace) -> Path:
    if arguments.output is not None:
        if resolved(arguments.output) is None:
            raise UsageError(f"--output {shown(arguments.output)}: there can be no such folder; give another")
        return Path(arguments.output)
    if _nowhere(arguments):
        raise UsageError("--output DIR is missing: the folder that everything is written to")
    return Path(arguments.what).with_suffix("")


def _write(found: "Audit", arguments: argparse.Namespace) -> None:
    from onnx_si.auditing.warned import told
    from onnx_si.report import to_json
    from onnx_si.report.audited import verdict

    if arguments.json:
        print(to_json(found.document))
    else:
        lines = [
            *verdict(found.document).split("\n"),
            *_why(found),
            *told(found.rows()),
            f"written to {found.folder}",
        ]
        print("\n".join(map(shown_line, lines)))


def _why(found: "Audit") -> Iterator[str]:
    """The commonest reasons for which images were not tested, and how many others there are."""
    bad = ("failed", "refused")
    counts: Counter[str] = Counter(str(row["reason"]) for row in found.rows() if row["status"] in bad)
    for reason, count in counts.most_common(MOST_REASONS):
        yield f"{count} of them: {reason}" if len(counts) > 1 else f"why: {reason}"
    if len(counts) > MOST_REASONS:
        yield f"and {so_many(len(counts) - MOST_REASONS, 'other reason')}; results.csv has all"
