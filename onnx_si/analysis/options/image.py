"""Options: how the image becomes the model's input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from onnx_si.analysis.options.kinds import GIVEN, NUMBER, NUMBERS, SIZES, TEXT, choice
from onnx_si.analysis.options.option import EVERYWHERE, Need, Option
from onnx_si.analysis.options.question import RESIZES
from onnx_si.ground.layout import LAYOUTS


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
            metadata="onnx_si.inputs",
            metavar="NAME=VALUE",
            once="--input",
            verbs=EVERYWHERE,
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
    pad: Annotated[
        float | None,
        Option(
            kind=NUMBER,
            help="an image whose sides don't fit the model's strides is padded behind with V, as a part of the "
            "model; padding is in no region and no test",
            needs=Need(
                lambda settled: settled["resize_input"] is None
                and (settled["saliency"] == "auto" or settled["saliency"].startswith("output:")),
                "a map that is an output, and no --resize-input",
            ),
            metadata="onnx_si.pad",
            metavar="V",
        ),
    ]
    scale: Annotated[
        float | None,
        Option(
            kind=NUMBER,
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
    pad: float | None
    scale: float | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
