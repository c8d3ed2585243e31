"""Options of an audit alone: what is audited, how it is judged, and who does the work.

Those of the test are taken over; a file that is one for all images is written again here.
"""

from dataclasses import replace
from typing import Annotated, Any, TypedDict

from onnx_si.analysis.options import FILES, Option
from onnx_si.analysis.options.kinds import NUMBER, SWITCH, TEXT, WHOLE, Kind, choice
from onnx_si.analysis.options.option import AUDIT, PROPORTION, Check, records_of

CONTROLS = ("benjamini-hochberg", "benjamini-yekutieli", "holm")
SOME = Check(bool, "give a text that is not empty")


def _texts(value: Any) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found or not all(isinstance(x, str) and x for x in found):
        raise TypeError
    return tuple(found)


def _one_text(value: Any) -> str:
    (found,) = _texts(value)
    return found


PATHS = Kind(words="a text, or a list of texts", accept=_texts, read=str, each=str)
ONE_PATH = Kind(
    words="one file for all images; a manifest has a column for more", accept=_one_text, read=str, each=str
)


class Listed(TypedDict, total=False):
    """What is audited."""

    model: Annotated[str, Option(kind=TEXT, help="the .onnx file", check=SOME, example='"model.onnx"')]
    images: Annotated[
        Any,
        Option(kind=PATHS, help="files, folders or patterns such as scans/*.npy", example='["images/*.npy"]'),
    ]
    manifest: Annotated[
        str,
        Option(
            kind=TEXT,
            help="a .csv or .parquet file in place of images: a column image, and any of reference, mask, "
            "target, sigma, group; other columns are kept",
            check=SOME,
            example='"images.csv"',
        ),
    ]


class Judged(TypedDict, total=False):
    """How images are judged."""

    control: Annotated[
        str,
        Option(kind=choice(CONTROLS), help="of the error over images", default=CONTROLS[0], metavar="NAME"),
    ]
    rate: Annotated[
        float,
        Option(kind=NUMBER, help="at which it rejects", default=0.05, check=PROPORTION, metavar="RATE"),
    ]
    pictures: Annotated[bool, Option(kind=SWITCH, help="draw a picture of each result", default=True)]


class Work(TypedDict, total=False):
    """Who does the work."""

    jobs: Annotated[
        int,
        Option(
            kind=WHOLE,
            help="worker processes: one for each core (-1), or none but this one (0)",
            default=-1,
            metavar="J",
        ),
    ]
    scheduler: Annotated[
        str | None,
        Option(kind=TEXT, help="a Dask scheduler whose workers do it, in place of --jobs", metavar="ADDRESS"),
    ]
    restart: Annotated[bool, Option(kind=SWITCH, help="begin anew, whatever the folder holds", default=False)]


def _own(theme: Any) -> dict[str, Option]:
    return {name: replace(one, verbs=(AUDIT,)) for name, one in records_of(theme).items()}


LISTED, JUDGED, WORK = map(_own, (Listed, Judged, Work))
_EXAMPLES = {
    "reference": (ONE_PATH, '"reference.npy"', "one image for all that the manifest gives none"),
    "mask": (
        TEXT,
        '"mask.npy"',
        "one mask for all that the manifest gives none: pixels that may count",
    ),
    "covariance": (TEXT, '"covariance.npz"', ""),
    "noise_from": (PATHS, '["background/*.npy"]', ""),
    "sigma_from": (TEXT, '"background.npy"', ""),
}
FOR_ALL = {
    name: replace(FILES[name], kind=kind, example=example, help=words or FILES[name].help, check=SOME)
    for name, (kind, example, words) in _EXAMPLES.items()
}
"""Files that belong to every image."""
KEYS = {**LISTED, **FOR_ALL, **JUDGED}
"""What an audit's TOML file says beside its tables."""
OWN = {**JUDGED, **WORK}
"""What the command line and `onnx_si.audit` take beside files and the options of a test."""
