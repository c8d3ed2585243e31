"""What native code is known to die of, refused before it gets there; no list is complete (`--isolate`)."""

import math
from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray

STANDARD = ("", "ai.onnx")
MOST_AXES = 32  # of a tensor; numpy has 64 at most, and some computations add axes

MOST_SAMPLES = 1024  # of a bin of a region, along each axis


class Malformed(Exception):
    """What breaks the specification, in words."""


def plain(domain: str) -> str:
    """A domain's name; the standard one has two."""
    return "" if domain in STANDARD else domain


def require_survivable(node: onnx.NodeProto, known: Mapping[str, NDArray[Any]] | None = None) -> None:
    """Refuse what native code (inference of the ONNX package, onnxruntime), or a loop written out, does not
    survive.

    Parameters
    ----------
    node : NodeProto
    known : mapping of str to array, optional
        Values of inputs, as far as they are known.

    Raises
    ------
    Malformed
    """
    if plain(node.domain):
        return
    if node.op_type == "Split":
        parts = next((len(a.ints) for a in node.attribute if a.name == "split"), None)
        sizes = (known or {}).get(node.input[1]) if len(node.input) > 1 else None
        parts = parts if sizes is None else int(sizes.size)
        if parts is not None and parts != len(node.output):
            raise Malformed(f"{parts} sizes for {len(node.output)} parts")
        counted = next((a.i for a in node.attribute if a.name == "num_outputs"), len(node.output))
        if counted != len(node.output):
            raise Malformed(f"num_outputs {counted} for {len(node.output)} parts")
    if node.op_type == "GatherND" and next((a.i for a in node.attribute if a.name == "batch_dims"), 0) < 0:
        raise Malformed("batch_dims is below 0")
    taken = next((a.i for a in node.attribute if a.name == "sampling_ratio"), 0)
    if node.op_type == "RoiAlign" and not 0 <= taken <= MOST_SAMPLES:
        raise Malformed(f"sampling_ratio {taken}: 0 to {MOST_SAMPLES} are read")
    if node.op_type == "Scan":
        _require_scan(node)
    if node.op_type.startswith("Random"):
        _require_drawable(node)
    for attribute in node.attribute:
        named = attribute.name if attribute.name in ("axis", "axes", "batch_axis", "time_axis") else ""
        strange = [n for n in (attribute.i, *attribute.ints) if named and not -MOST_AXES <= n <= MOST_AXES]
        if strange:
            raise Malformed(f"{named} {strange[0]}: at most {MOST_AXES} axes are read")


def _require_scan(node: onnx.NodeProto) -> None:
    scanned = next((a.i for a in node.attribute if a.name == "num_scan_inputs"), 0)
    if not 1 <= scanned <= len(node.input):
        raise Malformed(f"it scans {scanned} of {len(node.input)} inputs")
    ways = [a for a in node.attribute if a.name.endswith("directions")]
    if any(way not in (0, 1) for attribute in ways for way in attribute.ints):
        raise Malformed("a direction is neither 0 nor 1")


def _require_drawable(node: onnx.NodeProto) -> None:
    """Laws that there are: the C++ library ends the process at others."""
    given = {a.name: a.f for a in node.attribute if not a.ref_attr_name}
    open_ = {a.name for a in node.attribute if a.ref_attr_name}
    low, high, scale = given.get("low", 0.0), given.get("high", 1.0), given.get("scale", 1.0)
    if not all(math.isfinite(value) for value in given.values()):
        raise Malformed("an attribute is not finite")
    if "Uniform" in node.op_type and not low <= high and open_.isdisjoint(("low", "high")):
        raise Malformed(f"it draws between {low:g} and {high:g}")
    if "Normal" in node.op_type and not scale > 0:
        raise Malformed(f"it draws with a standard deviation of {scale:g}")
