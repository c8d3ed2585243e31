"""Warnings of an audit's images: how many have them, by kind, worst first."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from onnx_si.ground.words import so_many

MOST_KINDS = 8
_VARYING = re.compile(r"\S*[\d/\\.]\S*")  # numbers and names of files: what differs from image to image
_OF_NOISE = re.compile(r"\b(noise|sigma|p-value|level)")  # what makes a p-value itself wrong


def warnings_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Of one image, whatever came of it."""
    return tuple((row.get("result") or {}).get("warnings") or ())


def told(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Lines: how many images have warnings, then each kind with the first of its texts; those on the noise,
    or on what the p-value means, come first, then the commonest.
    """
    images = warned = 0
    kinds: dict[str, list[Any]] = {}
    for row in rows:
        texts = warnings_of(row)
        images, warned = images + 1, warned + bool(texts)
        for kind, text in {_VARYING.sub("*", text): text for text in texts}.items():
            found = kinds.setdefault(kind, [0, text, row["image"]])
            found[0] += 1
    if not warned:
        return
    yield f"warnings: {warned} of {so_many(images, 'image')}"
    worst = sorted(kinds.values(), key=lambda one: (not _OF_NOISE.search(one[1]), -one[0]))
    for count, text, image in worst[:MOST_KINDS]:
        where = image if count == 1 else f"{so_many(count, 'image')}, the first {image}"
        yield f"  {where}: {text}"
    if len(worst) > MOST_KINDS:
        yield f"  and {so_many(len(worst) - MOST_KINDS, 'kind')} more, in results.jsonl"
