"""The deployed runtime, onnxruntime, run on the same graph that is analysed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from onnx_si.errors import UnsupportedModel
from onnx_si.graph import Model
from onnx_si.graph.inline import renamed
from onnx_si.ground.terminal import shown
from onnx_si.runtime.each import SINCE, STACK, over_each
from onnx_si.runtime.providers import CPU
from onnx_si.runtime.single import with_single_counts, without_gaps

RUNTIME = "onnxruntime"
MOST_TOLD = 300  # characters of its own message
INPUT_TYPES: dict[str, type[np.number[Any]]] = {
    "float": np.float32,
    "double": np.float64,
    "float16": np.float16,
    "bfloat16": np.float32,  # by a cast in front: numpy has no such type
    "uint8": np.uint8,
    "int8": np.int8,
    "uint16": np.uint16,
    "int16": np.int16,
    "uint32": np.uint32,
    "int32": np.int32,
    "uint64": np.uint64,
    "int64": np.int64,
}
BFLOAT16_UNIT = 2.0**-7


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
        self._input, self._type, self._outputs = input_name, input_type(model, input_name), list(outputs)
        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        del proto.graph.output[:]
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        self._session = session_of(proto)

    def run(self, image: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """The outputs for an image in the model's input shape; it is cast to the input's own type."""
        with as_unsupported():
            results = self._session.run(self._outputs, {self._input: as_type(image, self._type)})
        return [np.asarray(result, dtype=np.float64) for result in results]


class DeployedBatch:
    """One output of a model in onnxruntime for many images in one call.

    The whole graph is the body of a Scan over the images: every image runs through the same nodes by itself,
    whatever batch the model allows, so that its numbers do not depend on the others. (Alone it may be rounded
    otherwise: the runtime fuses other nodes.) What is saved is the way in and out of the runtime.

    Parameters
    ----------
    model : Model
    input_name : str
    output : str
        Any tensor of the graph.
    shape : tuple of int
        Of one image, as the model takes it.

    Raises
    ------
    UnsupportedModel
        If the model is older than Scan, or onnxruntime can't load it so, or, from `run`, can't run it.
    """

    def __init__(self, model: Model, input_name: str, output: str, shape: tuple[int, ...]):
        self._type = input_type(model, input_name)
        if model.opset < SINCE:
            raise UnsupportedModel(f"opset {model.opset} has no Scan; opset {SINCE} and later have it")
        self._input = STACK + input_name
        self._session = session_of(over_each(model.proto, {input_name: shape}, [output]))

    def run(self, images: NDArray[np.float64]) -> NDArray[np.float64]:
        """The output for each of the images (n, *shape), stacked."""
        with as_unsupported():
            (results,) = self._session.run(None, {self._input: as_type(images, self._type)})
        return np.asarray(results, dtype=np.float64)


def input_type(model: Model, input_name: str) -> type[np.number[Any]]:
    """The type that the runtime is given for an input."""
    info = next(i for i in model.inputs if i.name == input_name)
    if info.type not in INPUT_TYPES:
        raise UnsupportedModel(
            f"the model's input '{input_name}' is {info.type}; it can be given {', '.join(INPUT_TYPES)} only"
        )
    return INPUT_TYPES[info.type]


def input_unit(model: Model, input_name: str) -> float:
    """By how much neighbouring numbers of an input's type differ, of those near one."""
    if any(info.name == input_name and info.type == "bfloat16" for info in model.inputs):
        return BFLOAT16_UNIT
    return unit_of(input_type(model, input_name))


def _takes_float(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself, or, where an input is bfloat16, one that takes float32 and casts it first."""
    half = [v for v in proto.graph.input if v.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16]
    if not half:
        return proto
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    names = {value.name: f"onnx_si_bfloat16/{value.name}" for value in half}
    for node in made.graph.node:
        node.CopyFrom(renamed(node, names))
    for value in made.graph.input:
        if value.name in names:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    casts = [helper.make_node("Cast", [a], [b], to=onnx.TensorProto.BFLOAT16) for a, b in names.items()]
    nodes = [*casts, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def unit_of(kind: type[np.number[Any]]) -> float:
    """By how much neighbouring numbers of a type differ, of those near one."""
    return float(np.finfo(kind).eps) if issubclass(kind, np.floating) else 1.0


def as_type(values: NDArray[Any], kind: type[np.number[Any]]) -> NDArray[Any]:
    """Values in the type of a model's input; whole numbers are rounded to, within their range."""
    if not issubclass(kind, np.integer):
        return np.asarray(values, kind)
    limits, rounded = np.iinfo(kind), np.rint(values)
    most = np.asarray(limits.max, rounded.dtype)[()]
    if int(most) > limits.max:  # of 32 and 64 bits it lies between two numbers of a floating-point type
        most = np.nextafter(most, most.dtype.type(0))
    held = np.clip(rounded, limits.min, most).astype(kind)
    return np.asarray(np.where(rounded > most, kind(limits.max), held))


def session_of(
    proto: onnx.ModelProto, providers: tuple[str, ...] = (CPU,), threads: int = 1
) -> onnxruntime.InferenceSession:
    """A session of so many threads, which sleep while they wait: others may need the core."""
    proto = without_gaps(with_single_counts(_takes_float(proto)))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and told with the names of a file escaped
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # by default weights that the file stores as floats are rounded to 8 bits between quantised tensors
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    with as_unsupported():
        return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=list(providers))


@contextmanager
def as_unsupported() -> Iterator[None]:
    try:
        yield
    except UnsupportedModel:
        raise  # told already
    except Exception as error:  # onnxruntime's own exception classes share no public base
        first_line = str(error).splitlines()[0]
        raise UnsupportedModel(
            f"onnxruntime can't run the model ({shown(first_line, MOST_TOLD)}); export it with ops and types "
            "that it has: the region is the one that it finds"
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
