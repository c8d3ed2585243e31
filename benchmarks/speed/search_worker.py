"""Answers one job with one search: `python -m benchmarks.speed.search_worker JOB --set search='"ours"'`.

The names are those of `stages.SEARCHES`. `seconds` is everything from the
image to the p-value, `search_seconds` the search in it.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import asdict
from typing import Any

from benchmarks.peer import harness
from benchmarks.peer.ours_worker import OPTIONS


def work(job: harness.Job) -> dict[str, Any]:
    import numpy as np

    import onnx_si
    from benchmarks.speed import stages
    from onnx_si.ground.machine import one_blas_thread

    data = np.load(job.data)
    model = onnx_si.load(str(job.model))
    options = {key: job.spec[key] for key in OPTIONS}
    program = f"onnx_si {onnx_si.__version__}, numpy {np.__version__}"
    latest: deque[Any] = deque(maxlen=1)
    began, asked, ended = [], [], []

    def once() -> tuple[stages.Question, stages.Found]:
        began.append(time.perf_counter())
        question = stages.ask(model, data["image"], data.get("reference"), options)
        asked.append(time.perf_counter())
        found = stages.SEARCHES[job.spec["search"]](question, latest.append)
        ended.append(time.perf_counter())
        return question, found

    try:
        with one_blas_thread():  # as in `onnx_si.test`
            (question, found), timing = harness.measure(job, once)
    except harness.OutOfTime:
        so_far = {"search_seconds": time.perf_counter() - asked[0]} if asked else {}
        if latest:
            so_far |= {"p_value_bounds": latest[0].bounds, "pieces": latest[0].pieces}
        return {"program": program, **harness.cut_off(job), **so_far}

    region = question.selection.region.reshape(-1)
    return {
        "program": program,
        **timing,
        "selection_seconds": _typical(began, asked),
        "search_seconds": _typical(asked, ended),
        **asdict(found),
        "statistic": question.line.statistic,
        "standard_error": question.line.standard_error,
        "region_pixels": int(region.sum()),
        "region_hex": np.packbits(region).tobytes().hex(),
    }


def _typical(starts: list[float], ends: list[float]) -> float:
    """Median duration, without the first, which warms up, where there are others."""
    durations = [end - start for start, end in zip(starts, ends, strict=True)]
    return statistics.median(durations[1:] or durations)


if __name__ == "__main__":
    harness.run(work)
