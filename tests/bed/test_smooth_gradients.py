"""Maps of smooth networks agree with PyTorch's automatic differentiation, and rollout with its attentions."""

import numpy as np
import pytest
from support.extras import needed

import onnx_si
from onnx_si.graph import model_from_proto

from .test_exports import deployed

torch = needed("torch", reason="PyTorch isn't installed: nothing to compare with")
pytestmark = [pytest.mark.converters, pytest.mark.filterwarnings("ignore")]  # the exporters' own notices

from . import smooth_models  # noqa: E402
from .test_gradients import by_autograd, exported  # noqa: E402

functional = torch.nn.functional
TOKENS = {**smooth_models.TRANSFORMERS, **smooth_models.FEWER_KEYS}


def made(builder):
    torch.manual_seed(3)
    net = builder().eval()
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.8, 1.2)
    return net


def agree(model, method, image, wanted):
    extended = model_from_proto(onnx_si.saliency(model, method))
    ours = onnx_si.evaluate(extended, {"x": image})["saliency"]
    runtime = deployed(extended.proto, {"x": image})[-1]
    tolerance = 1e-6 * max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=tolerance)
    np.testing.assert_allclose(runtime, wanted, rtol=0, atol=100 * tolerance)


def images(size=12):
    return np.random.default_rng(4).normal(size=(2, 1, 1, size, size)).astype(np.float32)


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
@pytest.mark.parametrize("name", smooth_models.CONVOLUTIONAL)
def test_convolutional(name, exporter):
    net = made(smooth_models.CONVOLUTIONAL[name])
    seen = images()
    model = model_from_proto(exported(net, torch.tensor(seen[0]), exporter, 17))
    largest = []
    for image in seen:
        for method, wanted in by_autograd(net, image).items():
            wanted = wanted.detach().numpy()[0, 0]
            largest.append(wanted.max())
            if (name, exporter, method) != (
                "windows",
                "dynamo",
                "gradcam",
            ):  # a layer in front is found there
                agree(model, method, image, wanted)
    assert min(largest[::3]) > 0 and max(largest[2::3]) > 0


def tokens_by_autograd(net, image):
    """The gradient maps, and Grad-CAM at what the last attention reads (else the last norm)."""
    net = net.double()
    x = torch.tensor(image, dtype=torch.float64, requires_grad=True)
    y = net.start(x)
    for block in net.blocks[:-1]:
        y = block(y, net.grid)
    others = net.tokens.shape[1]
    if others:
        features = net.blocks[-1].first(y)
        scores = net.end(net.blocks[-1].behind(y, features, net.grid))
    else:
        features = net.norm(net.blocks[-1](y, net.grid))
        scores = net.scores(features.mean(1))
    slope_x, slope = torch.autograd.grad(scores[0, scores.argmax()], (x, features))
    places, slopes = features[0, others:], slope[0, others:]
    coarse = functional.relu((places * slopes.mean(0)).sum(1)).reshape(1, 1, *net.grid)
    cam = functional.interpolate(coarse, image.shape[2:], mode="bilinear")
    return {"gradient": slope_x.abs(), "grad-input": slope_x * x, "gradcam": cam}


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
@pytest.mark.parametrize("name", TOKENS)
def test_transformers(name, exporter):
    net = made(TOKENS[name])
    seen = images(16 if name in smooth_models.FEWER_KEYS else 12)
    model = model_from_proto(exported(net, torch.tensor(seen[0]), exporter, 17))
    largest = []
    for image in seen:
        for method, wanted in tokens_by_autograd(net, image).items():
            wanted = wanted.detach().numpy()[0, 0]
            largest.append(wanted.max())
            agree(model, method, image, wanted)
    assert min(largest[::3]) > 0 and max(largest[2::3]) > 0


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
@pytest.mark.parametrize("name", smooth_models.TRANSFORMERS)
def test_rollout(name, exporter):
    """Abnar and Zuidema's recursion over the attentions that the network keeps."""
    net = made(smooth_models.TRANSFORMERS[name])
    seen = images()
    model = model_from_proto(exported(net, torch.tensor(seen[0]), exporter, 17))
    for image in seen:
        double = made(smooth_models.TRANSFORMERS[name]).double()
        for block in double.blocks:
            block.attention.fused = False
        double(torch.tensor(image, dtype=torch.float64))
        total = torch.eye(double.places.shape[1], dtype=torch.float64)
        for block in double.blocks:
            total = (0.5 * block.attention.weights[0].mean(0) + 0.5 * torch.eye(len(total))) @ total
        others = double.tokens.shape[1]
        row = total[0, others:] if others else total.mean(0)
        wanted = functional.interpolate(row.reshape(1, 1, *double.grid), (12, 12), mode="bilinear")
        agree(model, "rollout", image, wanted.detach().numpy()[0, 0])


def test_rollout_needs_all_tokens_in_every_layer():
    for builder in (smooth_models.CONVOLUTIONAL["windows"], smooth_models.FEWER_KEYS["fewer keys"]):
        net, image = made(builder), images(16 if builder in smooth_models.FEWER_KEYS.values() else 12)[0]
        model = model_from_proto(exported(net, torch.tensor(image), "torchscript", 17))
        with pytest.raises(onnx_si.SaliencyUnavailable, match=r"^no attention rollout: .*choose gradcam"):
            onnx_si.saliency(model, "rollout")
