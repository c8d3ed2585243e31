"""Options: the noise of the image."""

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from onnx_si.analysis.options.kinds import FILE, FILES, MEASURE, TEXT, WHOLE, choice
from onnx_si.analysis.options.option import TEST, Check, Option
from onnx_si.errors import UsageError
from onnx_si.statistics.noise import FORMS, INDEPENDENT, MODELS, parse_physical

NOISE_MODELS = (INDEPENDENT, *MODELS)
MOST_FREEDOM = 10**9


class NoiseFiles(TypedDict, total=False):
    """The noise of the image."""

    covariance: Annotated[
        Any,
        Option(
            kind=FILE,
            help=".npy: a variance for each value, or the full matrix; .npz: a matrix for each axis C, D, H, "
            "W (separable), or an autocovariance",
            metavar="FILE",
        ),
    ]
    noise_from: Annotated[
        Any,
        Option(
            kind=FILES,
            help="independent images of pure background: S is estimated from them, and the test is a t-test",
            metavar="FILE",
            verbs=(TEST,),
        ),
    ]

    sigma_from: Annotated[
        Any,
        Option(
            kind=FILE,
            help="a part of the image that is background: S is estimated from the pixels that are not 0 in "
            "FILE, which enter no mean then, and the test is a t-test",
            metavar="FILE",
            verbs=(TEST,),
        ),
    ]


class NoiseOptions(TypedDict, total=False):
    """The noise of the image."""

    sigma: Annotated[
        float | None,
        Option(
            kind=MEASURE,
            help="standard deviation of the noise in the image's units; a fraction such as 20/255 as well",
            shown_default="the model's metadata, else a robust estimate from the image, which makes the "
            "p-value approximate",
            metadata="onnx_si.noise_std",
            metavar="S",
        ),
    ]
    sigma_df: Annotated[
        int | None,
        Option(
            kind=WHOLE,
            help="S (or the covariance's scale) is an independent estimate on V degrees of freedom: a t-test",
            check=Check(
                lambda value: value <= MOST_FREEDOM, f"give at most {MOST_FREEDOM:g} degrees of freedom"
            ),
            metavar="V",
        ),
    ]
    noise_model: Annotated[
        str | None,
        Option(
            kind=choice(NOISE_MODELS),
            help="what is estimated from --noise-from: one variance of independent pixels, or a covariance "
            "of this structure, with which the level is approximate",
            shown_default="independent",
            verbs=(TEST,),
        ),
    ]


def _is_physical(value: str) -> bool:
    try:
        parse_physical(value)
    except UsageError:
        return False
    return True


class PhysicalOptions(TypedDict, total=False):
    """The noise of the image."""

    noise: Annotated[
        str | None,
        Option(
            kind=TEXT,
            help=f"noise that grows with the signal: {FORMS}; the variance of each value follows from the "
            "mean around it, with which the level is approximate",
            shown_default="normal",
            check=Check(_is_physical, f"allowed are {FORMS}, with positive numbers (READ may be 0)"),
            metavar="KIND:N",
            verbs=(TEST,),
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class NoiseSettings:
    """The same, settled."""

    sigma: float | None
    sigma_df: int | None
    noise_model: str | None
    noise: str | None
