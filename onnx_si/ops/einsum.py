"""Einsum: linear in a single changing input; and Det."""

import numpy as np

from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import double, malformed, shape_of, size
from onnx_si.ops.elementwise import bilinear, opaque
from onnx_si.rules.registry import Input, Variable, constant, handles, variable
from onnx_si.rules.rules import Affine, Array, Rule
from onnx_si.rules.traits import Combination


def _terms(equation: str, count: int) -> tuple[list[str], str]:
    """Subscripts of each input and of the output; without an arrow, letters that occur once, in order."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != count:
        raise malformed(f"the equation '{equation}' for {count} inputs")
    if not arrow:
        letters = left.replace(",", "").replace("...", "")
        right = ("..." if "..." in left else "") + "".join(
            sorted(letter for letter in set(letters) if letters.count(letter) == 1)
        )
    return terms, right


def _spelled_out(terms: list[str], right: str, shapes: list[tuple[int, ...]]) -> tuple[list[str], str]:
    """Ellipses as letters of their own, the same ones from the end in every term."""
    used = set("".join(terms) + right)
    free = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYabcdefghijklmnopqrstuvwxy" if letter not in used]
    hidden = [
        len(s) - len(t.replace("...", "")) if "..." in t else 0 for t, s in zip(terms, shapes, strict=True)
    ]
    if max(hidden) > len(free) or min(hidden) < 0:
        raise malformed(f"terms {terms} on shapes {shapes}")
    letters = "".join(free[: max(hidden)])
    spelled = [t.replace("...", letters[len(letters) - n :]) for t, n in zip(terms, hidden, strict=True)]
    return spelled, right.replace("...", letters)


def spelled_out(equation: str, shapes: list[tuple[int, ...]]) -> tuple[list[str], str]:
    """Letters of each input and of the output, one for every axis."""
    return _spelled_out(*_terms(equation, len(shapes)), shapes)


@handles("Einsum", since=(12, 28), combines=Combination.SUM_OF_PRODUCTS)
def einsum(*inputs: Input, equation: str) -> Rule:
    shapes = [shape_of(value) for value in inputs]
    terms, right = spelled_out(equation, shapes)
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        if len(term) != len(shape):
            raise malformed(f"term '{term}' on a tensor of shape {shape}")
        for letter, length in zip(term, shape, strict=True):
            if length != lengths.setdefault(letter, length) and 1 not in (length, lengths[letter]):
                raise malformed(f"axis '{letter}' of lengths {lengths[letter]} and {length}")
            lengths[letter] = max(length, lengths[letter])
    affordable(tuple(lengths[letter] for letter in right))
    count = size(tuple(n for letter, n in lengths.items() if letter not in right))
    path = ",".join(f"Z{t}" if isinstance(v, Variable) else t for t, v in zip(terms, inputs, strict=True))
    fixed = [None if isinstance(v, Variable) else double(constant(v, "Inputs")) for v in inputs]
    changing = tuple(value for value in inputs if isinstance(value, Variable))

    def product(*operands: Array) -> Array:
        return np.asarray(np.einsum(f"{path}->Z{right}", *operands, optimize=True))

    def together(*operands: Array) -> Array:
        varying, weights = iter(operands[: len(changing)]), iter(operands[len(changing) :])
        return product(*(next(varying) if value is None else next(weights) for value in fixed))

    if len(changing) > 1:
        constants = tuple(value for value in fixed if value is not None)
        return bilinear(together, changing, count * len(inputs), constants)
    position = next(i for i, value in enumerate(fixed) if value is None)
    weights = tuple(value for value in fixed if value is not None)
    return Affine(
        linear=lambda x, *ws: product(*ws[:position], x, *ws[position:]),
        weights=weights,
        terms=count * max(len(inputs), 1),
    )


@handles("Det", since=(11, 22))
def det(x: Input) -> Rule:
    shape = variable(x, "X").shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise malformed(f"the determinant of shape {shape}")
    return opaque(lambda x: np.asarray(np.linalg.det(x)), "bilinear")
