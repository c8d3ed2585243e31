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
import functools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import onnx_si
from onnx_si.graph import model_from_proto
from onnx_si.report.region import component_masks

KEPT = "\n## The two tests of both sides"  # heading of the first section that has a source of its own
ROOT = Path(__file__).resolve().parents[2]
PAPER, DIGITS = "paper_cam_16", "digits_8"
SIDE, LEVEL, PRECISION = 16, 0.05, 1e-3
CONFIDENCE, LEAST_KS = 0.999, 0.001
CHUNK = 100  # draws that are handed out and noted together


def ar1(size: int, rho: float) -> np.ndarray:
    """Correlations of a first-order autoregression."""
    return rho ** np.abs(np.subtract.outer(np.arange(size), np.arange(size)))


def triangle(reach: int) -> np.ndarray:
    """A positive definite autocovariance over two axes of space."""
    line = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)
    return np.outer(line, line)


COVARIANCES = {
    "diagonal": lambda: np.linspace(0.25, 2.25, SIDE * SIDE).reshape(SIDE, SIDE),
    "full": lambda: np.kron(ar1(SIDE, 0.5), ar1(SIDE, 0.3)),
    "separable": lambda: {"H": ar1(SIDE, 0.5), "W": ar1(SIDE, 0.3)},
    "stationary": lambda: {"autocovariance": triangle(2)},
}


@dataclass(frozen=True)
class Row:
    """One line of the table: how data are drawn, and how they are tested.

    `freedom`: sigma is an estimate on so many degrees of freedom. `noise_images`: it is estimated from so
    many images. `signal`: mean of a square of half the side at a random place. `side`: of the image.
    `judged`: `level`, a p-value that is uniform; `family`, of which the rate may only be smaller; None,
    nothing. `of`: whose p-value it is, the region's, that of the `component` which holds a pixel drawn
    beforehand, or the least adjusted one of all components, the `family`.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    references: int = 1
    covariance: str | None = None
    freedom: int | None = None
    noise_images: int = 0
    signal: float = 0.0
    judged: str | None = "level"
    of: str = "region"
    model: str = PAPER
    side: int = SIDE
    methods: tuple[str, ...] = ("selective", "naive", "bonferroni")


ALL = ("selective", "naive", "bonferroni", "over-conditioning", "permutation")
SHORT = {"p_value_only": True}  # no interval
GLOBAL = {"hypothesis": "global", **SHORT}
PARTS = {"components": True, **SHORT}
WIDE = {"threshold": "minmax:0.6", **PARTS}
LIMIT = {"threshold": "max:0.5", "alternative": "greater"}
STATIONARY, SEPARABLE, DIAGONAL = (
    {"noise_model": kind, **SHORT} for kind in ("stationary", "separable", "diagonal")
)
ROWS = (
    Row("mean, 1 reference", methods=ALL),
    Row("mean, 3 references", SHORT, references=3),
    Row("mean, max:0.5", SHORT | {"threshold": "max:0.5"}),
    Row("mean, value 0", SHORT | {"threshold": 0.0}),
    Row("mean, top:0.05", SHORT | {"threshold": "top:0.05"}),
    Row("mean, minmax:0.7, class predicted of 10", {"target": "predicted"}, model=DIGITS, side=8),
    Row("mean, max:0.5, class predicted of 10", SHORT | {"threshold": "max:0.5"}, model=DIGITS, side=8),
    Row("mean, two-sided (equal tails)", SHORT | {"alternative": "two-sided"}),
    Row("mean, greater", SHORT | {"alternative": "greater"}),
    Row("mean, less", SHORT | {"alternative": "less"}),
    Row("background", {"hypothesis": "background"}, references=0),
    Row("neighborhood, ring 2", SHORT | {"hypothesis": "neighborhood", "ring": 2}, references=0),
    Row("global, 1 reference", GLOBAL),
    Row("global, 3 references", GLOBAL, references=3),
    Row("mean, map resized nearest", SHORT | {"resize": "nearest"}),
    Row("mean, image of 20 x 20 resized", SHORT | {"resize_input": "linear"}, side=20),
    Row("a component of minmax:0.6, greater", WIDE | {"alternative": "greater"}, of="component"),
    Row("a component of minmax:0.6, background", WIDE | {"hypothesis": "background"}, 0, of="component"),
    Row("all components, adjusted by Holm", PARTS, of="family", judged="family"),
    Row("all components of max:0.5, adjusted, greater", PARTS | LIMIT, of="family", judged="family"),
    Row("mean, diagonal covariance", SHORT, covariance="diagonal"),
    Row("mean, full covariance", covariance="full"),
    Row("background, separable covariance", SHORT | {"hypothesis": "background"}, 0, "separable"),
    Row("mean, stationary covariance", SHORT, covariance="stationary"),
    Row("global, separable covariance", GLOBAL, covariance="separable"),
    Row("mean, sigma on 3 degrees of freedom (t)", freedom=3),
    Row("background, sigma on 3 degrees of freedom (t)", SHORT | {"hypothesis": "background"}, 0, freedom=3),
    Row("global, sigma on 5 degrees of freedom (F)", GLOBAL, freedom=5),
    Row("mean, sigma from 2 noise images (t)", noise_images=2),
    Row("mean, 20 noise images, estimated stationary", STATIONARY, 1, "stationary", None, 20, judged=None),
    Row("mean, 20 noise images, estimated separable", SEPARABLE, 1, "separable", None, 20, judged=None),
    Row("mean, 20 noise images, estimated diagonal", DIAGONAL, 1, "diagonal", None, 20, judged=None),
    Row("mean, randomised 0.5", {"randomise": 0.5}),
    Row(
        "background, randomised 1, separable", {"hypothesis": "background", "randomise": 1.0}, 0, "separable"
    ),
)
POWER = tuple(
    Row(f"{name}, signal {signal:g}", options, signal=signal, judged=None, methods=methods)
    for signal in (0.5, 1.0)
    for name, options, methods in (
        ("plain", {}, ("naive", "bonferroni", "over-conditioning")),
        ("randomised 0.2", {"randomise": 0.2}, ("naive", "bonferroni")),
        ("randomised 1", {"randomise": 1.0}, ("naive", "bonferroni")),
    )
)


@dataclass(frozen=True)
class Trial:
    """What one draw gave; None where there was no region."""

    p_value: float
    naive: float | None
    over: float | None
    permutation: float | None
    bonferroni: float | None
    covered: bool | None
    length: float | None


@functools.cache
def network(name: str) -> onnx_si.Model:
    """Loaded, or built, once in every process."""
    path = ROOT / "models" / f"{name}.onnx"
    if not path.exists():
        from benchmarks.validity.curved_maps import error_map  # which has rows of this module

        return model_from_proto(error_map(name))
    return onnx_si.load(str(path))


def one_trial(job: tuple[Row, np.random.SeedSequence]) -> Trial | None:
    """Draw an image with its references, and test it by every method."""
    row, seed = job
    rng = np.random.default_rng(seed)
    space, half = (row.side, row.side), row.side // 2
    truth = np.zeros(space)
    pixel = tuple(rng.integers(0, row.side, size=2))
    if row.signal:
        top, left = rng.integers(0, half + 1, size=2)
        truth[top : top + half, left : left + half] = row.signal
    drawn = [sample(rng, row.covariance, space) for _ in range(1 + row.references + row.noise_images)]
    image, others = drawn[0] + truth, drawn[1 : 1 + row.references]
    options: dict[str, Any] = {"threshold": "minmax:0.7", "precision": PRECISION, **row.options}
    options["methods"] = row.methods if row.of == "region" else ("selective",)
    if row.noise_images:
        options["noise_from"] = drawn[1 + row.references :]
    elif row.covariance:
        options["covariance"] = COVARIANCES[row.covariance]()
    else:
        scale = 1.0 if row.freedom is None else math.sqrt(rng.chisquare(row.freedom) / row.freedom)
        options |= {"sigma": scale, "sigma_df": row.freedom}
    try:
        result = onnx_si.test(
            network(row.model), image, others or None, seed=int(rng.integers(2**31)), **options
        )
    except onnx_si.NothingToTest:
        return None
    if row.of != "region":
        p_value = of_components(row, result, pixel)
        return None if p_value is None else Trial(p_value, None, None, None, None, None, None)
    region, compared = result.region, result.comparison
    value = truth[region].mean() - (truth[~region].mean() if result.hypothesis == "background" else 0.0)
    interval = result.confidence_interval
    return Trial(
        result.p_value,
        compared.naive,
        compared.over_conditioning,
        compared.permutation,
        compared.bonferroni,
        None if interval is None else bool(interval[0] <= value <= interval[1]),
        None if interval is None else float(interval[1] - interval[0]),
    )


def of_components(row: Row, result: onnx_si.Result, pixel: tuple[int, ...]) -> float | None:
    """The p-value of the component that holds a pixel, if one does, or the family's least adjusted one."""
    tests = result.component_tests
    if row.of == "family":
        return min(one.p_value_adjusted for one in tests if one.p_value_adjusted is not None)
    pairs = zip(component_masks(result.region), tests, strict=True)
    return next((one.p_value for mask, one in pairs if mask[pixel]), None)


def sample(rng: np.random.Generator, covariance: str | None, space: tuple[int, int]) -> np.ndarray:
    """One image of the noise, drawn with dense linear algebra of its own."""
    white = rng.normal(size=space)
    if covariance is None:
        return white
    if covariance == "diagonal":
        return np.sqrt(COVARIANCES["diagonal"]()) * white
    if covariance in ("full", "separable"):
        rows, columns = (np.linalg.cholesky(ar1(SIDE, rho)) for rho in (0.5, 0.3))
        return rows @ white @ columns.T
    shifts = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    root = np.linalg.cholesky(np.clip(1 - np.abs(shifts) / 3, 0, None))
    return root @ white @ root.T


@dataclass(frozen=True)
class Summary:
    """One row's figures, and whether they lie in the preset bands."""

    cells: tuple[str, ...]
    good: bool


def summary(row: Row, trials: list[Trial | None]) -> Summary:
    """Rates, uniformity, coverage and interval length of a row."""
    tested = [trial for trial in trials if trial is not None]
    count = len(tested)
    if not tested:
        raise RuntimeError(f"{row.name}: none of {len(trials)} draws has a region; give more --draws")
    p_values = np.array([trial.p_value for trial in tested])
    rejected = int((p_values <= LEVEL).sum())
    low, high = stats.binom.interval(CONFIDENCE, count, LEVEL)
    ks = float(stats.kstest(p_values, "uniform").pvalue) if row.judged == "level" else math.nan
    good = row.judged is None or (rejected <= high and (row.judged == "family" or rejected >= low))
    good = good and not ks <= LEAST_KS
    covered = [trial.covered for trial in tested if trial.covered is not None]
    coverage = f"{np.mean(covered):.3f}" if covered else "-"
    if covered:
        missed = len(covered) - sum(covered)
        least, most = stats.binom.interval(CONFIDENCE, len(covered), LEVEL)
        good = good and least <= missed <= most
    lengths = [trial.length for trial in tested if trial.length is not None]
    length = f"{np.median(lengths):.2f}" if lengths else "-"

    def rate(values: Iterator[float | None]) -> str:
        known = [value for value in values if value is not None]
        return f"{np.mean(np.array(known) <= LEVEL):.3f}" if known else "-"

    cells = (
        row.name,
        str(count),
        str(len(trials) - count),
        f"{rejected / count:.3f}{band(row, low / count, high / count)}",
        "-" if math.isnan(ks) else f"{ks:.3f}",
        rate(trial.over for trial in tested),
        rate(trial.naive for trial in tested),
        rate(trial.bonferroni for trial in tested),
        rate(trial.permutation for trial in tested),
        coverage,
        length,
    )
    verdict = "-" if row.judged is None and not covered else "yes" if good else "**no**"
    return Summary((*cells, verdict), good)


def band(row: Row, low: float, high: float) -> str:
    """Where the rate has to lie, behind the rate."""
    if row.judged is None:
        return ""
    return f" (at most {high:.3f})" if row.judged == "family" else f" ({low:.3f} to {high:.3f})"


HEAD = (
    *("test", "tested", "no region", "selective (band)", "KS p", "over-cond.", "naive", "Bonferroni"),
    *("permutation", "coverage", "median length", "within bands"),
)


def table(rows: list[Summary]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    lines += ["| " + " | ".join(row.cells) + " |" for row in rows]
    return "\n".join(lines)


@dataclass(frozen=True)
class Journal:
    """Draws that are done, one JSON line for `CHUNK` of them: an interrupted table can be gone on with, and
    one of few draws be made one of many.
    """

    path: Path | None

    def done(self) -> dict[str, list[Trial | None]]:
        """By a key that everything but the code is part of."""
        if self.path is None or not self.path.exists():
            return {}
        lines = map(json.loads, self.path.read_text(encoding="utf-8").splitlines())
        return {line["key"]: [each and Trial(*each) for each in line["trials"]] for line in lines}

    def add(self, key: str, trials: list[Trial | None]) -> None:
        """Append a chunk."""
        if self.path is not None:
            rows = [each and astuple(each) for each in trials]
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "trials": rows}) + "\n")


def simulate(
    rows: tuple[Row, ...], draws: int, seed: int, journal: Journal, work: Callable[..., Any]
) -> list[Summary]:
    """All rows, each with seeds of its own."""
    done, found = journal.done(), []
    for number, row in enumerate(rows):
        started = time.perf_counter()
        seeds = np.random.SeedSequence([seed, number, len(rows)]).spawn(draws)
        trials: list[Trial | None] = []
        for start in range(0, draws, CHUNK):
            chunk = seeds[start : start + CHUNK]
            key = repr((row, number, len(rows), seed, start, len(chunk)))
            if key not in done:
                done[key] = list(work(one_trial, [(row, one) for one in chunk]))
                journal.add(key, done[key])
            trials += done[key]
        found.append(summary(row, trials))
        cells = " | ".join(found[-1].cells)
        print(f"{time.perf_counter() - started:6.1f} s  {cells}", file=sys.stderr, flush=True)
    return found


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
