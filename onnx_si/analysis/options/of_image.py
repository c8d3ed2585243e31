"""Options: how the image becomes the model's input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from onnx_si.analysis.options.kinds import FACTOR, GIVEN, NUMBER, NUMBERS, PAGE, SIZES, SWITCH, TEXT, choice
from onnx_si.analysis.options.of_question import RESIZES
from onnx_si.analysis.options.option import EVERYWHERE, TEST, Check, Need, Option
from onnx_si.ground.layout import LAYOUTS
from onnx_si.ground.readers import How

POSITIVE = Check(lambda value: all(size > 0 for size in value), "sizes in mm are above 0")


class ImageOptions(TypedDict, total=False):
    """How the image becomes the model's input."""

    layout: Annotated[
        str | None,
        Option(
            kind=TEXT,
            help=f"how the model reads its input: {', '.join(LAYOUTS)}, without C where it has no channels",
            shown_default="told by the model's nodes, then by the shape",
            metadata="onnx_si.layout",
            metavar="AXES",
            verbs=EVERYWHERE,
        ),
    ]
    dims: Annotated[
        Mapping[str, int] | None,
        Option(
            kind=SIZES,
            help="size of a free input axis, by its name or by N, C, D, H, W",
            shown_default="the image's; without an image 1, and 64 in space",
            metavar="NAME=N",
            once="--dim",
            verbs=EVERYWHERE,
        ),
    ]
    inputs: Annotated[
        Mapping[str, Any] | None,
        Option(
            kind=GIVEN,
            help="value of another input of the model, a constant of the test: numbers, or a .npy file",
            metavar="NAME=VALUE",
            once="--input",
            verbs=EVERYWHERE,
        ),
    ]
    gray: Annotated[
        bool,
        Option(
            kind=SWITCH,
            help="the image has one channel, and the model is given it on each of its own, as a part of the "
            "model; of a file in colours whose channels are the same one is taken",
            default=False,
            verbs=(TEST,),
        ),
    ]
    resize_input: Annotated[
        str | None,
        Option(
            kind=choice(RESIZES),
            help="the image has another size than the model's input and is resized, as a part of the model",
            metadata="onnx_si.resize_input",
        ),
    ]
    spacing: Annotated[
        Sequence[float] | float | None,
        Option(
            kind=NUMBERS,
            help="size in mm of the pixels that the model takes, one for each axis of space or one for all: "
            "the image is resampled to it, as a part of the model",
            check=POSITIVE,
            needs=Need(lambda settled: settled["resize_input"] is None, "no --resize-input"),
            metavar="MM,..",
            verbs=(TEST,),
        ),
    ]
    resample: Annotated[
        str | None,
        Option(
            kind=choice(RESIZES),
            help="how it is resampled",
            default="linear",
            needs=Need(lambda settled: settled["spacing"] is not None, "--spacing"),
            verbs=(TEST,),
        ),
    ]
    pixel_size: Annotated[
        Sequence[float] | float | None,
        Option(
            kind=NUMBERS,
            help="size in mm of the image's own pixels, one for each axis of space or one for all",
            shown_default="what the image's file says",
            check=POSITIVE,
            metavar="MM,..",
            verbs=(TEST,),
        ),
    ]
    window_size: Annotated[
        Sequence[float] | float | None,
        Option(
            kind=NUMBERS,
            help="the model takes windows of so many pixels, one for each axis of space or one for all: it "
            "slides over the image, and its maps are blended by Gaussian weights, as a part of the model",
            check=Check(
                lambda value: all(side >= 1 and side == int(side) for side in value),
                "sides are whole numbers of at least 1",
            ),
            needs=Need(
                lambda settled: settled["resize_input"] is None and settled["pad"] is None,
                "neither --resize-input nor --pad",
            ),
            metadata="onnx_si.window_size",
            metavar="N,..",
            verbs=(TEST,),
        ),
    ]
    overlap: Annotated[
        float | None,
        Option(
            kind=NUMBER,
            help="share of their side by which neighbouring windows overlap",
            default=0.25,
            check=Check(lambda value: 0 <= value < 1, "it is at least 0 and below 1"),
            needs=Need(lambda settled: settled["window_size"] is not None, "--window-size"),
            metavar="F",
            verbs=(TEST,),
        ),
    ]
    pad: Annotated[
        float | None,
        Option(
            kind=NUMBER,
            help="an image whose sides don't fit the model's strides is padded behind with V, as a part of "
            "the model; padding is in no region and no test",
            needs=Need(
                lambda settled: (
                    settled["resize_input"] is None
                    and (settled["saliency"] == "auto" or settled["saliency"].startswith("output:"))
                ),
                "a map that is an output, and no --resize-input",
            ),
            metadata="onnx_si.pad",
            metavar="V",
        ),
    ]
    page: Annotated[
        str | int | None,
        Option(
            kind=PAGE,
            help="page of a file that holds several, from 1 on, or all: the stack as a volume",
            metavar="N",
            verbs=(TEST,),
        ),
    ]
    transparency: Annotated[
        str | None,
        Option(kind=choice(("drop",)), help="a picture's transparency is left out", verbs=(TEST,)),
    ]
    colours: Annotated[
        str | None,
        Option(
            kind=choice(("rgb",)), help="a picture with a palette, or of CMYK, becomes RGB", verbs=(TEST,)
        ),
    ]
    exif: Annotated[
        bool | None,
        Option(
            kind=SWITCH,
            help="a picture is turned as its EXIF orientation says",
            default=False,
            verbs=(TEST,),
        ),
    ]
    window: Annotated[
        Sequence[float] | None,
        Option(
            kind=NUMBERS,
            help="the image is clipped to the window of width W around C first, as a part of the model",
            metadata="onnx_si.window",
            check=Check(
                lambda value: len(value) == 2 and value[1] > 0, "give centre and width, the width above 0"
            ),
            metavar="C,W",
        ),
    ]
    scale: Annotated[
        float | None,
        Option(
            kind=FACTOR,
            help="the image is multiplied by F; integer images need it",
            metadata="onnx_si.scale",
            metavar="F",
        ),
    ]
    mean: Annotated[
        Sequence[float] | float | None,
        Option(
            kind=NUMBERS,
            help="then subtracted: one value, or one per channel",
            metadata="onnx_si.mean",
            metavar="M,..",
        ),
    ]
    std: Annotated[
        Sequence[float] | float | None,
        Option(
            kind=NUMBERS,
            help="then divided by: one value, or one per channel",
            metadata="onnx_si.std",
            metavar="S,..",
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """The same, settled."""

    layout: str | None
    dims: dict[str, int] | None
    inputs: dict[str, Any] | None
    resize_input: str | None
    spacing: tuple[float, ...] | None
    resample: str
    pixel_size: tuple[float, ...] | None
    window_size: tuple[float, ...] | None
    overlap: float
    pad: float | None
    page: str | None
    transparency: str | None
    gray: bool
    colours: str | None
    exif: bool
    window: tuple[float, ...] | None
    scale: float | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None

    @property
    def how(self) -> How:
        """How files of images are read."""
        return how_of(vars(self))


def how_of(options: Mapping[str, Any]) -> How:
    """How files of images are read, by options as they were given."""
    page = options.get("page")
    return How(
        page=None if page is None else str(page),
        transparency=options.get("transparency"),
        colours=options.get("colours"),
        exif=bool(options.get("exif")),
    )
