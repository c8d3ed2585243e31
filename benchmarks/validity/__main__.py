"""Level, coverage and power of every test by simulation; writes docs/validity.md.

    python -m benchmarks.validity [--draws 1000] [--jobs 2] [--seed 2026] [--output FILE] [--resume FILE]

Every row is the whole program, `onnx_si.test`, on images drawn from the noise it is told about. The bands
are set before anything is drawn: a rejection rate must lie in the central 99.9 % of its binomial
distribution, and the p-value of the Kolmogorov-Smirnov test against uniform must exceed 0.001; Holm's family
must not exceed the upper end of that band. Rows whose level is only approximate have no band. Ends with
status 1 if a row fails.
"""

import argparse
import datetime
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import onnx_si
from benchmarks.validity.counts import CONFIDENCE, LEAST_KS, LEVEL, Journal, Summary, simulate, table
from benchmarks.validity.networks import ROOT
from benchmarks.validity.rows import POWER, ROWS
from benchmarks.validity.trial import PRECISION

KEPT = "\n## The two tests of both sides"  # heading of the first section that has a source of its own


def document(null: list[Summary], power: list[Summary], options: argparse.Namespace) -> str:
    """The page."""
    command = f"python -m benchmarks.validity --draws {options.draws} --seed {options.seed}"
    return f"""# Validity, measured

Every row is the whole program on images drawn from the noise it was told about, with the network
`models/paper_cam_16.onnx` (16 x 16 pixels), for ten classes `models/digits_8.onnx` (8 x 8), its class
activation map and, where the row says nothing else, hypothesis `mean` with one reference, threshold
`minmax:0.7`, the default test (`--alternative two-sided-abs`) and known sigma 1. Written by

    {command}

on {datetime.date.today().isoformat()}, onnx-si {onnx_si.__version__}, {options.draws} draws a row; row r
of n has the seeds `SeedSequence([{options.seed}, r, n])`. Level {LEVEL}, intervals at {1 - LEVEL:.0%},
p-values to {PRECISION:g}. The bands were set before anything was drawn: the selective test's rejection
rate, and the share of intervals that miss, lie in the central {CONFIDENCE:.1%} of their binomial
distribution, and the Kolmogorov-Smirnov test of the p-values against uniform has p > {LEAST_KS:g}.
Holm's adjusted p-values reject at most as often as that band allows. Rows without a band are approximate,
and say so in their results: there the covariance that was estimated is taken for the truth.

## No signal

{table(null)}

`coverage` is the share of confidence intervals that hold the true difference. Tests of many pixels at once
have no interval, and some rows leave it out (they show `-`). "A component" is the one that holds a pixel
drawn beforehand; draws in which none does count as "no region". With "all components" a draw counts as
rejected if the least adjusted p-value is at most {LEVEL}. `naive` and `Bonferroni` use the same statistic
and variance without selection; `over-cond.` conditions on every activation pattern.

## Power and length of intervals with a randomised selection

A square of half the side and of the given mean at a random place, one reference. The true difference is the
mean of the square's signal over the region that was selected, so it differs from draw to draw.

{table(power)}
"""


def _kept(path: Path) -> str:
    """The parts of the document that have sources of their own."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return text[text.index(KEPT) :] if KEPT in text else ""


def main() -> int:
    """Simulate, write, and tell whether every row lies within its bands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "validity.md")
    parser.add_argument("--resume", type=Path, help="file of draws that are done; new ones are added to it")
    options = parser.parse_args()
    journal = Journal(options.resume)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with ProcessPoolExecutor(options.jobs) as pool:

        def work(call: Callable[[Any], Any], jobs: list[Any]) -> Iterator[Any]:
            return pool.map(call, jobs, chunksize=10)

        null = simulate(ROWS, options.draws, options.seed, journal, work)
        power = simulate(POWER, options.draws, options.seed, journal, work)
    options.output.write_text(document(null, power, options) + _kept(options.output), encoding="utf-8")
    return 0 if all(row.good for row in (*null, *power)) else 1


if __name__ == "__main__":
    sys.exit(main())
