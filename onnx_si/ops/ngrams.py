"""TfIdfVectorizer: counts of the runs of whole numbers that a table lists."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import malformed
from onnx_si.ops.elementwise import opaque
from onnx_si.rules.registry import Input, handles, variable
from onnx_si.rules.rules import Array, Opaque

Run = tuple[float, ...]


def _listed(pool: Sequence[int], starts: Sequence[int]) -> list[Run]:
    """The runs of a pool: those of length n begin at `starts[n - 1]`, one behind the other."""
    if list(starts) != sorted(starts) or (starts and not 0 <= starts[0] <= starts[-1] <= len(pool)):
        raise malformed(f"ngram_counts {list(starts)} for a pool of {len(pool)} numbers")
    ends = [*starts[1:], len(pool)]
    return [
        tuple(map(float, pool[at : at + n]))
        for n, (start, end) in enumerate(zip(starts, ends, strict=True), 1)
        for at in range(start, end, n)
    ]


def _runs(row: Array, lengths: range, most_skipped: int) -> Iterator[Run]:
    """Every run of each length, with up to so many numbers left out between neighbours.

    A single number has no neighbour: it counts once. No run is longer than the row, whatever is allowed.
    """
    lengths = range(lengths.start, min(lengths.stop, len(row) + 1))
    for step in range(1, min(most_skipped + 1, len(row)) + 1):
        for n in lengths:
            if n > 1 or step == 1:
                for at in range(len(row) - (n - 1) * step):
                    yield tuple(row[at : at + (n - 1) * step + 1 : step])


def _ending(node: onnx.NodeProto, longest: int) -> onnx.NodeProto:
    """No run of a tensor is longer than the tensor, whatever the file allows."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    counts = next((len(a.ints) for a in copy.attribute if a.name == "ngram_counts"), 0)
    for attribute in copy.attribute:
        if attribute.name == "max_gram_length":
            attribute.i = min(attribute.i, max(longest, counts))
        if attribute.name == "max_skip_count":
            attribute.i = min(attribute.i, longest)
        if attribute.name == "ngram_indexes":
            affordable((longest, max(attribute.ints, default=0) + 1))
    return copy


@handles("TfIdfVectorizer", since=(9,), bounded=_ending)
def tf_idf_vectorizer(
    x: Input,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: list[int],
    ngram_indexes: list[int],
    pool_int64s: list[int] | None = None,
    pool_strings: list[str] | None = None,
    weights: list[float] | None = None,
) -> Opaque:
    """How often each listed run occurs (TF), whether it does times a weight (IDF), or both (TFIDF)."""
    shape, runs = variable(x, "X").shape, _listed(pool_int64s or [], ngram_counts)
    factors = [1.0] * len(runs) if weights is None else weights
    if len(shape) not in (1, 2) or not len(runs) == len(ngram_indexes) == len(factors):
        raise malformed(f"{len(runs)} runs, {len(ngram_indexes)} places, a tensor of shape {shape}")
    if mode not in ("TF", "IDF", "TFIDF") or min_gram_length < 1:
        raise malformed(f"mode '{mode}' with runs from {min_gram_length} on")
    if min(ngram_indexes, default=0) < 0:
        raise malformed(f"places {min(ngram_indexes)}")
    affordable((math.prod(shape[:-1]), max(ngram_indexes, default=0) + 1))
    scale = np.ones(max(ngram_indexes, default=-1) + 1)
    if mode != "TF":
        scale[ngram_indexes] = factors
    counted = _Counted(
        at=dict(zip(runs, ngram_indexes, strict=True)),
        lengths=range(min_gram_length, max_gram_length + 1),
        most_skipped=max_skip_count,
        once=mode == "IDF",
        scale=scale,
    )
    return opaque(counted, "discrete", "it counts whole numbers")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Counted:
    """How often each listed run occurs, or whether it does (`once`), times a scale at its place."""

    at: Mapping[Run, int]
    lengths: range
    most_skipped: int
    once: bool
    scale: Array

    def __call__(self, x: Array) -> Array:
        rows, width = x.reshape(-1, x.shape[-1]), len(self.scale)
        found = np.zeros((len(rows), width), x.dtype)
        for row, counts in zip(rows, found, strict=True):
            for run in _runs(row, self.lengths, self.most_skipped):
                if run in self.at:
                    counts[self.at[run]] += 1
        return (np.minimum(found, 1) if self.once else found).reshape(*x.shape[:-1], width) * self.scale
