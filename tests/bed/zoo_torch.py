"""Architectures that people use, a few channels wide: as they are written in PyTorch, with drawn weights."""

import torch
from torch import nn
from torch.nn import functional

from .smooth_models import NextBlock, NextHead, SqueezeExcite, Transformer, Windows
from .torch_models import UNet


def conv(inside, outside, norm=nn.BatchNorm2d, act=nn.ReLU, kernel=3, stride=1, groups=1):
    layer = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, norm(outside), act())


def pooled(channels, classes=3):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class Residual(nn.Module):
    """What is behind a shortcut, which is projected where the sizes differ."""

    def __init__(self, inside, outside, stride=1, gate=None):
        super().__init__()
        self.body = nn.Sequential(
            conv(inside, outside, stride=stride), conv(outside, outside, act=nn.Identity)
        )
        same = inside == outside and stride == 1
        self.short = (
            nn.Identity() if same else conv(inside, outside, act=nn.Identity, kernel=1, stride=stride)
        )
        self.gate = gate

    def forward(self, x):
        y = self.body(x)
        return functional.relu((y if self.gate is None else y * self.gate(y)) + self.short(x))


class Gate(nn.Sequential):
    """Squeeze and excite."""

    def __init__(self, channels, act=nn.ReLU, last=nn.Sigmoid):
        super().__init__(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, 2, 1), act(), nn.Conv2d(2, channels, 1), last()
        )


class Inverted(nn.Module):
    """A block of MobileNet: expanded, depthwise, projected, added."""

    def __init__(self, channels, act, gate=None):
        super().__init__()
        wide = 2 * channels
        self.first = nn.Sequential(
            conv(channels, wide, kernel=1, act=act), conv(wide, wide, act=act, groups=wide)
        )
        self.gate, self.last = gate, conv(wide, channels, kernel=1, act=nn.Identity)

    def forward(self, x):
        y = self.first(x)
        return x + self.last(y if self.gate is None else y * self.gate(y))


class Dense(nn.Module):
    """A block of DenseNet: each layer reads all before it."""

    def __init__(self, inside, growth=3, count=3):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(inside + i * growth),
                nn.ReLU(),
                nn.Conv2d(inside + i * growth, growth, 3, padding=1),
            )
            for i in range(count)
        )

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class Recurrent(nn.Module):
    """Convolutions, then the rows of the map as a sequence."""

    def __init__(self, kind):
        super().__init__()
        self.features = conv(1, 3, stride=2)
        self.rows, self.scores = kind(3 * 8, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x):
        rows = self.features(x).permute(0, 2, 1, 3).flatten(2)
        return self.scores(self.rows(rows)[0][:, -1])


class SegFormer(nn.Module):
    """Attention with fewer keys at two scales, and a head that joins them."""

    def __init__(self, width=6):
        super().__init__()
        self.first = Transformer(size=16, patch=2, width=width, blocks=1, tokens=0, fewer=2)
        self.down = nn.Conv2d(width, width, 3, 2, 1)
        self.second = Transformer(size=4, patch=1, width=width, blocks=1, tokens=0)
        self.second.patches = nn.Conv2d(width, width, 1)
        self.scores = nn.Conv2d(2 * width, 1, 1)

    def forward(self, x):
        maps, size = [], x.shape[-2:]
        for stage, step in ((self.first, nn.Identity()), (self.second, self.down)):
            x = step(x)
            x = stage.patches(x).flatten(2).transpose(1, 2) + stage.places
            for block in stage.blocks:
                x = block(x, stage.grid)
            side = int(x.shape[1] ** 0.5)
            x = x.transpose(1, 2).reshape(1, -1, side, side)
            maps.append(x)
            x = maps[-1]
            if stage is self.first:
                self.grid = (side, side)
        up = [functional.interpolate(m, size=self.grid, mode="bilinear") for m in maps]
        return functional.interpolate(self.scores(torch.cat(up, 1)), size=size, mode="bilinear")


class AttentionGates(nn.Module):
    """A U-Net whose shortcut is weighted by what is below it."""

    def __init__(self):
        super().__init__()
        self.above, self.below = conv(1, 4), conv(4, 4)
        self.weight = nn.Conv2d(8, 1, 1)
        self.scores = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        above = self.above(x)
        below = functional.interpolate(self.below(functional.max_pool2d(above, 2)), scale_factor=2.0)
        gated = above * torch.sigmoid(self.weight(torch.cat([above, below], 1)))
        return self.scores(torch.cat([gated, below], 1))


class Mixer(nn.Module):
    """MLP-Mixer: dense layers across places, then across channels."""

    def __init__(self, width=6, places=16):
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, 4)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.across = nn.Sequential(nn.Linear(places, 8), nn.GELU(), nn.Linear(8, places))
        self.along = nn.Sequential(nn.Linear(width, 8), nn.GELU(), nn.Linear(8, width))
        self.scores = nn.Linear(width, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.across(self.first(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.along(self.second(x))
        return self.scores(x.mean(1))


class Errors(nn.Module):
    """An autoencoder's absolute errors."""

    def __init__(self):
        super().__init__()
        self.down, self.up = conv(1, 4, act=nn.ELU, stride=2), nn.ConvTranspose2d(4, 1, 2, 2)

    def forward(self, x):
        return (x - torch.tanh(self.up(self.down(x)))).abs()


class Atrous(nn.Module):
    """The head of DeepLab: several dilations and a mean over all, joined."""

    def __init__(self):
        super().__init__()
        self.stem = conv(1, 4, stride=2)
        self.branches = nn.ModuleList(nn.Conv2d(4, 3, 3, padding=d, dilation=d) for d in (1, 2, 3))
        self.all = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 3, 1), nn.ReLU())
        self.scores = nn.Conv2d(12, 1, 1)

    def forward(self, x):
        y = self.stem(x)
        parts = [functional.silu(branch(y)) for branch in self.branches]
        y = self.scores(torch.cat([*parts, self.all(y).expand(-1, -1, *y.shape[2:])], 1))
        return functional.interpolate(y, size=x.shape[-2:], mode="bilinear")


class Own(nn.Module):
    """PyTorch's own encoder layer, on patches."""

    def __init__(self, width=8):
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, 4)
        self.layer = nn.TransformerEncoderLayer(width, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True)
        self.scores = nn.Linear(width, 3)

    def forward(self, x):
        return self.scores(self.layer(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


def group_norm(channels):
    return nn.GroupNorm(2, channels)


def group_unet():
    net = UNet(act=nn.SiLU)
    for part in (net.down, net.bottom, net.end):
        part[1] = group_norm(part[1].num_features)
    return net


ZOO = {
    "EfficientNet": lambda: nn.Sequential(conv(1, 4, act=nn.SiLU, stride=2), SqueezeExcite(4), pooled(4)),
    "ConvNeXt": lambda: nn.Sequential(nn.Conv2d(1, 6, 2, 2), NextBlock(6), NextBlock(6), NextHead(6)),
    "ViT": lambda: Transformer(size=16, blocks=2),
    "ViT, PyTorch's attention": lambda: Transformer(size=16, blocks=2, fused=True),
    "PyTorch's encoder layer": Own,
    "Swin": lambda: nn.Sequential(nn.Conv2d(1, 6, 4, 4), Windows(), pooled(6)),
    "SegFormer": SegFormer,
    "MLP-Mixer": Mixer,
    "InstanceNorm U-Net": lambda: UNet(norm="instance", act=nn.LeakyReLU),
    "GroupNorm U-Net": group_unet,
    "attention U-Net": AttentionGates,
    "softmax segmentation": lambda: UNet(classes=3, last=nn.Softmax(1)),
    "DeepLab": Atrous,
    "SiLU": lambda: nn.Sequential(conv(1, 4, act=nn.SiLU), conv(4, 4, act=nn.SiLU, stride=2), pooled(4)),
    "squeeze-excite ResNet": lambda: nn.Sequential(Residual(1, 4, 2, Gate(4)), Residual(4, 4), pooled(4)),
    "MobileNetV2": lambda: nn.Sequential(
        conv(1, 3, act=nn.ReLU6, stride=2), Inverted(3, nn.ReLU6), pooled(3)
    ),
    "MobileNetV3": lambda: nn.Sequential(
        conv(1, 4, act=nn.Hardswish, stride=2),
        Inverted(4, nn.Hardswish, Gate(8, last=nn.Hardsigmoid)),
        pooled(4),
    ),
    "ResNet-18": lambda: nn.Sequential(
        conv(1, 3, kernel=7, stride=2), Residual(3, 3), Residual(3, 4, 2), pooled(4)
    ),
    "DenseNet": lambda: nn.Sequential(nn.Conv2d(1, 3, 3, 2, 1), Dense(3), nn.AvgPool2d(2), pooled(12)),
    "LSTM": lambda: Recurrent(nn.LSTM),
    "GRU": lambda: Recurrent(nn.GRU),
    "autoencoder": Errors,
}
