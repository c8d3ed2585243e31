"""Attention rollout agrees with the attention weights that PyTorch and Hugging Face themselves tell."""

import numpy as np
import pytest
from support.extras import needed

from onnx_si.graph import model_from_proto

torch = needed("torch", reason="PyTorch isn't installed: nothing to compare with")
pytestmark = [pytest.mark.converters, pytest.mark.filterwarnings("ignore")]  # the exporters' own notices

from .test_gradients import exported  # noqa: E402
from .test_smooth_gradients import agree, images  # noqa: E402

nn, functional = torch.nn, torch.nn.functional
SIZE, PATCH, WIDTH = 12, 4, 8
GRID = SIZE // PATCH


class Encoder(nn.Module):
    """PyTorch's own encoder layers over patches, behind some tokens that are no place."""

    def __init__(self, others, norm_first):
        super().__init__()
        self.others = others
        self.patches = nn.Conv2d(1, WIDTH, PATCH, PATCH)
        self.tokens = nn.Parameter(torch.randn(1, others, WIDTH))
        self.places = nn.Parameter(torch.randn(1, GRID**2 + others, WIDTH))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 2, 16, 0.0, "gelu", batch_first=True, norm_first=norm_first)
            for _ in range(3)
        )
        self.scores = nn.Linear(WIDTH, 3)

    def forward(self, x):
        x = torch.cat([self.tokens, self.patches(x).flatten(2).transpose(1, 2)], 1) + self.places
        for layer in self.layers:
            x = layer(x)
        return self.scores(x[:, 0] if self.others else x.mean(1))


class Told(nn.MultiheadAttention):
    """An attention that is asked for its weights, averaged over heads, and keeps them."""

    def forward(self, *tensors, **asked):
        asked |= {"need_weights": True, "average_attn_weights": True}
        mixed, self.weights = super().forward(*tensors, **asked)
        return mixed, self.weights


def telling(net):
    """The same network with attentions that tell their weights: another graph in an export."""
    for layer in net.layers:
        layer.self_attn.__class__ = Told
    return net


def recursion(weights, others):
    """Abnar and Zuidema's, over means of heads from first to last; the map of the image."""
    total = torch.eye(len(weights[0]), dtype=torch.float64)
    for matrix in weights:
        total = (0.5 * matrix + 0.5 * torch.eye(len(total))) @ total
    row = total[0, others:] if others else total.mean(0)
    coarse = row.reshape(1, 1, GRID, GRID)
    return functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear").detach().numpy()[0, 0]


def encoder(others, norm_first):
    torch.manual_seed(5)
    net = Encoder(others, norm_first).eval()
    for layer in net.layers:  # drawn ones are so small that all tokens look alike
        nn.init.normal_(layer.self_attn.in_proj_weight, std=0.7)
    return net


@pytest.mark.parametrize("kept", [False, True], ids=["fused", "weights told"])
@pytest.mark.parametrize(("others", "norm_first"), [(1, True), (0, False)])
def test_pytorch(others, norm_first, kept):
    """`need_weights` and `average_attn_weights` of MultiheadAttention."""
    seen = images()
    net = encoder(others, norm_first)
    proto = exported(telling(net) if kept else net, torch.tensor(seen[0]), "torchscript", 17)
    model = model_from_proto(proto)
    told = telling(encoder(others, norm_first).double())
    for image in seen:
        told(torch.tensor(image, dtype=torch.float64))
        wanted = recursion([layer.self_attn.weights[0] for layer in told.layers], others)
        assert np.ptp(wanted) > 0.1 * wanted.mean()
        agree(model, "rollout", image, wanted)


class Scores(nn.Module):
    """What a network of Hugging Face returns, as a tensor."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(pixel_values=x).logits


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_hugging_face(attention):
    """`output_attentions` of a ViT of `transformers`, with drawn weights."""
    transformers = needed("transformers", reason="transformers isn't installed: nothing to compare with")

    def made(kind):
        torch.manual_seed(6)
        config = transformers.ViTConfig(
            **{"image_size": SIZE, "patch_size": PATCH, "num_channels": 1, "hidden_size": WIDTH},
            **{"num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16},
            **{"initializer_range": 0.7, "num_labels": 3, "attn_implementation": kind},
        )
        return transformers.ViTForImageClassification(config).eval()

    seen = images()
    model = model_from_proto(exported(Scores(made(attention)), torch.tensor(seen[0]), "torchscript", 17))
    telling = made("eager").double()
    for image in seen:
        told = telling(pixel_values=torch.tensor(image, dtype=torch.float64), output_attentions=True)
        assert len(told.attentions) == 3
        wanted = recursion([weights[0].mean(0) for weights in told.attentions], 1)
        assert np.ptp(wanted) > 0.1 * wanted.mean()
        agree(model, "rollout", image, wanted)
