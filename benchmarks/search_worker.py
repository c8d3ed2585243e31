"""Answers one job with one search: `python search_worker.py JOB --set search='"ours"'`.

The names are those of `stages.SEARCHES`; the repository is on PYTHONPATH. `seconds` is everything from the
image to the p-value, `search_seconds` the search in it.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import asdict
from typing import Any

import harness
from ours_worker import OPTIONS


def work(job: harness.Job) -> dict[str, Any]:
    import numpy as np
    import stages

    import onnx_si

    data = np.load(job.data)
    model = onnx_si.load(str(job.model))
    options = {key: job.spec[key] for key in OPTIONS}
    program = f"onnx_si {onnx_si.__version__}, numpy {np.__version__}"
    latest: deque[Any] = deque(maxlen=1)
    clock: list[tuple[float, float]] = []

    def once() -> tuple[stages.Question, stages.Found]:
        began = time.perf_counter()
        question = stages.ask(model, data["image"], data.get("reference"), options)
        asked = time.perf_counter()
        found = stages.SEARCHES[job.spec["search"]](question, latest.append)
        clock.append((asked - began, time.perf_counter() - asked))
        return question, found

    try:
        (question, found), timing = harness.measure(job, once)
    except harness.OutOfTime:
        so_far = {"p_value_bounds": latest[0].bounds, "pieces": latest[0].pieces} if latest else {}
        return {"program": program, **harness.cut_off(job), **so_far}

    selection_seconds, search_seconds = zip(*(clock[1:] or clock), strict=True)
    region = question.selection.region.reshape(-1)
    return {
        "program": program,
        **timing,
        "selection_seconds": statistics.median(selection_seconds),
        "search_seconds": statistics.median(search_seconds),
        **asdict(found),
        "statistic": question.line.statistic,
        "standard_error": question.line.standard_error,
        "region_pixels": int(region.sum()),
        "region_hex": np.packbits(region).tobytes().hex(),
    }


if __name__ == "__main__":
    harness.run(work)
