"""The command line: stdout carries data, stderr carries narration, the exit code says what happened."""

import argparse
import contextlib
import dataclasses
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from onnx_si import __version__
from onnx_si.analysis.run import refusal, test
from onnx_si.cli.arguments import (
    inspect_parser,
    saliency_parser,
    sizes,
    test_options,
    test_parser,
    with_negative_values,
)
from onnx_si.cli.audit import audit, audit_parser
from onnx_si.cli.printing import printable
from onnx_si.cli.replay import replay_parser, run_replay
from onnx_si.cli.simulate import simulate_options, simulate_parser
from onnx_si.errors import InputError, NothingToTest, OnnxSIError, UnsupportedModel, UnsupportedOp, UsageError
from onnx_si.graph import Model, load
from onnx_si.ground.files import read_image
from onnx_si.inspection.extension import extend
from onnx_si.inspection.inspector import inspect_model
from onnx_si.report import Refused, Result, to_json
from onnx_si.report.inspected import print_inspection
from onnx_si.report.progress import Watch
from onnx_si.simulation import Simulation, simulate
from onnx_si.simulation.bar import Bar
from onnx_si.statistics.noise import read_covariance

Outcome = TypeVar("Outcome", Result, Refused)

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
    arguments = with_negative_values(arguments)
    verb = VERBS.get(arguments[0]) if arguments else None
    if verb is None:
        return _test(test_parser(__version__).parse_args(arguments))
    parser, run = verb
    return run(parser().parse_args(arguments[1:]))


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Warnings of libraries are for their developers; python's own -W shows them."""
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield


def _say(text: str) -> None:
    """One line of narration."""
    print(f"onnx-si: {printable(' '.join(text.splitlines()))}", file=sys.stderr)


def _complain(error: OnnxSIError) -> None:
    """One line, or one more for each node that stands in the way."""
    findings = error.findings if isinstance(error, UnsupportedOp) else ()
    _say(f"error: {str(error).splitlines()[0] if findings else error}")
    for finding in findings:
        print(f"  {printable(str(finding))}", file=sys.stderr)


def _test(arguments: argparse.Namespace) -> int:
    """Read, test, write."""
    _require_outputs(arguments)
    _require_writable(arguments.html)
    options = test_options(arguments)
    model: Model | None = None
    try:
        model = load(arguments.model)
        result = _with_paths(_run(model, arguments, options), arguments)
    except (NothingToTest, UnsupportedModel) as error:
        refused = refusal(error, model, has_reference=bool(arguments.reference), **options)
        identity = {**refused.model, "path": arguments.model}
        _write(_with_paths(dataclasses.replace(refused, model=identity), arguments), arguments)
        raise
    _write(result, arguments)
    if not arguments.json:
        print("\n".join(map(printable, result.summary().splitlines())))
    if arguments.plot is not None:
        result.plot(arguments.plot)
    if arguments.html is not None:
        _save(arguments.html, result.to_html().encode())
    return 0


def _run(model: Model, arguments: argparse.Namespace, options: dict[str, Any]) -> Result:
    image = read_image(arguments.image)
    references = [read_image(path) for path in arguments.reference]
    arrays: dict[str, Any] = {
        "mask": None if arguments.mask is None else read_image(arguments.mask),
        "covariance": None if arguments.covariance is None else read_covariance(arguments.covariance),
        "noise_from": [read_image(path) for path in arguments.noise_from],
    }

    with Watch(sys.stderr) if _shows_progress(arguments) else contextlib.nullcontext() as watch:
        return test(
            model, image, references or None, progress=watch, notice=_notice(arguments), **arrays, **options
        )


def _notice(arguments: argparse.Namespace) -> Callable[[str, str], None]:
    def notice(kind: str, text: str) -> None:
        if kind == "warning" or not arguments.quiet:
            _say(f"{kind}: {text}")

    return notice


def _shows_progress(arguments: argparse.Namespace) -> bool:
    if arguments.progress is None:
        return not arguments.quiet and sys.stderr.isatty()
    return bool(arguments.progress)


def _with_paths(outcome: Outcome, arguments: argparse.Namespace) -> Outcome:
    files = {
        "mask": arguments.mask,
        "covariance": arguments.covariance,
        "noise_from": arguments.noise_from or None,
    }
    return dataclasses.replace(
        outcome,
        image_path=arguments.image,
        reference_paths=tuple(arguments.reference),
        config={**outcome.config, **files},
    )


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
    folder = Path(path).absolute().parent
    if Path(path).is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{path}: can't be written; give a file in a folder that exists")


def _save(path: str, content: bytes) -> None:
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror})") from error


def _inspect(arguments: argparse.Namespace) -> int:
    content = inspect_model(load(arguments.model), sizes(arguments.dim), arguments.layout).to_dict()
    if arguments.json:
        print(to_json(content))
    else:
        print_inspection(content, sys.stdout)
    return 0


def _saliency(arguments: argparse.Namespace) -> int:
    _require_writable(arguments.output)
    model = load(arguments.model)
    made = extend(
        model,
        arguments.saliency,
        arguments.target,
        layout=arguments.layout,
        sizes=sizes(arguments.dim),
        scores=arguments.scores,
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
    options = simulate_options(arguments)
    model = load(arguments.model)
    with Bar(sys.stderr) if _shows_progress(arguments) else contextlib.nullcontext() as bar:
        simulation = simulate(model, progress=bar, notice=_notice(arguments), **options)
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


VERBS: dict[str, tuple[Callable[[], argparse.ArgumentParser], Callable[[argparse.Namespace], int]]] = {
    "inspect": (inspect_parser, _inspect),
    "saliency": (saliency_parser, _saliency),
    "simulate": (simulate_parser, _simulate),
    "audit": (audit_parser, audit),
    "replay": (replay_parser, run_replay),
}
