"""Elementwise arithmetic, activations, comparisons."""

import numpy as np

from ..making import TRUTHS, C, Case, P, V, gate, index, ints, one, truth

ELEMENTWISE = [
    Case("constant", "Add", (V(2, 3), C(3))),
    Case("constant first", "Add", (C(4, 1, 3), V(2, 3))),
    Case("two", "Add", (V(2, 1, 3), V(4, 1))),
    Case("constant", "Sub", (V(2, 3), C(2, 1))),
    Case("constant first", "Sub", (C(3), V(2, 3))),
    Case("two", "Sub", (V(3), V(2, 3))),
    Case("mixed", "Sum", (V(2, 3), C(3), V(1, 3)), versions=(8, 99)),
    Case("same shapes", "Sum", (V(2, 3), V(2, 3)), versions=(6, 7)),
    Case("one", "Sum", (V(2, 3),)),
    Case("mixed", "Mean", (V(2, 3), C(3), V(1, 3)), versions=(8, 99)),
    Case("same shapes", "Mean", (V(2, 3), C(2, 3)), versions=(6, 7)),
    Case("plain", "Neg", (V(2, 3),)),
    Case("constant", "Mul", (V(2, 3), C(3))),
    Case("constant first", "Mul", (C(4, 1, 3), V(2, 3))),
    Case("gate", "Mul", (gate(2, 3), V(2, 3))),
    Case("gate broadcast", "Mul", (V(2, 3), gate(2, 1))),
    Case("two gates", "Mul", (gate(3), gate(2, 3))),
    Case("constant", "Div", (V(2, 3), P(2, 1))),
    Case("plain", "Identity", (V(2, 3),)),
    Case("ratio attribute", "Dropout", (V(2, 3),), {"ratio": 0.4}, versions=(7, 10)),
    Case("ratio input", "Dropout", (V(2, 3), one(0.4)), versions=(12, 99)),
    Case("not training", "Dropout", (V(2, 3), one(0.4), np.array(False)), {"seed": 1}, versions=(12, 99)),
    Case("mask", "Dropout", (V(2, 3),), versions=(12, 99), outputs=2),
    Case("changing condition", "Where", (truth(2, 3), V(3), V(2, 1))),
    Case("changing condition, constants", "Where", (truth(2, 3), C(3), one(0.5))),
    Case("one branch changes", "Where", (TRUTHS, V(3), C(2, 3))),
    Case("other branch changes", "Where", (TRUTHS, C(4, 1, 1), V(2, 1))),
    Case("both branches change", "Where", (TRUTHS, V(2, 3), V(4, 1, 3))),
]

ACTIVATION = [
    Case("plain", "Relu", (V(2, 3),)),
    Case("default", "LeakyRelu", (V(2, 3),)),
    Case("steep", "LeakyRelu", (V(2, 3),), {"alpha": 1.5}),
    Case("folded", "LeakyRelu", (V(2, 3),), {"alpha": -0.3}),
    Case("per channel", "PRelu", (V(1, 2, 3, 2), C(2, 1, 1))),
    Case("from the right", "PRelu", (V(1, 2, 3, 3), C(3))),
    Case("one slope", "PRelu", (V(2, 3), C(1))),
    Case("plain", "Abs", (V(2, 3),)),
    Case("default", "HardSigmoid", (V(2, 3),)),
    Case("falling", "HardSigmoid", (V(2, 3),), {"alpha": -0.7, "beta": 0.3}),
    Case("flat", "HardSigmoid", (V(2, 3),), {"alpha": 0.0, "beta": 0.3}),
    Case("attributes", "Clip", (V(2, 3),), {"min": -0.5, "max": 0.7}, versions=(6, 6)),
    Case("attribute min", "Clip", (V(2, 3),), {"min": -0.5}, versions=(6, 6)),
    Case("attribute max", "Clip", (V(2, 3),), {"max": 0.7}, versions=(6, 6)),
    Case("no attributes", "Clip", (V(2, 3),), versions=(6, 6)),
    Case("inputs", "Clip", (V(2, 3), one(-0.5), one(0.7)), versions=(11, 99)),
    Case("min", "Clip", (V(2, 3), one(-0.5)), versions=(11, 99)),
    Case("max", "Clip", (V(2, 3), None, one(0.7)), versions=(11, 99)),
    Case("no inputs", "Clip", (V(2, 3),), versions=(11, 99)),
    *(
        case
        for op in ("Max", "Min")
        for case in (
            Case("constant", op, (V(2, 3), C(3)), versions=(8, 99)),
            Case("two constants", op, (C(2, 3), V(2, 3), C(3)), versions=(8, 99)),
            Case("same shapes", op, (V(2, 3), C(2, 3), V(2, 3))),
            Case("two", op, (V(2, 3), V(2, 1)), versions=(8, 99)),
            Case("five", op, (V(2), V(2), V(2), V(2), V(2))),
            Case("grows by a constant", op, (V(3), C(2, 3)), versions=(8, 99)),
            Case("two and a constant", op, (V(2, 3), C(2, 3), V(2, 3))),
            Case("one", op, (V(2, 3),)),
        )
    ),
]

COMPARISON = [
    *(
        case
        for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
        for case in (
            Case("constant", op, (V(2, 3), one(0.2))),
            Case("zero", op, (V(2, 3), one(0.0))),
            Case("two", op, (V(2, 3), V(3))),
        )
    ),
    Case("zero", "Equal", (V(2, 3), one(0.0)), versions=(11, 99)),
    Case("truth values", "Equal", (truth(2, 3), truth(3))),
    Case("indices", "Equal", (index(3, 4), ints(1))),
    Case("plain", "Not", (truth(2, 3),)),
    *(
        case
        for op in ("And", "Or", "Xor")
        for case in (
            Case("two", op, (truth(2, 3), truth(3))),
            Case("constant", op, (truth(2, 3), TRUTHS)),
        )
    ),
]

CASES = [*ELEMENTWISE, *ACTIVATION, *COMPARISON]
