"""Maps and gradients of a model, by this project and by onnxruntime."""

import numpy as np
import onnx
import onnxruntime

from onnx_si.graph import Editor
from onnx_si.ground.layout import layout_of
from onnx_si.maps import View, build
from onnx_si.maps.backward import differentiate
from onnx_si.maps.gradcam import find_layer
from onnx_si.maps.scores import find_scores, seed
from onnx_si.program.program import bind
from support import nets

STEP = 1e-6


def run_onnx(model, image, *names):
    """Tensors of a model in onnxruntime."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # optimisations may reorder sums where a graph has one more output, and change the last bit
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(list(names), {model.inputs[0].name: image.astype(np.float32)})


def view_of(model, image, layout=None):
    return View(shape=image.shape, layout=layout_of(model.inputs[0].shape, layout))


def saliency_of(model, image, method="auto", target="predicted"):
    return build(model, image, method, target, view_of(model, image))


def values_of(model, image, method, target="predicted"):
    """A map in float64, after a comparison with onnxruntime."""
    found = saliency_of(model, image, method, target)
    ours = nets.value_of(found.model, image, found.tensor)
    (deployed,) = run_onnx(found.model, image, found.tensor)
    assert ours.shape == deployed.shape == view_of(model, image).space
    np.testing.assert_allclose(ours, deployed, rtol=0, atol=1e-5 * (1 + np.abs(ours).max()))
    return ours


def layer_of(model, image, name=""):
    view = view_of(model, image)
    return find_layer(model, image, find_scores(model, image, view), view, name)


def with_gradient(model, image, target="predicted"):
    """The model with the gradient of a class's score as one more tensor, and that tensor."""
    scores = find_scores(model, image, view_of(model, image))
    editor = Editor(model)
    start = seed(editor, scores, target)
    tensor = differentiate(editor, model, scores.program, scores.tensor, start, "x")
    editor.expose(tensor)
    return editor.finish(), tensor, scores


def differences(model, image, scores, target):
    """Central differences of a score: exact up to rounding where no bend is near."""
    program = bind(model, image, (scores.tensor,))
    class_ = int(np.argmax(program.values[scores.tensor])) if target == "predicted" else target
    steps = STEP * np.eye(image.size).reshape(-1, *image.shape)
    both = nets.run_rules(program, np.concatenate([image + steps, image - steps]))[scores.tensor]
    up, down = np.split(both.reshape(2 * image.size, -1)[:, class_], 2)
    return ((up - down) / (2 * STEP)).reshape(image.shape)
