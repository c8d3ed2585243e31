"""Which tensor of tokens Grad-CAM looks at: the last one whose places still matter for the score.

Where a class token is read off in the end, no place matters behind the last mixing of tokens: its gradient is
zero there. The layer is the one in front of that mixing, as is usual for vision transformers.
"""

from collections.abc import Mapping

import numpy as np
import onnx

from onnx_si.graph import read_by
from onnx_si.maps.map import View
from onnx_si.maps.tokens import features_of, rows_of
from onnx_si.program.program import Program
from onnx_si.rules.axes import Axes
from onnx_si.rules.registry import traits_of
from onnx_si.rules.rules import Affine
from onnx_si.rules.traits import Combination

MIXES = {
    Combination.MATRIX_PRODUCT: (1,),
    Combination.SUM_OF_PRODUCTS: (1,),
    Combination.ATTENTION: (1, 2),
}
"""Inputs of an op whose rows are added up, so that each row of the output holds all of them."""

Flows = Mapping[str, onnx.NodeProto]
Traced = Mapping[str, Axes]


def token_layer(flows: Flows, program: Program, traced: Traced, score: str, view: View) -> str | None:
    """The tensor (tokens and channels) that Grad-CAM weights; None where there is none.

    It has the width of the last residual sum, so that queries, keys and values in one row are not taken for
    channels; where keys and values are apart, it is what both are computed from.
    """
    features = {name: found for name in flows if (found := features_of(traced.get(name), view)) is not None}
    widths = [
        program.values[name].shape[channel]
        for name, (_, channel) in features.items()
        if traits_of(flows[name]).combines is Combination.SUM
        and all(part in traced and part in flows for part in flows[name].input)
    ]
    matter = places_that_matter(flows, program, traced, score, view)
    fitting = [
        name
        for name, (_, channel) in features.items()
        if name in matter and (not widths or program.values[name].shape[channel] == widths[-1])
    ]
    last = _last(flows, fitting)
    if len(last) < 2:
        return next(iter(last), None)
    return _in_front_of_all(flows, program.input, fitting, last)


def _last(flows: Flows, fitting: list[str]) -> list[str]:
    """Those that no other one is computed from."""
    inside = set[str]()
    for name, node in reversed(list(flows.items())):
        if name in fitting or name in inside:
            inside.update(read_by(node))
    return [name for name in fitting if name not in inside]


def _in_front_of_all(flows: Flows, image: str, fitting: list[str], last: list[str]) -> str | None:
    """The last tensor that all of some are computed from, whatever the way."""
    import networkx as nx  # most models have no tokens

    graph = nx.DiGraph((name, output) for output, node in flows.items() for name in read_by(node))
    above = nx.immediate_dominators(graph.subgraph({image, *flows}), image)
    chains = []
    for name in last:
        chain = [name]
        while above.get(chain[-1], image) not in (chain[-1], image):
            chain.append(above[chain[-1]])
        chains.append(chain)
    common = [name for name in chains[0] if all(name in chain for chain in chains[1:])]
    return next((name for name in common if name in fitting), None)


def places_that_matter(flows: Flows, program: Program, traced: Traced, score: str, view: View) -> set[str]:
    """Tensors of tokens of which places of the image reach the score, not class tokens alone."""
    rows = {name: bool(rows_of(axes, view)) for name, axes in traced.items()}
    steps = {step.output: step for step in program.evaluation}
    places, others = set[str](), {score}
    for output, node in reversed(list(flows.items())):
        of_all = output in places or output in others
        for position, name in enumerate(node.input):
            if not rows.get(name):
                others |= {name} if of_all else set()
            elif not rows.get(output):
                picked = _picks_no_place(name, steps[output].rule, program, traced, view)
                others |= {name} if of_all else set()
                places |= {name} if of_all and not picked else set()
            elif _mixes(node, position, traced[name], view):
                others |= {name} if of_all else set()
                places |= {name} if of_all else set()
            else:
                others |= {name} if output in others else set()
                places |= {name} if output in places else set()
    return places


def _mixes(node: onnx.NodeProto, position: int, axes: Axes, view: View) -> bool:
    """Whether the op adds up the tokens of an input."""
    combines = traits_of(node).combines
    if combines is not None and position in MIXES.get(combines, ()):
        return True
    at_rows = any(row.axis == len(axes) - 2 for row in rows_of(axes, view))
    return is_plain_product(node) and not at_rows and len(axes) > 1


def is_plain_product(node: onnx.NodeProto) -> bool:
    """Whether an op is the product of two tensors as they are, and nothing else."""
    product = traits_of(node).combines is Combination.MATRIX_PRODUCT
    return product and len(node.input) == 2 and not node.attribute


def _picks_no_place(name: str, rule: object, program: Program, traced: Traced, view: View) -> bool:
    """Whether an op that takes tokens out of a row takes class tokens only."""
    if not isinstance(rule, Affine) or rule.weights:
        return False
    shape = program.values[name].shape
    marked = np.zeros(shape)
    for row in rows_of(traced[name], view):
        where = [np.arange(n) for n in shape]
        where[row.axis] = row.places
        marked[np.ix_(*where)] = 1.0
    try:
        return not np.any(rule.slope(marked[None]))
    except (ValueError, TypeError):  # of several inputs
        return False
