"""An audit as a test of a repository: call it in a test of pytest or of any other runner."""

from collections.abc import Mapping
from typing import Any

from onnx_si.auditing.api import audit
from onnx_si.auditing.running import Audit
from onnx_si.report.audited import verdict
from onnx_si.report.figures import p_value_of

MOST_NAMED = 10


def assert_regions_real(
    model: Any, images: Any, *, share: float = 1.0, max_failed: int = 0, **options: Any
) -> Audit:
    """Fail unless the regions that a model marks on these images are more than noise.

    Parameters
    ----------
    model, images
        As for `onnx_si.audit`.
    share : float
        Of all images, that must have a region that is significant over all images together.
    max_failed : int
        Images that may fail or be refused.
    **options
        Of `onnx_si.audit`: sigma, threshold, reference, rate, folder, ...

    Returns
    -------
    Audit

    Raises
    ------
    AssertionError
        With the images that are not, and why.
    """
    found = audit(model, images, **{"pictures": "folder" in options, **options})
    counts = found.document["groups"][0]
    bad = counts["failed"] + counts["refused"]
    if counts["rejected"] >= share * counts["images"] and bad <= max_failed:
        return found
    wanted = f"{share:g} of {counts['images']} images must have a region that is more than noise"
    raise AssertionError(f"{wanted}; {counts['rejected']} have, {bad} failed or were refused\n{_rest(found)}")


def assert_audit_passes(
    model: Any, images: Any = None, gates: Mapping[str, Any] | None = None, **options: Any
) -> Audit:
    """Fail unless every gate of an audit holds; a .toml file in place of a model has its own gates.

    Raises
    ------
    AssertionError
        With every gate that does not hold, what was found and what is allowed.
    """
    found = audit(model, images, gates=gates, **options)
    if not found.document["gates"]:
        raise AssertionError("no gates are given: this audit can't fail; give gates")
    if not found.passed:
        raise AssertionError(verdict(found.document))
    return found


def _rest(found: Audit) -> str:
    """The images that are not significant, with their p-values or reasons."""
    adjusted = found.adjusted()
    lines = []
    for row in found.rows():
        if row["status"] != "tested":
            lines.append(f"  {row['image']}: {row['status']}: {row['reason']}")
        elif adjusted[row["number"]] > found.document["rate"]:
            p_values = f"p-value {p_value_of(row['result'])}, adjusted {adjusted[row['number']]:.3g}"
            lines.append(f"  {row['image']}: {p_values}")
    more = len(lines) - MOST_NAMED
    return "\n".join(lines[:MOST_NAMED] + ([f"  and {more} more"] if more > 0 else []))
