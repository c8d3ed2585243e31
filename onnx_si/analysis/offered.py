"""Whether proven bounds are an alternative to chains where nobody chose an engine.

What is asked here depends on the model, the map and the options, not on an image.
"""

from onnx_si.analysis.settings import Settings
from onnx_si.engines.choosing import out_of_question
from onnx_si.maps import EACH, SaliencyMap, Threshold
from onnx_si.program.program import Program
from onnx_si.search import SearchOptions

UNSATURATED = (0.01, 0.99)  # levels of a probability that single precision tells apart from all others


def limit_of(settings: Settings) -> float:
    """Seconds that proven bounds may be expected to take."""
    return SearchOptions().tuning.decided_by if settings.time_limit is None else settings.time_limit


def against(
    program: Program, margin: str, saliency: SaliencyMap, threshold: Threshold, settings: Settings
) -> str | None:
    """Why chains answer whatever the image is; None where each line decides.

    Components and classes have lines of their own: each would have to choose for itself, and a family of
    both kinds of p-values has no guarantee that could be told in a word.
    """
    if {"draws", "steps"} - settings.left_open:
        return "chains are asked for, by their number or their steps"
    if settings.components or settings.target == EACH:
        return "of a family of tests all are made by chains (--engine certified proves bounds of all)"
    if saliency.is_logit and not _tells_apart(saliency, threshold):
        return "of a probability's extremes single precision tells few apart"
    return out_of_question(program, margin, limit_of(settings), SearchOptions())


def _tells_apart(saliency: SaliencyMap, threshold: Threshold) -> bool:
    """Whether the deployed precision's region is that in float64 but for rounding."""
    low, high = UNSATURATED
    return (
        saliency.link == "probability" and threshold.kind == "value" and low <= threshold.level <= high
    ) or threshold.kind == "argmax"
