"""Layers over sequences of steps: RotaryEmbedding, CausalConvWithState, LinearAttention."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from onnx_si.kernels.arrays import double, malformed, shape_of
from onnx_si.ops.attention import heads, joined
from onnx_si.ops.convolution import conv
from onnx_si.ops.elementwise import computed, jointly_linear, opaque
from onnx_si.rules.composing import compose
from onnx_si.rules.registry import Context, Input, Variable, constant, handles, optional
from onnx_si.rules.rules import Affine, Array, Composition, Rule


def _rotated(x: Array, cos: Array, sin: Array, minus_sin: Array, interleaved: bool) -> Array:
    """Pairs of x (batch, images, heads, steps, size) turned by angles (batch, images, 1, steps, half)."""
    half = cos.shape[-1]
    turned, rest = x[..., : 2 * half], x[..., 2 * half :]
    a, b = (turned[..., 0::2], turned[..., 1::2]) if interleaved else (turned[..., :half], turned[..., half:])
    real, imaginary = a * cos + b * minus_sin, a * sin + b * cos
    if interleaved:
        pairs = np.stack([real, imaginary], axis=-1).reshape(*real.shape[:-1], 2 * half)
    else:
        pairs = np.concatenate([real, imaginary], axis=-1)
    return np.concatenate([pairs, np.broadcast_to(rest, (*pairs.shape[:-1], rest.shape[-1]))], axis=-1)


@handles("RotaryEmbedding", since=(23,))
def rotary_embedding(
    x: Input,
    cos_cache: Input,
    sin_cache: Input,
    position_ids: Input = None,
    *,
    interleaved: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> Rule:
    """Linear in the embeddings where the angles are constant."""
    shape = shape_of(x)
    if len(shape) not in (3, 4):
        raise malformed(f"an embedding of shape {shape}")
    positions = optional(position_ids, "position_ids")
    size = shape[-1] if len(shape) == 4 else shape[-1] // max(num_heads, 1)
    half = (rotary_embedding_dim or size) // 2
    angles = partial(_angles, positions=positions, half=half)
    turn = partial(_turned, heads_of=num_heads, interleaved=bool(interleaved), ndim=len(shape))
    if (
        isinstance(x, Variable)
        and not isinstance(cos_cache, Variable)
        and not isinstance(sin_cache, Variable)
    ):
        cos, sin = (angles(double(constant(c, "a cache"))[None]) for c in (cos_cache, sin_cache))
        return Affine(linear=turn, weights=(cos, sin, -sin), terms=2)
    by_caches = partial(_turned_by_caches, turn=turn, angles=angles)
    return computed(by_caches, x, cos_cache, sin_cache, kind="bilinear")


def _angles(cache: Array, positions: NDArray[np.generic] | None, half: int) -> Array:
    """The rows of a cache for each step."""
    rows = cache if positions is None else cache[:, positions.astype(np.intp)]
    if rows.shape[-1] != half or rows.ndim != 4:
        raise malformed(f"a cache of shape {cache.shape[1:]} for {half} angles")
    return rows[:, :, None]


def _turned(
    x: Array, cos: Array, sin: Array, minus_sin: Array, heads_of: int, interleaved: bool, ndim: int
) -> Array:
    return joined(_rotated(heads(x, heads_of), cos, sin, minus_sin, interleaved), ndim)


def _turned_by_caches(
    x: Array, cos: Array, sin: Array, turn: Callable[..., Array], angles: Callable[[Array], Array]
) -> Array:
    return turn(x, angles(cos), angles(sin), -angles(sin))


@handles("CausalConvWithState", since=(27,))
def causal_conv(
    x: Input,
    weight: Input,
    bias: Input = None,
    past: Input = None,
    *,
    context: Context,
    activation: str = "none",
) -> Rule | Composition:
    """A convolution of each channel over past and present steps; the second output is the new past."""
    shape, kernel = shape_of(x), double(constant(weight, "weight"))
    if len(shape) != 3 or kernel.ndim != 3 or activation not in ("none", "silu", "swish"):
        raise malformed(f"activation '{activation}', weight {kernel.shape} on a tensor of shape {shape}")
    before = kernel.shape[2] - 1
    given = np.zeros((*shape[:2], before)) if past is None else past

    def join(x: Array, past: Array) -> Array:
        batch = max(len(past), len(x))
        return np.concatenate([np.broadcast_to(v, (batch, *v.shape[1:])) for v in (past, x)], axis=3)

    if context.output == 1:
        return jointly_linear(lambda x, past: join(x, past)[..., shape[2] :], x, given)
    changing = sum(isinstance(value, Variable) for value in (x, given))
    padded = Variable((*shape[:2], before + shape[2]))
    parts = [
        (jointly_linear(join, x, given), tuple(range(changing))),
        (conv(padded, kernel, bias, group=shape[1]), (changing,)),
    ]
    silu = (opaque(lambda x: x * special.expit(x)), (changing + 1,))
    return compose(changing, *parts, *([] if activation == "none" else [silu]))


@handles("LinearAttention", since=(27,))
def linear_attention(
    query: Input,
    key: Input,
    value: Input,
    past_state: Input = None,
    decay: Input = None,
    beta: Input = None,
    *,
    context: Context,
    kv_num_heads: int,
    q_num_heads: int,
    chunk_size: int = 64,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> Rule:
    """A state per head that keys write to and queries read, step by step; the second output is the state."""
    gated, corrected = "gated" in update_rule, "delta" in update_rule
    if gated != (decay is not None) or corrected != (beta is not None):
        raise malformed(f"update_rule '{update_rule}' with decay and beta as they are given")
    if min(q_num_heads, kv_num_heads) < 1 or q_num_heads % kv_num_heads:
        raise malformed(f"{q_num_heads} heads of queries on {kv_num_heads} heads of keys")

    def evaluate(
        query: Array,
        key: Array,
        value: Array,
        state: Array | None,
        decay: Array | None,
        beta: Array | None,
    ) -> Array:
        q, k, v = heads(query, q_num_heads), heads(key, kv_num_heads), heads(value, kv_num_heads)
        fade = None if decay is None else heads(decay, kv_num_heads)
        rate = None if beta is None else heads(beta, beta.shape[-1])
        if state is None:
            state = np.zeros((1, *k.shape[1:3], k.shape[-1], v.shape[-1]))
        read = []
        for t in range(q.shape[3]):
            k_t, v_t = k[..., t, :], v[..., t, :]
            if fade is not None:
                state = state * np.exp(fade[..., t, :])[..., None]
            if rate is not None:
                v_t = rate[..., t, :] * (v_t - np.einsum("...dm,...d->...m", state, k_t))
            state = state + k_t[..., :, None] * v_t[..., None, :]
            seen = np.repeat(state, q_num_heads // kv_num_heads, axis=2)
            read.append(np.einsum("...d,...dm->...m", q[..., t, :], seen))
        factor = scale or 1 / np.sqrt(q.shape[-1])
        return state if context.output == 1 else joined(factor * np.stack(read, axis=3), 3)

    return computed(evaluate, query, key, value, past_state, decay, beta)
