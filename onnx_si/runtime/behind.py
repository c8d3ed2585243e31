"""What was appended for a map, between the tensors of the file and the map."""

from dataclasses import dataclass

import onnx

from onnx_si.errors import UnsupportedModel
from onnx_si.graph import Model, read_by
from onnx_si.graph.fused import is_part
from onnx_si.runtime.reshaping import View, view_of


@dataclass(frozen=True, kw_only=True)
class Behind:
    """The appended nodes between the file's tensors and the map: what they read, and what they are."""

    borrowed: tuple[str, ...]
    nodes: tuple[onnx.NodeProto, ...]
    constants: tuple[onnx.TensorProto, ...]
    reads_image: bool

    def view(self, tensor: str) -> View | None:
        """The map as a view of the one tensor that it is made of; None where it is more."""
        if len(self.borrowed) != 1 or self.reads_image:
            return None
        stored = {constant.name: constant for constant in self.constants}
        return view_of(self.nodes, stored, self.borrowed[0], tensor)


def behind_file(loaded: Model, made: Model, tensor: str, image_name: str) -> Behind:
    """Walk back from the map to what the file's own graph holds."""
    graph, held = made.proto.graph, held_by(loaded.file)
    makers = {name: node for node in graph.node for name in node.output if name}
    stored = {constant.name: constant for constant in graph.initializer}
    of_file = {constant.name: constant for constant in loaded.file.graph.initializer}
    rewritten = {name for node in loaded.proto.graph.node for name in node.output if name} - held
    borrowed: dict[str, None] = {}
    needed: set[str] = set()
    constants: dict[str, onnx.TensorProto] = {}
    queue = [tensor]
    while queue:
        name = queue.pop()
        if name in needed or name in borrowed or name in constants:
            continue
        if name in of_file or (name in stored and name not in held):
            constants[name] = of_file.get(name) or stored[name]
        elif name == image_name:
            needed.add(name)
        elif name in held:
            borrowed[name] = None
        elif name not in makers or (name in rewritten and not is_part(loaded.file, name)):
            raise UnsupportedModel(
                f"the map needs the tensor '{name}', which the file's own graph does not hold by that name "
                "(it is inside a function, or of an opset before 7)"
            )
        else:
            needed.add(name)
            queue += read_by(makers[name])
    nodes = tuple(node for node in graph.node if needed.intersection(node.output))
    return Behind(
        borrowed=tuple(borrowed),
        nodes=nodes,
        constants=tuple(constants.values()),
        reads_image=image_name in needed,
    )


def held_by(file: onnx.ModelProto) -> set[str]:
    """Tensors that the file's own graph makes at its top."""
    return {name for node in file.graph.node for name in node.output if name} | {
        v.name for v in file.graph.input
    }
