"""Gates: what must hold of an audit, each with what was found and what is allowed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnx_si.auditing.summary import ALL, Counts, Summary
from onnx_si.choices.guarantees import GUARANTEES


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A gate as it was asked for: of all images, or of those of one group."""

    gate: str
    allowed: Any
    group: str = ALL


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a gate: whether it holds, and why in words."""

    gate: str
    group: str
    allowed: Any
    found: Any
    passed: bool
    words: str


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A kind of gate: what it says, how its limit is read, an example of it in TOML, and how it is judged.

    `judge` gives what was found, whether it passes, and words for it.
    """

    what: str
    read: Callable[[Any], Any]
    example: str
    judge: Callable[[Summary, Counts, Any], tuple[Any, bool, str]]
    by_group: bool = True


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("give a share between 0 and 1")
    return float(value)


def _count_or_share(value: Any) -> int | float:
    """A whole number counts images, a fraction is a share of them."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError("give a whole number of images, or a share below 1")
    if isinstance(value, float) and value > 1:
        raise ValueError("a share is at most 1; give a whole number of images without a point")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("give a whole number of at least 0")
    return value


def _guarantee(value: Any) -> str:
    if value not in GUARANTEES:
        raise ValueError(f"allowed are {', '.join(GUARANTEES)}")
    return str(value)


def _truth(value: Any) -> bool:
    if value is not True:
        raise ValueError("give true, or leave it out")
    return True


def _failed(summary: Summary, counts: Counts, allowed: int | float) -> tuple[Any, bool, str]:
    bad = counts.failed + counts.refused
    limit = allowed if isinstance(allowed, int) else allowed * counts.images
    return bad, bad <= limit, f"{bad} of {counts.images} images failed or were refused"


def _rejected(counts: Counts) -> tuple[float, str]:
    share = counts.rejected / counts.tested if counts.tested else 0.0
    return share, f"{counts.rejected} of {counts.tested} tested regions are significant ({share:.3g})"


def _fewest(summary: Summary, counts: Counts, allowed: float) -> tuple[Any, bool, str]:
    share = counts.rejected / counts.images if counts.images else 0.0
    words = f"{counts.rejected} of {counts.images} images have a significant region ({share:.3g})"
    return share, counts.images > 0 and share >= allowed, words


def _most(summary: Summary, counts: Counts, allowed: float) -> tuple[Any, bool, str]:
    share, words = _rejected(counts)
    return share, share <= allowed, words


def _parity(summary: Summary, counts: Counts, allowed: int) -> tuple[Any, bool, str]:
    words = (
        f"at most {counts.parity_pixels} pixels of a region differ in the deployed runtime"
        if counts.parity_pixels
        else "the deployed runtime marks the same regions"
    )
    if counts.parity_unknown:
        return None, False, f"{counts.parity_unknown} regions were not compared with the deployed runtime"
    return counts.parity_pixels, counts.parity_pixels <= allowed, words


def _weakest(summary: Summary, counts: Counts, allowed: str) -> tuple[Any, bool, str]:
    seen = sorted(counts.guarantees, key=_strength)
    if not seen:
        return None, True, "nothing was tested"
    passed = _strength(seen[0]) >= _strength(allowed)
    return seen[0], passed, f"the weakest guarantee is {seen[0]}"


def _strength(guarantee: str) -> int:
    """A guarantee that is not known here is the weakest."""
    return list(GUARANTEES).index(guarantee) if guarantee in GUARANTEES else -1


def _known(summary: Summary, counts: Counts, allowed: bool) -> tuple[Any, bool, str]:
    count = counts.noise_estimated
    words = f"of {count} images" if count else "of no image"
    return count, not count, f"{words} the noise was estimated from the image itself"


def _uniform(summary: Summary, counts: Counts, allowed: float) -> tuple[Any, bool, str]:
    value = counts.uniform_p_value
    if value is None:
        return None, False, "nothing was tested, so that nothing is known of the p-values"
    words = f"the Kolmogorov-Smirnov test of uniform p-values gives {value:.3g}"
    return value, value >= allowed, words


GATES: Mapping[str, Gate] = {
    "max_failed": Gate(
        what="images that failed or were refused: a whole number, or a share",
        read=_count_or_share,
        example="0",
        judge=_failed,
    ),
    "min_rejected": Gate(  # an image without a region, or without a test, shows nothing
        what="share of images with a significant region, at least",
        read=_share,
        example="{ lesion = 0.8 }",
        judge=_fewest,
    ),
    "max_rejected": Gate(
        what="share of tested regions that are significant, at most",
        read=_share,
        example="{ empty = 0.1 }",
        judge=_most,
    ),
    "max_parity_pixels": Gate(
        what="pixels of a region that differ in the deployed runtime",
        read=_whole,
        example="0",
        judge=_parity,
    ),
    "min_guarantee": Gate(
        what="weakest guarantee of a p-value", read=_guarantee, example='"exact"', judge=_weakest
    ),
    "noise_known": Gate(
        what="no noise was estimated from the image itself", read=_truth, example="true", judge=_known
    ),
    "uniform_at": Gate(
        what="level of a test of uniform p-values, for images known to be empty",
        read=_share,
        example="{ empty = 0.001 }",
        judge=_uniform,
    ),
}


def limits_of(name: str, value: Any) -> list[Limit]:
    """A gate's limits: one for all images, or a table of them by group.

    Raises
    ------
    ValueError
        If a limit can't be read.
    """
    gate = GATES[name]
    if isinstance(value, Mapping):
        return [Limit(gate=name, allowed=gate.read(one), group=str(group)) for group, one in value.items()]
    return [Limit(gate=name, allowed=gate.read(value))]


def judge(limits: tuple[Limit, ...], summary: Summary) -> tuple[Verdict, ...]:
    """Every gate on an audit's counts. A group that no image is in holds no gate.

    Where nothing can be said of any image, no audit passes, asked or not.
    """
    verdicts = tuple(_judged(limit, summary) for limit in limits)
    counts, limit = summary.groups[ALL], Limit(gate="max_failed", allowed=0)
    asked = any(one.gate == limit.gate and one.group == ALL for one in verdicts)
    nothing_known = counts.images > 0 and counts.failed + counts.refused == counts.images
    return (*verdicts, _judged(limit, summary)) if nothing_known and not asked else verdicts


def _judged(limit: Limit, summary: Summary) -> Verdict:
    counts = summary.groups.get(limit.group)
    name = {"gate": limit.gate, "group": limit.group, "allowed": limit.allowed}
    if counts is None:
        return Verdict(**name, found=None, passed=False, words=f"no image is in group '{limit.group}'")
    found, passed, words = GATES[limit.gate].judge(summary, counts, limit.allowed)
    return Verdict(**name, found=found, passed=passed, words=words)
