"""Options of a simulation alone: what is drawn, how often, and where trials are kept.

Those of the test are taken over; one that means something else here is written again.
"""

from dataclasses import replace
from typing import Annotated, Any, TypedDict

from onnx_si.analysis.options import FILES, OPTIONS, Option
from onnx_si.analysis.options.kinds import BASE, NUMBER, SIGNALS, SWITCH, TEXT, WHOLE
from onnx_si.analysis.options.option import NOT_NEGATIVE, SIMULATE, records_of
from onnx_si.simulation.draws import FAMILIES

DEFAULT_TRIALS = 1000
_NAMES = ", ".join(f"{name}:DISTANCE ({family.words})" for name, family in FAMILIES.items())


class DrawOptions(TypedDict, total=False):
    """What is drawn."""

    trials: Annotated[
        int | None,
        Option(kind=WHOLE, help="draws for each signal", shown_default=f"{DEFAULT_TRIALS}", metavar="N"),
    ]
    tested: Annotated[
        int | None,
        Option(kind=WHOLE, help="instead: draw until N have a region; all draws are counted", metavar="N"),
    ]
    signals: Annotated[
        Any,
        Option(
            kind=SIGNALS,
            help="means of the square, in the image's units",
            default=(0.0,),
            shown_default="0, pure noise",
            metavar="D",
            once="--signal",
        ),
    ]
    detectable: Annotated[
        float | None,
        Option(
            kind=NUMBER,
            help="find the smallest signal that is found with this power, by bisection with the same draws",
            metavar="POWER",
        ),
    ]
    size: Annotated[
        int | None,
        Option(kind=WHOLE, help="its side in pixels", shown_default="half of the image's", metavar="K"),
    ]
    base: Annotated[
        Any,
        Option(
            kind=BASE,
            help="what noise and signal are added to: a value, or files with images; of several one is "
            "drawn for each trial",
            shown_default="0",
            metavar="VALUE|FILE",
        ),
    ]
    references: Annotated[
        int | None,
        Option(
            kind=WHOLE,
            help="references without signal",
            shown_default="what the hypothesis needs",
            metavar="R",
        ),
    ]
    noise: Annotated[
        Any,
        Option(
            kind=TEXT,
            help=f"normal, {_NAMES}, correlated:RHO (neighbours), or "
            "rician:S@LEVEL, poisson:GAIN[,READ]@LEVEL (magnitudes, counts around a level); distance is "
            "1-Wasserstein's from the standard normal",
            shown_default="normal",
            metavar="NAME",
        ),
    ]
    sigma: Annotated[
        float | None,
        Option(kind=NUMBER, help="its standard deviation", shown_default="the model's, or 1", metavar="S"),
    ]
    sigma_df: Annotated[
        int | None,
        Option(
            kind=WHOLE,
            help="in each trial the test is told another estimate of it, on V degrees of freedom: a t-test",
            metavar="V",
        ),
    ]
    estimate_sigma: Annotated[
        bool, Option(kind=SWITCH, help="the test estimates it from the image", default=False)
    ]
    noise_images: Annotated[
        int,
        Option(kind=WHOLE, help="the test estimates it from N images of noise", default=0, metavar="N"),
    ]
    seed: Annotated[
        int, Option(kind=WHOLE, help="of all that is drawn", default=0, check=NOT_NEGATIVE, metavar="N")
    ]


class RunOptions(TypedDict, total=False):
    """What is written."""

    resume: Annotated[
        str | None,
        Option(
            kind=TEXT,
            help="keep finished trials in FILE, and go on from those that are in it",
            metavar="FILE",
        ),
    ]
    jobs: Annotated[
        int,
        Option(
            kind=WHOLE,
            help="processes; no number depends on it",
            default=-1,
            shown_default="one for each core",
            metavar="J",
        ),
    ]


OWN = {
    name: replace(one, verbs=(SIMULATE,))
    for name, one in {**records_of(DrawOptions), **records_of(RunOptions)}.items()
}
_SHARED = {name: one for name, one in {**FILES, **OPTIONS}.items() if SIMULATE in one.verbs}
ALL = {**OWN, **{name: one for name, one in _SHARED.items() if name not in OWN}}
