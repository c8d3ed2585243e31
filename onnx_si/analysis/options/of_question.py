"""Options: the hypothesis, the map, the region, and what of the image counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from onnx_si.analysis.options.kinds import (
    FILE,
    FILES,
    INDICES,
    LEVEL,
    NUMBER,
    SWITCH,
    TARGET,
    TEXT,
    WHOLE,
    choice,
)
from onnx_si.analysis.options.option import SALIENCY, SIMULATE, TEST, Check, Need, Option, within
from onnx_si.choices.saliency import AUTOMATIC, all_spellings, listed
from onnx_si.statistics.hypotheses import HYPOTHESES

RESIZES = ("linear", "nearest")
MAP = (TEST, SIMULATE, SALIENCY)


class QuestionFiles(TypedDict, total=False):
    """What is tested."""

    reference: Annotated[
        Any,
        Option(
            kind=FILES,
            help="image of the same kind of scene without the signal (repeatable: they are averaged)",
            once="--reference",
            metavar="FILE",
            verbs=(TEST,),
        ),
    ]
    mask: Annotated[
        Any,
        Option(
            kind=FILE,
            help="pixels that may count: those that are not 0 in FILE (truth values or whole numbers)",
            metavar="FILE",
        ),
    ]


class QuestionOptions(TypedDict, total=False):
    """What is tested."""

    hypothesis: Annotated[
        str | None,
        Option(
            kind=choice(tuple(HYPOTHESES)),
            help="null hypothesis: the region's mean is that of the reference (mean), of all other pixels "
            "(background), of a ring around it (neighborhood); or every pixel is the reference's (global)",
            shown_default="mean with a reference, background without",
            metadata="onnx_si.hypothesis",
        ),
    ]
    ring: Annotated[
        int | None,
        Option(
            kind=WHOLE,
            help="width of that ring, in pixels",
            default=1,
            check=within(1, 10_000, " pixels"),
            needs=Need(lambda settled: settled["hypothesis"] == "neighborhood", "hypothesis neighborhood"),
            metavar="K",
        ),
    ]
    ring_mm: Annotated[
        float | None,
        Option(
            kind=NUMBER,
            help="width of that ring in mm, where the size of a pixel is known, in place of --ring",
            check=Check(lambda value: value > 0, "a width is above 0"),
            needs=Need(lambda settled: settled["hypothesis"] == "neighborhood", "hypothesis neighborhood"),
            metavar="MM",
            verbs=(TEST,),
        ),
    ]
    saliency: Annotated[
        str | None,
        Option(
            kind=TEXT,
            help=all_spellings(),
            default="auto",
            shown_default=f"auto: an output that is a map, else the first that fits of {listed(AUTOMATIC)}",
            metadata="onnx_si.saliency",
            metavar="M",
            verbs=MAP,
        ),
    ]
    target: Annotated[
        int | str | None,
        Option(
            kind=TARGET,
            help="class of the map: an index, or predicted; of a map of classes all: one more test for each "
            "class that is there, with Holm-adjusted p-values",
            default="predicted",
            metadata="onnx_si.target",
            metavar="K",
            verbs=MAP,
        ),
    ]
    scores: Annotated[
        str | None,
        Option(
            kind=TEXT,
            help="tensor of the class scores that cam, gradients and occlusion explain, where several "
            "could be",
            shown_default="told by Softmax, name and order",
            needs=Need(
                lambda settled: not settled["saliency"].startswith("output:"),
                "a map of class scores: saliency auto, cam, gradcam, gradient, grad-input, occlusion ...",
            ),
            metadata="onnx_si.scores",
            metavar="NAME",
            verbs=MAP,
        ),
    ]
    threshold: Annotated[
        str | float | None,
        Option(
            kind=LEVEL,
            help="region = pixels above T: a value, max:F (fraction of the maximum), minmax:F, top:F "
            "(share of pixels), or argmax: where channel --target is the largest",
            shown_default="0.5 on a map that ends in Sigmoid or Softmax, argmax on an output of several "
            "channels, else max:0.5",
            metadata="onnx_si.threshold",
            metavar="T",
        ),
    ]
    resize: Annotated[
        str | None,
        Option(
            kind=choice(RESIZES), help="how a coarse map is brought to the image's size", default="linear"
        ),
    ]
    coarsen: Annotated[
        int | None,
        Option(
            kind=WHOLE,
            help="the map is averaged over blocks of K x K pixels first, and the region is made of blocks "
            "(1: of pixels): more power, less detail",
            default=1,
            check=within(1, 10_000, " pixels"),
            metavar="K",
        ),
    ]
    channels: Annotated[
        Sequence[int] | None,
        Option(
            kind=INDICES,
            help="channels of the image that are tested",
            shown_default="all",
            check=Check(lambda value: len(set(value)) == len(value), "give each channel once"),
            metavar="C,..",
        ),
    ]
    components: Annotated[
        bool | None,
        Option(
            kind=SWITCH,
            help="one test for each connected component as well, with Holm-adjusted p-values",
            default=False,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class QuestionSettings:
    """The same, settled."""

    hypothesis: str
    ring: int
    ring_mm: float | None
    saliency: str
    target: int | str
    scores: str | None
    threshold: str | float | None
    resize: str
    coarsen: int
    channels: tuple[int, ...] | None
    components: bool
