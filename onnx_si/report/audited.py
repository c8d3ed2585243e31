"""An audit's summary as text."""

from collections.abc import Iterator, Mapping
from typing import Any


def verdict(document: Mapping[str, Any]) -> str:
    """A few lines: the verdict and why, then the counts."""
    return "\n".join([*_gates(document), *_counts(document)])


def limit(gate: Mapping[str, Any]) -> str:
    """What a gate allows, as the configuration says it."""
    return "true" if gate["allowed"] is True else str(gate["allowed"])


def allowed(gate: Mapping[str, Any]) -> str:
    """The same in words."""
    if gate["allowed"] is True:
        return "none"
    bound = "at most" if gate["gate"].startswith("max_") else "at least"
    return f"{bound} {gate['allowed']}"


def _gates(document: Mapping[str, Any]) -> Iterator[str]:
    gates = document["gates"]
    if not gates:
        yield "no gates were asked for: the audit reports, it does not judge"
        return
    broken = sum(not gate["passed"] for gate in gates)
    what = (
        f"{broken} of {len(gates)} gates {'do' if broken > 1 else 'does'} not hold"
        if broken
        else "the one gate holds"
        if len(gates) == 1
        else f"all {len(gates)} gates hold"
    )
    yield f"{'FAILED' if broken else 'passed'}: {what}"
    for gate in sorted(gates, key=lambda gate: bool(gate["passed"])):
        group = "" if gate["group"] == "all" else f" of group '{gate['group']}'"
        sign = "ok    " if gate["passed"] else "FAILED"
        yield f"  {sign} {gate['gate']} {limit(gate)}{group}: {gate['words']}"


def _counts(document: Mapping[str, Any]) -> Iterator[str]:
    for counts in document["groups"]:
        rest = [f"{counts[name]} {words}" for name, words in _REST if counts[name]]
        behind = f"; {', '.join(rest)}" if rest else ""
        yield (
            f"{counts['group']}: {counts['rejected']} of {counts['tested']} tested regions are significant "
            f"({document['control']} at {document['rate']:g}), {counts['images']} images{behind}"
        )


_REST = (
    ("no_region", "without a region"),
    ("refused", "refused"),
    ("failed", "failed"),
)
