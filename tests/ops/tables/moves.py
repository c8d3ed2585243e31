"""Moves and picks of values."""

import numpy as np
from onnx import TensorProto

from ..making import IMAGE, C, Case, V, gate, index, ints, level, one, truth

MOVEMENT = [
    Case("plain", "Reshape", (V(2, 6), ints(3, 4))),
    Case("copy and infer", "Reshape", (V(2, 3, 4), ints(0, -1))),
    Case("to a number", "Reshape", (V(1, 1), np.array([], dtype=np.int64))),
    *(Case(f"axis {axis}", "Flatten", (V(2, 3, 4),), {"axis": axis}) for axis in (0, 1, 3)),
    Case("axis -1", "Flatten", (V(2, 3, 4),), {"axis": -1}, versions=(11, 99)),
    Case("all", "Squeeze", (V(1, 3, 1),)),
    Case("attribute", "Squeeze", (V(1, 3, 1),), {"axes": [2]}, versions=(1, 11)),
    Case("input", "Squeeze", (V(1, 3, 1), ints(-1)), versions=(13, 99)),
    Case("attribute", "Unsqueeze", (V(2, 3),), {"axes": [0, 3]}, versions=(1, 11)),
    Case("input", "Unsqueeze", (V(2, 3), ints(-1, 1)), versions=(13, 99)),
    Case("reversed", "Transpose", (V(2, 3, 4),)),
    Case("to channels last", "Transpose", (IMAGE,), {"perm": [0, 2, 3, 1]}),
    Case("two", "Concat", (V(2, 3), V(2, 2)), {"axis": 1}),
    Case("constants", "Concat", (C(1, 3), V(2, 3), C(2, 3)), {"axis": 0}),
    Case("negative axis", "Concat", (V(2, 3, 1), C(2, 3, 2)), {"axis": -1}, versions=(11, 99)),
    Case("one", "Concat", (V(2, 3),), {"axis": 0}),
    Case("both ways", "Expand", (V(3, 1), ints(2, 1, 4))),
    Case("to fewer axes", "Expand", (V(2, 3), ints(1))),
    Case("plain", "Tile", (V(2, 3), ints(2, 1))),
    Case("plain", "DepthToSpace", (V(1, 8, 2, 3),), {"blocksize": 2}),
    *(
        Case(mode, "DepthToSpace", (V(2, 8, 2, 3),), {"blocksize": 2, "mode": mode}, versions=(11, 99))
        for mode in ("DCR", "CRD")
    ),
    Case("plain", "SpaceToDepth", (V(2, 2, 4, 6),), {"blocksize": 2}),
    *(
        Case(mode, "SpaceToDepth", (V(2, 2, 4, 6),), {"blocksize": 2, "mode": mode}, versions=(28, 99))
        for mode in ("DCR", "CRD")
    ),
    Case("attribute", "Pad", (V(2, 3),), {"pads": [0, 1, 2, 3], "value": 0.7}, versions=(2, 2)),
    Case("attribute, no value", "Pad", (V(2, 3),), {"pads": [0, 1, 2, 3]}, versions=(2, 2)),
    *(
        Case(f"{mode} attribute", "Pad", (V(4, 3),), {"pads": [1, 2, 3, 1], "mode": mode}, versions=(2, 2))
        for mode in ("reflect", "edge")
    ),
    Case("input", "Pad", (V(2, 3), ints(0, 1, 2, 3)), versions=(11, 99)),
    Case("value", "Pad", (V(2, 3), ints(0, 1, 2, 3), one(-0.7)), versions=(11, 99)),
    Case("crop", "Pad", (V(4, 5), ints(-1, 2, 1, -3), one(0.3)), versions=(11, 99)),
    *(
        Case(
            mode,
            "Pad",
            (V(4, 3), ints(1, 2, 3, 1)),
            {"mode": mode},
            versions=(19 if mode == "wrap" else 11, 99),
        )
        for mode in ("reflect", "edge", "wrap")
    ),
    Case("axes", "Pad", (V(2, 3, 4), ints(1, 0, 2, 3), one(0.5), ints(-1, 0)), versions=(18, 99)),
    Case(
        "reflected axes",
        "Pad",
        (V(2, 3, 4), ints(2, 1), None, ints(1)),
        {"mode": "reflect"},
        versions=(18, 99),
    ),
]

SELECTION = [
    Case("equal", "Split", (V(2, 6),), {"axis": 1}, versions=(2, 13), outputs=3),
    Case("attribute", "Split", (V(5, 2),), {"split": [2, 3]}, versions=(2, 11), outputs=2),
    Case("input", "Split", (V(5, 2), ints(1, 4)), versions=(13, 99), outputs=2),
    Case(
        "number of outputs", "Split", (V(2, 5),), {"axis": -1, "num_outputs": 2}, versions=(18, 99), outputs=2
    ),
    Case("attributes", "Slice", (V(4, 6),), {"starts": [1, -4], "ends": [3, 99]}, versions=(1, 1)),
    Case("attribute axes", "Slice", (V(4, 6),), {"starts": [2], "ends": [-1], "axes": [1]}, versions=(1, 1)),
    Case("inputs", "Slice", (V(4, 6), ints(1, -4), ints(3, 99)), versions=(10, 99)),
    Case("steps", "Slice", (V(4, 7), ints(1), ints(6), ints(1), ints(2)), versions=(10, 99)),
    Case("backwards", "Slice", (V(4, 7), ints(-2), ints(-99), ints(1), ints(-2)), versions=(10, 99)),
    Case(
        "to the first",
        "Slice",
        (
            V(
                5,
            ),
            ints(2**40),
            ints(-(2**62)),
            ints(0),
            ints(-1),
        ),
        versions=(10, 99),
    ),
    Case("scalar index", "Gather", (V(4, 3), np.array(2, dtype=np.int64))),
    Case("negative indices", "Gather", (V(4, 3), ints(-1, 0, 2)), versions=(11, 99)),
    Case("second axis", "Gather", (V(2, 4, 2), ints(3, 0, 0).reshape(1, 3)), {"axis": 1}),
    Case("changing index", "Gather", (V(4, 3), index(4, 2))),
    Case("changing scalar index", "Gather", (V(2, 4), index(4)), {"axis": 1}),
    Case("changing index, second axis", "Gather", (V(2, 4), index(4, 3)), {"axis": 1}),
    Case("from a constant", "Gather", (C(2, 4, 3), index(4, 2, 2)), {"axis": 1}),
    Case("to double", "Cast", (V(2, 3),), {"to": TensorProto.DOUBLE}),
    Case("to float", "Cast", (truth(2, 3),), {"to": TensorProto.FLOAT}),
    Case("index to float", "Cast", (index(3, 4),), {"to": TensorProto.FLOAT}),
    Case("index to int32", "Cast", (index(3, 4),), {"to": TensorProto.INT32}),
    Case("gate to int64", "Cast", (gate(2, 3),), {"to": TensorProto.INT64}),
    Case("level to int64", "Cast", (level(2, 3),), {"to": TensorProto.INT64}),
    Case("to truth", "Cast", (V(2, 3),), {"to": TensorProto.BOOL}),
    Case("index to truth", "Cast", (index(3, 4),), {"to": TensorProto.BOOL}),
]

CASES = [*MOVEMENT, *SELECTION]
