"""Normalisations, attention and recurrent layers."""

import numpy as np

from ..making import TRUTHS, C, Case, P, V, ints, level


def recurrent(op, gates, **attributes):
    """A layer of hidden size 2 on 3 steps of 2 images with 3 inputs each."""
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    w, r, b = C(directions, gates * 2, 3), C(directions, gates * 2, 2), C(directions, gates * 4)
    inputs, outputs = (level(3, 2, 3), w, r, b), 3 if op == "LSTM" else 2
    if attributes.pop("lengths", False):
        inputs += (np.array([2, 3], np.int32),)
    label = ", ".join(map(str, attributes.values())) or "default"
    label += ", lengths" if len(inputs) > 4 else ""
    return Case(label, op, inputs, {"hidden_size": 2, **attributes}, outputs=outputs)


CASES = [
    *(
        Case(
            f"heads {h}",
            "RotaryEmbedding",
            (V(1, 2, 4 * h), C(5, 2), C(5, 2), ints(3, 0).reshape(1, 2)),
            {"num_heads": h},
        )
        for h in (1, 2)
    ),
    Case("interleaved", "RotaryEmbedding", (V(1, 2, 2, 4), C(1, 2, 2), C(1, 2, 2)), {"interleaved": 1}),
    Case("partial", "RotaryEmbedding", (V(1, 1, 2, 6), C(1, 2, 2), C(1, 2, 2)), {"rotary_embedding_dim": 4}),
    Case("plain", "CausalConvWithState", (V(1, 2, 4), C(2, 1, 3), C(2)), outputs=2),
    Case("past", "CausalConvWithState", (V(1, 2, 4), C(2, 1, 3), None, V(1, 2, 2)), outputs=2),
]

SMOOTH = [
    Case("image", "InstanceNormalization", (level(2, 2, 3, 2), C(2), C(2))),
    Case("squares", "LpPool", (level(1, 2, 4, 3),), {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}),
    Case("cubes", "LpPool", (level(1, 2, 5),), {"kernel_shape": [3], "p": 3, "strides": [2]}),
    Case("squares", "GlobalLpPool", (level(1, 2, 3, 2),)),
    Case("image", "LRN", (level(1, 4, 2, 2),), {"size": 3, "alpha": 0.5, "bias": 2.0}),
    Case("five", "LRN", (level(1, 4, 2, 2),), {"size": 5, "beta": 0.5}),
    *(Case(f"p {p}", "LpNormalization", (level(2, 3),), {"p": p, "axis": 0}) for p in (1, 2)),
    Case("default", "MeanVarianceNormalization", (level(2, 3, 2, 2),)),
    Case("axes", "MeanVarianceNormalization", (level(2, 3, 2),), {"axes": [1, 2]}),
    Case("last axis", "LayerNormalization", (level(2, 3), C(3), C(3)), outputs=3),
    Case("two axes", "LayerNormalization", (level(2, 3, 2), C(3, 2)), {"axis": 1, "epsilon": 0.1}),
    Case(
        "channels", "GroupNormalization", (level(1, 4, 3), C(4), C(4)), {"num_groups": 2}, versions=(21, 99)
    ),
    Case("last axis", "RMSNormalization", (level(2, 3), C(3))),
    Case("two axes", "RMSNormalization", (level(2, 3, 2), C(3, 2)), {"axis": -2}),
    Case(
        "training",
        "BatchNormalization",
        (level(2, 2, 3), C(2), C(2), C(2), P(2)),
        {"training_mode": 1},
        (14, 99),
        3,
    ),
    Case("one head", "Attention", (level(1, 1, 2, 3), level(1, 1, 4, 3), C(1, 1, 4, 2))),
    Case("masked", "Attention", (level(1, 2, 2, 3), C(1, 2, 3, 3), level(1, 2, 3, 2), TRUTHS[:, :3])),
    Case(
        "causal heads",
        "Attention",
        (level(1, 3, 4), level(1, 3, 2), C(1, 3, 2)),
        {"q_num_heads": 4, "kv_num_heads": 2, "is_causal": 1},
    ),
    Case(
        "past",
        "Attention",
        (C(1, 1, 2, 3), level(1, 1, 2, 3), level(1, 1, 2, 2), None, C(1, 1, 1, 3), C(1, 1, 1, 2)),
        outputs=3,
    ),
    Case(
        "softcap, some keys barred",
        "Attention",
        (
            *(level(1, 2, 2, 3), level(1, 2, 3, 3), level(1, 2, 3, 2)),
            np.array([[0.5, -np.inf, -0.3], [-np.inf, -3e38, 0.2]]),
        ),
        {"softcap": 1.5, "scale": 0.7},
    ),
    Case(
        "a bias of levels behind the past",
        "Attention",
        (*(level(1, 2, 2) for _ in range(3)), level(2, 3), level(1, 1, 1, 2), level(1, 1, 1, 2)),
        {"q_num_heads": 1, "kv_num_heads": 1},
        outputs=3,
    ),
    *(
        Case(
            rule,
            "LinearAttention",
            (level(1, 3, 4), C(1, 3, 2), level(1, 3, 2), None, *more),
            {"q_num_heads": 2, "kv_num_heads": 1, "update_rule": rule},
            outputs=2,
        )
        for rule, more in (
            ("linear", ()),
            ("gated", (C(1, 3, 1),)),
            ("delta", (None, P(1, 3, 1))),
            ("gated_delta", (C(1, 3, 2), P(1, 3, 1))),
        )
    ),
    Case("silu", "CausalConvWithState", (level(1, 2, 3), C(2, 1, 2)), {"activation": "silu"}, outputs=2),
    *(
        recurrent(op, gates, **attributes)
        for op, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4))
        for attributes in (
            {},
            {"direction": "reverse", "lengths": True},
            {"direction": "bidirectional", "lengths": True},
        )
    ),
    recurrent("GRU", 3, linear_before_reset=1),
    recurrent("RNN", 1, activations=["Relu"]),
]
