"""Einsum: the gradient of one factor is an Einsum of the output's gradient and all others."""

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.maps.appended import reshaped
from onnx_si.maps.backward.nodes import summed_to
from onnx_si.maps.backward.site import OTHER_LAYER, Site, backwards
from onnx_si.ops.einsum import spelled_out


@backwards("Einsum")
def einsum(at: Site) -> str:
    """A letter that only this factor has was summed over: its gradient is the same everywhere."""
    shapes = [at.shape(i) for i in range(len(at.node.input))]
    terms, right = spelled_out(at.attributes["equation"], shapes)
    own = terms[at.position]
    if any(len(set(term)) < len(term) for term in (*terms, right)):
        raise Refusal("a letter twice in one term of its equation", OTHER_LAYER)
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for letter, length in zip(term, shape, strict=True):
            lengths[letter] = max(length, lengths.get(letter, 1))
    others = [i for i in range(len(terms)) if i != at.position]
    tensors, read = [at.gradient], [right]
    for i in others:
        tensors.append(at.single(i))
        read.append(terms[i])
    for letter in own:
        if all(letter not in term for term in read):
            tensors.append(at.constant(np.ones(lengths[letter])))
            read.append(letter)
    made = at.add("Einsum", tensors, equation=f"{','.join(read)}->{own}")
    have = tuple(lengths[letter] for letter in own)
    return reshaped(at.editor, summed_to(at, made, have, at.wanted), at.wanted)
