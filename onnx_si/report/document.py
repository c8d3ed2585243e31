"""The JSON document of a test: one shape for every outcome, never NaN, and a reason for every null."""

import copy
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

SCHEMA = "onnx-si/result/1"

_PAIR = [None, None]

_SHAPE: dict[str, Any] = {
    "schema": SCHEMA,
    "status": None,
    "reason": None,
    "findings": [],
    "guarantee": None,
    "p_value": None,
    "p_value_bounds": _PAIR,
    "statistic": None,
    "standard_error": None,
    "degrees_of_freedom": None,
    "alternative": None,
    "hypothesis": None,
    "estimate": None,
    "estimate_bounds": _PAIR,
    "confidence_interval": _PAIR,
    "confidence_interval_bounds": [_PAIR, _PAIR],
    "confidence_level": None,
    "confidence_interval_level": None,
    "truncation": None,
    "undecided": None,
    "region": {"pixels": None, "fraction": None, "bbox": None, "components": None},
    "saliency": {"method": None, "target": None, "threshold": None},
    "comparison": {"naive": None, "over_conditioning": None, "bonferroni": None, "permutation": None}
    | {"monte_carlo": None},
    "noise": {
        "model": None,
        "std": None,
        "source": None,
        "known": None,
        "degrees_of_freedom": None,
        "level": None,
    },
    "model": {"path": None, "sha256": None, "producer": None, "opset": None},
    "image": {"path": None, "shape": None},
    "reference": {"paths": None, "count": None},
    "search": {
        **dict.fromkeys(("engine", "seconds", "forward_passes", "pieces", "cells", "peak_bytes", "complete")),
        **dict.fromkeys(("draws", "seed", "estimate")),
        "fates": dict.fromkeys(
            ("exact", "discarded", "accepted", "undecided", "sieved", "in_parts", "split")
        ),
    },
    "parity": {"runtime": None, "pixels": None, "max_difference": None, "problem": None}
    | dict.fromkeys(("points", "agreeing", "too_near")),
    "config": None,
    "defaults": [],
    "warnings": [],
    "versions": None,
}


def document(known: Mapping[str, Any], reasons: Mapping[str, str], otherwise: str) -> dict[str, Any]:
    """Put what is known into the one shape.

    Parameters
    ----------
    known : mapping
        Values by the keys of the shape; a nested mapping may leave keys out.
    reasons : mapping of str to str
        Why a value is missing, by path: `estimate`, `confidence_interval.0`, `region.components.*.p_value`.
    otherwise : str
        Why every other value is missing.

    Returns
    -------
    dict
        Ready for JSON; its key `reasons` holds the reason of every null in it, by path.

    Raises
    ------
    KeyError
        For a key that the shape does not have.
    """
    filled = {key: _fill(key, shape, known.get(key)) for key, shape in _SHAPE.items()}
    unknown = set(known) - set(_SHAPE)
    if unknown:
        raise KeyError(f"not in {SCHEMA}: {sorted(unknown)}")
    missing: dict[str, str] = {}
    for path in _nulls(filled, ""):
        pattern = next((p for p in reasons if _matches(p, path)), None)
        missing[path if pattern is None else pattern] = otherwise if pattern is None else reasons[pattern]
    return {**filled, "reasons": missing}


def to_json(content: Mapping[str, Any]) -> str:
    """Text of a document; what JSON can't say is an error."""
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)


def has_reason(content: Mapping[str, Any], path: str) -> bool:
    """Tell whether a null of a document is explained in it."""
    return any(_matches(pattern, path) for pattern in content["reasons"])


def nulls(content: Mapping[str, Any]) -> list[str]:
    """Paths of all nulls of a document."""
    return list(_nulls({key: value for key, value in content.items() if key != "reasons"}, ""))


def _fill(path: str, shape: Any, value: Any) -> Any:
    if isinstance(shape, dict):
        given = dict(value or {})
        if set(given) - set(shape):
            raise KeyError(f"not in {SCHEMA}: {path}.{sorted(set(given) - set(shape))}")
        return {key: _fill(f"{path}.{key}", inner, given.get(key)) for key, inner in shape.items()}
    if value is None:
        return copy.deepcopy(shape)
    return _plain(value)


def _plain(value: Any) -> Any:
    """A value in JSON's own types; what is not finite becomes null."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _nulls(value: Any, path: str) -> Iterator[str]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from _nulls(child, f"{path}.{key}" if path else str(key))
    if value is None:
        yield path


def _matches(pattern: str, path: str) -> bool:
    """Segment by segment, `*` standing for any one."""
    wanted, have = pattern.split("."), path.split(".")
    return len(wanted) == len(have) and all(w in ("*", h) for w, h in zip(wanted, have, strict=True))
