"""Attention: evaluated in float64, never analysed exactly; its caches only move values."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy import special

from onnx_si.kernels.arrays import double, malformed, shape_of
from onnx_si.ops.attending import Mixing, added, biased, shares, softened
from onnx_si.ops.elementwise import computed, jointly_linear
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Context, Input, Variable, constant, handles, optional
from onnx_si.rules.rules import Array, Composition, Rule, Stage
from onnx_si.rules.traits import Combination


def heads(x: Array, count: int | None) -> Array:
    """(batch, images, steps, heads * size) as (batch, images, heads, steps, size); four axes stay."""
    if x.ndim == 5:
        return x
    if not count or x.shape[-1] % count:
        raise malformed(f"{count} heads of a tensor of shape {x.shape[1:]}")
    return x.reshape(*x.shape[:3], count, -1).swapaxes(2, 3)


def joined(y: Array, ndim: int) -> Array:
    """The way back, for an input without an axis of heads."""
    return y if ndim == 4 else y.swapaxes(2, 3).reshape(*y.shape[:2], y.shape[3], -1)


@dataclass(frozen=True, kw_only=True)
class Visible:
    """Which keys a query may see besides the mask's: causality, a window, and keys that are padding."""

    causal: bool
    left: int
    right: int
    valid: NDArray[np.intp] | None

    def allowed(self, queries: int, keys: int, past: int) -> NDArray[np.bool_]:
        """(1 or images, 1, queries, keys); the last query stands at the last valid key of an outer cache."""
        offset = np.array([past]) if self.valid is None else self.valid - queries
        at = np.arange(queries)[:, None] + offset.reshape(-1, 1, 1, 1)
        key = np.arange(keys)
        seen = np.ones((len(offset), 1, queries, keys), dtype=bool)
        if self.causal:
            seen &= key <= at
        if self.left >= 0:
            seen &= key >= at - self.left
        if self.right >= 0:
            seen &= key <= at + self.right
        return seen if self.valid is None else seen & (key < self.valid.reshape(-1, 1, 1, 1))


def _is_truth(mask: Input) -> bool:
    if isinstance(mask, Variable):
        return bool(mask.element == onnx.TensorProto.BOOL)
    return mask is not None and mask.dtype.kind == "b"


def _with_mask(mask: Array | None, truth: bool, seen: NDArray[np.bool_], ndim: int) -> Array:
    """What is added to the scores: the mask, minus infinity where a key is not to be seen."""
    barred = np.where(seen, 0.0, -np.inf)[None]
    if mask is None:
        return barred
    added = np.where(mask != 0, 0.0, -np.inf) if truth else mask
    missing = seen.shape[-1] - mask.shape[-1]  # a short mask ends before the keys that nobody sees
    added = np.pad(added, [(0, 0)] * (mask.ndim - 1) + [(0, missing)], constant_values=-np.inf)
    return added.reshape(len(added), *(1,) * (5 - added.ndim), *added.shape[1:]) + barred


@handles("Attention", since=(23, 24, 25), axes=axis_rules.attended, combines=Combination.ATTENTION)
def attention(
    q: Input,
    k: Input,
    v: Input,
    mask: Input = None,
    past_key: Input = None,
    past_value: Input = None,
    nonpad_kv_seqlen: Input = None,
    *,
    context: Context,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
) -> Rule | Composition | Array:
    """Outputs: the values mixed; keys, values with the past in front; the scores at the stage asked for."""
    ndim = len(shape_of(q))
    if ndim not in (3, 4) or not ndim == len(shape_of(k)) == len(shape_of(v)):
        raise malformed(f"attention of shapes {shape_of(q)}, {shape_of(k)} and {shape_of(v)}")
    if context.output in (1, 2):
        return _present((q, k, v, mask, past_key, past_value), context.output, kv_num_heads)
    valid = optional(nonpad_kv_seqlen, "nonpad_kv_seqlen")
    rows = None if valid is None else valid.astype(np.intp)
    sight = Visible(causal=bool(is_causal), left=left_window_size, right=right_window_size, valid=rows)
    attended = _Attended(
        sight=sight,
        truth=_is_truth(mask),
        ndim=ndim,
        heads=(q_num_heads, kv_num_heads),
        scale=scale,
        softcap=softcap,
        stage=qk_matmul_output_mode if context.output == 3 else None,
    )
    inputs = (q, k, v, mask, past_key, past_value)
    return computed(attended, *inputs, parts=_parts(inputs, attended))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Attended:
    """The values mixed, or the scores at a stage.

    `truth` says whether a mask is one of truth values, `heads` and `ndim` how many heads and axes there are.
    """

    sight: Visible
    truth: bool
    ndim: int
    heads: tuple[int | None, int | None]
    scale: float | None
    softcap: float
    stage: int | None

    def __call__(
        self,
        q: Array,
        k: Array,
        v: Array,
        mask: Array | None,
        past_key: Array | None,
        past_value: Array | None,
    ) -> Array:
        q, k, v = heads(q, self.heads[0]), heads(k, self.heads[1]), heads(v, self.heads[1])
        past = 0 if past_key is None else past_key.shape[3]
        k, v = (new if old is None else _behind(old, new) for old, new in ((past_key, k), (past_value, v)))
        repeats = q.shape[2] // k.shape[2]
        k, v = (np.repeat(x, repeats, axis=2) for x in (k, v))
        scale = 1 / np.sqrt(q.shape[-1]) if self.scale is None else self.scale
        scores = np.matmul(q, k.swapaxes(-1, -2)) * scale
        stages = [scores]
        stages.append(np.tanh(scores / self.softcap) * self.softcap if self.softcap else scores)
        bias = _with_mask(mask, self.truth, self.sight.allowed(q.shape[3], k.shape[3], past), self.ndim)
        stages.append(stages[1] + bias)
        nothing = np.isneginf(bias.max(axis=-1, keepdims=True))
        stages.append(np.where(nothing, 0.0, special.softmax(stages[2], axis=-1)))
        return joined(np.matmul(stages[3], v), self.ndim) if self.stage is None else stages[self.stage]


def _parts(inputs: tuple[Input, ...], op: _Attended) -> Composition | None:
    """What it is made of; None where the scores are wanted themselves, do not change, or have a mask that is
    decided by the image.
    """
    mask, mixing = inputs[3], Mixing(inputs)
    q, k, v, _, *past = map(mixing.operand, range(6))
    decided = op.truth and isinstance(mask, Variable)
    if op.stage is not None or q is None or k is None or v is None or decided:
        return None
    sketch = mixing.sketch
    q = mixing.joined(partial(heads, count=op.heads[0]), q)
    k, v = (_with_past(mixing, new, old, op.heads[1]) for new, old in zip((k, v), past, strict=True))
    (_, own, queries, size), (_, shared, keys, _) = map(mixing.shape_of, (q, k))
    k, v = (mixing.joined(partial(np.repeat, repeats=own // shared, axis=2), x) for x in (k, v))
    scores = mixing.product(q, mixing.joined(partial(np.swapaxes, axis1=-1, axis2=-2), k))
    if not isinstance(scores, int):
        return None
    scores = sketch.scaled(scores, np.asarray(1 / np.sqrt(size) if op.scale is None else op.scale))
    scores = softened(sketch, scores, op.softcap) if op.softcap else scores
    given = None
    if isinstance(mask, Variable):
        if mask.shape[-1] != keys:
            return None
        scores = added(sketch, scores, mixing.position(3))
    elif mask is not None:
        given = (mask if op.truth else double(mask))[None]
    earlier = 0 if past[0] is None else mixing.shape_of(past[0])[2]
    found = biased(
        sketch, scores, _with_mask(given, op.truth, op.sight.allowed(queries, keys, earlier), 4)[0]
    )
    if found is None:
        return None
    mixed = mixing.product(shares(sketch, *found), v)
    mixing.joined(partial(joined, ndim=op.ndim), mixed)
    return sketch.finish()


def _with_past(mixing: Mixing, new: int | Array, old: int | Array | None, count: int | None) -> int | Array:
    split = mixing.joined(partial(heads, count=count), new)
    return split if old is None else mixing.joined(_behind, old, split)


def _behind(old: Array, new: Array) -> Array:
    """Steps behind earlier steps; either may have one point for the whole batch."""
    batch = max(len(old), len(new))
    return np.concatenate([np.broadcast_to(x, (batch, *x.shape[1:])) for x in (old, new)], axis=3)


def _present(inputs: tuple[Input, ...], output: int, count: int | None) -> Composition | Array:
    """Keys (output 1) or values (output 2) with the past in front."""
    read = [i for i in (output, output + 3) if inputs[i] is not None]

    def join(new: Array, old: Array | None = None) -> Array:
        return heads(new, count) if old is None else _behind(old, heads(new, count))

    changing = [i for i, value in enumerate(inputs) if isinstance(value, Variable)]
    own = tuple(changing.index(i) for i in read if i in changing)
    if not own:
        return np.asarray(join(*(double(constant(inputs[i], "of the op"))[None] for i in read))[0])
    return Composition((Stage(jointly_linear(join, *(inputs[i] for i in read)), own),))
