"""Ops that only move values: shapes, slices, joins, pads, repeats."""

import numpy as np
import onnx

from onnx_si.errors import Refusal
from onnx_si.ops.arrays import double, expand, joint, shape_of, size
from onnx_si.ops.elementwise import identity
from onnx_si.ops.registry import Context, Input, Variable, axis_of, constant, handles, integers, variable
from onnx_si.ops.rules import Affine, Array, Gated, Rule


def reshaped(shape: tuple[int, ...]) -> Affine:
    """The same values in row-major order in another shape."""
    return Affine(lambda x: x.reshape(x.shape[0], *shape))


@handles("Reshape", since=(5, 13, 14, 19, 21, 23, 24, 25))
def reshape(x: Input, shape: Input, *, allowzero: int = 0) -> Rule:
    x, wanted = variable(x, "data"), list(integers(shape, "shape"))
    if not allowzero:
        if any(n == 0 and i >= x.ndim for i, n in enumerate(wanted)):
            raise Refusal(f"shape {wanted} copies an axis that {x.shape} does not have", "check the exported model")
        wanted = [x.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    if -1 in wanted:
        known = size(tuple(n for n in wanted if n != -1))
        wanted[wanted.index(-1)] = size(x.shape) // known if known else 0
    if min(wanted, default=0) < 0 or size(tuple(wanted)) != size(x.shape):
        raise Refusal(f"a tensor of shape {x.shape} can't be reshaped to {wanted}", "bind the axis that was fixed at export")
    return reshaped(tuple(wanted))


@handles("Flatten", since=(1, 9, 11, 13, 21, 23, 24, 25))
def flatten(x: Input, *, axis: int = 1) -> Rule:
    x = variable(x, "input")
    cut = axis + x.ndim if axis < 0 else axis
    return reshaped((size(x.shape[:cut]), size(x.shape[cut:])))


@handles("Squeeze", since=(1, 11, 13, 21, 23, 24, 25))
def squeeze(x: Input, axes_input: Input = None, *, axes: list[int] | None = None) -> Rule:
    x = variable(x, "data")
    named = integers(axes_input, "axes") if axes_input is not None else axes
    drop = {axis_of(axis, x.ndim) for axis in named} if named is not None else {i for i, n in enumerate(x.shape) if n == 1}
    if any(x.shape[axis] != 1 for axis in drop):
        raise Refusal(f"squeeze of axes {sorted(drop)} of shape {x.shape}", "check the exported model")
    return reshaped(tuple(n for i, n in enumerate(x.shape) if i not in drop))


@handles("Unsqueeze", since=(1, 11, 13, 21, 23, 24, 25))
def unsqueeze(x: Input, axes_input: Input = None, *, axes: list[int] | None = None) -> Rule:
    x = variable(x, "data")
    named = integers(axes_input, "axes") if axes_input is not None else tuple(axes or ())
    ndim = x.ndim + len(named)
    new = {axis_of(axis, ndim) for axis in named}
    rest = iter(x.shape)
    return reshaped(tuple(1 if i in new else next(rest) for i in range(ndim)))


@handles("Transpose", since=(1, 13, 21, 23, 24, 25))
def transpose(x: Input, *, perm: list[int] | None = None) -> Rule:
    order = perm if perm is not None else list(range(variable(x, "data").ndim))[::-1]
    behind_batch = (0, *(axis + 1 for axis in order))
    return Affine(lambda x: x.transpose(behind_batch))


@handles("Concat", since=(4, 11, 13))
def concat(*inputs: Input, axis: int) -> Rule:
    where = axis_of(axis, len(shape_of(inputs[0]))) + 1
    return joint(lambda *xs: np.concatenate(xs, axis=where), inputs)


@handles("Split", since=(1, 2, 11, 13, 18))
def split(
    x: Input,
    split_input: Input = None,
    *,
    context: Context,
    axis: int = 0,
    split: list[int] | None = None,
    num_outputs: int | None = None,
) -> Rule:
    x = variable(x, "input")
    where = axis_of(axis, x.ndim)
    lengths = integers(split_input, "split") if split_input is not None else tuple(split or ())
    if not lengths:
        each = -(-x.shape[where] // context.outputs)
        lengths = tuple(min(each, x.shape[where] - i * each) for i in range(context.outputs))
    start = sum(lengths[: context.output])
    return sliced(x, {where: slice(start, start + lengths[context.output])})


def sliced(x: Variable, cuts: dict[int, slice]) -> Affine:
    """Slices of named axes."""
    index = (slice(None), *(cuts.get(axis, slice(None)) for axis in range(x.ndim)))
    return Affine(lambda x: x[index])


@handles("Slice", since=(1, 10, 11, 13))
def slice_(
    x: Input,
    starts_input: Input = None,
    ends_input: Input = None,
    axes_input: Input = None,
    steps_input: Input = None,
    *,
    starts: list[int] | None = None,
    ends: list[int] | None = None,
    axes: list[int] | None = None,
) -> Rule:
    x = variable(x, "data")
    first = integers(starts_input, "starts") if starts is None else tuple(starts)
    last = integers(ends_input, "ends") if ends is None else tuple(ends)
    named = integers(axes_input, "axes") if axes_input is not None else tuple(axes or range(len(first)))
    steps = integers(steps_input, "steps") if steps_input is not None else (1,) * len(first)
    cuts = {}
    for start, end, axis, step in zip(first, last, named, steps, strict=True):
        where = axis_of(axis, x.ndim)
        cuts[where] = _cut(start, end, step, x.shape[where])
    return sliced(x, cuts)


def _cut(start: int, end: int, step: int, length: int) -> slice:
    """Python's slice for ONNX's clamped start and end; a backward slice may end before element 0."""
    start, end = (n + length if n < 0 else n for n in (start, end))
    if step > 0:
        return slice(min(max(start, 0), length), min(max(end, 0), length), step)
    end = min(max(end, -1), length - 1)
    return slice(min(max(start, 0), length - 1), None if end < 0 else end, step)


@handles("Gather", since=(1, 11, 13))
def gather(x: Input, indices: Input, *, axis: int = 0) -> Rule:
    where = axis_of(axis, len(shape_of(x)))
    if isinstance(x, Variable) and not isinstance(indices, Variable):
        index = np.asarray(constant(indices, "indices"), dtype=np.int64)
        return Affine(lambda x: np.take(x, index, axis=where + 1))
    chosen = variable(indices, "indices")
    if not chosen.stepwise:
        raise Refusal("the indices are not constant on pieces", "only indices from ArgMax or comparisons are exact")
    if isinstance(x, Variable):
        return Gated(
            lambda x, i: np.stack([np.take(row, at.astype(np.int64), axis=where) for row, at in zip(x, i, strict=True)]),
            gates=(1,),
        )
    table = double(constant(x, "data"))
    behind = tuple(range(where, where + chosen.ndim + 1))

    def look_up(i: Array) -> Array:  # the batch axis comes out where the indices stand, in front of their own
        return np.moveaxis(np.take(table, i.astype(np.int64), axis=where), behind[0], 0)

    return Gated(look_up, gates=(0,))


@handles("Pad", since=(2, 11, 13, 18, 19, 21, 23, 24, 25))
def pad(
    x: Input,
    pads_input: Input = None,
    value_input: Input = None,
    axes: Input = None,
    *,
    mode: str = "constant",
    pads: list[int] | None = None,
    value: float = 0.0,
) -> Rule:
    x = variable(x, "data")
    flat = integers(pads_input, "pads") if pads is None else tuple(pads)
    fill = float(np.ravel(constant(value_input, "constant_value"))[0]) if value_input is not None else value
    named = [axis_of(axis, x.ndim) for axis in integers(axes, "axes")] if axes is not None else list(range(x.ndim))
    if len(flat) != 2 * len(named):
        raise Refusal(f"{len(flat)} pads for {len(named)} axes", "check the exported model")
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise Refusal(f"mode '{mode}' is not in the specification", "check the exported model")
    widths, crops = [(0, 0)] * (x.ndim + 1), [slice(None)] * (x.ndim + 1)
    for i, axis in enumerate(named):
        before, after = flat[i], flat[i + len(named)]
        widths[axis + 1] = (max(before, 0), max(after, 0))
        crops[axis + 1] = slice(max(-before, 0), x.shape[axis] - max(-after, 0))
    crop = tuple(crops)
    if mode != "constant":
        return Affine(lambda x: np.pad(x[crop], widths, mode=mode))
    offset = None
    if fill != 0.0:
        inner = np.zeros((1, *x.shape))[crop]
        offset = np.pad(inner, widths, constant_values=fill)[0]
    return Affine(lambda x: np.pad(x[crop], widths), offset=offset)


@handles("Tile", since=(1, 6, 13))
def tile(x: Input, repeats: Input) -> Rule:
    times = integers(repeats, "repeats")
    return Affine(lambda x: np.tile(x, (1, *times)))


@handles("Expand", since=(8, 13))
def expand_(x: Input, shape: Input) -> Rule:
    wanted = np.broadcast_shapes(variable(x, "input").shape, integers(shape, "shape"))
    return Affine(lambda x: expand(x, wanted))


@handles("DepthToSpace", since=(1, 11, 13))
def depth_to_space(x: Input, *, blocksize: int, mode: str = "DCR") -> Rule:
    n, c, h, w = variable(x, "input").shape
    b, depth = blocksize, c // blocksize**2
    if mode == "DCR":
        split_shape, order = (n, b, b, depth, h, w), (0, 1, 4, 5, 2, 6, 3)
    else:
        split_shape, order = (n, depth, b, b, h, w), (0, 1, 2, 5, 3, 6, 4)
    return Affine(
        lambda x: x.reshape(-1, *split_shape).transpose(order).reshape(-1, n, depth, h * b, w * b)
    )


@handles("SpaceToDepth", since=(1, 13))
def space_to_depth(x: Input, *, blocksize: int) -> Rule:
    n, c, h, w = variable(x, "input").shape
    b = blocksize
    return Affine(
        lambda x: x.reshape(-1, n, c, h // b, b, w // b, b)
        .transpose(0, 1, 4, 6, 2, 3, 5)
        .reshape(-1, n, c * b * b, h // b, w // b)
    )


@handles("Cast", since=(6, 9, 13, 19, 21, 23, 24, 25))
def cast(x: Input, *, to: int, saturate: int = 1, round_mode: str = "up") -> Rule:
    """Between floating-point types (and from truth values and indices) the value is kept; nothing is rounded."""
    kept = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    x = variable(x, "input")
    if to in kept or (x.stepwise and to in {onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL}):
        return identity(x)
    name = onnx.TensorProto.DataType.Name(to)
    raise Refusal(f"cast to {name} rounds a value that changes with the image", "keep the image's path in floating point")
