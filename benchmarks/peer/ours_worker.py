"""Answers one job with onnx_si: `python -m benchmarks.peer.ours_worker JOB [--core N]`."""

from __future__ import annotations

from typing import Any

from benchmarks.peer import harness

OPTIONS = ("sigma", "saliency", "threshold", "hypothesis", "alternative", "precision", "target")


def work(job: harness.Job) -> dict[str, Any]:
    import numpy as np

    import onnx_si

    data = np.load(job.data)
    image, reference = data["image"], data.get("reference")
    options = {key: job.spec[key] for key in OPTIONS}
    model = onnx_si.load(str(job.model))
    program = f"onnx_si {getattr(onnx_si, '__version__', 'unversioned')}, numpy {np.__version__}"

    try:
        result, timing = harness.measure(job, lambda: onnx_si.test(model, image, reference, **options))
    except harness.OutOfTime:
        return {"program": program, **harness.cut_off(job)}

    record = result.to_dict()
    search = record["search"]
    region = np.asarray(result.region).reshape(-1).astype(bool)
    return {
        "program": program,
        **timing,
        "p_value": record["p_value"],
        "p_value_bounds": [float(bound) for bound in result.p_value_bounds],
        "pieces": search.get("pieces"),
        "forward_passes": search.get("forward_passes"),
        "cells": search.get("cells"),
        "guarantee": record["guarantee"],
        "truncation_intervals": len(record["truncation"]),
        "statistic": float(result.statistic),
        "standard_error": float(result.standard_error),
        "region_pixels": int(region.sum()),
        "region_hex": np.packbits(region).tobytes().hex(),
    }


if __name__ == "__main__":
    harness.run(work)
