"""ONNX files as checked models and as networkx DAGs of ops and tensors."""

from onnx_si.graph.constants import fold
from onnx_si.graph.dag import dag, nodes_between
from onnx_si.graph.edit import Editor
from onnx_si.graph.model import Model, TensorInfo, load, model_from_proto

__all__ = ["Editor", "Model", "TensorInfo", "dag", "fold", "load", "model_from_proto", "nodes_between"]
