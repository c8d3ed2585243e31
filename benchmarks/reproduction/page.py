"""The page docs/reproduction.md from the results of reproduction.py."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from scipy import stats

from benchmarks.reproduction import published

Document = Mapping[str, Any]
Results = Mapping[str, Document]

TEMPLATE = Path(__file__).parent / "template.md"
SIDES = (8, 16, 32, 64)
SIGNALS = (1, 2, 3, 4)
NETWORKS = {"here": "trained here", "authors": "the authors' own"}
APART = 0.001
"""P-value of Fisher's exact test below which two rates are called different: fixed before the first run."""
METHODS = {
    "selective": "selective",
    "over-conditioning": "over-conditioning",
    "permutation": "permutation",
    "bonferroni": "Bonferroni",
    "naive": "naive",
}

METHODS_WITH_SIGNAL = ("selective", "over-conditioning", "bonferroni", "naive")


def share(value: float) -> str:
    """Three digits, as the paper writes them."""
    return f"{value:.3f}".removeprefix("0")


def differ(rejected: int, tested: int, rate: float, trials: int = published.TRIALS) -> bool:
    """Whether two rates are farther apart than two binomial draws of one probability would be."""
    other = round(rate * trials)
    table = [[rejected, tested - rejected], [other, trials - other]]
    return float(stats.fisher_exact(table).pvalue) < APART


def rows_of(document: Document, signal: float) -> dict[str, Mapping[str, Any]]:
    """Rows of one signal by method."""
    return {row["method"]: row for row in document["results"] if row["signal"] == signal}


def cell(row: Mapping[str, Any] | None, figure: float | None, trials: int = published.TRIALS) -> str:
    """Our rate with its interval, and the published one; an asterisk where they differ."""
    if row is None or row["reject_rate"] is None:
        return "-" if figure is None else f"- / {share(figure)}"
    low, high = row["reject_interval"]
    ours = f"{share(row['reject_rate'])} ({share(low)}-{share(high)})"
    if figure is None:
        return ours
    star = " *" if differ(row["rejected"], row["tested"], figure, trials) else ""
    return f"{ours} / {share(figure)}{star}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; a sentence where nothing was run."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if not lines:
        return "Not run yet."
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *lines])


def common(document: Document, signal: float) -> tuple[str, str, str]:
    """How many were tested, how many draws that took, and how uniform the p-values are."""
    row = rows_of(document, signal)["selective"]
    empty = f"{row['no_region'] / row['trials']:.0%}"
    return str(row["tested"]), empty, f"{row['ks_p_value']:.2g}"


def null_rows(results: Results, references: int) -> Iterable[list[str]]:
    """By network and number of pixels."""
    figures = published.NO_SIGNAL[references]
    for network, words in NETWORKS.items():
        for side in SIDES:
            document, pixels = results.get(f"null-{references}-{network}-{side}"), side * side
            if document is None:
                continue
            rows = rows_of(document, 0.0)
            extra = results.get(f"permutation-{network}-{side}")
            if extra is not None and "permutation" not in rows:
                rows["permutation"] = rows_of(extra, 0.0)["permutation"]
            known = {method: by_pixels[pixels] for method, by_pixels in figures.items()}
            cells = [cell(rows.get(method), known.get(method)) for method in _columns(references)]
            if references == 1:
                proper = published.PROPER_NAIVE[pixels]
                cells[-1] = cell(rows.get("naive"), proper, published.PROPER_TRIALS)
            yield [words, str(pixels), *common(document, 0.0), *cells]


def _columns(references: int) -> tuple[str, ...]:
    return tuple(method for method in METHODS if references == 1 or method != "permutation")


def signal_rows(results: Results, references: int) -> Iterable[list[str]]:
    """By network and signal."""
    figures = published.WITH_SIGNAL[references]
    for network, words in NETWORKS.items():
        document = results.get(f"signal-{references}-{network}-16")
        for signal in SIGNALS if document is not None else ():
            rows = rows_of(document, float(signal))
            cells = [
                cell(rows.get(method), figures.get(method, {}).get(signal)) for method in METHODS_WITH_SIGNAL
            ]
            yield [words, str(signal), *common(document, float(signal))[:2], *cells]


def global_rows(results: Results) -> Iterable[list[str]]:
    """Without signal by pixels, then with signal."""
    for side in SIDES:
        if document := results.get(f"global-here-{side}"):
            rows = rows_of(document, 0.0)
            cells = [cell(rows.get(method), None) for method in METHODS_WITH_SIGNAL]
            yield [str(side * side), "0", *common(document, 0.0), *cells]
    if document := results.get("global-signal-here-16"):
        for signal in SIGNALS:
            rows = rows_of(document, float(signal))
            cells = [cell(rows.get(method), None) for method in METHODS_WITH_SIGNAL]
            yield ["256", str(signal), *common(document, float(signal))[:2], "-", *cells]


def component_rows(results: Results) -> Iterable[list[str]]:
    """By signal and by whether the square is there."""
    for row in results.get("components-here-32", {}).get("components", ()):
        where = "on the square" if row["touches"] else "off the square" if row["signal"] else "all"
        rates = [_rate(row["reject_rate"], row["reject_interval"]), str(row["images"])]
        images = _rate(row["image_rate"], row["image_interval"])
        yield [f"{row['signal']:g}", where, str(row["tested"]), *rates, images]


def _rate(rate: float | None, interval: Sequence[float | None]) -> str:
    return "-" if rate is None else f"{share(rate)} ({share(interval[0] or 0.0)}-{share(interval[1] or 0.0)})"


def gradcam_rows(results: Results) -> Iterable[list[str]]:
    """By pixels and signal."""
    for side in SIDES:
        document = results.get(f"gradcam-here-{side}")
        for signal in (0, 2) if document is not None else ():
            rows = rows_of(document, float(signal))
            cells = [cell(rows.get(method), None) for method in METHODS_WITH_SIGNAL]
            yield [str(side * side), str(signal), *common(document, float(signal))[:2], *cells]


def naive_rows(naive: Mapping[str, Mapping[str, Any]]) -> Iterable[list[str]]:
    """By network and pixels: with and without the reference's variance."""
    for network, words in NETWORKS.items():
        for side in SIDES:
            if row := naive.get(f"{network}-{side}"):
                figures = (
                    ("rejected", published.PROPER_NAIVE, published.PROPER_TRIALS),
                    ("rejected_without_reference", published.NO_SIGNAL[1]["naive"], published.TRIALS),
                )
                cells = [
                    cell(counted(row[key], row["tested"]), known[side * side], trials)
                    for key, known, trials in figures
                ]
                yield [words, str(side * side), str(row["tested"]), *cells]


def counted(rejected: int, tested: int) -> dict[str, Any]:
    """A row as a simulation gives it."""
    interval = stats.binomtest(rejected, tested).proportion_ci(0.95, method="exact")
    return {
        "rejected": rejected,
        "tested": tested,
        "reject_rate": rejected / tested,
        "reject_interval": (interval.low, interval.high),
    }


def run_rows(results: Results) -> Iterable[list[str]]:
    """What was run, when and with which seed."""
    for name, document in results.items():
        rows = [row for row in document["results"] if row["method"] == "selective"]
        tested = "/".join(sorted({str(row["tested"]) for row in rows}))
        draws = str(sum(row["trials"] for row in rows))
        sha = document["model"]["sha256"][:12]
        yield [name, document["date"], str(document["seed"]), tested, draws, sha]


def count_of_levels(results: Results) -> tuple[int, int]:
    """Selective rates without signal: how many, and how many outside the central 99.9 % of the binomial."""
    rows = [
        row
        for document in results.values()
        for row in document["results"]
        if row["method"] == "selective" and row["signal"] == 0.0
    ]
    outside = 0
    for row in rows:
        low, high = stats.binom.interval(0.999, row["tested"], published.LEVEL)
        outside += not low <= row["rejected"] <= high
    return len(rows), outside


def _head(first: Sequence[str], methods: Iterable[str]) -> list[str]:
    return [*first, *(METHODS[method] for method in methods)]


def speed_words(speed: Mapping[str, Any] | None) -> str:
    """How long the run took, in a sentence."""
    if speed is None:
        return "Not measured yet."
    workers = f"{speed['jobs']} worker{'s' if speed['jobs'] > 1 else ''}"
    took = f"{speed['trials']} trials took {speed['seconds']:.0f} seconds with {workers}"
    used = speed["processor_seconds"]
    if used is None:
        return (
            f"{took} on {speed['cores']} cores, from the start of the workers to the end ({speed['date']})."
        )
    return f"{took}, {used:.1f} of them the processor's, beside other programs' work ({speed['date']})."


def page(content: Mapping[str, Any]) -> str:
    """The document: the tables in the text of `template.md`."""
    results: Results = content["settings"]
    first = ("network", "pixels", "tests", "no test", "KS p")
    count, outside = count_of_levels(results)
    signal_head = _head(("network", "signal", "tests", "no test"), METHODS_WITH_SIGNAL)
    parts = ("signal", "components", "tests", "rejected", "images", "images with a rejected one (Holm)")
    tables = {
        "null_1": table(_head(first, _columns(1)), null_rows(results, 1)),
        "null_2": table(_head(first, _columns(2)), null_rows(results, 2)),
        "signal_1": table(signal_head, signal_rows(results, 1)),
        "signal_2": table(signal_head, signal_rows(results, 2)),
        "global": table(
            _head(("pixels", "signal", "tests", "no test", "KS p"), METHODS_WITH_SIGNAL),
            global_rows(results),
        ),
        "components": table(parts, component_rows(results)),
        "gradcam": table(
            _head(("pixels", "signal", "tests", "no test"), METHODS_WITH_SIGNAL), gradcam_rows(results)
        ),
        "runs": table(
            ("setting", "date", "seed", "tests a signal", "draws", "network's SHA-256"), run_rows(results)
        ),
        "naive": table(
            ("network", "pixels", "tests", "proper", "without the reference's variance"),
            naive_rows(content["naive"]),
        ),
        "speed": speed_words(content["speed"]),
        "count": str(count),
        "outside": "none" if not outside else str(outside),
    }
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(tables)
