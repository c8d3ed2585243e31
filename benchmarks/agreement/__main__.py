"""Same questions to si4onnx and to onnx_si: do the p-values agree, and who needs how long?

    python -m benchmarks.agreement --peer-python PATH [--count 50] [--output results/agreement.json]

Writes the JSON and, beside it, the same table in Markdown. Exit status 1 where a pair of answers disagrees or
a program gave none.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.agreement.random_nets import cases, digest
from benchmarks.peer import jobs
from benchmarks.peer.graphs import Case
from benchmarks.peer.jobs import HERE, ROUNDING


def main() -> int:
    arguments = _arguments()
    pythons = _pythons(arguments)
    asked = jobs.Asked(
        precision=arguments.precision,
        alternative=arguments.alternative,
        memoization=not arguments.no_memoization,
        verify_points=arguments.verify,
        repeat_seconds=arguments.repeat_seconds,
    )
    print(" ".join(name.ljust(width) for name, width in zip(COLUMNS, WIDTHS, strict=True)).rstrip())
    selected = [
        case
        for case in cases(arguments.count, arguments.seed)
        if not arguments.case or any(case.name.startswith(name) for name in arguments.case)
    ]
    rows = []
    for case in selected:
        job = jobs.write_job(case, arguments.workdir / "jobs" / case.name, asked)
        answers = {
            name: jobs.answer(
                jobs.WORKERS[name],
                python,
                job,
                core=arguments.core,
                timeout=arguments.timeout,
            )
            for name, python in pythons.items()
        }
        rows.append(_row(case, answers))
        print(_line(rows[-1]), flush=True)
    report = {
        "schema": "onnx-si/agreement/1",
        "settings": {
            "count": arguments.count,
            "seed": arguments.seed,
            "precision": arguments.precision,
            "alternative": arguments.alternative,
            "memoization": not arguments.no_memoization,
            "cases_sha256": digest(selected),
            "repeat_seconds": arguments.repeat_seconds,
            "timeout_seconds": arguments.timeout,
            "rounding_allowance": ROUNDING,
        },
        "machine": jobs.machine(arguments.core),
        "summary": _summary(rows),
        "cases": rows,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    table = arguments.output.with_suffix(".md")
    table.write_text(markdown(report))
    print(f"\n{_summary_text(report['summary'])}\nwritten: {arguments.output}, {table}")
    return 0 if report["summary"]["clean"] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    jobs.add_arguments(parser)
    add = parser.add_argument
    add("--count", type=int, default=50)
    add("--case", action="append", help="only cases whose name starts so; repeatable")
    add("--only", choices=["peer", "ours"], help="run one side")
    add("--alternative", choices=["two-sided", "two-sided-abs"], default="two-sided", help="see README")
    add("--timeout", type=float, default=900.0, help="seconds for one worker")
    add("--no-memoization", action="store_true", help="switch off si4onnx's memoization, see README")
    add("--verify", type=int, default=0, metavar="N", help="check the peer's set at 2 N points of each line")
    add("--output", type=Path, default=HERE / "results" / "agreement.json")
    return parser.parse_args()


def _pythons(arguments: argparse.Namespace) -> dict[str, Path]:
    pythons = {}
    if arguments.only != "ours":
        pythons["peer"] = jobs.peer_python(arguments)
    if arguments.only != "peer":
        pythons["ours"] = arguments.our_python
    return pythons


def _row(case: Case, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "case": case.name,
        "hypothesis": case.hypothesis,
        "saliency": case.net.saliency,
        "target": case.net.target,
        "threshold": case.threshold,
        "region_pixels": int(case.region.sum()),
        "pixels": case.region.size,
        **answers,
    }
    expected_region = np.packbits(case.region.reshape(-1)).tobytes().hex()
    row["problems"] = [f"{name}: {a['error']}" for name, a in answers.items() if "error" in a]
    answered = {name: a for name, a in answers.items() if "error" not in a}
    for name, answer in answered.items():
        if answer["region_hex"] != expected_region:
            row["problems"].append(f"{name}: region of {answer['region_pixels']} pixels is not the case's")
        if answer.get("verify", {}).get("different"):
            row["problems"].append(f"{name}: truncation set differs from forward passes: {answer['verify']}")
    if len(answered) == 2:
        peer, ours = answered["peer"], answered["ours"]
        row["gap"] = jobs.gap(peer, ours)
        row["ratio"] = peer["seconds"] / ours["seconds"]
        row["cpu_ratio"] = peer["cpu_seconds"] / max(ours["cpu_seconds"], 1e-9)
        if row["gap"] > ROUNDING:
            row["problems"].append(f"bounds do not meet: gap {row['gap']:.3g}")
        row["problems"] += jobs.different_statistics(peer, ours)
    return row


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    both = [row for row in rows if "ratio" in row]
    summary: dict[str, Any] = {
        "cases": len(rows),
        "clean": all(not row["problems"] for row in rows),
        "answered_by_both": len(both),
        "problems": sum(bool(row["problems"]) for row in rows),
        "bounds_meet": sum(row["gap"] <= ROUNDING for row in both),
        "bounds_meet_only_within_rounding": sum(0 < row["gap"] <= ROUNDING for row in both),
    }
    for name in ("peer", "ours"):
        answers = [row[name] for row in rows if name in row and "error" not in row[name]]
        if answers:
            seconds = [answer["seconds"] for answer in answers]
            summary[name] = {
                "program": answers[0]["program"],
                "answered": len(answers),
                "median_seconds": statistics.median(seconds),
                "max_seconds": max(seconds),
                "total_seconds": sum(seconds),
                "max_peak_rss_bytes": max(answer["peak_rss_bytes"] for answer in answers),
            }
    if both:
        ratios = [row["ratio"] for row in both]
        summary |= {
            "median_ratio": statistics.median(ratios),
            "min_ratio": min(ratios),
            "max_ratio": max(ratios),
            "median_cpu_ratio": statistics.median(row["cpu_ratio"] for row in both),
            "ours_slower": sum(ratio < 1 for ratio in ratios),
        }
    return summary


def _summary_text(summary: dict[str, Any]) -> str:
    lines = [f"{summary['cases']} cases, {summary['problems']} with a problem"]
    for name in ("peer", "ours"):
        if name in summary:
            side = summary[name]
            lines.append(
                f"{name} ({side['program']}): {side['answered']} answered, "
                f"median {side['median_seconds']:.3g} s, longest {side['max_seconds']:.3g} s, "
                f"total {side['total_seconds']:.3g} s, "
                f"peak memory {side['max_peak_rss_bytes'] / 2**20:.0f} MiB"
            )
    if "median_ratio" in summary:
        lines.append(
            f"p-value bounds meet in {summary['bounds_meet']} of {summary['answered_by_both']} "
            f"({summary['bounds_meet_only_within_rounding']} of them only within {ROUNDING:g})"
        )
        lines.append(
            f"peer seconds / our seconds: median {summary['median_ratio']:.3g}, "
            f"from {summary['min_ratio']:.3g} to {summary['max_ratio']:.3g}; "
            f"ours slower in {summary['ours_slower']}"
        )
    return "\n".join(lines)


COLUMNS = ["case", "hypothesis", "threshold", "region", "peer s", "our s", "ratio"]
COLUMNS += ["peer bounds", "our bounds", "peer pieces", "our pieces", "problems"]
WIDTHS = [22, 10, 11, 9, 8, 8, 7, 19, 19, 11, 10, 0]


def _cells(row: dict[str, Any]) -> list[str]:
    def show(name: str, form: Any) -> str:
        answer = row.get(name)
        return "-" if answer is None else "failed" if "error" in answer else form(answer)

    def bounds(answer: dict[str, Any]) -> str:
        return "{:.6f}..{:.6f}".format(*answer["p_value_bounds"])

    return [
        row["case"],
        row["hypothesis"],
        f"{row['threshold']}",
        f"{row['region_pixels']}/{row['pixels']}",
        show("peer", lambda a: f"{a['seconds']:.3g}"),
        show("ours", lambda a: f"{a['seconds']:.3g}"),
        f"{row['ratio']:.3g}" if "ratio" in row else "-",
        show("peer", bounds),
        show("ours", bounds),
        show("peer", lambda a: str(a["pieces"])),
        show("ours", lambda a: str(a["pieces"])),
        "; ".join(row["problems"]),
    ]


def _line(row: dict[str, Any]) -> str:
    return " ".join(cell.ljust(width) for cell, width in zip(_cells(row), WIDTHS, strict=True)).rstrip()


def markdown(report: dict[str, Any]) -> str:
    """The whole report as a Markdown page."""
    settings = report["settings"]
    lines = [
        "# Agreement with si4onnx",
        "",
        "Made by `benchmarks.agreement`; what is compared: README.md.",
        "",
    ]
    lines += [f"- {line}" for line in _summary_text(report["summary"]).splitlines()]
    lines += [
        f"- machine: {report['machine']['cpu']}, one core, one thread",
        f"- precision {settings['precision']:g}, alternative {settings['alternative']}",
        f"- cases: seed {settings['seed']}, sha256 {settings['cases_sha256']}",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + " --- |" * len(COLUMNS),
    ]
    lines += [
        "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in _cells(row)) + " |"
        for row in report["cases"]
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
