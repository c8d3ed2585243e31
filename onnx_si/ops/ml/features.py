"""Features of the domain ai.onnx.ml: scaled, selected, imputed, encoded."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.kernels.arrays import malformed, shape_of
from onnx_si.ops.elementwise import jointly_linear, opaque
from onnx_si.ops.gather import picked
from onnx_si.ops.ml.post_transform import DOMAIN, rows
from onnx_si.ops.rounding import never_on_a_line
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Input, Variable, Worded, handles, variable
from onnx_si.rules.rules import Affine, Array, Composition, Gated, Opaque, Rule, Stage, Step


def _each_feature(x: Variable, values: Sequence[float], name: str) -> Array:
    """One value for all features, or one for each along the last axis of at most two."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 1 or (x.ndim in (1, 2) and array.size == x.shape[-1]):
        return array
    raise malformed(f"{array.size} values in {name} for a tensor of shape {x.shape}")


@handles("Scaler", since=(1,), domain=DOMAIN, axes=axis_rules.same)
def scaler(x: Input, *, offset: Sequence[float] = (), scale: Sequence[float] = ()) -> Rule:
    """(x - offset) * scale."""
    x = variable(x, "X")
    moved, factor = _each_feature(x, offset, "offset"), _each_feature(x, scale, "scale")
    if moved.size != factor.size:
        raise malformed(f"{moved.size} offsets and {factor.size} scales")
    return Affine(linear=lambda x, w: x * w, weights=(factor,), offset=-moved * factor)


def _norm(x: Array, kind: str) -> Array:
    if kind == "L1":
        return np.asarray(np.sum(np.abs(x), axis=-1, keepdims=True))
    if kind == "L2":
        return np.asarray(np.sqrt(np.sum(x * x, axis=-1, keepdims=True)))
    return np.asarray(np.max(x, axis=-1, keepdims=True))  # of the values with their signs, as the text has it


@handles("Normalizer", since=(1,), domain=DOMAIN)
def normalizer(x: Input, *, norm: str = "MAX") -> Rule:
    """Each sample divided by its norm; a sample of norm zero stays as it is."""
    x = variable(x, "X")
    if norm not in ("MAX", "L1", "L2") or x.ndim not in (1, 2):
        raise malformed(f"norm {norm} of a tensor of shape {x.shape}")

    return opaque(partial(_divided, norm=norm))


def _divided(x: Array, norm: str) -> Array:
    norms = _norm(x, norm)
    return np.asarray(x / np.where(norms == 0, 1.0, norms))


@handles("Binarizer", since=(1,), domain=DOMAIN, axes=axis_rules.same)
def binarizer(x: Input, *, threshold: float = 0.0) -> Rule:
    variable(x, "X")
    return Step(switches=lambda x: (x - threshold,), evaluate=lambda x: (x > threshold).astype(np.float64))


@handles("Imputer", since=(1,), domain=DOMAIN, axes=axis_rules.same)
def imputer(
    x: Input,
    *,
    imputed_value_floats: Sequence[float] = (),
    imputed_value_int64s: Sequence[int] = (),
    replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
) -> Composition:
    """Values equal to one number, or those that are no number, are replaced."""
    x = variable(x, "X")
    values: Sequence[float] = imputed_value_int64s if x.integer else imputed_value_floats
    wanted = float(replaced_value_int64 if x.integer else replaced_value_float)
    imputed = _each_feature(x, values, "imputed values")
    if np.isnan(wanted):
        found = never_on_a_line(lambda x: np.isnan(x).astype(np.float64))
    else:
        found = Step(switches=lambda x: (x - wanted,), evaluate=lambda x: (x == wanted).astype(np.float64))
    kept = Gated(evaluate=partial(_replaced, by=imputed), gates=(1,))
    return Composition((Stage(found, (0,)), Stage(kept, (0, 1))))


def _replaced(x: Array, gate: Array, by: Array) -> Array:
    return np.where(gate != 0, by, x)


@handles("ArrayFeatureExtractor", since=(1,), domain=DOMAIN)
def array_feature_extractor(x: Input, indices: Input) -> Rule | Worded:
    """Features at indices along the last axis; of a constant, such as a list of labels, where they jump."""
    if isinstance(x, np.ndarray) and x.dtype.kind in "OSU":
        places = array_feature_extractor(np.arange(x.size).reshape(x.shape), indices)
        assert not isinstance(places, Worded)
        return Worded(places, tuple(map(str, x.ravel())))
    *lead, features = shape_of(x) or (0,)
    rows = np.arange(math.prod(lead)).reshape(*(lead or (1,)), 1) * features
    return picked(x, indices, partial(_of_rows, rows=rows, features=features))


def _of_rows(index: NDArray[np.intp], rows: NDArray[np.intp], features: int) -> NDArray[np.intp]:
    """Flat places of features, in rows that start at some places."""
    flat = index.ravel()
    if not flat.size or flat.min() < 0 or flat.max() >= features:
        raise malformed(f"features {flat.tolist()} of {features}")
    return np.asarray(rows + flat)


@handles("FeatureVectorizer", since=(1,), domain=DOMAIN, axes=axis_rules.row_by_row)
def feature_vectorizer(*inputs: Input, inputdimensions: Sequence[int] = ()) -> Rule:
    """Features of several tensors side by side."""
    shapes = [shape_of(value) for value in inputs]
    widths = [shape[-1] if len(shape) in (1, 2) else -1 for shape in shapes]
    if list(inputdimensions) != widths or len({shape[:-1] for shape in shapes}) != 1:
        raise malformed(f"shapes {shapes} for the input dimensions {list(inputdimensions)}")
    alone = len(shapes[0]) == 1

    def joined(*xs: Array) -> Array:
        batch = max(len(x) for x in xs)
        samples = [np.broadcast_to(x, (batch, *x.shape[1:])) for x in xs]
        return np.concatenate([x[:, None] if alone else x for x in samples], axis=-1)

    return jointly_linear(joined, *inputs)


@handles("OneHotEncoder", since=(1,), domain=DOMAIN)
def one_hot_encoder(
    x: Input, *, cats_int64s: Sequence[int] = (), cats_strings: Sequence[str] = (), zeros: int = 1
) -> Rule:
    """One where a value, cut to a whole number, is a category, the last one among equals.

    A value of no category makes zeros, or an error where `zeros` is 0, which is evaluated at the image only.
    """
    x = variable(x, "X")
    if cats_strings or not cats_int64s:
        raise Refusal("its categories are strings", "encode text outside the exported model")
    categories = np.asarray(cats_int64s, dtype=np.float64)
    last = np.array([category not in cats_int64s[i + 1 :] for i, category in enumerate(cats_int64s)])
    marked = partial(_marked, categories=categories, last=last)
    if not zeros:
        known = partial(_known, categories=categories, last=last)
        return Opaque(evaluate=known, kind="discrete", reason="a value of no category is an error")
    low = np.where(categories > 0, categories, categories - 1)
    high = np.where(categories < 0, categories, categories + 1)
    return Step(switches=partial(_above_each, levels=(low, high)), evaluate=marked)


def _marked(x: Array, categories: Array, last: NDArray[np.bool_]) -> Array:
    return np.asarray((np.trunc(x)[..., None] == categories) & last, dtype=np.float64)


def _known(x: Array, categories: Array, last: NDArray[np.bool_]) -> Array:
    found = _marked(x, categories, last)
    if not np.all(found.any(axis=-1)):
        raise Refusal("a value is of no category", "export with zeros=1 (unknown categories ignored)")
    return found


def _above_each(x: Array, levels: tuple[Array, ...]) -> tuple[Array, ...]:
    """How far each value lies above each level of some rows of levels."""
    return tuple(x[..., None] - row for row in levels)


def _table(name: str, attributes: dict[str, Any]) -> NDArray[Any] | None:
    """Keys or values, whichever attribute they are stored in; None if they are strings or missing."""
    for suffix in ("tensor", "floats", "int64s"):
        stored = attributes.get(f"{name}_{suffix}")
        if stored is not None and len(np.ravel(stored)):
            array = np.ravel(np.asarray(stored))
            return array if array.dtype.kind in "iuf" else None
    return None


@handles("LabelEncoder", since=(2, 4), domain=DOMAIN)
def label_encoder(
    x: Input,
    *,
    default_float: float = -0.0,
    default_int64: int = -1,
    default_string: str = "_Unused",
    default_tensor: Any = None,
    **tables: Any,
) -> Rule | Worded:
    """A table from numbers to numbers or words, the first entry among equal keys, else the default; not of
    version 1, which knows words by their places.
    """
    variable(x, "X")
    words = list(tables.pop("values_strings", []))
    if words:
        places = label_encoder(x, default_int64=len(words), values_int64s=[*range(len(words))], **tables)
        assert not isinstance(places, Worded)
        return Worded(places, (*words, default_string))
    keys, values = _table("keys", tables), _table("values", tables)
    if keys is None or values is None:
        raise Refusal("its keys are strings, or its values a tensor of them", "keep text out of the model")
    if len(keys) != len(values) or not np.all(np.isfinite(keys)):
        raise malformed(f"{len(keys)} keys, which have to be finite, for {len(values)} values")
    default = default_int64 if values.dtype.kind in "iu" else default_float
    if default_tensor is not None:
        default = np.ravel(default_tensor)[0]
    levels, first = np.unique(keys.astype(np.float64), return_index=True)
    given = values.astype(np.float64)[first]
    looked_up = partial(_looked_up, levels=levels, given=given, default=float(default))
    return Step(switches=partial(_above_each, levels=(levels,)), evaluate=looked_up)


def _looked_up(x: Array, levels: Array, given: Array, default: float) -> Array:
    place = np.minimum(np.searchsorted(levels, x), len(levels) - 1)
    return np.where(levels[place] == x, given[place], default)


@handles("ZipMap", since=(1,), domain=DOMAIN)
def zip_map(
    x: Input, *, classlabels_int64s: Sequence[int] = (), classlabels_strings: Sequence[str] = ()
) -> Rule:
    """The scores (samples, labels) themselves, in the order of the labels, in place of a map per sample."""
    x, labels = variable(x, "X"), classlabels_int64s or classlabels_strings
    as_rows = rows(x)
    if len(labels) != x.shape[-1]:
        raise malformed(f"{len(labels)} labels for scores of shape {x.shape}")
    return Affine(linear=as_rows)
