"""Quantisation: step functions, and products of steps with a scale."""

import numpy as np
from onnx import TensorProto

from ..making import Case, P, V, byte, floats, level, one


def u8(*values):
    return np.array(values, dtype=np.uint8)


def i8(*values):
    return np.array(values, dtype=np.int8)


ZERO, SIGNED = np.array(5, np.uint8), np.array(-3, np.int8)
WEIGHT = np.array([[7, -20, 3], [1, 5, -9]], dtype=np.int8)
KERNEL = np.arange(-6, 12, dtype=np.int8).reshape(2, 1, 3, 3)

CASES = [
    Case("unsigned", "QuantizeLinear", (V(2, 3), one(0.3), ZERO)),
    Case("no zero point", "QuantizeLinear", (V(2, 3), one(0.3))),
    Case("signed", "QuantizeLinear", (V(2, 3), one(0.07), SIGNED)),
    Case("per axis", "QuantizeLinear", (V(2, 3), P(3), u8(3, 9, 200)), {"axis": 1}, versions=(13, 99)),
    Case(
        "blocks",
        "QuantizeLinear",
        (V(2, 4), P(2, 2), i8(1, 2, 3, 4).reshape(2, 2)),
        {"axis": 1, "block_size": 2},
        versions=(21, 99),
    ),
    Case(
        "16 bits",
        "QuantizeLinear",
        (V(2, 3), one(0.01)),
        {"output_dtype": TensorProto.INT16},
        versions=(21, 99),
    ),
    Case("of steps", "QuantizeLinear", (level(2, 3), one(0.3), ZERO)),
    Case(
        "8-bit floats",
        "QuantizeLinear",
        (V(2, 3), one(0.25)),
        {"output_dtype": TensorProto.FLOAT8E4M3FN},
        versions=(21, 99),
    ),
    Case("unsigned", "DequantizeLinear", (byte(2, 3), one(0.3), ZERO)),
    Case("no zero point", "DequantizeLinear", (byte(2, 3), one(0.3))),
    Case("per axis", "DequantizeLinear", (byte(3, 2), P(3), u8(3, 9, 20)), {"axis": 0}, versions=(13, 99)),
    Case("changing scale", "DequantizeLinear", (byte(2, 3), V(), ZERO)),
    Case("scale alone", "DequantizeLinear", (u8(1, 7, 30), V(), ZERO)),
    Case("bytes", "DynamicQuantizeLinear", (V(2, 3),), outputs=3),
    Case("steps", "DynamicQuantizeLinear", (level(4),), outputs=3),
    Case("left", "MatMulInteger", (byte(2, 3), WEIGHT.T.copy())),
    Case("zero points", "MatMulInteger", (byte(2, 3), WEIGHT.T.copy(), ZERO, i8(1, -2))),
    Case("both", "MatMulInteger", (byte(2, 3), byte(3, 2), ZERO, np.array(9, np.uint8))),
    Case(
        "left",
        "QLinearMatMul",
        (byte(2, 3), one(0.1), ZERO, WEIGHT.T.copy(), one(0.2), SIGNED, one(0.4), ZERO),
    ),
    Case("both", "QLinearMatMul", (byte(2, 3), one(0.1), ZERO, byte(3, 2), one(0.2), ZERO, one(2.4), ZERO)),
    Case("plain", "ConvInteger", (byte(1, 1, 4, 4), KERNEL)),
    Case("zero point", "ConvInteger", (byte(1, 1, 3, 3), KERNEL, ZERO), {"pads": [1, 1, 1, 1]}),
    Case(
        "plain",
        "QLinearConv",
        (byte(1, 1, 4, 4), one(0.1), ZERO, KERNEL, one(0.2), np.array(0, np.int8), one(0.9), ZERO),
        {"pads": [1, 0, 0, 1]},
    ),
    Case(
        "per channel",
        "QLinearConv",
        (
            *(byte(1, 1, 4, 4), one(0.1), ZERO, KERNEL, floats(0.2, 0.05), np.zeros(2, np.int8)),
            *(one(0.9), ZERO, np.array([3, -50], np.int32)),
        ),
        {"strides": [1, 2]},
    ),
]

SMOOTH = [
    Case("changing scale", "QuantizeLinear", (level(2, 3), level(), ZERO)),
    Case(
        "changing scale",
        "QLinearMatMul",
        (byte(2, 3), level(), ZERO, WEIGHT.T.copy(), one(0.2), SIGNED, one(0.4), ZERO),
    ),
]
