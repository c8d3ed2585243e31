"""The deployed runtime, onnxruntime, run on the same graph that is analysed."""

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from onnx_si.errors import UnsupportedModel
from onnx_si.graph import Model

RUNTIME = "onnxruntime"
INPUT_TYPES = {"float": np.float32, "double": np.float64, "float16": np.float16}


def run_deployed(
    model: Model, image: NDArray[np.float64], input_name: str, outputs: tuple[str, ...]
) -> list[NDArray[np.float64]]:
    """Outputs of a model in onnxruntime, on one thread and without fusions that change the result's rounding.

    Parameters
    ----------
    model : Model
    image : array
        In the model's input shape; cast to the input's own type.
    input_name : str
    outputs : tuple of str
        Any tensors of the graph.

    Raises
    ------
    UnsupportedModel
        If onnxruntime can't run the model.
    """
    info = next(i for i in model.inputs if i.name == input_name)
    if info.type not in INPUT_TYPES:
        raise UnsupportedModel(f"the model's input '{input_name}' is {info.type}; floating point is needed")
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        results = session.run(list(outputs), {input_name: image.astype(INPUT_TYPES[info.type])})
    except Exception as error:  # onnxruntime's own exception classes share no public base
        first_line = str(error).splitlines()[0]
        raise UnsupportedModel(
            f"onnxruntime can't run the model ({first_line}); the deployed region can't be checked"
        ) from error
    return [np.asarray(result, dtype=np.float64) for result in results]
