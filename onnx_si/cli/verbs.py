"""What the verbs do; main imports it when it knows that the options are right."""

import argparse
import dataclasses
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_si.analysis.inputs import Inputs
from onnx_si.analysis.options import FILES
from onnx_si.analysis.options.of_image import how_of
from onnx_si.analysis.options.option import INSPECT, SALIENCY, SIMULATE, TEST
from onnx_si.analysis.run import refusal, test
from onnx_si.cli.arguments import options_of
from onnx_si.cli.options import given_options
from onnx_si.cli.outputs import require_outputs
from onnx_si.cli.say import Narration, say
from onnx_si.cli.signals import INTERRUPTED, on_end
from onnx_si.errors import InputError, NothingToTest, UnsupportedModel, UsageError
from onnx_si.graph import load
from onnx_si.ground.terminal import shown_line
from onnx_si.report import Refused, Result, segmentation, to_json
from onnx_si.report import nifti_files as nifti
from onnx_si.report.progress import Watch
from onnx_si.search import Stop

if TYPE_CHECKING:
    from onnx_si.simulation.experiment import Simulation


def test_verb(arguments: argparse.Namespace) -> int:
    """Read, test, write."""
    require_outputs(arguments, options_of(TEST).values())
    if arguments.nifti is not None:
        nifti.require_source(arguments.image)
    if arguments.dicom_seg is not None:
        segmentation.require_source(arguments.image)
    options = given_options(arguments, options_of(TEST))
    files = {name: options.pop(name) for name in FILES if name in options}
    inputs = Inputs(image=arguments.image, **files)
    model, stop, told = None, Stop(), _narration(arguments)
    try:
        model = load(arguments.model)
        watched = Watch(sys.stderr) if _shows_progress(arguments, elsewhere=True) else nullcontext()
        with watched as watch, on_end(stop.interrupt):
            result = test(model, arguments.image, progress=watch, stop=stop, notice=told, **files, **options)
    except (NothingToTest, UnsupportedModel) as error:
        refused = refusal(error, model, has_reference="reference" in files, **options)
        identity = dataclasses.replace(refused.model, path=arguments.model)
        _write(dataclasses.replace(inputs.named_in(refused), model=identity), arguments)
        raise
    finally:
        told.end()
    _write(result, arguments)
    if arguments.nifti is not None:
        nifti.write(result, arguments.image, arguments.nifti)
    if arguments.dicom_seg is not None:
        segmentation.write(result, arguments.image, arguments.dicom_seg, how_of(options))
    if not arguments.json:
        print("\n".join(map(shown_line, result.summary(warnings=False).splitlines())))
    if arguments.plot is not None:
        result.plot(arguments.plot)
    if arguments.html is not None:
        _save(arguments.html, result.to_html().encode())
    return INTERRUPTED if stop.asked else 0


def _narration(arguments: argparse.Namespace) -> Narration:
    return Narration(quiet=arguments.quiet, verbose=arguments.verbose)


def _shows_progress(arguments: argparse.Namespace, *, elsewhere: bool = False) -> bool:
    """By default on a terminal, and `elsewhere` if it is a line now and then."""
    if arguments.progress is None:
        return not arguments.quiet and (elsewhere or sys.stderr.isatty())
    return bool(arguments.progress)


def _write(outcome: "Result | Refused | Simulation", arguments: argparse.Namespace) -> None:
    """The document, to stdout and to a file, as asked for."""
    text = to_json(outcome.to_dict()) if arguments.json or arguments.output is not None else ""
    if arguments.json:
        print(text)
    if arguments.output is not None:
        _save(arguments.output, f"{text}\n".encode())


def _save(path: str, content: bytes) -> None:
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror})") from error


def inspect_verb(arguments: argparse.Namespace) -> int:
    from onnx_si.inspection.inspector import inspect_model

    options = given_options(arguments, options_of(INSPECT))
    wanted = options.get("dims"), options.get("layout"), options.get("inputs")
    content = inspect_model(arguments.model, *wanted, tensors=arguments.tensors).to_dict()
    if arguments.json:
        print(to_json(content))
    else:
        from onnx_si.report.inspected import print_inspection  # tables take long to import

        print_inspection(content, sys.stdout)
    return 0


def saliency_verb(arguments: argparse.Namespace) -> int:
    from onnx_si.inspection.extension import extend

    require_outputs(arguments, options_of(SALIENCY).values())
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
            say(f"note: {note}")
        say(f"{arguments.output}: output '{made.output}' is the map of method {made.method}")
    return 0


def simulate_verb(arguments: argparse.Namespace) -> int:
    from onnx_si.simulation.bar import Bar
    from onnx_si.simulation.experiment import simulate
    from onnx_si.simulation.interrupted import Interrupted

    require_outputs(arguments, options_of(SIMULATE).values())
    options = given_options(arguments, options_of(SIMULATE))
    asked, code = arguments.progress is True, 0
    shows = _shows_progress(arguments, elsewhere=True)
    with Bar(sys.stderr, asked=asked) if shows else nullcontext() as bar:
        told = _narration(arguments)
        try:
            simulation = simulate(arguments.model, progress=bar, notice=told, **options)
        except Interrupted as ended:
            simulation, code = ended.simulation, INTERRUPTED
        finally:
            told.end()
    _write(simulation, arguments)
    if not arguments.json:
        simulation.print(sys.stdout)
    if arguments.plot is not None:
        simulation.plot(arguments.plot)
    if not simulation.tested and not code:
        mean = "" if simulation.plan.base else ", or, for a model trained on images of another mean, --base"
        raise NothingToTest(
            f"none of {len(simulation.outcomes)} draws has a region to test; choose another --threshold or "
            f"--saliency{mean}"
        )
    return code
