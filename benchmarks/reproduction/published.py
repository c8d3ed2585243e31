"""Figures that the paper's authors published, and what their own networks give when computed anew.

Source: Miwa, Duy, Takeuchi, "Valid P-Value for Deep Learning-Driven Salient Region", ICLR 2023, and the
result tables published with its code: 1000 trials each, level 0.05, hypothesis `mean`, P(|T| >= |t|).
"""

from collections.abc import Mapping

TRIALS = 1000
LEVEL = 0.05

Figures = Mapping[str, Mapping[float, float]]  # by method, then by pixels (no signal) or by signal

NO_SIGNAL: Mapping[int, Figures] = {  # by number of references
    1: {
        "selective": {64: 0.056, 256: 0.045, 1024: 0.052, 4096: 0.054},
        "over-conditioning": {64: 0.050, 256: 0.058, 1024: 0.046, 4096: 0.036},
        "permutation": {64: 0.042, 256: 0.053, 1024: 0.047, 4096: 0.037},
        "bonferroni": {64: 0.0, 256: 0.0, 1024: 0.0, 4096: 0.0},
        "naive": {64: 0.237, 256: 0.462, 1024: 0.565, 4096: 0.991},
    },
    2: {
        "selective": {64: 0.048, 256: 0.046, 1024: 0.045, 4096: 0.055},
        "over-conditioning": {64: 0.051, 256: 0.051, 1024: 0.039, 4096: 0.036},
    },
}

WITH_SIGNAL: Mapping[int, Figures] = {  # 16 x 16 pixels
    1: {
        "selective": {1: 0.262, 2: 0.735, 3: 0.851, 4: 0.916},
        "over-conditioning": {1: 0.053, 2: 0.052, 3: 0.074, 4: 0.064},
        "bonferroni": {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0},
    },
    2: {"selective": {1: 0.253, 2: 0.737, 3: 0.851, 4: 0.917}},
}

PROPER_TRIALS = 2000
PROPER_NAIVE = {64: 0.082, 256: 0.241, 1024: 0.347, 4096: 0.965}
"""The naive test with the reference's own variance, on the authors' networks, 2000 draws; one reference."""

EMPTY = {64: 0.77, 256: 0.73, 1024: 0.35, 4096: 0.0}
"""Share of draws without a region on the authors' networks, drawn again."""
