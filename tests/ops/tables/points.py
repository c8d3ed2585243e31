"""Outputs that are constant, or whose shape depends on values: compared at single images only."""

import numpy as np

from ..making import Case, V, index, ints, level, one, truth

BOXES = np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 2, 1, 3]]], dtype=np.float32)

POINTS = [
    Case("plain", "Shape", (V(2, 3, 1),)),
    Case("part", "Shape", (V(2, 3, 1, 4),), {"start": -3, "end": 3}, versions=(15, 99)),
    Case("plain", "Size", (V(2, 3),)),
    Case("diagonal", "EyeLike", (V(2, 3),), {"k": 1}),
    Case("plain", "NonZero", (truth(2, 3),)),
    Case("sorted", "Unique", (index(3, 6),), outputs=4),
    Case("in order", "Unique", (index(3, 6),), {"sorted": 0}, outputs=4),
    Case("rows", "Unique", (index(2, 4, 2),), {"axis": 0}, outputs=4),
    Case("limit", "Range", (one(0.5), level(), one(0.3))),
    Case("plain", "ConstantOfShape", (index(3, 2),)),
    Case("changing condition", "Compress", (V(2, 3), truth(3)), {"axis": 1}),
    Case("boxes", "NonMaxSuppression", (BOXES, V(1, 2, 3), ints(2), one(0.5), one(0.0))),
    *(Case("periodic", f"{name}Window", (index(5),)) for name in ("Hann", "Hamming", "Blackman")),
    *(
        Case("symmetric", f"{name}Window", (index(5),), {"periodic": 0})
        for name in ("Hann", "Hamming", "Blackman")
    ),
    Case(
        "plain",
        "MelWeightMatrix",
        (ints(4).reshape(()), ints(16).reshape(()), ints(8000).reshape(()), level(), one(4000.0)),
    ),
]
