"""Level of maps that are polynomials, ratios or roots along the line; writes its part of docs/validity.md.

    python -m benchmarks.validity.curved_maps [--draws 400] [--jobs 2] [--seed 2026] [--resume FILE]

The same images, bands and columns as in `benchmarks.validity`; the maps are those of an untrained autoencoder
of 16 x 16 pixels with four channels in the middle.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.validity.counts import Journal, simulate, table
from benchmarks.validity.networks import ROOT
from benchmarks.validity.trial import Row

HEADING = "\n## Squared errors, norms and cosines, with no signal\n"
OPTIONS = {"saliency": "output:map", "p_value_only": True}
BACKGROUND = {"hypothesis": "background"}
CURVED = (
    Row("squared error, value 1", OPTIONS | {"threshold": 1.0}, model="squared error"),
    Row(
        "squared error, max:0.5, background",
        OPTIONS | BACKGROUND | {"threshold": "max:0.5"},
        0,
        model="squared error",
    ),
    Row("norm over channels, minmax:0.5", OPTIONS | {"threshold": "minmax:0.5"}, model="norm"),
    Row("one minus cosine, value 1", OPTIONS | {"threshold": 1.0}, model="cosine"),
    Row(
        "one minus cosine, max:0.5, background",
        OPTIONS | BACKGROUND | {"threshold": "max:0.5"},
        0,
        model="cosine",
    ),
    Row(
        "squared error over the image's variance, max:0.3",
        OPTIONS | {"threshold": "max:0.3"},
        model="over the variance",
    ),
)


def section(draws: int, seed: int, rows: str) -> str:
    """The part of the page."""
    command = f"python -m benchmarks.validity.curved_maps --draws {draws} --seed {seed}"
    return f"""{HEADING}
Maps of an untrained autoencoder (16 x 16 pixels) that are polynomials, ratios and roots along the line.
Seeds, bands and columns are those of the first table, {draws} draws a row:

    {command}

{rows}
"""


def main() -> int:
    """Simulate, put the section in its place, and tell whether every row lies within its bands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "validity.md")
    parser.add_argument("--resume", type=Path, help="file of draws that are done; new ones are added to it")
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with ProcessPoolExecutor(options.jobs) as pool:

        def work(call: Callable[[Any], Any], jobs: list[Any]) -> Iterator[Any]:
            return pool.map(call, jobs, chunksize=10)

        found = simulate(CURVED, options.draws, options.seed, Journal(options.resume), work)
    before, _, behind = options.output.read_text(encoding="utf-8").partition(HEADING)
    others = behind[behind.index("\n## ") :] if "\n## " in behind else ""
    made = section(options.draws, options.seed, table(found))
    options.output.write_text(before.rstrip("\n") + "\n" + made + others, encoding="utf-8")
    return 0 if all(row.good for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
