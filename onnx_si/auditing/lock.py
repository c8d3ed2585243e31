"""What an audit is bound to: enough to run it again, and to notice that something has changed."""

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from onnx_si.analysis.outcome import versions
from onnx_si.auditing.images import Entry
from onnx_si.auditing.of_files import input_files
from onnx_si.auditing.row import sha256_of
from onnx_si.auditing.wish import Wish
from onnx_si.errors import UsageError
from onnx_si.graph import Model
from onnx_si.report.documents.shape import plain

HASH = "sha256"
SHARED = 64  # references and masks that many images share, and that are read once


def lock_of(wish: Wish, model: Model, images: Iterable[Entry], base: str) -> dict[str, Any]:
    """The content of `audit.lock.json`.

    Paths are as they were given, so that a folder that moves as a whole is the same audit; `base` is where
    they start, from the audit's folder.
    """
    content = functools.lru_cache(maxsize=SHARED)(_content)
    digest, count = hashlib.sha256(), 0
    for entry in images:
        told = (entry.number, entry.image, entry.reference, entry.mask, dict(entry.options))
        beside = [content(wish.place(name)) for name in (*entry.reference, entry.mask) if name]
        digest.update(json.dumps([*told, entry.group, dict(entry.columns), beside]).encode())
        count += 1
    files = (wish.reference, wish.mask, wish.covariance, wish.sigma_from, *wish.noise_from)
    files += input_files(wish.options)
    return {
        "schema": "onnx-si/audit-lock/1",
        "model": {"path": wish.model, "sha256": model.sha256},
        "images": {"count": count, "sha256": digest.hexdigest()},
        "files": {name: sha256_of(wish.place(name)) for name in files if name is not None},
        "config": {
            "images": list(wish.images),
            "manifest": wish.manifest,
            "test": plain(dict(wish.options)),
            "pictures": wish.pictures,
        },
        "versions": dict(versions()),
        "base": base,
    }


def _content(file: Path) -> str | None:
    """A hash of a file's content; None where it can't be read, of which its row will say more."""
    try:
        return sha256_of(file)
    except OSError:
        return None


WORDS = {
    "model": "the model's file",
    "images": "the list of images, or a reference or a mask in it",
    "files": "a reference, a mask, or a file of the noise or of an input",
    "config": "the configuration",
    "versions": "the versions of the packages",
    "schema": "the version of this format",
}


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on with an audit of something else.

    Raises
    ------
    UsageError
        With everything that has changed.
    """
    changed = [
        f"{WORDS.get(key, key)} ({'; '.join(_differences(before.get(key), now[key]))})"
        for key in now
        if key != "base" and before.get(key) != now[key]
    ]
    if changed:
        raise UsageError(
            f"{folder}: holds another audit: {'; '.join(changed)} changed; --restart begins anew, another "
            "--output keeps both"
        )


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """What was one thing and is another, by its name, as deep as they are alike; of hashes only that."""
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        known = before is not None or now is not None
        yield f"{name} {_short(before)}, now {_short(now)}".strip() if known else name
        return
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    for key in keys:
        if key != HASH:
            yield from _differences(before.get(key), now.get(key), f"{name} {key}".strip())
        elif len(keys) == 1:
            yield "what is in it is another"


def _short(value: Any) -> str:
    text = "none" if value is None else json.dumps(value)
    return text if len(text) <= 160 else f"{text[:160]}..."
