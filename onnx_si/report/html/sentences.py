"""An audit's verdict in words that need no statistics."""

from collections.abc import Iterator, Mapping
from typing import Any

GATES = {
    "max_failed": "Images that could not be tested",
    "min_rejected": "Enough marked regions must be more than noise",
    "max_rejected": "Few marked regions may look like more than noise",
    "max_parity_pixels": "The deployed program must mark the same pixels",
    "min_guarantee": "How strict the proof behind each number must be",
    "noise_known": "The size of the noise must be known, not estimated from the image itself",
    "uniform_at": "On images known to be empty, chance must look like chance",
}
CONTROLS = {
    "benjamini-hochberg": "of the regions called real, at most {rate} are expected to be noise "
    "(Benjamini-Hochberg)",
    "benjamini-yekutieli": "of the regions called real, at most {rate} are expected to be noise, however the "
    "images depend on each other (Benjamini-Yekutieli)",
    "holm": "the chance that even one region is called real wrongly is at most {rate} (Holm)",
}


def headline(document: Mapping[str, Any]) -> str:
    """Passed or not, in one line."""
    gates = document["gates"]
    broken = sum(not gate["passed"] for gate in gates)
    if not gates:
        return "No conditions were set: this audit reports, it does not judge"
    if broken:
        return f"Not passed: {broken} of {len(gates)} conditions {'do' if broken > 1 else 'does'} not hold"
    return (
        "Passed: the one condition holds" if len(gates) == 1 else f"Passed: all {len(gates)} conditions hold"
    )


def sentences(document: Mapping[str, Any]) -> Iterator[str]:
    """What was found, for a reader who knows images but no p-values."""
    counts = document["groups"][0]
    tested, rejected = counts["tested"], counts["rejected"]
    if tested:
        yield (
            f"The model marked a region in {tested} of {counts['images']} images. In {rejected} of these the "
            "region differs from what it is compared with by more than noise, and the choice of the region, "
            f"can explain: {control(document)}."
        )
    elif counts["failed"] + counts["refused"] == counts["images"]:
        yield f"None of the {counts['images']} images could be tested, so that nothing is known of them."
    else:
        yield f"In none of the {counts['images']} images was there a region to test."
    if tested > rejected:
        yield (
            f"In the other {tested - rejected} noise alone may have made the difference. That does not prove "
            "that nothing is there."
        )
    rest = [
        f"{counts[name]} {words}"
        for name, words in (
            ("no_region", "had no marked region (or all of the image was marked)"),
            ("refused", "can't be analysed with this model and these options"),
            ("failed", "failed: the file can't be read, or the test ended in a fault"),
        )
        if counts[name]
    ]
    if rest:
        yield f"Not tested: {'; '.join(rest)}."


def control(document: Mapping[str, Any]) -> str:
    """What is promised over all images together."""
    return CONTROLS[document["control"]].format(rate=f"{100 * document['rate']:.3g} %")


def gate_text(gate: Mapping[str, Any]) -> str:
    """A condition's name in plain words."""
    what = GATES.get(gate["gate"], gate["gate"])
    return what if gate["group"] == "all" else f"{what}, group {gate['group']}"
