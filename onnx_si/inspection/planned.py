"""What the plain command would do with a model: one line for each choice, with its reason and its option."""

from collections.abc import Iterator
from dataclasses import dataclass

from onnx_si.analysis.selection import reasons_of
from onnx_si.analysis.settings import Settings
from onnx_si.inspection.probe import Probe
from onnx_si.maps import SaliencyMap, Threshold


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One thing that a test will do: `choice` of `what`, why, and the option that changes it."""

    what: str
    choice: str
    reason: str
    option: str


def plan(
    trial: Probe, found: SaliencyMap, threshold: Threshold, settings: Settings, engine: tuple[str, str]
) -> Iterator[Choice]:
    """Every choice, in the order in which a user meets them.

    Parameters
    ----------
    trial : Probe
    found : SaliencyMap
    threshold : Threshold
    settings : Settings
    engine : tuple of str
        The guarantee, and why.
    """
    told = {text.split(" ", 1)[0]: text.split(": ", 1)[1] for text in reasons_of(found, threshold, settings)}
    given = "the model's own metadata say so"
    yield Choice(what="layout", choice=trial.layout.axes, reason=trial.layout.reason, option="--layout")
    yield Choice(what="map", choice=found.method, reason=told.get("saliency", given), option="--saliency")
    chosen = found.target
    if chosen is None:
        target = ("-", "the map has no classes, or is of all of them")
    elif found.chooses_class and chosen == "predicted":
        target = ("the one with the most pixels, class 0 aside", "chosen by the graph, as part of the event")
    elif chosen == "predicted":
        target = ("the one with the largest score", "chosen by the graph, as part of the event")
    else:
        target = (
            str(chosen),
            given if settings.target == chosen else "of two the second, commonly the one looked for",
        )
    yield Choice(what="class", choice=target[0], reason=target[1], option="--target")
    yield Choice(
        what="threshold", choice=str(threshold), reason=told.get("threshold", given), option="--threshold"
    )
    yield Choice(what="engine", choice=engine[0], reason=engine[1], option="-")
