"""What a model is made of, which saliency methods fit it, and which guarantee its p-values can have."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.analysis.blackbox import BlackBox
from onnx_si.analysis.door import at_door
from onnx_si.analysis.frame import Frame, Input, frame_of
from onnx_si.analysis.marking import marking_of
from onnx_si.analysis.offered import limit_of
from onnx_si.analysis.options import Options
from onnx_si.analysis.settings import Settings, settle
from onnx_si.choices.guarantees import CERTIFIED, DRAWN
from onnx_si.errors import (
    AmbiguousLayout,
    OnnxSIError,
    SaliencyUnavailable,
    UnsupportedModel,
    UnsupportedOp,
    UsageError,
)
from onnx_si.graph import Loadable, Model, TensorInfo, as_model
from onnx_si.ground.guard import is_ours, words_of
from onnx_si.ground.layout import require_one_image
from onnx_si.ground.once import asking
from onnx_si.ground.wall import starved
from onnx_si.inspection.ops_used import OpUse, ops_used
from onnx_si.inspection.planned import Choice, plan
from onnx_si.inspection.probe import Probe, probe
from onnx_si.maps import ARGMAX, build, default_threshold, methods, parse_threshold, with_margin
from onnx_si.maps.reading import read_tensor
from onnx_si.maps.trace import input_layout, trace
from onnx_si.program.program import Program, bind
from onnx_si.report.documents import INSPECTION
from onnx_si.runtime.session import INPUT_TYPES, run_deployed

UNEXPECTED = "malformed, or a case that is not handled"
WHERE_PROVEN = (
    "of a line on which a few cells show that it takes no more than {:g} s the bounds are proven; of others "
    "the p-value is drawn by chains"
)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What `inspect_model` found; `to_dict` is its JSON."""

    model: Model
    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]
    plan: tuple[Choice, ...]
    ops: tuple[OpUse, ...]
    saliency: tuple[Mapping[str, Any], ...]
    guarantee: str
    reasons: tuple[str, ...]
    assumed: tuple[str, ...]
    tensors: tuple[Mapping[str, Any], ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The inspection as a document of schema `onnx-si/inspect/1`, ready for JSON."""
        ops = [
            {("class" if key == "kind" else key): value for key, value in vars(use).items()}
            for use in self.ops
        ]
        known = {
            "path": self.model.path,
            "sha256": self.model.sha256,
            "producer": self.model.producer,
            "opset": self.model.opset,
            "metadata": {
                key: value for key, value in self.model.metadata.items() if key.startswith("onnx_si.")
            },
            "plan": [dict(vars(choice)) for choice in self.plan],
            "inputs": [dict(info) for info in self.inputs],
            "outputs": [dict(info) for info in self.outputs],
            **({} if self.tensors is None else {"tensors": [dict(info) for info in self.tensors]}),
            "ops": [{**op, "nodes": list(op["nodes"])} for op in ops],
            "saliency": [dict(method) for method in self.saliency],
            "guarantee": self.guarantee,
            "reasons": list(self.reasons),
            "assumed": list(self.assumed),
        }
        return INSPECTION.make(known)


def inspect_model(
    model: Loadable,
    sizes: Mapping[str, int] | None = None,
    layout: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    *,
    tensors: bool = False,
) -> Inspection:
    """Look at a model as a test would, on a random image of its input's shape.

    Parameters
    ----------
    model : Model, or what `onnx_si.load` takes
    sizes : mapping of str to int, optional
        Sizes of free input axes.
    layout : str, optional
        As in `onnx_si.ground.layout.ALL_LAYOUTS`.
    inputs : mapping of str to number, array, text or path, optional
        Values of inputs beside the image.
    tensors : bool
        Whether to list the inner tensors as well.

    Returns
    -------
    Inspection
        Also of a model that can't be analysed: `guarantee` is then `refused`, and `reasons` say what would
        have to change.

    Raises
    ------
    UsageError
        If a size or the layout does not fit the model.
    """
    with asking():
        return _inspected(as_model(model), Options(layout=layout, dims=sizes, inputs=inputs), tensors)


def _inspected(loaded: Model, options: Options, tensors: bool) -> Inspection:
    model, settings = loaded, settle(options, loaded.metadata, has_reference=False)
    trial, program, fitting = None, None, []
    planned, told = tuple[Choice, ...](), tuple[str, ...]()
    try:
        door = at_door(model, settings.inputs, settings.layout, settings.dims)
        model, told = door.model, door.told
        trial = probe(model, settings.dims or {}, settings.layout, door.layout)
        program = _bound(model, trial, _inner(model) if tensors else ())
        _require_one_image(model, trial)
        fitting = methods(model, trial.image, replace(trial.view, scores=settings.scores))
        guarantee, reasons, planned = _guarantee(model, trial, settings)
    except AmbiguousLayout as error:
        guarantee, reasons = "refused", (str(error),)
    except UsageError:
        raise
    except OnnxSIError as error:
        guarantee, reasons = "refused", (str(error),)
    except Exception as error:  # an inspection shows what goes wrong with a model
        if is_ours(error) and not starved(error):
            raise
        why = "out of memory: try smaller sizes (--dim)" if starved(error) else UNEXPECTED
        guarantee, reasons = "refused", (f"{why} ({words_of(error)})",)
    if guarantee == "refused" and program is not None:
        reasons = tuple(dict.fromkeys((*reasons, *map(str, program.gaps))))
    return Inspection(
        model=loaded,
        inputs=tuple(_input(loaded, info, settings.layout) for info in loaded.inputs),
        outputs=tuple(_output(model, info, program, trial) for info in model.outputs),
        plan=planned,
        ops=ops_used(model, program),
        saliency=tuple(vars(found) for found in fitting),
        guarantee=guarantee,
        reasons=reasons,
        assumed=told + (() if trial is None else trial.assumed),
        tensors=_tensors(model, program, trial) if tensors else None,
    )


def _tensors(model: Model, program: Program | None, trial: Probe | None) -> tuple[dict[str, Any], ...]:
    """What lies between input and outputs, in the order of the nodes: each may be named by `output:NAME`."""
    folded = frozenset[str]() if program is None else program.folded
    infos = [TensorInfo(name, "inner", None) for name in _inner(model) if name not in folded]
    return tuple(_output(model, info, program, trial) for info in infos)


def _inner(model: Model) -> list[str]:
    """Names of the tensors that nodes write and that are no outputs."""
    ends = {info.name for info in model.outputs}
    return [name for node in model.proto.graph.node for name in node.output if name and name not in ends]


def _input(model: Model, info: TensorInfo, wanted: str | None) -> dict[str, Any]:
    """A declared input; its layout is null where it can't be an image, and `reason` says why either way."""
    axes, reason = None, "its shape is not declared"
    if info.shape is not None:
        try:
            found = input_layout(model, info, wanted)
            axes, reason = found.axes, found.reason
        except OnnxSIError as error:
            reason = str(error)
    return _declared(info, info.shape, axes, reason)


def _output(model: Model, info: TensorInfo, program: Program | None, trial: Probe | None) -> dict[str, Any]:
    """A declared output; its layout is null where it is no map over the image."""
    value = None if program is None else program.values.get(info.name)
    if value is None or trial is None:
        return _declared(info, info.shape, None, "it can't be evaluated")
    shape = info.shape if info.shape is not None else value.shape
    try:
        axes = trace(model, trial.image, (info.name,)).get(info.name) if len(model.inputs) == 1 else None
        reading = read_tensor(value.shape, trial.view, axes)
    except SaliencyUnavailable as error:
        return _declared(info, shape, None, f"no map: {error}")
    if math.prod(reading.size) < 2 or not reading.is_whole(trial.view):
        return _declared(info, shape, None, "no map: its axes don't follow the image's")
    return _declared(info, shape, reading.layout.axes, reading.layout.reason)


def _declared(info: TensorInfo, shape: Any, axes: str | None, reason: str) -> dict[str, Any]:
    size = None if shape is None else list(shape)
    return {"name": info.name, "type": info.type, "shape": size, "layout": axes, "reason": reason}


def _bound(model: Model, trial: Probe, inner: Sequence[str]) -> Program:
    """The whole graph bound to the trial image, ends that no output needs included."""
    read = {name for node in model.proto.graph.node for name in node.input}
    ends = [node.output[0] for node in model.proto.graph.node if node.output and not read & set(node.output)]
    names = [info.name for info in model.outputs] + [name for name in ends if name]
    outputs = tuple(dict.fromkeys([*names, *inner]))
    others = [info for info in model.inputs if info.name != trial.info.name]
    declared = trial.info.shape or ()
    sizes = {name: n for name, n in zip(declared, trial.image.shape, strict=True) if isinstance(name, str)}
    given = {info.name: _ones(info, sizes) for info in others}
    with np.errstate(all="ignore"):
        return bind(model, trial.image, outputs, input_name=trial.info.name, given=given)


def _ones(info: TensorInfo, sizes: Mapping[str, int]) -> NDArray[Any]:
    """A value for an input beside the image; a free axis that the image has too gets the image's size."""
    shape = [size if isinstance(size, int) else sizes.get(size or "", 1) for size in info.shape or ()]
    element = onnx.TensorProto.DataType.keys()
    known = info.type.upper() in element
    kind = onnx.TensorProto.DataType.Value(info.type.upper()) if known else onnx.TensorProto.FLOAT
    return np.ones(shape, onnx.helper.tensor_dtype_to_np_dtype(kind))


def _require_one_image(model: Model, trial: Probe) -> None:
    if len(model.inputs) != 1:
        raise UnsupportedModel(
            f"the model has {len(model.inputs)} inputs; one is the image: give the "
            f"others values with --input {model.inputs[-1].name}=VALUE, or export it with them as constants"
        )
    require_one_image(trial.image.shape, trial.layout)
    if trial.info.type not in INPUT_TYPES:
        raise UnsupportedModel(
            f"the input '{trial.info.name}' is {trial.info.type}; export it in floating point"
        )


def _drawn(
    model: Model,
    trial: Probe,
    settings: Settings,
    reasons: tuple[str, ...],
    planned: tuple[Choice, ...],
) -> tuple[str, tuple[str, ...], tuple[Choice, ...]]:
    """What the deployed runtime alone can give, where the network can't be followed exactly."""
    asked = replace(settings, engine="monte-carlo")
    try:
        taken = Input(name=trial.info.name, layout=trial.layout, sizes=trial.image.shape)
        frame = frame_of(model, taken, trial.image.shape, asked)
        marking = marking_of(frame, trial.image, None, asked)
        BlackBox(marking).steady(trial.image)
    except OnnxSIError as error:
        return "refused", tuple(dict.fromkeys((*reasons, str(error)))), planned
    guarantee = DRAWN.name
    if _may_be_proven(frame, trial, settings):
        guarantee, reasons = CERTIFIED.name, (*reasons, WHERE_PROVEN.format(limit_of(settings)))
    engine = (guarantee, "; ".join(reasons))
    planned = tuple(plan(trial, marking.saliency, marking.marker.threshold, settings, engine))
    return guarantee, reasons, planned


def _may_be_proven(frame: Frame, trial: Probe, settings: Settings) -> bool:
    """Whether a test with these options proves bounds on lines that allow it."""
    if not trial.info.is_floating:
        return False
    try:
        return marking_of(frame, trial.image, None, settings).proving is not None
    except OnnxSIError:
        return False


def _guarantee(
    model: Model, trial: Probe, settings: Settings
) -> tuple[str, tuple[str, ...], tuple[Choice, ...]]:
    """Best guarantee of a test with the default map and threshold, why it is no better, and the plan."""
    planned: tuple[Choice, ...] = ()
    if not trial.info.is_floating:
        why = (f"the input is {trial.info.type}: the runtime rounds images",)
        return _drawn(model, trial, settings, why, planned)
    try:
        with np.errstate(all="ignore"):
            view = replace(trial.view, scores=settings.scores)
            chosen = settings.threshold
            argmax = None if chosen is None else chosen == ARGMAX
            found = build(model, trial.image, settings.saliency, settings.target, view, argmax)
            threshold = default_threshold(found) if chosen is None else parse_threshold(chosen)
            planned = tuple(plan(trial, found, threshold, settings, ("refused", "see the reasons below")))
            pixels = int(np.prod(trial.view.space))
            top = np.arange(pixels).reshape(trial.view.space) == 0  # any region: the ops are the same
            extended, margin = with_margin(found, threshold, pixels, top=top)
            bind(extended, trial.image, (margin,)).require_exact()
    except UnsupportedOp as error:
        return _drawn(model, trial, settings, tuple(map(str, error.findings)), planned)
    except UnsupportedModel as error:
        return _drawn(model, trial, settings, (str(error),), planned)
    except OnnxSIError as error:
        return "refused", (str(error),), planned
    what = f"saliency {found.method} with threshold {threshold}"
    reason = f"{what}: every op between image and region is affine, piecewise linear, a product or a jump"
    planned = tuple(plan(trial, found, threshold, settings, ("exact", reason.partition(": ")[2])))
    try:
        run_deployed(extended, trial.image, trial.info.name, (margin,))
    except UnsupportedModel as error:
        return "exact", (reason, f"the deployed region can't be checked: {error}"), planned
    return "exact", (reason,), planned
