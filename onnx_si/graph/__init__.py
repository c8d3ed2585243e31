"""ONNX files as checked models and as networkx DAGs of ops and tensors."""

from onnx_si.graph.constants import fold
from onnx_si.graph.dag import nodes_between, read_by, subgraphs
from onnx_si.graph.edit import PREFIX, Editor
from onnx_si.graph.inline import chosen_branch, function_body, renamed
from onnx_si.graph.loops import (
    BATCHED,
    Turn,
    after_last_turn,
    each_image,
    first_turn,
    one_turn,
    scanned_axes,
)
from onnx_si.graph.mend import told_of
from onnx_si.graph.model import Loadable, Model, TensorInfo, as_model, load, model_from_proto
from onnx_si.graph.refused import refuse_by_name

__all__ = [
    "BATCHED",
    "PREFIX",
    "Editor",
    "Loadable",
    "Model",
    "TensorInfo",
    "Turn",
    "after_last_turn",
    "as_model",
    "chosen_branch",
    "each_image",
    "first_turn",
    "fold",
    "function_body",
    "load",
    "model_from_proto",
    "nodes_between",
    "one_turn",
    "read_by",
    "refuse_by_name",
    "renamed",
    "scanned_axes",
    "subgraphs",
    "told_of",
]
