"""Questions to another program, in an environment of its own."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

LATEST = 7200  # seconds


def answers(python: str, worker: str, arrays: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """What the program is, and its answers.

    Parameters
    ----------
    python : str
        That has the program.
    worker : str
        A script of this folder: it reads the arrays' file, and prints a line of JSON with `program`, then one
        for each answer.
    arrays : mapping
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cases.npz"
        np.savez(file, **arrays)
        command = [python, str(Path(__file__).with_name(worker)), str(file)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=LATEST)
    first, *rest = map(json.loads, done.stdout.splitlines())
    return first["program"], rest
