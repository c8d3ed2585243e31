"""A file that shows what is inside: nothing changed but the outputs that it declares."""

import onnx

from onnx_si.rules.registry import traits_of


def running_statistics(graph: onnx.GraphProto) -> list[str]:
    """Running statistics that a graph's nodes write."""
    return [
        name
        for node in graph.node
        if (mode := traits_of(node).running) and any(a.name == mode and a.i for a in node.attribute)
        for name in node.output[1:]
        if name
    ]


def showing(file: onnx.ModelProto, names: tuple[str, ...]) -> onnx.ModelProto:
    """The file itself, or with inner tensors declared as outputs and nothing else changed.

    So are the running statistics of a normalisation in training mode: onnxruntime writes them over the
    model's own where nobody reads them, and the next run would not be the same.
    """
    declared = {value.name for value in (*file.graph.input, *file.graph.output)}
    inner = [name for name in (*names, *running_statistics(file.graph)) if name not in declared]
    if not inner:
        return file
    copy = onnx.ModelProto()
    copy.CopyFrom(file)
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    return copy
