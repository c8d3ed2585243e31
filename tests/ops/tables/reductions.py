"""Pooling and reductions."""

from ..making import IMAGE, Case, V, ints

POOLING = [
    *(
        case
        for op in ("MaxPool", "AveragePool")
        for case in (
            Case("1-D", op, (V(1, 2, 7),), {"kernel_shape": [3]}),
            Case("2-D", op, (IMAGE,), {"kernel_shape": [2, 3], "strides": [2, 1]}),
            Case("3-D", op, (V(1, 1, 3, 4, 3),), {"kernel_shape": [2, 2, 2]}),
            Case("pads", op, (IMAGE,), {"kernel_shape": [3, 3], "pads": [0, 1, 2, 1]}),
            Case(
                "same upper",
                op,
                (IMAGE,),
                {"kernel_shape": [2, 3], "strides": [2, 4], "auto_pad": "SAME_UPPER"},
            ),
            Case("same lower", op, (IMAGE,), {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"}),
            Case("valid", op, (IMAGE,), {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "VALID"}),
            Case(
                "ceil",
                op,
                (IMAGE,),
                {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1},
                versions=(10, 99),
            ),
            Case(
                "ceil and pads",
                op,
                (V(1, 2, 5, 5),),
                {"kernel_shape": [3, 2], "strides": [3, 2], "ceil_mode": 1, "pads": [1, 0, 1, 1]},
                versions=(10, 99),
            ),
            Case(
                "ceil, last window dropped",
                op,
                (V(1, 1, 4, 4),),
                {"kernel_shape": [2, 3], "strides": [3, 4], "ceil_mode": 1, "pads": [1, 1, 1, 2]},
                versions=(10, 99),
            ),
            Case(
                "ceil, valid",
                op,
                (V(1, 1, 6, 4),),
                {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "auto_pad": "VALID"},
                versions=(10, 99),
            ),
            Case(
                "dilations",
                op,
                (V(1, 1, 6, 7),),
                {"kernel_shape": [2, 3], "dilations": [3, 2], "pads": [1, 0, 0, 1]},
                versions=(10 if op == "MaxPool" else 19, 99),
            ),
        )
    ),
    Case(
        "pads counted",
        "AveragePool",
        (IMAGE,),
        {"kernel_shape": [3, 3], "pads": [0, 1, 2, 1], "count_include_pad": 1},
    ),
    Case(
        "same, pads counted",
        "AveragePool",
        (IMAGE,),
        {"kernel_shape": [2, 3], "auto_pad": "SAME_UPPER", "count_include_pad": 1},
    ),
    Case(
        "ceil, pads counted",
        "AveragePool",
        (V(1, 2, 5, 5),),
        {
            "kernel_shape": [3, 2],
            "strides": [3, 2],
            "ceil_mode": 1,
            "pads": [1, 0, 1, 1],
            "count_include_pad": 1,
        },
        versions=(19, 99),
    ),
    Case("1-D", "LpPool", (V(1, 2, 7),), {"kernel_shape": [3], "p": 1}),
    Case(
        "2-D", "LpPool", (IMAGE,), {"kernel_shape": [2, 3], "p": 1, "pads": [0, 1, 1, 1], "strides": [2, 1]}
    ),
    *(
        Case(f"{len(shape) - 2}-D", op, (V(*shape),))
        for op in ("GlobalAveragePool", "GlobalMaxPool")
        for shape in ((2, 2, 4), (1, 2, 3, 4), (1, 2, 2, 3, 2))
    ),
    Case("2-D", "GlobalLpPool", (V(1, 2, 3, 4),), {"p": 1}),
]

REDUCTION = [
    *(
        case
        for op, by_input in (("ReduceSum", 13), ("ReduceMean", 18), ("ReduceMax", 18), ("ReduceMin", 18))
        for case in (
            Case("all", op, (V(2, 3),)),
            Case("attribute", op, (V(2, 3, 4),), {"axes": [0, 2]}, versions=(1, by_input - 1)),
            Case(
                "attribute, axes dropped",
                op,
                (V(2, 3, 4),),
                {"axes": [1], "keepdims": 0},
                versions=(1, by_input - 1),
            ),
            Case("negative axis", op, (V(2, 3, 4),), {"axes": [-1]}, versions=(11, by_input - 1)),
            Case("input", op, (V(2, 3, 4), ints(0, -1)), versions=(by_input, 99)),
            Case("input, axes dropped", op, (V(2, 3, 4), ints(1)), {"keepdims": 0}, versions=(by_input, 99)),
            Case(
                "nothing named", op, (V(2, 3), ints()), {"noop_with_empty_axes": 1}, versions=(by_input, 99)
            ),
            Case("empty means all", op, (V(2, 3), ints()), {"keepdims": 0}, versions=(by_input, 99)),
        )
    ),
    *(
        case
        for op in ("ArgMax", "ArgMin")
        for case in (
            Case("first axis", op, (V(4, 3),)),
            Case("axis dropped", op, (V(2, 4, 2),), {"axis": 1, "keepdims": 0}),
            Case("last axis", op, (V(2, 5),), {"axis": -1}, versions=(11, 99)),
        )
    ),
]

CASES = [*POOLING, *REDUCTION]
