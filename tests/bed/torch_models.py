"""PyTorch idioms, small and with fixed weights: what people export, and how they write it."""

import torch
from torch import nn
from torch.nn import functional


class Idiom(nn.Module):
    """Some layers and a function of them and the input."""

    def __init__(self, function, *layers):
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, x):
        return self.function(x, *self.layers)


def conv(inside, outside, kernel=3, **options):
    return nn.Conv2d(inside, outside, kernel, padding=options.pop("padding", kernel // 2), **options)


def block(inside, outside, rank=2, norm="batch", act=nn.ReLU):
    """Convolution, normalisation, activation."""
    conv_of, norm_of = getattr(nn, f"Conv{rank}d"), getattr(nn, f"{norm.capitalize()}Norm{rank}d")
    return nn.Sequential(conv_of(inside, outside, 3, padding=1), norm_of(outside, affine=True), act())


class UNet(nn.Module):
    """Two levels, as MONAI's BasicUNet in any dimension; `last` is what follows the scores."""

    def __init__(self, rank=2, classes=1, last=None, **options):
        super().__init__()
        up, pool = getattr(nn, f"ConvTranspose{rank}d"), getattr(nn, f"MaxPool{rank}d")
        self.down, self.bottom = block(1, 4, rank, **options), block(4, 8, rank, **options)
        self.pool, self.up = pool(2), up(8, 4, 2, stride=2)
        self.end, self.scores = block(8, 4, rank, **options), getattr(nn, f"Conv{rank}d")(4, classes, 1)
        self.last = last

    def forward(self, x):
        above = self.down(x)
        below = self.up(self.bottom(self.pool(above)))
        scores = self.scores(self.end(torch.cat([above, below], dim=1)))
        return scores if self.last is None else self.last(scores)


class Encoder(nn.Module):
    """Patches, a class token, positions, one layer of attention and a head: a vision transformer."""

    def __init__(self, width=8):
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, 5, width))
        self.norm, self.mixed = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.hidden = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width)
        )
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], dim=1) + self.positions
        batch, count, width = tokens.shape
        heads = self.mixed(self.norm(tokens)).view(batch, count, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        weights = (query @ key.transpose(-2, -1) * (width // 2) ** -0.5).softmax(-1)
        tokens = tokens + (weights @ value).transpose(1, 2).reshape(batch, count, width)
        return self.head((tokens + self.hidden(tokens))[:, 0])


def moved(x):
    """Flips, steps, rolls, indices, padding: everything that only moves values."""
    y = torch.flip(x, [2])[:, :, ::2, 1::3]
    y = torch.roll(functional.pad(y, (1, 2, 0, 1), mode="reflect"), (1, -2), (2, 3))
    y = y.repeat(1, 2, 1, 1).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 2)
    return torch.stack([part * (i + 1) for i, part in enumerate(y.chunk(2, 1))], dim=0)[[1, 0, 1]]


def on_a_grid(x):
    """Coordinates made from the shape, for any size."""
    rows = torch.arange(x.shape[2]).view(1, 1, -1, 1) / x.shape[2]
    return functional.interpolate(
        functional.relu(x + rows), scale_factor=2.0, mode="bilinear", align_corners=False
    )


def masked(x, layer):
    scores = layer(x)
    kept = torch.where(scores > 0.1, scores, -x)
    return kept.masked_fill(torch.tril(torch.ones(x.shape[2], x.shape[3])) == 0, -1.0).clamp(-0.8, 0.9)


def pooled(x):
    y = functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)
    return torch.cat(
        [functional.adaptive_max_pool2d(x, 2), functional.max_pool2d(y, 2, 2, ceil_mode=True)[:, :, :2, :2]],
        1,
    )


IMAGE, VOLUME, SIGNAL = (1, 1, 8, 8), (1, 1, 4, 4, 4), (1, 1, 16)
FREE = {0: "batch", 2: "height", 3: "width"}

# name: module, input shape, free axes, whether the path to the first output is piecewise linear
MODELS = {
    "classifier": (
        lambda: nn.Sequential(block(1, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
        IMAGE,
        None,
        True,
    ),
    "unet": (UNet, IMAGE, None, True),
    "unet, free size": (UNet, IMAGE, FREE, True),
    "unet, 3-D": (lambda: UNet(rank=3), VOLUME, None, True),
    "unet, 1-D": (lambda: UNet(rank=1), SIGNAL, None, True),
    "unet, PReLU": (lambda: UNet(act=nn.PReLU), IMAGE, None, True),
    "unet, instance norm": (lambda: UNet(norm="instance", act=nn.LeakyReLU), IMAGE, None, False),
    "unet, sigmoid": (lambda: UNet(last=torch.sigmoid), IMAGE, None, False),
    "unet, softmax": (lambda: UNet(classes=2, last=nn.Softmax(1)), IMAGE, None, False),
    "unet, argmax": (lambda: UNet(classes=3, last=lambda y: y.softmax(1).argmax(1)), IMAGE, None, False),
    "encoder": (Encoder, IMAGE, {0: "batch"}, False),
    "moves": (lambda: Idiom(moved), IMAGE, None, True),
    "coordinates": (lambda: Idiom(on_a_grid), IMAGE, FREE, True),
    "masks": (lambda: Idiom(masked, conv(1, 1)), IMAGE, None, True),
    "pools": (lambda: Idiom(pooled), IMAGE, None, True),
    "maxout": (
        lambda: Idiom(lambda x, layer: torch.maximum(*layer(x).chunk(2, 1)), conv(1, 4)),
        IMAGE,
        None,
        True,
    ),
    "pixel shuffle": (
        lambda: Idiom(lambda x, layer: functional.pixel_shuffle(functional.relu6(layer(x)), 2), conv(1, 4)),
        IMAGE,
        None,
        True,
    ),
    "gated": (
        lambda: Idiom(lambda x, a, b: torch.tanh(a(x)) * torch.sigmoid(b(x)), conv(1, 2), conv(1, 2)),
        IMAGE,
        None,
        False,
    ),
    "half precision": (lambda: UNet().half(), IMAGE, None, True),
}
