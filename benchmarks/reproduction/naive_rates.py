"""The naive test with and without the reference's own variance; no search, so many draws cost little."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from scipy import stats

import onnx_si

LEVEL = 0.05


def naive_rates(path: Path, side: int, tests: int, seed: int) -> dict[str, Any]:
    """How often both reject pure noise.

    Parameters
    ----------
    path : Path
        A paper classifier: (1, side, side, 1) images.
    side, tests, seed : int
        Draws without a region, or with nothing else, are drawn again.

    Returns
    -------
    dict
        `tested`, `rejected` with the variance 2 / pixels of a difference of two means, and
        `rejected_without_reference` with that of one mean, 1 / pixels.
    """
    extended = onnx_si.saliency(onnx_si.load(path), method="cam")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(extended.SerializeToString(), options)
    name, rng = session.get_inputs()[0].name, np.random.default_rng(seed)
    scores: list[float] = []
    while len(scores) < tests:
        image, reference = rng.normal(size=(2, side, side))
        (saliency,) = session.run(["saliency"], {name: image.astype(np.float32)[None, ..., None]})
        region = np.squeeze(saliency) > 0
        if 0 < region.sum() < region.size:
            scores.append(float((image - reference)[region].mean() * np.sqrt(region.sum())))
    p_values = [2 * stats.norm.sf(np.abs(scores) / np.sqrt(variance)) for variance in (2, 1)]
    proper, without = (int((p <= LEVEL).sum()) for p in p_values)
    return {"tested": tests, "seed": seed, "rejected": proper, "rejected_without_reference": without}
