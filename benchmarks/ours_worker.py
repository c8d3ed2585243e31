"""Answers one job with onnx_si: `python ours_worker.py JOB [--core N]`, with the repository on PYTHONPATH."""

from __future__ import annotations

from typing import Any

import harness


def work(job: harness.Job) -> dict[str, Any]:
    import numpy as np

    import onnx_si

    spec = job.spec
    data = np.load(job.data)
    image = data["image"]
    options: dict[str, Any] = {
        key: spec[key] for key in ("sigma", "saliency", "threshold", "hypothesis", "alternative", "precision")
    }
    if spec["hypothesis"] == "mean":
        options["reference"] = data["reference"]
    if spec["target"] is not None:
        options["target"] = spec["target"]
    model = onnx_si.load(str(job.model))

    result, timing = harness.measure(lambda: onnx_si.test(model, image, **options), spec["repeat_seconds"])

    record = result.to_dict()
    search = record["search"]
    region = np.asarray(result.region).reshape(-1).astype(bool)
    return {
        "program": f"onnx_si {getattr(onnx_si, '__version__', 'unversioned')}, numpy {np.__version__}",
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
