"""Values moved by constant or jumping indices."""

import numpy as np

from ..making import C, Case, V, floats, index, ints, level, one

LAST = np.array(-1, np.int64)

CASES = [
    Case("default", "CumSum", (V(2, 3), np.array(0, np.int32))),
    Case("from the end", "CumSum", (V(2, 3, 2), LAST), {"reverse": 1, "exclusive": 1}),
    *(
        case
        for op in ("ReduceL1",)
        for case in (
            Case("all", op, (V(2, 3),)),
            Case("attribute", op, (V(2, 3, 2),), {"axes": [0, 2], "keepdims": 0}, versions=(1, 13)),
            Case("input", op, (V(2, 3, 2), ints(-1)), versions=(18, 99)),
            Case("none", op, (V(2, 3), ints()), {"noop_with_empty_axes": 1}, versions=(18, 99)),
        )
    ),
    Case("attribute", "TopK", (V(2, 4),), {"k": 2}, versions=(1, 1), outputs=2),
    Case("input", "TopK", (V(3, 4), ints(2)), {"axis": 0}, versions=(10, 99), outputs=2),
    Case("smallest", "TopK", (V(2, 3, 2), ints(2)), {"axis": 1, "largest": 0}, versions=(11, 99), outputs=2),
    Case("all in order", "TopK", (V(4), ints(4)), versions=(11, 99), outputs=2),
    Case("rows", "GatherElements", (V(3, 2), np.array([[2, 0], [-1, 1]]))),
    Case("columns", "GatherElements", (V(2, 3), np.array([[2, 0, 0, 1], [-1, 1, 2, 2]])), {"axis": 1}),
    Case("changing index", "GatherElements", (V(2, 4), index(4, 2, 3)), {"axis": 1}),
    Case("from a constant", "GatherElements", (C(3, 2), index(3, 2, 2))),
    Case("elements", "GatherND", (V(2, 3), np.array([[0, 2], [-1, 0]]))),
    Case("slices", "GatherND", (V(2, 3, 2), np.array([[[1]], [[0]]]))),
    Case("batches", "GatherND", (V(2, 3, 2), np.array([[2], [0]])), {"batch_dims": 1}, versions=(12, 99)),
    Case("changing index", "GatherND", (V(3, 2), index(2, 4, 2)), versions=(12, 99)),
    *(
        case
        for op in ("Scatter", "ScatterElements")
        for case in (
            Case("rows", op, (V(3, 2), np.array([[2, 0], [0, 1]]), C(2, 2))),
            Case("columns", op, (C(2, 3), np.array([[2, 0], [-1, 1]]), V(2, 2)), {"axis": 1}),
        )
    ),
    Case("both", "ScatterElements", (V(4), ints(1, 3), V(2))),
    *(
        case
        for reduction, first in (("add", 16), ("max", 18), ("min", 18))
        for case in (
            Case(
                reduction,
                "ScatterElements",
                (V(3), ints(1, 1, 0, 1), V(4)),
                {"reduction": reduction},
                versions=(first, 99),
            ),
            Case(
                f"{reduction} constants",
                "ScatterND",
                (V(3, 2), ints(1, 1).reshape(2, 1), C(2, 2)),
                {"reduction": reduction},
                versions=(first, 99),
            ),
        )
    ),
    Case("elements", "ScatterND", (V(2, 3), np.array([[0, 2], [1, 0]]), V(2))),
    Case("slices", "ScatterND", (C(3, 2), np.array([[2], [0]]), V(2, 2))),
    Case("linear", "TensorScatter", (C(2, 4, 3), V(2, 2, 3), ints(1, 2))),
    Case("from the front", "TensorScatter", (V(1, 4, 3), C(1, 2, 3))),
    Case("circular", "TensorScatter", (V(2, 3, 4, 1), V(2, 3, 2, 1), ints(3, 2)), {"mode": "circular"}),
    Case(
        "plain",
        "MaxUnpool",
        (V(1, 1, 2, 2), np.array([[[[5, 7], [8, 15]]]])),
        {"kernel_shape": [2, 2], "strides": [2, 2]},
    ),
    Case(
        "output shape",
        "MaxUnpool",
        (V(1, 1, 2, 2), np.array([[[[5, 7], [13, 15]]]]), ints(1, 1, 4, 4)),
        {"kernel_shape": [2, 2], "strides": [2, 2]},
    ),
    Case("changing index", "OneHot", (index(3, 4), ints(3), floats(0.5, 2.0))),
    Case("first axis", "OneHot", (index(3, 2), ints(2), floats(-1.0, 2.0)), {"axis": 0}),
    Case("changing values", "OneHot", (ints(1, -1, 7), ints(4), V(2)), {"axis": 1}, versions=(11, 99)),
    Case("both change", "OneHot", (index(3, 2), ints(3), V(2))),
    Case("continuous index", "OneHot", (V(4), one(5), floats(0.0, 1.0))),
    *(Case(f"upper {upper}", "Trilu", (V(2, 3, 4),), {"upper": upper}) for upper in (0, 1)),
    *(Case(f"diagonal {k}", "Trilu", (V(3, 4), np.array(k, np.int64))) for k in (-1, 2)),
    Case("changing rows", "ScatterElements", (V(3, 2), index(3, 1, 2), V(1, 2))),
    Case(
        "changing sums", "ScatterElements", (V(4), index(4, 3), V(3)), {"reduction": "add"}, versions=(16, 99)
    ),
    Case("changing places of constants", "ScatterElements", (C(3, 2), index(3, 1, 2), C(1, 2)), {"axis": 0}),
    Case("changing slices", "ScatterND", (V(4, 2), index(4, 1, 1), V(1, 2))),
    Case("changing places", "MaxUnpool", (V(1, 1, 1), index(4, 1, 1, 1)), {"kernel_shape": [4]}),
    Case("places of constants", "MaxUnpool", (C(1, 1, 1), index(4, 1, 1, 1)), {"kernel_shape": [4]}),
    Case("flat", "Compress", (V(2, 3), np.array([False, True, True, False, True]))),
    Case("axis", "Compress", (V(2, 3), np.array([False, True, True])), {"axis": 1}),
    Case("rows", "ReverseSequence", (V(4, 3), ints(1, 4, 3))),
    Case("columns", "ReverseSequence", (V(2, 4, 2), ints(3, 2)), {"batch_axis": 0, "time_axis": 1}),
    Case("both ways", "CenterCropPad", (V(5, 2, 4), ints(2, 5, 4))),
    Case("axes", "CenterCropPad", (V(2, 4, 3), ints(4, 1)), {"axes": [-1, 1]}),
    Case("plain", "Col2Im", (V(1, 8, 6), ints(3, 4), ints(2, 2))),
    Case(
        "strides and pads",
        "Col2Im",
        (V(2, 6, 12), ints(4, 5), ints(2, 3)),
        {"strides": [2, 1], "pads": [1, 0, 1, 1], "dilations": [1, 1]},
    ),
    Case("dilations", "Col2Im", (V(1, 4, 4), ints(4, 4), ints(2, 2)), {"dilations": [2, 2]}),
]

SMOOTH = [
    Case(
        "products",
        "ScatterElements",
        (level(3), ints(1, 1), level(2)),
        {"reduction": "mul"},
        versions=(16, 99),
    )
]
