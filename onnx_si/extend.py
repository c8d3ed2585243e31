"""A model with its saliency map as one more output, to be saved, shipped and run anywhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import onnx

from onnx_si.errors import UnsupportedModel
from onnx_si.graph import Model
from onnx_si.options import Options
from onnx_si.probe import probe
from onnx_si.saliency import ARGMAX, SaliencyMap, build
from onnx_si.settings import settle


@dataclass(frozen=True)
class Extended:
    """The extended model, the method that made the map, and what was assumed or left to the method."""

    proto: onnx.ModelProto
    output: str
    method: str
    notes: tuple[str, ...]


def extend(
    model: Model,
    method: str | None = None,
    target: int | str | None = None,
    *,
    layout: str | None = None,
    sizes: Mapping[str, int] | None = None,
    scores: str | None = None,
) -> Extended:
    """Add a saliency map to a model.

    Parameters
    ----------
    model : Model
    method : str, optional
        As in `onnx_si.options.Options`; default: what the model's metadata say, else `auto`.
    target : int or "predicted", optional
        Class of the map.
    layout : str, optional
        As in `onnx_si.layout.ALL_LAYOUTS`.
    sizes : mapping of str to int, optional
        Sizes of free input axes: the map is made for one image size, which the new model declares.
    scores : str, optional
        The tensor of the class scores, where several outputs could be.

    Raises
    ------
    UsageError, InputError, UnsupportedModel
        If the model has no such map.
    """
    settings = settle(
        Options(saliency=method, target=target, layout=layout, scores=scores),
        model.metadata,
        has_reference=False,
    )
    trial = probe(model, sizes or {}, settings.layout)
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
    return Extended(proto, found.tensor, found.method, trial.assumed + found.notes)


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


def saliency(model: Model, method: str | None = None, target: int | str | None = None) -> onnx.ModelProto:
    """The model with one more output, `saliency`: its map over the image's pixels.

    Parameters
    ----------
    model : Model
        From `onnx_si.load`.
    method : str, optional
        As in `onnx_si.options.Options`; default: what the model's metadata say, else `auto`.
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
