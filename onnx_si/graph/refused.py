"""Ops that are refused by name, wherever they stand: sequences, strings, random and fused ops."""

import onnx

from onnx_si.errors import Refusal
from onnx_si.graph.dag import subgraphs

LOOPS = ("SequenceMap",)
SEQUENCES = (
    *("SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert"),
    *("SequenceLength", "SplitToSequence", "ConcatFromSequence"),
    *("Optional", "OptionalGetElement", "OptionalHasElement"),
)
STRINGS = ("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit")
RANDOM = (
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
)

_WHY = {
    **dict.fromkeys(LOOPS, ("is a loop, and loops are not run", "export with the loop unrolled (traced)")),
    **dict.fromkeys(SEQUENCES, ("makes no tensor but a sequence", "export with Split, Concat or tensors")),
    **dict.fromkeys(STRINGS, ("works on strings", "keep text out of the exported model")),
    **dict.fromkeys(RANDOM, ("is random", "export the model in evaluation mode")),
}
_FUSED_DOMAIN = "com.microsoft"


def refuse_by_name(node: onnx.NodeProto) -> None:
    """Raise if the node, or one inside its subgraphs, is an op that is never run here.

    Raises
    ------
    Refusal
        With what to do instead.
    """
    if node.domain.startswith(_FUSED_DOMAIN):
        raise Refusal(
            f"{node.op_type} of domain '{node.domain}' is a fused op of one runtime",
            "export without fusion, or take the model from before the runtime's optimizer",
        )
    if node.op_type in _WHY:
        reason, advice = _WHY[node.op_type]
        raise Refusal(f"{node.op_type} {reason}", advice)
    for graph in subgraphs(node):
        for inner in graph.node:
            refuse_by_name(inner)
