"""What a document holds: values of a stated kind, always by the same keys; a JSON Schema is made of it."""

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

import numpy as np

from onnx_si.ground.terminal import LONGEST_LINE, shown

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A value: its JSON type, what it is, and what stands in its place while it is not known.

    `of` is the shape of a list's items. A value that is not known is null, or holds nulls; a leaf that is
    `always` known is neither.
    """

    type: str
    what: str
    empty: Any = None
    of: Union["Leaf", Mapping[str, Any], None] = None
    always: bool = False

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        found: dict[str, Any] = {"description": self.what} if self.what else {}
        if self.type != "any":
            found["type"] = self.type if self.always else [self.type, "null"]
        if self.of is not None:
            found["items"] = schema_of(self.of)
        return found


Form = Leaf | Mapping[str, "Form"]
Keys = Mapping[str, Form]


def text(what: str, *, always: bool = False) -> Leaf:
    """A string."""
    return Leaf(type="string", what=what, always=always)


def number(what: str, *, always: bool = False) -> Leaf:
    """A number, never NaN or infinite."""
    return Leaf(type="number", what=what, always=always)


def whole(what: str, *, always: bool = False) -> Leaf:
    """A whole number."""
    return Leaf(type="integer", what=what, always=always)


def truth(what: str, *, always: bool = False) -> Leaf:
    """True or false."""
    return Leaf(type="boolean", what=what, always=always)


def pair(what: str) -> Leaf:
    """Two numbers, low and high; null where there is no such end."""
    return Leaf(type="array", what=what, empty=[None, None], of=number(""))


def listed(what: str, of: Form, *, always: bool = False) -> Leaf:
    """A list; empty, if it is `always` known, where there is nothing."""
    return Leaf(type="array", what=what, empty=[] if always else None, of=of, always=always)


def free(what: str) -> Leaf:
    """An object whose keys depend on what was asked."""
    return Leaf(type="object", what=what)


def schema_of(shape: Form) -> dict[str, Any]:
    """A shape as JSON Schema: all keys are there, and no others."""
    if isinstance(shape, Leaf):
        return shape.schema()
    return {
        "type": "object",
        "properties": {key: schema_of(inner) for key, inner in shape.items()},
        "required": list(shape),
        "additionalProperties": False,
    }


@dataclass(frozen=True, kw_only=True)
class Document:
    """A kind of document: its name and version, what it is, its keys.

    With `explains` it has a key `reasons`: why each null in it is one, by path.
    """

    name: str
    title: str
    keys: Keys
    explains: bool = True
    always: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Name of its schema in docs/schema."""
        return "-".join(self.name.split("/")[1:]) + ".json"

    def schema(self) -> dict[str, Any]:
        """The JSON Schema."""
        made = schema_of({"schema": text("name and version of this schema", always=True), **self.keys})
        made["properties"]["schema"]["const"] = self.name
        if self.explains:
            made["properties"]["reasons"] = {
                "description": "why a value is null, by its path; * stands for any key or number",
                "type": "object",
                "additionalProperties": {"type": "string"},
            }
            made["required"].append("reasons")
        return {"$schema": DIALECT, "$id": self.name, "title": self.title, **made}

    def make(
        self, known: Mapping[str, Any], reasons: Mapping[str, str] | None = None, otherwise: str = ""
    ) -> dict[str, Any]:
        """Put what is known into the one shape.

        Parameters
        ----------
        known : mapping
            Values by the keys of the shape; a nested mapping may leave keys out.
        reasons : mapping of str to str, optional
            Why a value is missing, by path: `estimate`, `confidence_interval.0`, `region.components.*.bbox`.
        otherwise : str
            Why every other value is missing.

        Returns
        -------
        dict
            Ready for JSON.

        Raises
        ------
        KeyError
            For a key that the shape does not have.
        """
        filled = {"schema": self.name, **self._filled(self.keys, known, "")}
        if not self.explains:
            return filled
        missing: dict[str, str] = {}
        for path in nulls(filled):
            pattern = next((p for p in reasons or {} if matches(p, path)), None)
            why = (reasons or {}).get(pattern or "", otherwise)
            missing[path if pattern is None else pattern] = plain(why)
        return {**filled, "reasons": missing}

    def _filled(self, keys: Keys, known: Mapping[str, Any], place: str) -> dict[str, Any]:
        strange = sorted(set(known) - set(keys))
        if strange:
            raise KeyError(f"not in {self.name}: {', '.join(f'{place}{key}' for key in strange)}")
        return {key: self._fill(shape, known.get(key), f"{place}{key}.") for key, shape in keys.items()}

    def _fill(self, shape: Form, value: Any, place: str) -> Any:
        if not isinstance(shape, Leaf):
            return self._filled(shape, value or {}, place)
        if value is None:
            return copy.deepcopy(shape.empty)
        if isinstance(shape.of, Mapping):
            return [self._filled(shape.of, item, f"{place}*.") for item in value]
        return plain(value)


def plain(value: Any) -> Any:
    """A value in JSON's own types; what is not finite becomes null, text is shown as `words.shown` has it."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {shown(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, str):
        return "\n".join(shown(line, LONGEST_LINE) for line in value.split("\n"))
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def nulls(content: Mapping[str, Any]) -> list[str]:
    """Paths of all nulls of a document."""
    return list(_nulls({key: value for key, value in content.items() if key != "reasons"}, ""))


def has_reason(content: Mapping[str, Any], path: str) -> bool:
    """Tell whether a null of a document is explained in it."""
    return any(matches(pattern, path) for pattern in content["reasons"])


def matches(pattern: str, path: str) -> bool:
    """Segment by segment, `*` standing for any one; `*` alone is every path."""
    if pattern == "*":
        return True
    wanted, have = pattern.split("."), path.split(".")
    return len(wanted) == len(have) and all(w in ("*", h) for w, h in zip(wanted, have, strict=True))


def _nulls(value: Any, path: str) -> Iterator[str]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from _nulls(child, f"{path}.{key}" if path else str(key))
    if value is None:
        yield path
