"""Pages by Jinja2, which escapes every text; what is not escaped was made here from numbers."""

import base64
import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from onnx_si.report.audited import allowed
from onnx_si.report.figures import p_value_of
from onnx_si.report.fragile import fragility_text
from onnx_si.report.html.charts import bar, histogram, quantiles
from onnx_si.report.html.command import command
from onnx_si.report.html.sentences import control, gate_text, headline, sentences
from onnx_si.report.html.sortable import lines, safe_json
from onnx_si.report.text import guarantee_text, in_words, interval_text, noise_text, parity_text, region_text


def audit_page(
    document: Mapping[str, Any],
    rows: Iterable[Mapping[str, Any]],
    p_values: NDArray[np.float64],
    adjusted: Mapping[int, float],
    base: str,
) -> Iterator[str]:
    """An audit's report, piece by piece, so that it is never in memory as a whole.

    Parameters
    ----------
    document : mapping
        Of schema `onnx-si/audit/1`.
    rows : iterable of mappings
        Of schema `onnx-si/audit-row/1`.
    p_values : array
        Of the tested images.
    adjusted : mapping
        The same after error control, by the number of the image.
    base : str
        Where commands are to be run, from the report's folder.
    """
    settings = {"rate": document["rate"], "groups": [one["group"] for one in document["groups"][1:]]}
    return (
        _environment()
        .get_template("audit.html")
        .generate(
            document=document,
            headline=headline(document),
            sentences=list(sentences(document)),
            control=control(document),
            histogram=histogram(p_values),
            quantiles=quantiles(p_values),
            settings=safe_json(settings),
            lines=lines(rows, adjusted),
            base=base,
            script=_source("table.js"),
            **_around("table.js"),
        )
    )


def result_page(document: Mapping[str, Any], picture: bytes) -> str:
    """One result as a page."""
    return _environment().get_template("result.html").render(**_of_result(document, picture), **_around())


def result_fragment(document: Mapping[str, Any], picture: bytes) -> str:
    """One result as a part of somebody else's page."""
    return _environment().get_template("fragment.html").render(**_of_result(document, picture))


def audit_fragment(document: Mapping[str, Any]) -> str:
    """An audit's verdict and counts as a part of somebody else's page."""
    return (
        _environment()
        .get_template("verdict.html")
        .render(document=document, headline=headline(document), sentences=list(sentences(document)))
    )


def _of_result(document: Mapping[str, Any], picture: bytes) -> dict[str, Any]:
    return {
        "document": document,
        "significant": _is_significant(document),
        "p_value": p_value_of(document),
        "words": in_words(document),
        "region": region_text(document["region"]),
        "interval": interval_text(document),
        "fragility": next(fragility_text(document), None),
        "guarantee": guarantee_text(document["guarantee"], document["noise"]["level"]),
        "noise": noise_text(document),
        "parity": parity_text(document),
        "command": command(document),
        "picture": Markup("data:image/png;base64," + base64.b64encode(picture).decode()),
    }


def _is_significant(document: Mapping[str, Any]) -> bool | None:
    """Whether the decision at the test's level is 'real'; None where the bounds leave it open."""
    (low, high), level = document["p_value_bounds"], 1 - document["confidence_level"]
    return None if low <= level < high else bool(high <= level)


def _around(*scripts: str) -> dict[str, Any]:
    """Style, and a policy that lets nothing run or load but what stands in the file itself."""
    style = _source("style.css")
    allowed = [
        "default-src 'none'",
        f"style-src {_hash(style)}",
        "img-src 'self' data: file:",
        "base-uri 'none'",
        "form-action 'none'",
        *(f"script-src {_hash(_source(script))}" for script in scripts),
    ]
    return {"style": style, "policy": Markup("; ".join(allowed))}


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


@functools.cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("onnx_si.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"bar": bar, "gate_text": gate_text, "allowed": allowed}
    return made


def _source(name: str) -> Markup:
    """A file of ours as it is; no text from elsewhere is in it."""
    loader = _environment().loader
    assert loader is not None
    return Markup(loader.get_source(_environment(), name)[0].strip())
