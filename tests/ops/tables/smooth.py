"""Functions that are not piecewise linear are exact where their input is constant on pieces."""

import numpy as np

from ..making import C, Case, P, V, ints, large, level, one, small

PLAIN = (
    *("Asinh", "Atan", "Celu", "Cos", "Cosh", "Elu", "Erf", "Exp", "Gelu"),
    *("HardSwish", "Log", "Mish", "Reciprocal", "Selu", "Sigmoid", "Sin", "Sinh", "Softplus", "Softsign"),
    *("Sqrt", "Swish", "Tan", "Tanh"),
)

CASES = [
    Case("to the first", "Pow", (V(2, 3), one(1.0))),
    Case("constant gate", "SwiGLU", (C(2, 3), V(2, 3))),
    *(
        case
        for op in ("NegativeLogLikelihoodLoss",)
        for case in (
            Case("mean", op, (V(3, 4), ints(1, 3, 0))),
            Case(
                "weights",
                op,
                (V(2, 3, 4), np.array([[0, 2, 1, 1], [2, 2, 0, 1]]), P(3)),
                {"reduction": "sum"},
            ),
            Case("ignored", op, (V(3, 4), ints(1, -5, 0)), {"ignore_index": -5, "reduction": "none"}),
            Case("weighted mean", op, (V(3, 4), ints(1, 3, 3), P(4)), {"ignore_index": 1}),
        )
    ),
]

SMOOTH = [
    *(Case("of levels", op, (level(2, 3),)) for op in PLAIN),
    *(Case("of levels", op, (small(2, 3),)) for op in ("Acos", "Asin", "Atanh")),
    Case("of levels", "Acosh", (large(2, 3),)),
    Case("scaled", "Elu", (level(2, 3),), {"alpha": 0.3}),
    Case("scaled", "Celu", (level(2, 3),), {"alpha": 0.3}),
    Case("scaled", "Selu", (level(2, 3),), {"alpha": 0.3, "gamma": 2.0}),
    Case("scaled", "Swish", (level(2, 3),), {"alpha": 0.3}),
    Case("tanh", "Gelu", (level(2, 3),), {"approximate": "tanh"}),
    Case("both", "SwiGLU", (level(2, 3), level(2, 3)), {"alpha": 0.7}),
    Case("squares", "Pow", (level(2, 3), one(2.0))),
    Case("of a constant", "Pow", (P(2, 3), level(3))),
    *(
        case
        for op in ("Softmax", "LogSoftmax")
        for case in (
            Case("default", op, (level(2, 3, 2),)),
            Case("axis 2", op, (level(2, 2, 3),), {"axis": 2}),
            Case("axis -2", op, (level(2, 2, 3),), {"axis": -2}, versions=(11, 99)),
        )
    ),
    Case("by a level", "Div", (C(2, 3), level(2, 3))),
    *(
        case
        for op in ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd", "ReduceSumSquare")
        for case in (
            Case("all", op, (level(2, 3),)),
            Case("attribute", op, (level(2, 3, 2),), {"axes": [0, 2], "keepdims": 0}, versions=(1, 13)),
            Case("input", op, (level(2, 3, 2), ints(-1)), versions=(18, 99)),
        )
    ),
    Case("reverse", "CumProd", (level(2, 3), np.array(1, np.int32)), {"reverse": 1, "exclusive": 1}),
    Case("matrix", "Det", (level(2, 3, 3),)),
    Case("mean", "SoftmaxCrossEntropyLoss", (level(3, 4), ints(1, 3, 0))),
    Case(
        "log-probabilities",
        "SoftmaxCrossEntropyLoss",
        (level(2, 3, 2), np.array([[0, 2], [1, -1]]), P(3)),
        {"ignore_index": -1},
        outputs=2,
    ),
]
