"""Rows of an audit as data for its page: short, each text once, safe inside a script element."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from markupsafe import Markup

from onnx_si.report.figures import p_value_of
from onnx_si.report.html.command import pieces, quoted
from onnx_si.report.text import guarantee_text, interval_text, noise_text, region_text

MOST_TEXTS = 10_000  # that are kept to be told once; what is new after them is told in full
UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def lines(rows: Iterable[Mapping[str, Any]], adjusted: Mapping[int, float]) -> Iterator[Markup]:
    """One JSON value a row, and before it a value [number, text] for each text that it names for the first
    time; a comma behind each, but not the last.
    """
    texts = _Texts()
    ahead = ""
    for row in rows:
        content = _compact(row, adjusted, texts)
        for line in (*texts.news(), content):
            yield Markup(f"{ahead}{safe_json(line)}")
            ahead = ",\n"


def safe_json(content: Any) -> Markup:
    """JSON that can't end the script element it stands in."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(UNSAFE))


class _Texts:
    """Texts that many rows share, by number."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._new: list[tuple[int, str]] = []

    def of(self, text: str | None) -> int | str | None:
        """The text's number; the text itself where there are too many."""
        if text is None or not text:
            return None
        if text not in self._known:
            if len(self._known) == MOST_TEXTS:
                return text
            self._new.append((len(self._known), text))
            self._known[text] = len(self._known)
        return self._known[text]

    def news(self) -> list[tuple[int, str]]:
        """Those that have not been told."""
        new, self._new = self._new, []
        return new


def _compact(row: Mapping[str, Any], adjusted: Mapping[int, float], texts: _Texts) -> dict[str, Any]:
    document = row["result"]
    found = {
        "n": row["number"],
        "i": row["image"],
        "g": texts.of(row["group"]),
        "s": row["status"],
        "why": texts.of(row["reason"]),
        "pic": row["picture"],
        "c": row["columns"] or None,
    }
    if document is not None:
        head, tail = pieces(document)
        found |= {
            "cmd": [texts.of(f"{head} "), quoted(row["image"]), texts.of(tail)],
            "ref": texts.of("; ".join(document["reference"]["paths"] or ())),
            "map": texts.of(_map(document["saliency"])),
            "w": [texts.of(warning) for warning in document["warnings"]] or None,
        }
    if row["status"] == "tested":
        found |= _tested(document, texts) | {"a": adjusted[row["number"]]}
    return {key: value for key, value in found.items() if value is not None}


def _tested(document: Mapping[str, Any], texts: _Texts) -> dict[str, Any]:
    pixels = document["parity"]["pixels"]
    return {
        "p": document["p_value"],
        "pt": p_value_of(document),
        "b": document["p_value_bounds"],
        "ci": interval_text(document),
        "px": document["region"]["pixels"],
        "r": region_text(document["region"]),
        "gu": texts.of(guarantee_text(document["guarantee"], document["noise"]["level"])),
        "no": texts.of(noise_text(document)),
        "h": texts.of(document["hypothesis"]),
        "d": None if pixels is None else len(pixels),
    }


def _map(saliency: Mapping[str, Any]) -> str | None:
    if saliency.get("method") is None:
        return None
    target = saliency.get("target")
    of = "" if target is None else f", class {target}"
    side = saliency.get("coarsen")
    blocks = "" if side in (None, 1) else f", averaged over blocks of side {side}"
    return f"{saliency['method']}{of}, threshold {saliency['threshold']}{blocks}"
