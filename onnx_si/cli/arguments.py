"""What the command line accepts: one parser for each verb."""

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from onnx_si.analysis.options import ALTERNATIVES, METHODS, NOISE_MODELS, RESIZES
from onnx_si.errors import UsageError
from onnx_si.ground.files import SUFFIXES
from onnx_si.ground.layout import ALL_LAYOUTS, LAYOUTS
from onnx_si.statistics.hypotheses import HYPOTHESES

# The fields of `onnx_si.analysis.options.Options` that the command line sets.
_TEST_OPTIONS = (
    *("hypothesis", "ring", "saliency", "target", "scores", "threshold", "sigma", "sigma_df", "channels"),
    "components",
    *("layout", "scale", "mean", "std", "methods", "precision", "alpha", "decide", "alternative"),
    *("randomise", "seed", "resize", "resize_input", "noise_model", "verify"),
)

_EPILOG = """\
further verbs:
  onnx-si inspect MODEL                 what a model is made of, and whether it can be analysed
  onnx-si saliency MODEL --output FILE  save the model with its saliency map as one more output
  onnx-si audit MODEL IMAGES...         many images, one verdict, in a folder with a report
  onnx-si replay RESULT.json            run recorded tests again and compare every number
  onnx-si simulate MODEL --signal D     how often the tests reject on images of noise, and of noise and signal

exit codes: 0 done, 2 usage, 3 the model can't be analysed, 4 bad input file, 5 nothing to test
"""

_NEGATIVE = re.compile(r"-\.?\d[\d.eE+,-]*")

Value = TypeVar("Value", int, float)
Group = argparse._ArgumentGroup | argparse.ArgumentParser


class Parser(argparse.ArgumentParser):
    """Usage errors are one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def test_parser(version: str) -> argparse.ArgumentParser:
    """Parser of the main job, which needs no verb."""
    parser = Parser(
        prog="onnx-si",
        description="Is the salient region of an ONNX model's map real, or noise? Exact p-values.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="the .onnx file")
    parser.add_argument("image", metavar="IMAGE", help=f"the image: {', '.join(SUFFIXES)}")
    parser.add_argument("--version", action="version", version=f"onnx-si {version}")
    add_test(parser)
    _add_output(parser.add_argument_group("what is written"))
    return parser


def add_test(parser: argparse.ArgumentParser) -> None:
    """The options of a test."""
    _add_question(parser.add_argument_group("what is tested"))
    _add_noise(parser.add_argument_group("the noise of the image"))
    _add_input(parser.add_argument_group("how the image becomes the model's input"))
    _add_test(parser.add_argument_group("how it is tested"))


def inspect_parser() -> argparse.ArgumentParser:
    """Parser of the verb `inspect`."""
    parser = Parser(
        prog="onnx-si inspect",
        description="What a model is made of, which saliency methods fit it, and if p-values can be exact.",
        allow_abbrev=False,
    )
    _add_model(parser)
    parser.add_argument("--json", action="store_true", help="JSON instead of tables")
    return parser


def saliency_parser() -> argparse.ArgumentParser:
    """Parser of the verb `saliency`."""
    parser = Parser(
        prog="onnx-si saliency",
        description="Save a model with its saliency map as one more output; any ONNX runtime can run it.",
        allow_abbrev=False,
    )
    _add_model(parser)
    add_map(parser)
    parser.add_argument("--output", metavar="FILE", required=True, help="the new .onnx file")
    parser.add_argument("--quiet", action="store_true", help="only errors on stderr")
    return parser


def with_negative_values(arguments: Sequence[str]) -> list[str]:
    """Join `--mean -1,2` to `--mean=-1,2`: argparse takes most negative values for options."""
    joined: list[str] = []
    for argument in arguments:
        opens_value = bool(joined) and joined[-1].startswith("--") and "=" not in joined[-1]
        if opens_value and _NEGATIVE.fullmatch(argument):
            joined[-1] = f"{joined[-1]}={argument}"
        else:
            joined.append(argument)
    return joined


def test_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `onnx_si.analysis.options.Options` that were given."""
    given = {
        name: value for name, value in vars(arguments).items() if name in _TEST_OPTIONS and value is not None
    }
    if arguments.dim:
        given["dims"] = sizes(arguments.dim)
    if "all" in given.get("methods", ()):
        given["methods"] = METHODS
    return given


def sizes(texts: Sequence[str]) -> dict[str, int]:
    """Read `NAME=N` of --dim.

    Raises
    ------
    UsageError
        If one is not of that form.
    """
    found = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if not name or not number.isdecimal() or not 1 <= int(number) <= 2**20:
            raise UsageError(f"--dim {text}; give NAME=N with a size of at least 1")
        found[name] = int(number)
    return found


def _add_question(group: Group) -> None:
    group.add_argument(
        "--reference",
        metavar="FILE",
        action="append",
        default=[],
        help="image of the same kind of scene without the signal (repeatable: they are averaged)",
    )
    add_hypothesis(group)
    add_map(group)
    add_region(group)
    add_parts(group)


def add_hypothesis(group: Group) -> None:
    """The null hypothesis."""
    group.add_argument(
        "--hypothesis",
        choices=tuple(HYPOTHESES),
        help="null hypothesis: the region's mean is that of the reference (mean), of all other pixels "
        "(background), of a ring around it (neighborhood); or every pixel is the reference's (global) "
        "(default: mean with a reference, background without)",
    )
    group.add_argument("--ring", type=int, metavar="K", help="width of that ring, in pixels (default 1)")


def add_region(group: Group) -> None:
    """How a map becomes a region, and what of the image enters the statistic."""
    group.add_argument(
        "--threshold",
        metavar="T",
        help="region = pixels above T: a value, max:F (fraction of the maximum), minmax:F, top:F "
        "(share of pixels), or argmax: where channel --target is the largest (default: 0.5 on a map that "
        "ends in Sigmoid or Softmax, argmax on an output of several channels, else max:0.5)",
    )
    group.add_argument(
        "--resize", choices=RESIZES, help="how a coarse map is brought to the image's size (default linear)"
    )
    group.add_argument(
        "--channels",
        type=_indices,
        metavar="C,..",
        help="channels of the image that are tested (default all)",
    )


def add_parts(group: Group) -> None:
    """Which pixels may count, and tests of the region's parts."""
    group.add_argument("--mask", metavar="FILE", help="pixels that may count: those that are not 0 in FILE")
    group.add_argument(
        "--components",
        action="store_true",
        default=None,
        help="one test for each connected component as well, with Holm-adjusted p-values",
    )


def add_covariance(group: Group) -> None:
    """The covariance of the noise."""
    group.add_argument(
        "--covariance",
        metavar="FILE",
        help=".npy: a variance for each value, or the full matrix; .npz: a matrix for each axis C, D, H, W "
        "(separable), or an autocovariance",
    )


def _add_noise(group: Group) -> None:
    group.add_argument(
        "--sigma",
        type=float,
        metavar="S",
        help="standard deviation of the noise in the image's units (default: the model's metadata, "
        "else a robust estimate from the image, which makes the p-value approximate)",
    )
    group.add_argument(
        "--sigma-df",
        type=int,
        metavar="V",
        help="S (or the covariance's scale) is an independent estimate on V degrees of freedom: a t-test",
    )
    add_covariance(group)
    group.add_argument(
        "--noise-from",
        metavar="FILE",
        nargs="+",
        default=[],
        help="independent images of pure background: S is estimated from them, and the test is a t-test",
    )
    group.add_argument(
        "--noise-model",
        choices=NOISE_MODELS,
        help="what is estimated from them: one variance of independent pixels (the default), or a covariance "
        "of this structure, with which the level is approximate",
    )


def add_map(group: Group) -> None:
    """The saliency map and its class."""
    group.add_argument(
        "--saliency",
        metavar="M",
        help="output:NAME for any tensor, cam, gradcam or gradcam:NAME, gradient, grad-input, occlusion "
        "or occlusion:K (default auto: an output that is a map, else cam, else gradcam)",
    )
    help_text = "class of the map: an index, or predicted (the default)"
    group.add_argument("--target", type=_target, metavar="K", help=help_text)
    group.add_argument(
        "--scores",
        metavar="NAME",
        help="tensor of the class scores that cam, gradients and occlusion explain, where several could be "
        "(default: told by Softmax, name and order)",
    )


def _add_input(group: Group) -> None:
    add_layout(group)
    add_sizes(group, "the image's")
    add_preprocessing(group)


def add_preprocessing(group: Group) -> None:
    """Resizing, scale, mean and standard deviation in front of the model."""
    group.add_argument(
        "--resize-input",
        choices=RESIZES,
        help="the image has another size than the model's input and is resized, as a part of the model",
    )
    group.add_argument(
        "--scale", type=float, metavar="F", help="the image is multiplied by F; integer images need it"
    )
    group.add_argument(
        "--mean", type=_numbers, metavar="M,..", help="then subtracted: one value, or one per channel"
    )
    group.add_argument(
        "--std", type=_numbers, metavar="S,..", help="then divided by: one value, or one per channel"
    )


def add_layout(group: Group) -> None:
    """What the axes of the input are."""
    group.add_argument(
        "--layout",
        choices=ALL_LAYOUTS,
        metavar="AXES",
        help=f"how the model reads its input: {', '.join(LAYOUTS)}, without C where it has no channels "
        "(default: told by the model's nodes, then by the shape)",
    )


def _add_test(group: Group) -> None:
    group.add_argument(
        "--method",
        dest="methods",
        action="append",
        choices=(*METHODS, "all"),
        help="p-values to compare with the selective one (repeatable)",
    )
    add_search(group)
    group.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="of all that is drawn, mixed with the image's values (default 0)",
    )
    add_verify(group, "64")


def add_verify(group: Group, default: str) -> None:
    """Points of the line that the deployed runtime is asked about."""
    group.add_argument(
        "--verify",
        type=int,
        metavar="N",
        help="points of the line that are asked of onnxruntime on the file itself; if one contradicts the "
        f"test there is no p-value (default {default}; 0: none)",
    )


def add_search(group: Group) -> None:
    """How the selective p-value is computed, and what is decided with it."""
    group.add_argument(
        "--alternative",
        choices=ALTERNATIVES,
        help="as in SciPy; two-sided-abs is P(|T| >= |t|) (default two-sided)",
    )
    group.add_argument(
        "--precision", type=float, metavar="P", help="wanted width of the p-value's bounds (default 1e-4)"
    )
    group.add_argument(
        "--alpha", type=float, metavar="A", help="level of decision and interval (default 0.05)"
    )
    group.add_argument(
        "--randomise",
        type=float,
        metavar="F",
        help="select the region on the image plus noise of F times its covariance: more power (default: not)",
    )
    group.add_argument(
        "--decide",
        action="store_true",
        default=None,
        help="stop as soon as the decision at level A is certain",
    )


def _add_output(group: Group) -> None:
    group.add_argument("--json", action="store_true", help="the result as JSON, instead of the summary")
    group.add_argument("--output", metavar="FILE", help="the result as JSON in a file")
    group.add_argument("--plot", metavar="FILE.png", help="picture of image, saliency, region and p-value")
    group.add_argument("--html", metavar="FILE.html", help="all of it as one page that needs nothing else")
    group.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show how far a long search has come (default: on a terminal)",
    )
    group.add_argument("--quiet", action="store_true", help="only warnings and errors on stderr")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the .onnx file")
    add_layout(parser)
    add_sizes(parser, "1, and 64 in space")


def add_sizes(group: Group, default: str) -> None:
    """Sizes of free axes."""
    group.add_argument(
        "--dim",
        metavar="NAME=N",
        action="append",
        default=[],
        help=f"size of a free input axis, by its name or by N, C, D, H, W (default: {default})",
    )


def _target(text: str) -> int | str:
    if text == "predicted":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}'; give a class index, or predicted") from None


def _indices(text: str) -> tuple[int, ...]:
    return _listed(text, int, "whole numbers")


def _numbers(text: str) -> tuple[float, ...]:
    return _listed(text, float, "numbers")


def _listed(text: str, kind: Callable[[str], Value], what: str) -> tuple[Value, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}'; give {what} separated by commas") from None
