"""How much the selection leaves to test with, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from onnx_si.choices.guarantees import GUARANTEES
from onnx_si.report.pieces import LEFT_OPEN

LITTLE = 0.05  # share of the information that is almost nothing


def says_little(fragility: Mapping[str, Any]) -> bool:
    """Whether the selection leaves so little that a large p-value is what must be expected."""
    left = fragility["information"]
    return left is not None and left < LITTLE


def left_open(result: Mapping[str, Any], name: str) -> str | None:
    """What a search that ended early left open of the fragility; None where it did not."""
    reason = str(result["reasons"].get(f"fragility.{name}", ""))
    return reason if reason.startswith(LEFT_OPEN) else None


def fragility_text(result: Mapping[str, Any]) -> Iterator[str]:
    """How much the selection leaves to test with, as far as that is proven."""
    found, side = result["fragility"], result["saliency"]["coarsen"]
    distance, left = found["distance"], found["information"]
    open_end, open_share = left_open(result, "distance"), left_open(result, "information")
    share = open_share or (
        "" if left is None else f"{left:.2g} of the information on the difference is left by the selection"
    )
    if not share or (distance is None and open_end is None):
        return
    seen = ", as far as the chains saw" if GUARANTEES[result["guarantee"]].drawn else ""
    end = open_end or f"the nearest end of S is {distance:.2g} standard errors away"
    if not says_little(found):
        both = f", and {end.removeprefix(f'{LEFT_OPEN} ')}" if open_share and open_end else f"; {end}{seen}"
        yield f"{share}{both}"
        return
    moving = (
        "almost nothing is left to test with"
        if distance is None or seen
        else f"moving the difference by {distance:.2g} standard errors changes the region, so that almost "
        "nothing is left to test with"
    )
    more = f"; {end}{seen}" if distance is None or seen else ""
    if result["p_value_bounds"][1] <= 1 - result["confidence_level"]:
        yield (
            f"{moving} ({share}{more}): a large p-value would have said little here, a small one is as good "
            "as any"
        )
        return
    yield (
        f"{moving} ({share}{more}): a large p-value says little here. --randomise 0.2 (its p-value "
        "keeps its meaning) and --thin 0.2 (one forward pass) select on a slightly noisier image; "
        f"--coarsen {4 if side == 1 else 2 * side} makes the region of blocks, which hold fewer edges fixed"
    )
