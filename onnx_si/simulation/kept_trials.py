"""Finished trials in a file, one JSON document on a line, so that an interrupted simulation goes on."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnx_si.errors import InputError, UsageError
from onnx_si.simulation.plan import Plan
from onnx_si.simulation.trial import Outcome

SCHEMA = "onnx-si/simulate-trials/2"

Done = dict[tuple[float, int], Outcome]


class Journal:
    """Keeps finished trials, and appends each new one to a file if there is one.

    Parameters
    ----------
    path : str or None
    plan : Plan
    version : str
        Of this program: trials of another one may differ in their last digits.

    Raises
    ------
    InputError
        If the file is not of such a simulation, or of one with another plan.
    UsageError
        If it can't be written.
    """

    def __init__(self, path: str | None, plan: Plan, version: str):
        self.done: Done = {}
        self._path = None if path is None else Path(path)
        if path is None:
            return
        header = json.loads(json.dumps({"schema": SCHEMA, "version": version, "plan": plan.to_dict()}))
        try:
            kept = _whole_lines(Path(path))
            if kept:
                self.done = _read(path, kept, header)
            with Path(path).open("ab") as file:
                file.truncate(sum(map(len, kept)))
        except OSError as error:
            raise UsageError(f"{path}: can't be written ({error.strerror})") from error
        if not kept:
            self._append(header)

    def add(self, outcome: Outcome) -> None:
        """Keep a finished trial."""
        self.done[outcome.signal, outcome.trial] = outcome
        self._append(dataclasses.asdict(outcome))

    def _append(self, content: Mapping[str, Any]) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(content, allow_nan=False) + "\n")


def _whole_lines(path: Path) -> list[bytes]:
    """All lines but one that an interruption cut off."""
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _read(path: str, lines: list[bytes], header: Mapping[str, Any]) -> Done:
    try:
        found, *rows = [json.loads(line) for line in lines]
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise ValueError("no header")
        outcomes = [Outcome.from_dict(row) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} is not a file of finished trials ({error}); give another with --resume"
        ) from error
    if found != header:
        differs = _differences(found, header)
        raise InputError(
            f"{path} holds trials of another simulation: {differs}; give the same options, or another file"
        )
    return {(outcome.signal, outcome.trial): outcome for outcome in outcomes}


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What a file says and what is wanted, by name."""
    flat = [
        {**{k: v for k, v in side.items() if k != "plan"}, **dict(side.get("plan") or {})}
        for side in (found, wanted)
    ]
    names = [name for name in {**flat[0], **flat[1]} if flat[0].get(name) != flat[1].get(name)]
    return ", ".join(f"{name} is {flat[0].get(name)}, not {flat[1].get(name)}" for name in names)
