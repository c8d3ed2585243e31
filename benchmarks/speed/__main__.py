"""How much faster than si4onnx, on the same networks and images under the same conditions?

    python -m benchmarks.speed --peer-python PATH [--family paper-64] [--output results/speed.json]

Writes the JSON after every image and, beside it, the tables in Markdown; families that an existing file holds
and this run does not measure stay as they are. Exit status 1 where two answers disagree or one is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.agreement.random_nets import digest
from benchmarks.peer import jobs
from benchmarks.peer.jobs import HERE, ROUNDING, Answer
from benchmarks.speed.families import FAMILIES, Family, draw
from benchmarks.speed.figures import Figure, ratio
from benchmarks.speed.summary import read, summarise
from benchmarks.speed.tables import image_line, load_line, markdown, target_lines

SCHEMA = "onnx-si/speed/1"
GRACE = 300.0  # seconds beyond its time limit after which a worker is ended: imports, compiled code


def main() -> int:
    arguments = _arguments()
    report = _existing(arguments.output)
    for family in arguments.families:
        block = _new_block(family, arguments)
        for index in range(block["settings"]["images"]):
            block["images"].append(_measure(family, index, block["settings"], arguments))
            block["programs"] = _programs(block["images"])
            block["summary"] = _as_json(summarise(block["images"]))
            report["families"] = _in_order(report["families"] | {family.name: block})
            _write(report, arguments.output)
            print(image_line(family.name, block["images"][-1]), flush=True)
    for what, wanted, measured, verdict in target_lines(report["families"]):
        print(f"{verdict:<14} {what}: {measured} (wanted {wanted})")
    print(load_line(report["families"]))
    print(f"written: {arguments.output}, {arguments.output.with_suffix('.md')}")
    names = [family.name for family in arguments.families]
    return int(any(row["problems"] for name in names for row in report["families"][name]["images"]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    jobs.add_arguments(parser)
    names = ", ".join(family.name for family in FAMILIES)
    add = parser.add_argument
    add("--family", action="append", help=f"repeatable; a name or its first word: {names}")
    add("--images", type=int, help="per family (default 5; of the large ones 1)")
    add("--large", action="store_true", help="with resnet-64-fine and resnet-224, half an hour and more")
    add("--skip-peer", action="store_true", help="measure our side only")
    add("--repeats", type=int, default=7, help="timed repeats of a quick run at most")
    add("--timeout", type=float, default=600.0, help="seconds for each of our runs")
    add("--peer-timeout", type=float, default=1800.0, help="seconds for the peer's run")
    add("--large-timeout", type=float, default=900.0, help="seconds for each side of a large family")
    add("--output", type=Path, default=HERE / "results" / "speed.json")
    arguments = parser.parse_args()
    arguments.families = _chosen(parser, arguments.family, arguments.large)
    arguments.peer_python = None if arguments.skip_peer else jobs.peer_python(arguments)
    return arguments


def _chosen(parser: argparse.ArgumentParser, names: list[str] | None, large: bool) -> list[Family]:
    """The families named, all of them by default; a large one only where it is asked for."""
    known = {name for family in FAMILIES for name in (family.name, family.name.split("-")[0])}
    for name in names or ():
        if name not in known:
            parser.error(f"no family {name}; there are {', '.join(family.name for family in FAMILIES)}")
    wanted = [
        family
        for family in FAMILIES
        if names is None or {family.name, family.name.split("-")[0]}.intersection(names)
    ]
    chosen = [family for family in wanted if large or not family.large]
    if not chosen:
        parser.error(f"{wanted[0].name} takes half an hour and more for an image; add --large")
    return chosen


def _existing(path: Path) -> dict[str, Any]:
    """The report that this run adds to."""
    if not path.exists():
        return {"schema": SCHEMA, "families": {}}
    report = json.loads(path.read_text())
    if report.get("schema") != SCHEMA:
        raise SystemExit(f"{path} is not a report of this program; move it away or give another --output")
    return report


def _new_block(family: Family, arguments: argparse.Namespace) -> dict[str, Any]:
    """One family's part of the report, with everything that decides its numbers."""
    limits = {"timeout": arguments.timeout, "peer_timeout": arguments.peer_timeout}
    if family.large:
        limits = dict.fromkeys(limits, arguments.large_timeout)
    settings = {
        "images": arguments.images or (1 if family.large else 5),
        "seed": arguments.seed,
        "precision": arguments.precision,
        "repeats": arguments.repeats,
        "repeat_seconds": arguments.repeat_seconds,
        "memoization": family.memoization,
        **limits,
    }
    return {
        "what": family.what,
        "settings": settings,
        "machine": jobs.machine(arguments.core),
        "programs": {},
        "summary": {},
        "images": [],
    }


def _measure(
    family: Family, index: int, settings: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, Any]:
    """All answers on one image, one process after the other."""
    drawn = draw(family, index, settings["seed"])
    asked = jobs.Asked(
        precision=settings["precision"],
        memoization=family.memoization,
        repeats=settings["repeats"],
        repeat_seconds=settings["repeat_seconds"],
    )
    job = jobs.write_job(drawn.case, arguments.workdir / "speed" / drawn.case.name, asked)

    def answer(worker: str, python: Path, limit: float, **changes: Any) -> Answer:
        return jobs.answer(worker, python, job, arguments.core, limit + GRACE, time_limit=limit, **changes)

    answers = {
        name: answer("benchmarks.speed.search_worker", arguments.our_python, settings["timeout"], search=name)
        for name in ("ours", *family.searches)
    }
    if not family.large:
        answers["test"] = answer(jobs.OURS, arguments.our_python, settings["timeout"])
    if not arguments.skip_peer:
        answers["peer"] = answer(jobs.PEER, arguments.peer_python, settings["peer_timeout"])
    row = {
        "image": index,
        "redrawn": drawn.redrawn,
        "threshold": drawn.case.threshold,
        "case_sha256": digest([drawn.case]),
        "pixels": drawn.case.region.size,
        "region_pixels": answers["ours"].get("region_pixels", int(drawn.case.region.sum())),
        **_compared(answers),
        **answers,
    }
    found = ratio(read(row, "peer", "seconds"), read(row, "ours", "seconds"))
    return row | {"ratio": None if found is None else asdict(found)}


def _compared(answers: dict[str, Answer]) -> dict[str, Any]:
    """Where the answers disagree with ours; takes the regions out of them, which are long."""
    problems = [f"{name}: {found['error']}" for name, found in answers.items() if "error" in found]
    regions = {name: found.pop("region_hex") for name, found in answers.items() if "region_hex" in found}
    problems += [
        f"{name}: region of {answers[name]['region_pixels']} pixels is not ours"
        for name, region in regions.items()
        if region != regions.get("ours", region)
    ]
    if "statistic" in answers["ours"] and "statistic" in answers.get("peer", {}):
        problems += jobs.different_statistics(answers["peer"], answers["ours"])
    bounded = {name: found for name, found in answers.items() if "p_value_bounds" in found}
    gaps = {name: jobs.gap(found, bounded["ours"]) for name, found in bounded.items() if "ours" in bounded}
    problems += [
        f"{name}: bounds do not meet ours: gap {gap:.3g}" for name, gap in gaps.items() if gap > ROUNDING
    ]
    return {"gaps": gaps, "problems": problems}


def _programs(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {
        name: row[name]["program"]
        for name in ("peer", "ours")
        for row in rows
        if "program" in row.get(name, {})
    }


def _as_json(summary: dict[str, Figure | None]) -> dict[str, Any]:
    return {name: None if figure is None else asdict(figure) for name, figure in summary.items()}


def _in_order(blocks: dict[str, Any]) -> dict[str, Any]:
    return {family.name: blocks[family.name] for family in FAMILIES if family.name in blocks}


def _write(report: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(report))


if __name__ == "__main__":
    sys.exit(main())
