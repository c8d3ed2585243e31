"""A model with its saliency map as one more output, to be saved, shipped and run anywhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.analysis.door import at_door
from onnx_si.analysis.options import Options
from onnx_si.analysis.settings import settle
from onnx_si.errors import UnsupportedModel
from onnx_si.graph import Loadable, Model, as_model
from onnx_si.inspection.probe import Probe, probe
from onnx_si.maps import ARGMAX, SaliencyMap, build
from onnx_si.runtime.session import run_deployed

SAME = 1e-3  # share of an output's largest value that other fusions of the runtime may change


@dataclass(frozen=True, kw_only=True)
class Extended:
    """The extended model, the method that made the map, and what was assumed or left to the method."""

    proto: onnx.ModelProto
    output: str
    method: str
    notes: tuple[str, ...]


def extend(
    model: Loadable,
    method: str | None = None,
    target: int | str | None = None,
    *,
    layout: str | None = None,
    sizes: Mapping[str, int] | None = None,
    scores: str | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> Extended:
    """Add a saliency map to a model.

    Parameters
    ----------
    model : Model, or what `onnx_si.load` takes
    method : str, optional
        As option `saliency` in docs/options.md; default: what the model's metadata say, else `auto`.
    target : int or "predicted", optional
        Class of the map.
    layout : str, optional
        As in `onnx_si.ground.layout.ALL_LAYOUTS`.
    sizes : mapping of str to int, optional
        Sizes of free input axes: the map is made for one image size, which the new model declares.
    scores : str, optional
        The tensor of the class scores, where several outputs could be.
    inputs : mapping of str to number, array, text or path, optional
        Values of inputs beside the image: constants of the new model.

    Raises
    ------
    UsageError, InputError, UnsupportedModel
        If the model has no such map.
    """
    model = as_model(model)
    settings = settle(
        Options(saliency=method, target=target, layout=layout, scores=scores, dims=sizes, inputs=inputs),
        model.metadata,
        has_reference=False,
    )
    door = at_door(model, settings.inputs, settings.layout, settings.dims)
    model, told = door.model, door.told
    trial = probe(model, settings.dims or {}, settings.layout, door.layout)
    view = replace(trial.view, scores=settings.scores)
    argmax = None if settings.threshold is None else settings.threshold == ARGMAX
    found = build(model, trial.image, settings.saliency, settings.target, view, argmax)
    proto = onnx.ModelProto()
    proto.CopyFrom(found.model.proto)
    _declare_shape(proto.graph.input, trial.info.name, trial.image.shape)
    _declare_shape(proto.graph.output, found.tensor, trial.view.space)
    _keep_in_metadata(proto, found)
    try:
        onnx.checker.check_model(proto)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise UnsupportedModel(
            f"the extended model is not valid ONNX: {str(error).splitlines()[0]}"
        ) from error
    checked = _against_file(model, proto, trial)
    return Extended(
        proto=proto,
        output=found.tensor,
        method=found.method,
        notes=told + trial.assumed + found.notes + checked,
    )


def _against_file(model: Model, proto: onnx.ModelProto, trial: Probe) -> tuple[str, ...]:
    """Compare the outputs that both have, in onnxruntime on the probe; a note where it can't run the file.

    Raises
    ------
    UnsupportedModel
        If the extended model computes another output than the file.
    """
    names = tuple(info.name for info in model.outputs)
    try:
        before = run_deployed(Model(proto=model.file), trial.image, trial.info.name, names)
    except UnsupportedModel as error:
        return (f"the new model's outputs were not compared with the file's: {error}",)
    after = run_deployed(Model(proto=proto), trial.image, trial.info.name, names)
    for info, own, new in zip(model.outputs, before, after, strict=True):
        if not _same(own, new, info.is_floating):
            raise UnsupportedModel(
                f"the extended model's output '{info.name}' is not the file's: its graph was read wrongly; "
                "please report it with the model"
            )
    return ()


def _same(own: NDArray[np.float64], new: NDArray[np.float64], floating: bool) -> bool:
    if own.shape != new.shape:
        return False
    size = float(np.abs(own[np.isfinite(own)]).max(initial=0.0)) if floating else 0.0
    return bool(np.allclose(own, new, rtol=0.0, atol=SAME * size, equal_nan=True))


def _declare_shape(values: Iterable[onnx.ValueInfoProto], name: str, sizes: tuple[int, ...]) -> None:
    shape = next(value for value in values if value.name == name).type.tensor_type.shape
    del shape.dim[:]
    shape.dim.extend(onnx.TensorShapeProto.Dimension(dim_value=size) for size in sizes)


def _keep_in_metadata(proto: onnx.ModelProto, found: SaliencyMap) -> None:
    """A test of the new model uses the stored map; the class is part of it, and so is a choice of class."""
    kept = {p.key: p.value for p in proto.metadata_props if p.key != "onnx_si.target"}
    if found.chooses_class:
        kept["onnx_si.threshold"] = f"{found.split:g}"
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {**kept, "onnx_si.saliency": f"output:{found.tensor}"})


def saliency(model: Loadable, method: str | None = None, target: int | str | None = None) -> onnx.ModelProto:
    """The model with one more output, `saliency`: its map over the image's pixels.

    Parameters
    ----------
    model : Model, or what `onnx_si.load` takes
    method : str, optional
        As option `saliency` in docs/options.md; default: what the model's metadata say, else `auto`.
    target : int or "predicted", optional
        Class of the map.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    UsageError, InputError, UnsupportedModel
        If the model has no such map.
    """
    return extend(model, method, target).proto
