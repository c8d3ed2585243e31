"""Values between the pixels, sums over letters, spectra: affine where the places are constant."""

import numpy as np

from ..making import C, Case, P, V, gate, ints, level

GRID = (C(1, 3, 4, 2) * 0.8).astype(np.float32)
REGIONS = np.array(
    [[0, 0.4, 0.7, 3.6, 4.2], [1, 3, 2, 9, 4], [0, 2, 1, 2, 1], [1, 7, 1, 9, 2]], dtype=np.float32
)
BOXES = np.array([[0.4, 0.7, 3.6, 4.2], [1.0, 0.2, 4.8, 2.9]], dtype=np.float32)

CASES = [
    *(
        Case(
            f"{name} {padding} {corners}",
            "GridSample",
            (V(1, 2, 4, 5), GRID),
            {"mode": name, "padding_mode": padding, "align_corners": corners},
            versions=(16, 16) if name.startswith("bi") else (20, 99),
        )
        for name in ("bilinear", "linear", "bicubic", "cubic")
        for padding in ("zeros", "border", "reflection")
        for corners in (0, 1)
        if not (padding == "border" and name.endswith("cubic"))
    ),
    *(
        Case(
            f"nearest {padding}",
            "GridSample",
            (V(1, 1, 4, 5), GRID),
            {"mode": "nearest", "padding_mode": padding},
        )
        for padding in ("zeros", "border", "reflection")
    ),
    Case("volume", "GridSample", (V(1, 1, 2, 3, 2), C(1, 2, 1, 2, 3)), {"mode": "linear"}, versions=(20, 99)),
    *(Case(f"2-D {c}", "AffineGrid", (V(2, 2, 3), ints(2, 1, 3, 4)), {"align_corners": c}) for c in (0, 1)),
    *(
        Case(f"bins {rows}", "MaxRoiPool", (V(2, 2, 5, 6), REGIONS), {"pooled_shape": [rows, 2], **more})
        for rows, more in ((1, {}), (3, {}), (2, {"spatial_scale": 0.6}))
    ),
    Case("3-D", "AffineGrid", (V(1, 3, 4), ints(1, 1, 2, 3, 2))),
    *(
        Case(
            f"{mode} {ratio}",
            "RoiAlign",
            (V(1, 2, 5, 6), BOXES, ints(0, 0)),
            {"mode": mode, "output_height": 2, "output_width": 3, "sampling_ratio": ratio},
        )
        for mode in ("avg", "max")
        for ratio in (0, 2)
    ),
    Case(
        "not shifted",
        "RoiAlign",
        (V(2, 1, 5, 6), BOXES, ints(1, 0)),
        {"spatial_scale": 0.5, "coordinate_transformation_mode": "output_half_pixel"},
        versions=(16, 99),
    ),
    Case("plain", "DeformConv", (V(1, 2, 4, 4), C(3, 2, 2, 2), C(1, 8, 3, 3), C(3))),
    Case(
        "groups and a mask",
        "DeformConv",
        (V(1, 4, 5, 5), C(2, 2, 2, 2), C(1, 16, 3, 3), None, C(1, 8, 3, 3)),
        {"group": 2, "offset_group": 2, "strides": [2, 2], "pads": [1, 0, 0, 1]},
    ),
    Case("matrix product", "Einsum", (V(2, 3), C(3, 4)), {"equation": "ij,jk->ik"}),
    Case("second input", "Einsum", (C(2, 3), V(2, 3, 4)), {"equation": "bi,bij->bj"}),
    Case("sum of a diagonal", "Einsum", (V(3, 3),), {"equation": "ii"}),
    Case("ellipsis", "Einsum", (V(1, 2, 3), C(4, 3, 2)), {"equation": "...ij,...jk->...ik"}),
    Case("transpose", "Einsum", (V(2, 3, 2),), {"equation": "bij->jbi"}),
    Case("gates", "Einsum", (gate(2, 3), V(3, 2)), {"equation": "ij,jk"}),
    Case("three", "Einsum", (C(2), V(2, 3), C(3)), {"equation": "i,ij,j->"}),
    *(
        case
        for kind, parts in (("real", 1), ("complex", 2))
        for case in (
            Case(f"{kind}, attribute", "DFT", (V(2, 5, parts),), {"axis": 1}, versions=(17, 17)),
            Case(
                f"{kind}",
                "DFT",
                (V(2, 5, parts), ints(4).reshape(()), ints(1).reshape(())),
                versions=(20, 99),
            ),
            Case(f"{kind} padded", "DFT", (V(1, 3, parts), ints(4).reshape(()))),
        )
    ),
    Case("inverse", "DFT", (V(2, 4, 2),), {"inverse": 1}),
    Case("one side", "DFT", (V(2, 5, 1),), {"onesided": 1}),
    Case("frames", "STFT", (V(2, 9, 1), ints(2).reshape(()), P(4))),
    Case("no window", "STFT", (V(1, 8, 1), ints(3).reshape(()), None, ints(5).reshape(())), {"onesided": 0}),
]

SMOOTH = [
    Case("changing grid", "GridSample", (level(1, 1, 3, 3), level(1, 2, 2, 2))),
    Case("changing offsets", "DeformConv", (level(1, 1, 3, 3), C(1, 1, 2, 2), level(1, 8, 2, 2))),
]
