"""The command line: stdout carries data, stderr carries narration, the exit code says what happened."""

import argparse
import contextlib
import dataclasses
import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from onnx_si import __version__
from onnx_si.analysis.inputs import Inputs
from onnx_si.analysis.options import FILES
from onnx_si.analysis.options.option import INSPECT, SALIENCY, SIMULATE, TEST
from onnx_si.analysis.run import refusal, test
from onnx_si.cli.arguments import (
    inspect_parser,
    options_of,
    saliency_parser,
    simulate_parser,
    test_parser,
)
from onnx_si.cli.audit import audit, audit_parser
from onnx_si.cli.options import Parser, given_options
from onnx_si.errors import InputError, NothingToTest, OnnxSIError, UnsupportedModel, UnsupportedOp, UsageError
from onnx_si.graph import Model, load
from onnx_si.ground.budget import budget
from onnx_si.ground.guard import guarded
from onnx_si.ground.paths import NOTHING, what_is_at, writable
from onnx_si.ground.terminal import shown, shown_line
from onnx_si.ground.words import did_you_mean
from onnx_si.inspection.extension import extend
from onnx_si.inspection.inspector import inspect_model
from onnx_si.report import Refused, Result, to_json
from onnx_si.report.inspected import print_inspection
from onnx_si.report.progress import Watch
from onnx_si.runtime.isolation import isolated, try_out
from onnx_si.simulation import Simulation, simulate
from onnx_si.simulation.bar import Bar

INTERNAL_ERROR = 70  # sysexits.h: the program itself is wrong, not what it was given
INTERRUPTED = 130
OUT_OF_MEMORY = UnsupportedModel.exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; default those of the process.

    Returns
    -------
    int
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with _quiet_libraries():
            code = _dispatch(arguments)
            sys.stdout.flush()
            return code
    except OnnxSIError as error:
        _complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has gone; python must not try to flush to it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        _say("error: out of memory; try a smaller image or model")
        return OUT_OF_MEMORY
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        _say(f"error: a fault of onnx-si itself, please report it ({where}: {error})")
        return INTERNAL_ERROR


def _dispatch(arguments: list[str]) -> int:
    verb = VERBS.get(arguments[0]) if arguments else None
    if verb is None and arguments and what_is_at(arguments[0]) == NOTHING:
        near = did_you_mean(arguments[0], VERBS)
        if near:
            raise UsageError(f"'{arguments[0]}' is no verb, and no file{near}")
    parser, run = verb if verb is not None else (functools.partial(test_parser, __version__), _test)
    with guarded(UsageError, "the command line", "see onnx-si --help"):
        parsed = parser().parse(arguments if verb is None else arguments[1:])
    with budget(parsed.memory):
        if verb is not VERBS["audit"] and parsed.isolate:
            isolated(try_out, parsed.model, dict(parsed.dims or ()), what=parsed.model)
        return run(parsed)


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Warnings of libraries are for their developers; python's own -W shows them."""
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield


def _say(text: str) -> None:
    """One line of narration."""
    print(f"onnx-si: {shown_line(text)}", file=sys.stderr)


def _complain(error: OnnxSIError) -> None:
    """One line, or one more for each node that stands in the way."""
    findings = error.findings if isinstance(error, UnsupportedOp) else ()
    _say(f"error: {str(error).splitlines()[0] if findings else error}")
    for finding in findings:
        print(f"  {shown_line(finding)}", file=sys.stderr)


def _test(arguments: argparse.Namespace) -> int:
    """Read, test, write."""
    _require_outputs(arguments)
    options = given_options(arguments, options_of(TEST))
    files = {name: options.pop(name) for name in FILES if name in options}
    inputs = Inputs(image=arguments.image, **files)
    model: Model | None = None
    try:
        model = load(arguments.model)
        with Watch(sys.stderr) if _shows_progress(arguments) else contextlib.nullcontext() as watch:
            result = test(
                model, arguments.image, progress=watch, notice=_notice(arguments), **files, **options
            )
    except (NothingToTest, UnsupportedModel) as error:
        refused = refusal(error, model, has_reference="reference" in files, **options)
        identity = {**refused.model, "path": arguments.model}
        _write(dataclasses.replace(inputs.named_in(refused), model=identity), arguments)
        raise
    _write(result, arguments)
    if not arguments.json:
        print("\n".join(map(shown_line, result.summary().splitlines())))
    if arguments.plot is not None:
        result.plot(arguments.plot)
    return 0


def _notice(arguments: argparse.Namespace) -> Callable[[str, str], None]:
    def notice(kind: str, text: str) -> None:
        if kind == "warning" or not arguments.quiet:
            _say(f"{kind}: {text}")

    return notice


def _shows_progress(arguments: argparse.Namespace) -> bool:
    if arguments.progress is None:
        return not arguments.quiet and sys.stderr.isatty()
    return bool(arguments.progress)


def _write(outcome: Result | Refused | Simulation, arguments: argparse.Namespace) -> None:
    """The document, to stdout and to a file, as asked for."""
    text = to_json(outcome.to_dict()) if arguments.json or arguments.output is not None else ""
    if arguments.json:
        print(text)
    if arguments.output is not None:
        _save(arguments.output, f"{text}\n".encode())


def _require_outputs(arguments: argparse.Namespace) -> None:
    _require_writable(arguments.output)
    _require_writable(arguments.plot)
    if arguments.plot is not None and Path(arguments.plot).suffix.lower() != ".png":
        raise UsageError(f"--plot {arguments.plot}; pictures are written as .png")


def _require_writable(path: str | None) -> None:
    """Told before a long search, not after it."""
    if path is None:
        return
    if not writable(path):
        raise UsageError(f"{shown(path)}: can't be written; give a file in a folder that exists")


def _save(path: str, content: bytes) -> None:
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror})") from error


def _inspect(arguments: argparse.Namespace) -> int:
    options = given_options(arguments, options_of(INSPECT))
    content = inspect_model(arguments.model, options.get("dims"), options.get("layout")).to_dict()
    if arguments.json:
        print(to_json(content))
    else:
        print_inspection(content, sys.stdout)
    return 0


def _saliency(arguments: argparse.Namespace) -> int:
    _require_writable(arguments.output)
    options = given_options(arguments, options_of(SALIENCY))
    options.pop("memory", None)  # the whole run's, set already
    made = extend(
        arguments.model,
        options.pop("saliency", None),
        options.pop("target", None),
        sizes=options.pop("dims", None),
        **options,
    )
    if made.proto.ByteSize() >= 2**31:
        raise InputError(
            f"{arguments.model}: with the map it is larger than 2 GiB, more than one ONNX file can hold"
        )
    _save(arguments.output, made.proto.SerializeToString())
    if not arguments.quiet:
        for note in made.notes:
            _say(f"note: {note}")
        _say(f"{arguments.output}: output '{made.output}' is the map of method {made.method}")
    return 0


def _simulate(arguments: argparse.Namespace) -> int:
    _require_outputs(arguments)
    _require_writable(arguments.resume)
    options = given_options(arguments, options_of(SIMULATE))
    with Bar(sys.stderr) if _shows_progress(arguments) else contextlib.nullcontext() as bar:
        simulation = simulate(arguments.model, progress=bar, notice=_notice(arguments), **options)
    _write(simulation, arguments)
    if not arguments.json:
        simulation.print(sys.stdout)
    if arguments.plot is not None:
        simulation.plot(arguments.plot)
    if not simulation.tested:
        raise NothingToTest(
            f"none of {len(simulation.outcomes)} draws has a region to test; choose another --threshold or "
            "--saliency"
        )
    return 0


VERBS: dict[str, tuple[Callable[[], Parser], Callable[[argparse.Namespace], int]]] = {
    "inspect": (inspect_parser, _inspect),
    "saliency": (saliency_parser, _saliency),
    "simulate": (simulate_parser, _simulate),
    "audit": (audit_parser, audit),
}
