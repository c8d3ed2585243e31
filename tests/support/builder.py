"""The one builder of small graphs, for the networks of tests, benchmarks and random graphs."""

import numpy as np
import onnx
from onnx import helper, numpy_helper


class GraphBuilder:
    """Nodes and constants under construction, weights drawn from one generator; tensors are known by name."""

    def __init__(self, rng, dtype=np.float32):
        self.rng, self.dtype = rng, np.dtype(dtype)
        self.nodes, self.initializers, self.count = [], [], 0

    def name(self, hint):
        """A name that no other tensor or node has."""
        self.count += 1
        return f"{hint}_{self.count}"

    def node_name(self, op, out):
        """What the node that makes `out` is called."""
        return self.name(f"node_{op}")

    def const(self, value, name=None):
        """A constant; numbers with a fraction have the graph's own type."""
        name = name or self.name("const")
        value = np.asarray(value)
        value = value.astype(self.dtype) if value.dtype.kind == "f" else value
        self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def change(self, name, value):
        """Another value for a constant that is there."""
        (tensor,) = (tensor for tensor in self.initializers if tensor.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(value, self.dtype, order="C"), name))

    def add(self, op, *inputs, out=None, **attributes):
        """One node of one output, and the output's name."""
        out = out or self.name(op.lower())
        self.nodes.append(
            helper.make_node(op, list(inputs), [out], name=self.node_name(op, out), **attributes)
        )
        return out

    def needed(self, output):
        """Copies of the nodes that `output` is computed from, in the same order, and their constants."""
        wanted, kept = {output}, []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                copy = onnx.NodeProto()
                copy.CopyFrom(node)
                kept.append(copy)
        return kept[::-1], [tensor for tensor in self.initializers if tensor.name in wanted]
