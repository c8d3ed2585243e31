"""Is this checkout as fast as an older revision? Processor time of tests, in turns.

    python -m benchmarks.speed.pairs REVISION [--pairs 12] [--family paper-16] [--whole]

Makes a git worktree of the revision in a temporary folder, draws the images once, and lets a fresh process of
each checkout answer all of them, the two in turns: what else the machine does hits both alike. Of each family
the ratio new / old is taken pair by pair; the median counts. Exit status 1: a p-value differs, or a median
is above `--at-most`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peer import harness, jobs
from benchmarks.speed.families import FAMILIES, Family, draw

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("pair_worker.py")
USUAL = ("paper-16", "paper-64", "unet-32")
ALIKE = 1e-9  # p-values of two revisions may round differently

Answers = dict[str, dict[str, Any]]


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="onnx-si-pairs-") as place, _checkout(arguments, place) as old:
        folders = [folder for family in arguments.families for folder in _jobs(family, arguments, place)]
        pairs = list(_pairs(arguments, old, folders))
    return _told(arguments, pairs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("revision", help="of git; or the path of a checkout")
    add("--family", action="append", choices=[family.name for family in FAMILIES], help=f"default {USUAL}")
    add("--images", type=int, default=3, help="of each family")
    add("--pairs", type=int, default=12)
    add("--seconds", type=float, default=1.0, help="of processor time that an image is repeated for")
    add("--seed", type=int, default=0)
    add("--whole", action="store_true", help="interval and runtime as well, not the p-value only")
    add("--core", type=harness.cores, default=jobs.last_core(), help="to pin both to (default: the last)")
    add("--at-most", type=float, default=1.03)
    arguments = parser.parse_args()
    wanted = arguments.family or USUAL
    arguments.families = [family for family in FAMILIES if family.name in wanted]
    return arguments


@contextmanager
def _checkout(arguments: argparse.Namespace, place: str) -> Iterator[Path]:
    """Where the older revision lies."""
    if (Path(arguments.revision) / "onnx_si").is_dir():
        yield Path(arguments.revision).resolve()
        return
    old = Path(place) / "old"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", "--quiet", str(old), arguments.revision], check=True)
    try:
        yield old
    finally:
        subprocess.run([*git, "remove", "--force", str(old)], check=True)


def _jobs(family: Family, arguments: argparse.Namespace, place: str) -> Iterator[Path]:
    asked = jobs.Asked(precision=1e-3)
    for index in range(arguments.images):
        case = draw(family, index, arguments.seed).case
        yield jobs.write_job(case, Path(place) / "jobs" / family.name / str(index), asked)


def _pairs(
    arguments: argparse.Namespace, old: Path, folders: list[Path]
) -> Iterator[tuple[Answers, Answers]]:
    """Answers (old, new); which one runs first changes from pair to pair."""
    for number in range(arguments.pairs):
        found = {}
        for checkout in (old, ROOT) if number % 2 else (ROOT, old):
            found[checkout] = _run(checkout, folders, arguments)
        yield found[old], found[ROOT]
        told = ", ".join(f"{name} {ratio:.3f}" for name, ratio in _ratios(found[old], found[ROOT]).items())
        print(f"pair {number + 1} of {arguments.pairs}: new / old {told}", flush=True)


def _run(checkout: Path, folders: list[Path], arguments: argparse.Namespace) -> Answers:
    """What one process of a checkout answers: the module itself is this revision's for both."""
    command = [sys.executable, "-P", str(WORKER), "--seconds", str(arguments.seconds)]
    command += ["--whole"] if arguments.whole else []
    command += ["--core", ",".join(map(str, arguments.core))] if arguments.core else []
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [*command, *map(str, folders)], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: {done.stderr.strip()[-2000:]}")
    answers = {}
    for folder, line in zip(folders, done.stdout.splitlines(), strict=True):
        answer = json.loads(line)
        if not answer.pop("package").startswith(str(checkout)):
            raise SystemExit(f"{checkout}: another onnx_si was imported")
        answers["/".join(folder.parts[-2:])] = answer
    return answers


def _ratios(old: Answers, new: Answers) -> dict[str, float]:
    """New over old by family: processor seconds of all its images together."""
    sums: dict[str, list[float]] = {}
    for name in old:
        both = sums.setdefault(name.split("/")[0], [0.0, 0.0])
        both[0] += old[name]["seconds"]
        both[1] += new[name]["seconds"]
    return {family: after / before for family, (before, after) in sums.items()}


def _told(arguments: argparse.Namespace, pairs: list[tuple[Answers, Answers]]) -> int:
    """Print the table; gives the exit status."""
    failed = False
    print(f"\n{'family':12}{'median':>8}{'least':>8}{'largest':>9}{'of minima':>11}  seconds old, new")
    for family in arguments.families:
        ratios = [_ratios(old, new)[family.name] for old, new in pairs]
        least = [
            sum(min(pair[side][name]["seconds"] for pair in pairs) for name in _of(family, pairs))
            for side in (0, 1)
        ]
        median = statistics.median(ratios)
        failed |= median > arguments.at_most
        print(
            f"{family.name:12}{median:8.3f}{min(ratios):8.3f}{max(ratios):9.3f}{least[1] / least[0]:11.3f}"
            f"  {least[0]:.4g}, {least[1]:.4g}"
        )
    for name, answer in pairs[0][0].items():
        other = pairs[0][1][name]
        if abs(answer["p_value"] - other["p_value"]) > ALIKE:
            failed = True
            print(f"{name}: p-value {answer['p_value']!r} then, {other['p_value']!r} now")
    return int(failed)


def _of(family: Family, pairs: list[tuple[Answers, Answers]]) -> list[str]:
    return [name for name in pairs[0][0] if name.startswith(f"{family.name}/")]


if __name__ == "__main__":
    sys.exit(main())
