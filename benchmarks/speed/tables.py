"""The tables of `benchmarks.speed`, as lines on the screen and as a Markdown page."""

from __future__ import annotations

from typing import Any

from benchmarks.peer.jobs import ROUNDING
from benchmarks.speed.figures import Figure
from benchmarks.speed.summary import Summary, read, summarise, targets

Block = dict[str, Any]

MIB = 2.0**-20
BUSY = 1.1  # wall clock / processor time
# header, measure (see summary.MEASURES), factor to the unit of the header
TIME_COLUMNS = [
    ("peer s", "peer_seconds", 1.0),
    ("our s", "our_seconds", 1.0),
    ("ratio", "ratio", 1.0),
    ("smallest", "ratio_smallest", 1.0),
    ("largest", "ratio_largest", 1.0),
    ("processor time", "cpu_ratio", 1.0),
    ("our search s", "our_search_seconds", 1.0),
    ("exact alone s", "exact_alone_search_seconds", 1.0),
    ("exact alone / our search", "exact_alone_over_ours", 1.0),
    ("smallest", "exact_alone_over_ours_smallest", 1.0),
    ("plain +-10 sd s", "plain_search_seconds", 1.0),
    ("plain / our search", "plain_over_ours", 1.0),
    ("smallest", "plain_over_ours_smallest", 1.0),
    ("our s to 1e-9", "our_seconds_narrow", 1.0),
    ("whole test s", "whole_test_seconds", 1.0),
    ("us per pixel", "our_seconds_per_pixel", 1e6),
]
WORK_COLUMNS = [
    ("our passes", "our_passes", 1.0),
    ("to 1e-9", "our_passes_narrow", 1.0),
    ("exact alone", "exact_alone_passes", 1.0),
    ("plain", "plain_passes", 1.0),
    ("peer pieces", "peer_pieces", 1.0),
    ("our pieces", "our_pieces", 1.0),
    ("exact alone", "exact_alone_pieces", 1.0),
    ("plain", "plain_pieces", 1.0),
    ("peer MiB", "peer_rss_bytes", MIB),
    ("our MiB", "our_rss_bytes", MIB),
    ("exact alone MiB", "exact_alone_rss_bytes", MIB),
    ("our search's own MiB", "our_peak_bytes", MIB),
]


def image_line(name: str, row: dict[str, Any]) -> str:
    """One image on the screen, as soon as it is measured."""

    def seconds(answer: str, key: str) -> str:
        if "error" in row.get(answer, {}):
            return "failed"
        return _shown(read(row, answer, key))

    def bounds(answer: str) -> str:
        found = row.get(answer, {}).get("p_value_bounds")
        return "-" if found is None else f"{found[0]:.6f}..{found[1]:.6f}"

    ratio = row["ratio"]
    parts = [
        f"{name}-{row['image']}",
        f"region {row['region_pixels']}/{row['pixels']}",
        f"peer {seconds('peer', 'seconds')} s {bounds('peer')}",
        f"ours {seconds('ours', 'seconds')} s {bounds('ours')}",
        f"ratio {_shown(ratio and Figure(**ratio))}",
        f"search {seconds('ours', 'search_seconds')} s",
        f"exact alone {seconds('exact_alone', 'search_seconds')} s",
        f"plain {seconds('plain_10_sd', 'search_seconds')} s",
        *row["problems"],
    ]
    return "  ".join(parts)


def target_lines(blocks: dict[str, Block]) -> list[tuple[str, str, str, str]]:
    """The targets set for this benchmark, beside what was measured."""
    summaries = {name: summarise(block["images"]) for name, block in blocks.items()}
    measured = [
        name for name, block in blocks.items() if any("exact_alone" in row for row in block["images"])
    ]
    return [target.line(summaries) for target in targets(measured)]


def markdown(report: dict[str, Any]) -> str:
    """The whole report as a Markdown page."""
    blocks = report["families"]
    summaries = {name: summarise(block["images"]) for name, block in blocks.items()}
    lines = [
        "# Speed beside si4onnx",
        "",
        "Made by `benchmarks.speed`; every column and how it is measured: README.md. Medians over the",
        "images; `>=` where a run was cut off by its time limit.",
        "",
        *_families(blocks),
        "",
        "## Seconds",
        "",
        *_table(TIME_COLUMNS, summaries),
        "",
        "## Counted work and peak memory",
        "",
        *_table(WORK_COLUMNS, summaries),
        "",
        "## Targets",
        "",
        *_rows(["what", "wanted", "measured", "verdict"], target_lines(blocks)),
    ]
    problems = [
        f"- {name}-{row['image']}: {problem}"
        for name, block in blocks.items()
        for row in block["images"]
        for problem in row["problems"]
    ]
    if problems:
        lines += ["", "## Problems", "", *problems]
    return "\n".join(lines) + "\n"


def _families(blocks: dict[str, Block]) -> list[str]:
    """What was asked, and whether the answers agree."""
    header = ["family", "what", "images", "redrawn", "peer answered", "bounds meet"]
    rows = []
    for name, block in blocks.items():
        images = block["images"]
        compared = [row["gaps"]["peer"] for row in images if "peer" in row["gaps"]]
        answered = [row for row in images if read(row, "peer", "p_value") is not None]
        rows.append(
            (
                name,
                block["what"],
                str(len(images)),
                str(sum(row["redrawn"] for row in images)),
                f"{len(answered)} of {len(images)}",
                f"{sum(gap <= ROUNDING for gap in compared)} of {len(compared)}",
            )
        )
    table = _rows(header, rows)
    settings: dict[str, list[str]] = {}
    for name, block in blocks.items():
        settings.setdefault(_settings(block), []).append(name)
    lines = [f"- {', '.join(names)}: {text}" for text, names in settings.items()]
    return [*table, "", *lines, f"- {load_line(blocks)}"]


def load_line(blocks: dict[str, Block]) -> str:
    """How much of the core others took, at worst."""
    contention = max(_contention(block["images"]) for block in blocks.values())
    line = f"wall clock / processor time of one run: at most {contention:.2f}"
    if contention > BUSY:
        return f"{line}; the machine was busy, so trust neither seconds nor verdicts on them"
    return line


def _cores(block: dict[str, Any]) -> str:
    count = len(block["machine"].get("cores", "1"))
    return "one core, one thread" if count == 1 else f"{count} cores, as many threads"


def _settings(block: Block) -> str:
    asked = block["settings"]
    programs = ", ".join(f"{name} {program}" for name, program in block["programs"].items())
    return (
        f"{programs}; {block['machine']['cpu']}, {_cores(block)}; precision {asked['precision']:g}, "
        f"seed {asked['seed']}, at most {asked['peer_timeout']:g} s for the peer and {asked['timeout']:g} s "
        f"for each of ours"
    )


def _contention(rows: list[dict[str, Any]]) -> float:
    """The largest wall clock / processor time of a run: above 1 others were on the core."""
    answers = [answer for row in rows for answer in row.values() if isinstance(answer, dict)]
    clocked = [answer for answer in answers if answer.get("cpu_seconds")]
    return max((answer["seconds"] / answer["cpu_seconds"] for answer in clocked), default=1.0)


def _table(columns: list[tuple[str, str, float]], summaries: dict[str, Summary]) -> list[str]:
    header = ["family", *(title for title, _, _ in columns)]
    rows = [
        (name, *(_shown(figure and figure.times(factor)) for figure, factor in _figures(columns, summary)))
        for name, summary in summaries.items()
    ]
    return _rows(header, rows)


def _figures(columns: list[tuple[str, str, float]], summary: Summary) -> list[tuple[Figure | None, float]]:
    return [(summary[measure], factor) for _, measure, factor in columns]


def _rows(header: list[str], rows: list[tuple[str, ...]]) -> list[str]:
    return [
        "| " + " | ".join(header) + " |",
        "|" + " --- |" * len(header),
        *("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows),
    ]


def _shown(figure: Figure | None) -> str:
    return "-" if figure is None else str(figure)
