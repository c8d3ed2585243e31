"""All draws of the rows, what of them lies within the bands, and what is kept of them on the way."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.validity.trial import Row, Trial, one_trial

LEVEL = 0.05
CONFIDENCE, LEAST_KS = 0.999, 0.001
CHUNK = 100  # draws that are handed out and noted together


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
