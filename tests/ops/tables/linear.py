"""Matrix products and convolutions."""

from ..making import IMAGE, C, Case, P, V, gate, one

MATRICES = [
    *(
        Case(f"{len(left)}-D by {len(right)}-D, {side} changes", "MatMul", inputs)
        for left, right in (
            ((4,), (4,)),
            ((4,), (4, 3)),
            ((4,), (2, 4, 3)),
            ((4,), (2, 1, 4, 3)),
            ((3, 4), (4,)),
            ((3, 4), (4, 2)),
            ((3, 4), (2, 4, 2)),
            ((3, 4), (2, 3, 4, 2)),
            ((2, 3, 4), (4,)),
            ((2, 3, 4), (4, 2)),
            ((2, 3, 4), (1, 4, 2)),
            ((2, 3, 4), (3, 1, 4, 2)),
            ((3, 1, 2, 4), (4,)),
            ((3, 1, 2, 4), (4, 2)),
            ((3, 1, 2, 4), (2, 4, 2)),
            ((3, 1, 2, 4), (1, 2, 4, 2)),
        )
        for side, inputs in (("left", (V(*left), C(*right))), ("right", (C(*left), V(*right))))
    ),
    Case("gates", "MatMul", (V(2, 3), gate(3, 2))),
    Case("gates first", "MatMul", (gate(2, 3), V(4, 3, 2))),
    Case("gate vector", "MatMul", (gate(3), V(4, 3, 2))),
    Case("plain", "Gemm", (V(2, 3), C(3, 4), C(4))),
    Case("scaled", "Gemm", (V(2, 3), C(3, 4), C(2, 1)), {"alpha": 0.5, "beta": -2.0}),
    Case("transposed", "Gemm", (V(3, 2), C(4, 3), C(2, 4)), {"transA": 1, "transB": 1}),
    Case("transB", "Gemm", (V(2, 3), C(4, 3), one(0.3)), {"transB": 1}),
    Case("no addend", "Gemm", (V(2, 3), C(3, 4)), versions=(11, 99)),
    Case("B changes", "Gemm", (C(2, 3), V(3, 4), C(1, 4)), {"alpha": 0.5}),
    Case("B changes, transposed", "Gemm", (C(3, 2), V(4, 3), C(4)), {"transA": 1, "transB": 1}),
    Case("gates", "Gemm", (gate(2, 3), V(4, 3), C(4)), {"transB": 1, "alpha": 2.0}),
    Case("image", "BatchNormalization", (IMAGE, C(2), C(2), C(2), P(2)), versions=(7, 99)),
    Case("epsilon", "BatchNormalization", (V(3, 2), C(2), C(2), C(2), P(2)), {"epsilon": 0.1}),
    Case("volume", "BatchNormalization", (V(1, 2, 2, 3, 2), C(2), C(2), C(2), P(2))),
]

CONVOLUTION = [
    Case("1-D", "Conv", (V(1, 2, 7), C(3, 2, 3), C(3))),
    Case("2-D", "Conv", (IMAGE, C(3, 2, 3, 3), C(3)), {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}),
    Case("3-D", "Conv", (V(1, 2, 3, 4, 3), C(2, 2, 2, 2, 2)), {"strides": [1, 2, 1]}),
    Case("no bias", "Conv", (IMAGE, C(3, 2, 1, 1))),
    Case("bias left out", "Conv", (IMAGE, C(3, 2, 2, 2), None)),
    Case("two images", "Conv", (V(2, 2, 4, 4), C(3, 2, 3, 3), C(3))),
    Case("pads on every side", "Conv", (IMAGE, C(2, 2, 3, 2)), {"pads": [0, 1, 2, 3]}),
    Case("strides", "Conv", (IMAGE, C(2, 2, 3, 2)), {"strides": [2, 3], "pads": [1, 0, 1, 0]}),
    Case("dilations", "Conv", (V(1, 2, 7, 8), C(2, 2, 3, 2)), {"dilations": [2, 3], "pads": [1, 0, 2, 0]}),
    Case("same upper", "Conv", (IMAGE, C(2, 2, 2, 4), C(2)), {"auto_pad": "SAME_UPPER"}),
    Case("same lower", "Conv", (IMAGE, C(2, 2, 2, 4), C(2)), {"auto_pad": "SAME_LOWER"}),
    Case("same strides", "Conv", (IMAGE, C(2, 2, 4, 3)), {"auto_pad": "SAME_UPPER", "strides": [2, 4]}),
    Case("valid", "Conv", (IMAGE, C(2, 2, 3, 3)), {"auto_pad": "VALID", "strides": [2, 2]}),
    Case("groups", "Conv", (V(1, 4, 4, 4), C(6, 2, 3, 3), C(6)), {"group": 2}),
    Case("depthwise", "Conv", (V(2, 3, 4, 4), C(3, 1, 3, 2), C(3)), {"group": 3, "strides": [1, 2]}),
    Case("depthwise, two each", "Conv", (V(1, 3, 4, 4), C(6, 1, 3, 2), C(6)), {"group": 3}),
    Case("1-D", "ConvTranspose", (V(1, 2, 4), C(2, 3, 3), C(3)), {"strides": [2]}),
    Case("2-D", "ConvTranspose", (V(1, 2, 3, 4), C(2, 3, 3, 3), C(3)), {"strides": [2, 1]}),
    Case("3-D", "ConvTranspose", (V(1, 2, 2, 3, 2), C(2, 1, 2, 2, 3)), {"strides": [1, 2, 1]}),
    Case("pads", "ConvTranspose", (V(1, 2, 3, 4), C(2, 3, 3, 4)), {"strides": [2, 2], "pads": [0, 1, 2, 1]}),
    Case("no kernel overlap", "ConvTranspose", (V(1, 2, 3, 2), C(2, 1, 2, 2), C(1)), {"strides": [3, 4]}),
    Case("dilations", "ConvTranspose", (V(1, 2, 3, 4), C(2, 2, 3, 2)), {"dilations": [2, 3]}),
    Case("groups", "ConvTranspose", (V(2, 4, 3, 3), C(4, 2, 2, 3), C(4)), {"group": 2, "strides": [2, 2]}),
    Case("depthwise", "ConvTranspose", (V(1, 3, 3, 3), C(3, 1, 2, 2)), {"group": 3, "strides": [2, 2]}),
    Case(
        "output padding",
        "ConvTranspose",
        (V(1, 2, 3, 3), C(2, 2, 3, 3), C(2)),
        {"strides": [2, 3], "pads": [1, 1, 1, 1], "output_padding": [1, 2]},
    ),
    Case(
        "output shape",
        "ConvTranspose",
        (V(1, 2, 3, 3), C(2, 2, 3, 3)),
        {"strides": [2, 3], "output_shape": [6, 7]},
        versions=(11, 99),
    ),
    Case(
        "output shape, upper",
        "ConvTranspose",
        (V(1, 2, 3, 3), C(2, 2, 3, 3)),
        {"strides": [2, 3], "output_shape": [6, 7], "auto_pad": "SAME_UPPER"},
        versions=(11, 99),
    ),
    Case(
        "one more than there is",
        "ConvTranspose",
        (V(1, 2, 3, 3), C(2, 2, 3, 3), C(2)),
        {"strides": [3, 2], "output_shape": [10, 8]},
        versions=(11, 99),
    ),
    *(
        Case(
            f"{auto_pad}, {parity}",
            "ConvTranspose",
            (V(1, 2, 3, 4), C(2, 2, k, k)),
            {"auto_pad": auto_pad, "strides": [2, 2]},
            versions=(1 if parity == "even" or auto_pad == "VALID" else 11, 99),
        )
        for auto_pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
        for parity, k in (("even", 4), ("odd", 3))
    ),
]

CASES = [*MATRICES, *CONVOLUTION]
