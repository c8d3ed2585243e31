"""Same questions to si4onnx and to onnx_si: do the p-values agree, and who needs how long?

    python benchmarks/agreement.py --peer-python PATH [--count 50] [--output results/agreement.json]

Writes the JSON and, beside it, the same table in Markdown. Exit status 1 where a pair of answers disagrees or
a program gave none.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from nets import Case, cases, digest, for_si4onnx

HERE = Path(__file__).resolve().parent
PEER_REQUIREMENTS = ["si4onnx==0.1.13", "numpy<2"]
PEER_TORCH = "torch==2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# si4onnx forms the test direction in float32 (relative error 6e-8) and does not widen its bounds for that.
# A gap between two pairs of bounds up to the first size is put down to it, and still counted in the summary
# (largest seen: 9e-9). The second is allowed between two statistics or standard errors.
ROUNDING = 1e-7
STATISTIC_ROUNDING = 1e-6


def main() -> int:
    arguments = _arguments()
    pythons = _pythons(arguments)
    print(" ".join(name.ljust(width) for name, width in zip(COLUMNS, WIDTHS, strict=True)).rstrip())
    selected = [
        case
        for case in cases(arguments.count, arguments.seed)
        if not arguments.case or any(case.name.startswith(name) for name in arguments.case)
    ]
    rows = []
    for case in selected:
        job = write_job(case, arguments.workdir / "jobs" / case.name, arguments)
        answers = {name: _answer(name, python, job, arguments) for name, python in pythons.items()}
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
        "machine": {"platform": platform.platform(), "cpu": _cpu_name(), "core": arguments.core},
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
    add = parser.add_argument
    add("--peer-python", type=Path, help="Python with si4onnx; without it one is set up under --workdir")
    add("--our-python", type=Path, default=Path(sys.executable), help="Python for onnx_si (this one)")
    add("--count", type=int, default=50)
    add("--seed", type=int, default=0)
    add("--case", action="append", help="only cases whose name starts so; repeatable")
    add("--only", choices=["peer", "ours"], help="run one side")
    add("--precision", type=float, default=1e-3, help="wanted width of the p-value's bounds")
    add("--alternative", choices=["two-sided", "two-sided-abs"], default="two-sided", help="see README")
    add("--repeat-seconds", type=float, default=2.0, help="repeat a test until this is spent, 8 runs at most")
    add("--timeout", type=float, default=900.0, help="seconds for one worker")
    add("--no-memoization", action="store_true", help="switch off si4onnx's memoization, see README")
    add("--verify", type=int, default=0, metavar="N", help="check the peer's set at 2 N points of each line")
    add("--core", type=int, help="CPU core to pin both to (default: the last one allowed)")
    add("--workdir", type=Path, default=HERE / "work", help="for the jobs and the peer's environment")
    add("--output", type=Path, default=HERE / "results" / "agreement.json")
    arguments = parser.parse_args()
    if arguments.core is None and hasattr(os, "sched_getaffinity"):
        arguments.core = max(os.sched_getaffinity(0))
    return arguments


def _pythons(arguments: argparse.Namespace) -> dict[str, Path]:
    pythons = {}
    if arguments.only != "ours":
        pythons["peer"] = arguments.peer_python or _peer_environment(arguments.workdir / "peer")
    if arguments.only != "peer":
        pythons["ours"] = arguments.our_python
    return pythons


def _peer_environment(folder: Path) -> Path:
    """A virtual environment with si4onnx in it, made on the first call."""
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        print(f"setting up the peer's environment in {folder} ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        if subprocess.run([*install, "--index-url", TORCH_CPU_INDEX, PEER_TORCH], check=False).returncode:
            print("no CPU-only wheel to be had; taking torch from the default index", file=sys.stderr)
            subprocess.run([*install, PEER_TORCH], check=True)
        subprocess.run([*install, PEER_TORCH, *PEER_REQUIREMENTS], check=True)
        ready.touch()
    return python


def write_job(case: Case, folder: Path, arguments: argparse.Namespace) -> Path:
    """One folder with everything a worker needs: the networks, the data, the question."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(case.net.model, folder / "model.onnx")
    onnx.save(case.net.saliency_model, folder / "saliency.onnx")
    onnx.save(for_si4onnx(case.net.saliency_model), folder / "peer.onnx")
    arrays = {"image": case.image}
    if case.reference is not None:
        arrays["reference"] = case.reference
    np.savez(folder / "data.npz", **arrays)
    spec = {
        "name": case.name,
        "saliency": case.net.saliency,
        "target": case.net.target,
        "threshold": case.threshold,
        "hypothesis": case.hypothesis,
        "alternative": arguments.alternative,
        "sigma": 1.0,
        "precision": arguments.precision,
        "repeat_seconds": arguments.repeat_seconds,
        "verify_points": arguments.verify,
        "memoization": not arguments.no_memoization,
    }
    (folder / "job.json").write_text(json.dumps(spec, indent=1) + "\n")
    return folder


def _answer(name: str, python: Path, job: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [str(python), str(HERE / f"{name}_worker.py"), str(job)]
    if arguments.core is not None:
        command += ["--core", str(arguments.core)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if name == "ours":
        environment["PYTHONPATH"] = str(HERE.parent)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=arguments.timeout, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {arguments.timeout:g} s"}
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        return {"error": f"exit status {done.returncode}: {done.stderr.strip()[-300:]}"}


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
        (peer_low, peer_high), (our_low, our_high) = peer["p_value_bounds"], ours["p_value_bounds"]
        row["gap"] = max(0.0, our_low - peer_high, peer_low - our_high)
        row["ratio"] = peer["seconds"] / ours["seconds"]
        row["cpu_ratio"] = peer["cpu_seconds"] / max(ours["cpu_seconds"], 1e-9)
        if row["gap"] > ROUNDING:
            row["problems"].append(f"bounds do not meet: gap {row['gap']:.3g}")
        for key in ("statistic", "standard_error"):
            if abs(peer[key] - ours[key]) > STATISTIC_ROUNDING * max(1.0, abs(peer[key])):
                row["problems"].append(f"{key}: peer {peer[key]!r}, ours {ours[key]!r}")
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
        "Made by `benchmarks/agreement.py`; what is compared: README.md.",
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


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    sys.exit(main())
