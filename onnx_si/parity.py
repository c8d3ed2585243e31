"""The deployed runtime, onnxruntime, run on the same graph that is analysed."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from onnx_si.errors import UnsupportedModel
from onnx_si.graph import Model

RUNTIME = "onnxruntime"
INPUT_TYPES = {"float": np.float32, "double": np.float64, "float16": np.float16}


class Deployed:
    """A model in onnxruntime, on one thread and without fusions that change the result's rounding.

    Parameters
    ----------
    model : Model
    input_name : str
    outputs : tuple of str
        Any tensors of the graph.

    Raises
    ------
    UnsupportedModel
        If onnxruntime can't load the model, or, from `run`, can't run it.
    """

    def __init__(self, model: Model, input_name: str, outputs: tuple[str, ...]):
        info = next(i for i in model.inputs if i.name == input_name)
        if info.type not in INPUT_TYPES:
            raise UnsupportedModel(
                f"the model's input '{input_name}' is {info.type}; floating point is needed"
            )
        self._input, self._type, self._outputs = input_name, INPUT_TYPES[info.type], list(outputs)
        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        del proto.graph.output[:]
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        with _as_unsupported():
            self._session = onnxruntime.InferenceSession(
                proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )

    def run(self, image: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """The outputs for an image in the model's input shape; it is cast to the input's own type."""
        with _as_unsupported():
            results = self._session.run(self._outputs, {self._input: image.astype(self._type)})
        return [np.asarray(result, dtype=np.float64) for result in results]


@contextmanager
def _as_unsupported() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # onnxruntime's own exception classes share no public base
        first_line = str(error).splitlines()[0]
        raise UnsupportedModel(
            f"onnxruntime can't run the model ({first_line}); the deployed region can't be checked"
        ) from error


def run_deployed(
    model: Model, image: NDArray[np.float64], input_name: str, outputs: tuple[str, ...]
) -> list[NDArray[np.float64]]:
    """Outputs of a model in onnxruntime for one image; see `Deployed`.

    Raises
    ------
    UnsupportedModel
        If onnxruntime can't run the model.
    """
    return Deployed(model, input_name, outputs).run(image)
