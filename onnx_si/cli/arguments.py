"""What the command line accepts: one parser for each verb, made from the records of options."""

import argparse

from onnx_si.analysis.options import FILES, OPTIONS, Option
from onnx_si.analysis.options.option import AUDIT, INSPECT, SALIENCY, SIMULATE, TEST
from onnx_si.auditing.own_options import FOR_ALL
from onnx_si.cli.options import Group, Parser, add_option, add_options
from onnx_si.ground.files import MEDICAL
from onnx_si.ground.foreign import SUFFIXES
from onnx_si.simulation.keywords import ALL

_EPILOG = """\
further verbs:
  onnx-si inspect MODEL                 what a model is made of, and whether it can be analysed
  onnx-si saliency MODEL --output FILE  save the model with its saliency map as one more output
  onnx-si audit MODEL IMAGES...         many images, one verdict, in a folder with a report
  onnx-si replay RESULT.json            run recorded tests again and compare every number
  onnx-si simulate MODEL --signal D     how often the tests reject on images of noise, and of noise and signal

exit codes: 0 done, 2 usage, 3 the model can't be analysed, 4 bad input file, 5 nothing to test,
            130 interrupted (the bounds so far are written)
"""


def options_of(verb: str) -> dict[str, Option]:
    """The records that a verb's command line takes."""
    if verb == SIMULATE:
        return dict(ALL)
    if verb == AUDIT:
        return {**options_of(TEST), **FOR_ALL}
    return {name: option for name, option in {**FILES, **OPTIONS}.items() if verb in option.verbs}


def test_parser(version: str) -> Parser:
    """Parser of the main job, which needs no verb."""
    parser = Parser(
        prog="onnx-si",
        description="Is the salient region of an ONNX model's map real, or noise? Exact p-values.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_model(parser)
    parser.add_argument(
        "image",
        metavar="IMAGE",
        help=f"the image: {', '.join((*SUFFIXES, *MEDICAL))}, or a folder of a DICOM series",
    )
    parser.add_argument("--version", action="version", version=f"onnx-si {version}")
    add_options(parser, options_of(TEST).values())
    written = parser.add_argument_group("what is written")
    _add_output(written, "picture of image, saliency, region and p-value", html=True)
    written.add_argument(
        "--nifti", metavar="PREFIX", help="region, map and p-value as NIfTI files with the image's affine"
    )
    written.add_argument(
        "--dicom-seg", metavar="FILE.dcm", help="the region of a DICOM image as a DICOM segmentation"
    )
    return parser


def simulate_parser() -> Parser:
    """Parser of the verb `simulate`."""
    parser = Parser(
        prog="onnx-si simulate",
        description="Draw images of noise, with a square of a stated mean in them, and count how often each "
        "test rejects: the level on your own model, and the signal that it finds.",
        allow_abbrev=False,
    )
    _add_model(parser)
    add_options(parser, options_of(SIMULATE).values())
    _add_output(parser, "rejections by signal, and p-values against uniform")
    return parser


def inspect_parser() -> Parser:
    """Parser of the verb `inspect`."""
    parser = Parser(
        prog="onnx-si inspect",
        description="What a model is made of, which saliency methods fit it, and if p-values can be exact.",
        allow_abbrev=False,
    )
    _add_model(parser)
    for option in options_of(INSPECT).values():
        add_option(parser, option)
    parser.add_argument("--tensors", action="store_true", help="list inner tensors with their shapes as well")
    parser.add_argument("--json", action="store_true", help="JSON instead of tables")
    return parser


def saliency_parser() -> Parser:
    """Parser of the verb `saliency`."""
    parser = Parser(
        prog="onnx-si saliency",
        description="Save a model with its saliency map as one more output; any ONNX runtime can run it.",
        allow_abbrev=False,
    )
    _add_model(parser)
    for option in options_of(SALIENCY).values():
        add_option(parser, option)
    parser.add_argument("--output", metavar="FILE", required=True, help="the new .onnx file")
    parser.add_argument("--quiet", action="store_true", help="only errors on stderr")
    return parser


def _add_model(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the .onnx file")
    parser.add_argument(
        "--isolate",
        action="store_true",
        help="check and run the model in a child process first: one that kills it is refused",
    )


def _add_output(group: Group, picture: str, *, html: bool = False) -> None:
    group.add_argument(
        "--json", action="store_true", help="the result as JSON on stdout, instead of the summary"
    )
    group.add_argument("--output", metavar="FILE", help="the result as JSON in a file")
    group.add_argument("--plot", metavar="FILE.png", help=picture)
    if html:
        group.add_argument(
            "--html", metavar="FILE.html", help="all of it as one page that needs nothing else"
        )
    group.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show how far a long computation has come (default: on a terminal; of a test a line every "
        "ten seconds elsewhere)",
    )
    group.add_argument("--verbose", action="store_true", help="say why each default was chosen")
    group.add_argument("--quiet", action="store_true", help="only warnings and errors on stderr")
