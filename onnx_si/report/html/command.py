"""The command that repeats a test, from its document."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from onnx_si.choices.noise_sources import ELSEWHERE, FROM_MODEL
from onnx_si.report.pieces import IN_MEMORY

# What an option is where nobody chooses it, whatever the model says of itself; these need not be given again.
USUAL: Mapping[str, Any] = {
    "target": "predicted",
    "ring": 1,
    "resize": "linear",
    "precision": 1e-4,
    "alpha": 0.05,
    "alternative": "two-sided-abs",
    "verify": 64,
    "seed": 0,
    "methods": ["selective"],
    "engine": "auto",
    "draws": 999,
    "steps": 2,
}
FILES = ("mask", "covariance", "noise_from", "sigma_from")
UNTOLD = (
    "dims",
    "inputs",
    "methods",
    "memory",
    "budget_bytes",
    "p_value_only",
    "noise_from",
)  # said in another way, or never


def command(document: Mapping[str, Any]) -> str:
    """`onnx-si MODEL IMAGE ...` for a shell, run where its paths start; '' for arrays in memory."""
    head, tail = pieces(document)
    image = document["image"]["path"]
    return "" if not head or image is None else f"{head} {quoted(image)}{tail}"


def pieces(document: Mapping[str, Any]) -> tuple[str, str]:
    """What stands before and after the image's name."""
    model = document["model"]["path"]
    if model is None or in_memory(document) or not all(map(_can_be_said, _inputs(document).values())):
        return "", ""
    return f"onnx-si {quoted(model)}", "".join(f" {part}" for part in _options(document))


def in_memory(document: Mapping[str, Any]) -> tuple[str, ...]:
    """What a test was given as arrays, beside its image: no record says their values."""
    reasons = document.get("reasons") or {}
    kept = tuple(name for name in FILES if reasons.get(f"config.{name}") == IN_MEMORY)
    references = document["reference"]["count"] and not document["reference"]["paths"]
    return (*kept, "reference") if references else kept


def quoted(path: str) -> str:
    """For a shell; a name that begins like an option becomes a path."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def given_again(document: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a document that have to be given for the same test: what is as usual has not, nor a
    standard deviation that the model's metadata say, or that something else was taken in place of.
    """
    config, noise = document["config"], document.get("noise") or {}
    by_model = str(noise.get("source") or "").startswith(FROM_MODEL)
    unused = {"sigma"} if by_model or any(config.get(name) for name in ELSEWHERE) else set()
    return {
        name: value
        for name, value in config.items()
        if value is not None and USUAL.get(name) != value and name not in unused
    }


def _options(document: Mapping[str, Any]) -> Iterator[str]:
    config = document["config"]
    for path in document["reference"]["paths"] or ():
        yield f"--reference {quoted(path)}"
    for name, value in given_again(document).items():
        if name in UNTOLD:
            continue
        if isinstance(value, bool):
            if value:
                yield f"--{name.replace('_', '-')}"
        else:
            yield f"--{name.replace('_', '-')} {_value(name, value)}"
    for method in config.get("methods") or ():
        if method != "selective":
            yield f"--method {method}"
    for name, size in (config.get("dims") or {}).items():
        yield f"--dim {shlex.quote(f'{name}={size}')}"
    for name, value in _inputs(document).items():
        yield f"--input {shlex.quote(f'{name}={_said(value)}')}"
    if config.get("noise_from"):
        yield f"--noise-from {' '.join(map(quoted, config['noise_from']))}"


def _inputs(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Values of the model's other inputs, by name."""
    return document["config"].get("inputs") or {}


def _can_be_said(value: Any) -> bool:
    """Whether an input's value can stand on a command line: not an array of several axes."""
    return not (isinstance(value, list) and any(isinstance(one, list) for one in value))


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(repr(one) for one in value)
    return value if isinstance(value, str) else repr(value)


def _value(name: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        return shlex.quote(",".join(repr(one) for one in value))
    if name in ("mask", "covariance", "sigma_from"):
        return quoted(value)
    return shlex.quote(value if isinstance(value, str) else repr(value))
