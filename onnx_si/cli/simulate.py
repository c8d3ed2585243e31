"""What `onnx-si simulate` accepts."""

import argparse
from typing import Any

from onnx_si.analysis.options import METHODS
from onnx_si.cli.arguments import (
    Parser,
    add_covariance,
    add_hypothesis,
    add_layout,
    add_map,
    add_parts,
    add_preprocessing,
    add_region,
    add_safety,
    add_search,
    add_sizes,
    add_verify,
)
from onnx_si.cli.values import sizes, whole
from onnx_si.ground.files import read_image
from onnx_si.simulation.draws import FAMILIES
from onnx_si.simulation.experiment import DEFAULT_TRIALS
from onnx_si.statistics.noise import read_covariance

_OPTIONS = (
    *("trials", "tested", "size", "references", "noise", "estimate_sigma", "noise_images", "seed", "jobs"),
    *("resume", "hypothesis", "ring", "saliency", "target", "scores", "threshold", "resize", "channels"),
    *("sigma", "sigma_df", "methods", "layout", "resize_input", "scale", "mean", "std", "alternative"),
    *("precision", "alpha", "randomise", "decide", "verify", "components"),
)


def simulate_parser() -> argparse.ArgumentParser:
    """Parser of the verb `simulate`."""
    parser = Parser(
        prog="onnx-si simulate",
        description="Draw images of noise, with a square of a stated mean in them, and count how often each "
        "test rejects: the level on your own model, and the signal that it finds.",
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="the .onnx file")
    _add_images(parser.add_argument_group("what is drawn"))
    _add_tests(parser)
    _add_output(parser.add_argument_group("what is written"))
    add_safety(parser.add_argument_group("files from strangers"))
    return parser


def _add_images(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--trials", type=whole, metavar="N", help=f"draws for each signal (default {DEFAULT_TRIALS})"
    )
    group.add_argument(
        "--tested", type=whole, metavar="N", help="instead: draw until N have a region; all draws are counted"
    )
    group.add_argument(
        "--signal",
        dest="signals",
        type=float,
        action="append",
        metavar="D",
        help="mean of the square, in the image's units (repeatable; default 0, pure noise)",
    )
    group.add_argument(
        "--size", type=whole, metavar="K", help="its side in pixels (default half of the image's)"
    )
    group.add_argument(
        "--references",
        type=whole,
        metavar="R",
        help="references without signal (default: what the hypothesis needs)",
    )
    names = ", ".join(f"{name}:DISTANCE ({family.words})" for name, family in FAMILIES.items())
    group.add_argument(
        "--noise",
        metavar="NAME",
        help=f"normal (default), {names}, or correlated:RHO (neighbours); distance is 1-Wasserstein's from "
        "the standard normal",
    )
    group.add_argument(
        "--sigma", type=float, metavar="S", help="its standard deviation (default the model's, or 1)"
    )
    add_covariance(group)
    group.add_argument(
        "--sigma-df",
        type=whole,
        metavar="V",
        help="in each trial the test is told another estimate of it, on V degrees of freedom: a t-test",
    )
    group.add_argument("--estimate-sigma", action="store_true", help="the test estimates it from the image")
    group.add_argument(
        "--noise-images",
        type=whole,
        default=0,
        metavar="N",
        help="the test estimates it from N images of noise",
    )
    group.add_argument("--seed", type=whole, default=0, metavar="N", help="of all that is drawn (default 0)")
    add_sizes(group, "1, and 64 in space; with --resize-input the model's, and H, W are the images'")


def _add_tests(parser: argparse.ArgumentParser) -> None:
    question = parser.add_argument_group("what is tested")
    add_hypothesis(question)
    add_map(question)
    add_region(question)
    add_parts(question)
    how = parser.add_argument_group("how it is tested")
    how.add_argument(
        "--methods", nargs="+", choices=(*METHODS, "all"), help="p-values to compare (default selective)"
    )
    add_search(how)
    add_verify(how, "0")
    taken = parser.add_argument_group("how the image becomes the model's input")
    add_layout(taken)
    add_preprocessing(taken)


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--json", action="store_true", help="JSON on stdout instead of the table")
    group.add_argument("--output", metavar="FILE", help="the same JSON in a file")
    group.add_argument(
        "--plot", metavar="FILE.png", help="rejections by signal, and p-values against uniform"
    )
    group.add_argument(
        "--resume", metavar="FILE", help="keep finished trials in FILE, and go on from those that are in it"
    )
    group.add_argument(
        "--jobs", type=whole, default=-1, metavar="J", help="processes (default: one for each core)"
    )
    group.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, help="show progress (default: on a terminal)"
    )
    group.add_argument("--quiet", action="store_true", help="only warnings and errors on stderr")


def simulate_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of `onnx_si.simulation.simulate`, but for progress.

    Raises
    ------
    UsageError, InputError
        If a value or a file can't be read.
    """
    given = {name: value for name in _OPTIONS if (value := getattr(arguments, name)) is not None}
    if "all" in given.get("methods", ()):
        given["methods"] = METHODS
    if arguments.dim:
        given["dims"] = sizes(arguments.dim)
    if arguments.signals:
        given["signals"] = tuple(arguments.signals)
    if arguments.mask is not None:
        given["mask"] = read_image(arguments.mask)
    if arguments.covariance is not None:
        given["covariance"] = read_covariance(arguments.covariance)
    return given
