"""Options: how it is tested."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypedDict, get_args

from onnx_si.analysis.options.kinds import BYTES, NUMBER, SWITCH, TEXT, WHOLE, choice, choices
from onnx_si.analysis.options.option import (
    EVERYWHERE,
    NOT_NEGATIVE,
    PROPORTION,
    TEST,
    Check,
    Need,
    Option,
    within,
)
from onnx_si.choices.compared import METHODS, chosen
from onnx_si.choices.guarantees import CERTIFIED, DRAWN, EXACT
from onnx_si.statistics.truncated import LEAST_SHARE, Alternative

ENGINES = ("auto", EXACT.name, CERTIFIED.name, DRAWN.name)
CHAINS = Need(
    lambda values: (
        values["thin"] is None
        and (
            values["engine"] not in (EXACT.name, CERTIFIED.name)
            or any(each.chains for each in chosen(values["methods"]))
        )
    ),
    "chains: not --engine exact or certified, nor --thin",
)
SEARCH = Need(
    lambda values: values["thin"] is None and values["engine"] != DRAWN.name,
    "an exact search: not --engine monte-carlo, nor --thin",
)
FOLLOWED = Need(lambda values: not values["verify"] or SEARCH.holds(values), SEARCH.words)
ALTERNATIVES: tuple[str, ...] = get_args(Alternative)
LEAST_BUDGET = 1 << 20
LONGEST = 1e7  # seconds, four months
LEAST_LEVEL = 1e-15  # 1 - alpha must be a number below 1


class TestingOptions(TypedDict, total=False):
    """How it is tested."""

    methods: Annotated[
        Sequence[str] | None,
        Option(
            kind=choices(METHODS),
            help="p-values to compare with the selective one, which always runs",
            default=("selective",),
            shown_default="selective alone",
            metavar="NAME",
            once="--method",
        ),
    ]
    alternative: Annotated[
        str | None,
        Option(
            kind=choice(ALTERNATIVES),
            help="two-sided-abs: at least as large a difference, in either direction, P(|T| >= |t|); "
            "two-sided: equal tails, 2 min(F, 1 - F); greater, less: in one direction; the confidence "
            "interval inverts this test",
            default="two-sided-abs",
            why="a region may be brighter or darker",
        ),
    ]
    precision: Annotated[
        float | None,
        Option(
            kind=NUMBER,
            help="wanted width of the p-value's bounds",
            default=1e-4,
            why="wanted width of the p-value's bounds",
            check=PROPORTION,
            needs=SEARCH,
            metavar="P",
        ),
    ]
    alpha: Annotated[
        float | None,
        Option(
            kind=NUMBER,
            help="level of decision and interval",
            default=0.05,
            why="level of the decision and of the confidence interval",
            check=Check(lambda value: LEAST_LEVEL <= value < 1, f"it lies between {LEAST_LEVEL:g} and 1"),
            metavar="A",
        ),
    ]
    randomise: Annotated[
        float | None,
        Option(
            kind=NUMBER,
            help="select the region on the image plus noise of F times its covariance: more power",
            shown_default="not",
            check=within(LEAST_SHARE, 100, ""),
            metavar="F",
        ),
    ]
    thin: Annotated[
        float | None,
        Option(
            kind=NUMBER,
            help="select the region on the image plus noise of F times its covariance and test the "
            "independent rest: two runs of any model",
            shown_default="not",
            check=within(LEAST_SHARE, 100, ""),
            metavar="F",
        ),
    ]
    engine: Annotated[
        str | None,
        Option(
            kind=choice(ENGINES),
            help="exact follows a piecewise-linear network; certified proves bounds for a smooth one; "
            "monte-carlo asks onnxruntime alone, whatever the network is made of",
            default="auto",
            shown_default="auto: exact where it can be, else certified where that is cheap, else monte-carlo",
        ),
    ]
    draws: Annotated[
        int | None,
        Option(
            kind=WHOLE,
            help="chains of monte-carlo",
            default=999,
            check=within(1, 1_000_000, ""),
            needs=CHAINS,
            metavar="B",
        ),
    ]
    steps: Annotated[
        int | None,
        Option(
            kind=WHOLE,
            help="steps of each chain",
            default=2,
            check=within(1, 1000, ""),
            needs=CHAINS,
            metavar="N",
        ),
    ]
    provider: Annotated[
        str | None,
        Option(
            kind=TEXT,
            help="execution provider of onnxruntime, such as cuda",
            shown_default="cpu",
            metavar="NAME",
        ),
    ]
    decide: Annotated[
        bool | None,
        Option(
            kind=SWITCH,
            help="stop as soon as the decision at level A is certain",
            default=False,
            needs=SEARCH,
        ),
    ]
    verify: Annotated[
        int | None,
        Option(
            kind=WHOLE,
            help="points of the line that are asked of onnxruntime on the file itself; if one contradicts "
            "the test there is no p-value (0: none)",
            default=64,
            shown_default="64; 0 in a simulation",
            check=within(0, 100_000, " points"),
            needs=FOLLOWED,
            metavar="N",
        ),
    ]
    time_limit: Annotated[
        float | None,
        Option(
            kind=NUMBER,
            help="seconds of a test after which its exact search ends with the true bounds it has",
            shown_default="none",
            check=Check(
                lambda value: 0 < value <= LONGEST, f"give more than 0 and at most {LONGEST:g} seconds"
            ),
            needs=SEARCH,
            metadata="onnx_si.time_limit",
            metavar="S",
        ),
    ]
    memory: Annotated[
        int | str | None,
        Option(
            kind=BYTES,
            help="what the run may hold, such as 2G or 500M",
            shown_default="half of the free memory",
            check=Check(lambda value: value >= LEAST_BUDGET, f"give at least {LEAST_BUDGET} bytes"),
            metavar="SIZE",
            verbs=EVERYWHERE,
        ),
    ]
    budget_bytes: Annotated[
        int | None,
        Option(
            kind=WHOLE,
            help="memory that all tensors on the line may take together, within `memory`",
            default=1 << 30,
            check=Check(lambda value: value >= LEAST_BUDGET, f"give at least {LEAST_BUDGET}"),
            verbs=(),
        ),
    ]
    p_value_only: Annotated[
        bool | None,
        Option(
            kind=SWITCH,
            help="leave out what a simulation does not read: estimate, confidence interval, and the deployed "
            "runtime (unless `verify` is given)",
            default=False,
            verbs=(),
        ),
    ]


class ChanceOptions(TypedDict, total=False):
    """How it is tested."""

    seed: Annotated[
        int | None,
        Option(
            kind=WHOLE,
            help="of all that is drawn, mixed with the image's values",
            default=0,
            check=NOT_NEGATIVE,
            metavar="N",
            verbs=(TEST,),
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class TestingSettings:
    """The same, settled."""

    methods: tuple[str, ...]
    alternative: Alternative
    precision: float
    alpha: float
    randomise: float | None
    thin: float | None
    engine: str
    draws: int
    steps: int
    provider: str | None
    decide: bool
    verify: int
    time_limit: float | None
    memory: int | None
    budget_bytes: int
    p_value_only: bool
    seed: int
