"""Roundings, functions with a jump and a slope, casts, bits."""

import numpy as np
from onnx import TensorProto

from ..making import Case, P, V, byte, floats, index, ints, level, one, truth

CASES = [
    *(Case("plain", op, (V(2, 3),)) for op in ("Floor", "Ceil", "Round", "Sign", "IsNaN", "IsInf")),
    Case("positive only", "IsInf", (V(2, 3),), {"detect_negative": 0}),
    Case("whole numbers", "Floor", (level(2, 3),)),
    Case("cut", "Mod", (V(2, 3), floats(1.5, 0.7, 2.0)), {"fmod": 1}),
    Case("cut, negative", "Mod", (V(2, 3), one(-1.25)), {"fmod": 1}),
    Case("divisor grows", "Mod", (V(3), P(2, 1)), {"fmod": 1}),
    Case("floor", "Mod", (V(2, 3), floats(1.5, -0.7, 2.0)), versions=(28, 99)),
    Case("default", "ThresholdedRelu", (V(2, 3),)),
    Case("negative", "ThresholdedRelu", (V(2, 3),), {"alpha": -0.7}),
    Case("default", "Shrink", (V(2, 3),)),
    Case("soft", "Shrink", (V(2, 3),), {"bias": 0.8, "lambd": 0.8}),
    Case("jumps", "Shrink", (V(2, 3),), {"bias": -0.4, "lambd": 0.3}),
    Case("integers", "Div", (index(5, 3), ints(2))),
    Case("to int32", "Cast", (V(2, 3),), {"to": TensorProto.INT32}),
    Case("to int64", "Cast", (V(2, 3),), {"to": TensorProto.INT64}),
    Case("byte to int32", "Cast", (byte(2, 3),), {"to": TensorProto.INT32}),
    Case("byte to signed", "Cast", (byte(2, 3),), {"to": TensorProto.INT8}),
    Case("to 8 bits", "Cast", (V(2, 3),), {"to": TensorProto.FLOAT8E4M3FN}, versions=(19, 99)),
    Case("to a constant's type", "CastLike", (V(2, 3), ints(1))),
    Case("to a changing type", "CastLike", (V(2, 3), truth(2))),
    Case("to a float", "CastLike", (index(3, 2), one(1))),
    Case("left", "BitShift", (byte(2, 3), np.array([1, 0, 3], np.uint8)), {"direction": "LEFT"}),
    Case("right", "BitShift", (byte(2, 3), np.array(1, np.uint8)), {"direction": "RIGHT"}),
    Case("of a constant", "BitShift", (np.array(3, np.uint8), byte(2)), {"direction": "RIGHT"}),
    *(
        case
        for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")
        for case in (
            Case("bytes", op, (byte(2, 3), byte(3))),
            Case("constant", op, (byte(2, 3), np.array([1, 6, 255], np.uint8))),
        )
    ),
    Case("bytes", "BitwiseNot", (byte(2, 3),)),
    Case("signed", "BitwiseNot", (index(3, 2),)),
    Case("default", "Hardmax", (V(2, 3, 2),)),
    Case("axis 1", "Hardmax", (V(2, 4),), {"axis": 1}),
    Case("axis -2", "Hardmax", (V(2, 3, 2),), {"axis": -2}, versions=(11, 99)),
    *(
        Case("last index", op, (V(4, 3),), {"select_last_index": 1}, versions=(12, 99))
        for op in ("ArgMax", "ArgMin")
    ),
    Case("indices", "MaxPool", (V(1, 2, 4, 5),), {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}, (8, 99), 2),
    Case(
        "indices by columns",
        "MaxPool",
        (V(2, 1, 4, 3),),
        {"kernel_shape": [2, 2], "storage_order": 1},
        (8, 99),
        2,
    ),
]

SMOOTH = [
    Case("level", "BitCast", (level(2, 3),), {"to": TensorProto.INT32}),
    *(
        Case(
            f"runs {mode}",
            "TfIdfVectorizer",
            (index(3, *shape),),
            {
                "max_gram_length": 3,
                "min_gram_length": 1,
                "max_skip_count": 2,
                "mode": mode,
                "ngram_counts": [0, 2, 8],
                "ngram_indexes": [0, 2, 5, 4, 3, 1],
                "pool_int64s": [0, 2, 0, 1, 1, 1, 2, 0, 0, 1, 2],
                "weights": [0.5, 1.5, 2.0, 3.0, 0.25, 4.0],
            },
        )
        for mode, shape in (("TF", (2, 6)), ("IDF", (6,)), ("TFIDF", (1, 5)))
    ),
    Case("two levels", "Mod", (level(2, 3), level(3)), {"fmod": 1}),
]
