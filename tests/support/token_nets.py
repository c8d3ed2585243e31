"""Small vision transformers written as exporters write them."""

import numpy as np

from support import nets


def split_heads(net, x, tokens, heads, size):
    return net.add("Transpose", net.add("Reshape", x, net.ints(1, tokens, heads, size)), perm=[0, 2, 1, 3])


def attention(net, x, tokens, width, heads, packed):
    """Queries, keys and values in one product or in three, a Softmax, and the way back to the width."""
    if packed:
        row = net.add(
            "Add", net.add("MatMul", x, net.normal(width, 3 * width, scale=0.5)), net.normal(3 * width)
        )
        parts = [
            net.add("Slice", row, net.ints(i * width), net.ints((i + 1) * width), net.ints(2))
            for i in range(3)
        ]
    else:
        parts = [
            net.add("Add", net.add("MatMul", x, net.normal(width, width, scale=0.5)), net.normal(width))
            for _ in range(3)
        ]
    q, k, v = (split_heads(net, part, tokens, heads, width // heads) for part in parts)
    scores = net.add("Mul", net.add("MatMul", q, net.add("Transpose", k, perm=[0, 1, 3, 2])), net.const(0.5))
    mixed = net.add("MatMul", net.add("Softmax", scores, axis=-1, out=net.name("weights")), v)
    mixed = net.add("Reshape", net.add("Transpose", mixed, perm=[0, 2, 1, 3]), net.ints(1, tokens, width))
    return net.add("MatMul", mixed, net.normal(width, width, scale=0.5))


def norm(net, x, width, out=None):
    return net.add("LayerNormalization", x, net.normal(width, shift=1, scale=0.2), net.normal(width), out=out)


def vit(
    seed=0, space=(8, 12), patch=4, width=6, heads=2, blocks=2, *, lead=1, packed=True, fused=False, opset=17
):
    """Patches, class tokens in front, blocks, and scores of the first token, or of the mean token where there
    is no class token.
    """
    net = nets.Net(seed, (1, 1, *space), opset=23 if fused else opset)
    grid = tuple(n // patch for n in space)
    tokens = int(np.prod(grid)) + lead
    x = net.add(
        "Conv", "x", net.normal(width, 1, patch, patch, scale=0.3), strides=[patch, patch], out="patches"
    )
    x = net.add("Transpose", net.add("Reshape", x, net.ints(1, width, -1)), perm=[0, 2, 1])
    if lead:
        x = net.add("Concat", net.normal(1, lead, width), x, axis=1)
    x = net.add("Add", x, net.normal(1, tokens, width), out="tokens")
    for block in range(blocks):
        seen = norm(net, x, width, f"seen_{block}")
        if fused:
            parts = [net.add("MatMul", seen, net.normal(width, width, scale=0.5)) for _ in range(3)]
            mixed = net.add("Attention", *parts, q_num_heads=heads, kv_num_heads=heads)
        else:
            mixed = attention(net, seen, tokens, width, heads, packed)
        x = net.add("Add", x, mixed, out=f"mixed_{block}")
        hidden = net.add("Sigmoid", net.add("MatMul", norm(net, x, width), net.normal(width, 2 * width)))
        x = net.add("Add", x, net.add("MatMul", hidden, net.normal(2 * width, width)), out=f"block_{block}")
    x = norm(net, x, width, "last")
    x = (
        net.add("Gather", x, net.const(np.array(0)), axis=1)
        if lead
        else net.add("ReduceMean", x, axes=[1], keepdims=0)
    )
    return net.finish(net.add("Gemm", x, net.normal(3, width), net.normal(3), transB=1, out="scores"))
