"""Real architectures at their real sizes, written by hand in torch with drawn weights, as ONNX files.

    python -m benchmarks.reproduction.large_nets FOLDER [NAME ...]

Needs torch; benchmarks.reproduction.large and benchmarks.real test what is written. Batch normalisations are
calibrated on noise, so that no layer dies.
"""

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

Maker = Callable[[], nn.Module]


def conv(
    inside: int, outside: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: Maker = nn.ReLU
) -> nn.Sequential:
    layer = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outside), act())


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]


class Basic(nn.Module):
    """A block of ResNet-18."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(inside, outside, 3, stride), conv(outside, outside, act=nn.Identity))
        same = inside == outside and stride == 1
        self.short = nn.Identity() if same else conv(inside, outside, 1, stride, act=nn.Identity)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.body(x) + self.short(x))


def resnet_18() -> nn.Module:
    layers: list[nn.Module] = [conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for outside, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Basic(inside, outside, stride), Basic(outside, outside, 1)]
        inside = outside
    return nn.Sequential(*layers, *head(512))


class Inverted(nn.Module):
    """A block of MobileNetV2 or, with a gate, of EfficientNet."""

    def __init__(
        self,
        inside: int,
        outside: int,
        grow: int,
        stride: int,
        kernel: int = 3,
        act: Maker = nn.ReLU6,
        gate: int = 0,
    ) -> None:
        super().__init__()
        wide = inside * grow
        self.first = nn.Identity() if grow == 1 else conv(inside, wide, 1, act=act)
        self.depth = conv(wide, wide, kernel, stride, wide, act)
        self.gate = None
        if gate:
            squeeze = max(1, inside // gate)
            self.gate = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(wide, squeeze, 1),
                nn.SiLU(),
                nn.Conv2d(squeeze, wide, 1),
                nn.Sigmoid(),
            )
        self.last, self.adds = conv(wide, outside, 1, act=nn.Identity), inside == outside and stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depth(self.first(x))
        y = self.last(y if self.gate is None else y * self.gate(y))
        return x + y if self.adds else y


def mobilenet_v2() -> nn.Module:
    layers, inside = [conv(3, 32, 3, 2, act=nn.ReLU6)], 32
    plan = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    for grow, outside, count, stride in plan:
        for i in range(count):
            layers.append(Inverted(inside, outside, grow, stride if i == 0 else 1))
            inside = outside
    return nn.Sequential(*layers, conv(320, 1280, 1, act=nn.ReLU6), *head(1280))


def efficientnet_b0() -> nn.Module:
    layers, inside = [conv(3, 32, 3, 2, act=nn.SiLU)], 32
    plan = (
        *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3)),
        *((6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)),
    )
    for grow, outside, count, stride, kernel in plan:
        for i in range(count):
            layers.append(Inverted(inside, outside, grow, stride if i == 0 else 1, kernel, nn.SiLU, 4))
            inside = outside
    return nn.Sequential(*layers, conv(320, 1280, 1, act=nn.SiLU), *head(1280))


class ChannelNorm(nn.LayerNorm):
    """A LayerNorm over the channels of a map."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Next(nn.Module):
    """A block of ConvNeXt."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm, self.wide, self.narrow = (
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
        )
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(functional.gelu(self.wide(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext_t() -> nn.Module:
    widths = (96, 192, 384, 768)
    layers: list[nn.Module] = [nn.Conv2d(3, 96, 4, 4), ChannelNorm(96)]
    for stage, count in enumerate((3, 3, 9, 3)):
        if stage:
            layers += [ChannelNorm(widths[stage - 1]), nn.Conv2d(widths[stage - 1], widths[stage], 2, 2)]
        layers += [Next(widths[stage]) for _ in range(count)]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(768), nn.Linear(768, 1000)
    )


class Encoder(nn.Module):
    """A block of a vision transformer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first, self.second, self.heads = nn.LayerNorm(width), nn.LayerNorm(width), heads
        self.packed, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.hidden = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, width = x.shape
        parts = self.packed(self.first(x)).reshape(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        weights = torch.softmax(query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5, -1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(n, tokens, width))
        return x + self.hidden(self.second(x))


class ViT(nn.Module):
    """ViT-B/16."""

    def __init__(self, width: int = 768, blocks: int = 12, heads: int = 12) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token, self.places = (
            nn.Parameter(torch.randn(1, 1, width)),
            nn.Parameter(torch.randn(1, 197, width)),
        )
        self.blocks = nn.Sequential(*(Encoder(width, heads) for _ in range(blocks)))
        self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.scores(self.norm(self.blocks(x))[:, 0])


class UNet(nn.Module):
    """Channels 16 to 256, two convolutions at each level."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64, 128, 256)
        pairs = [(1, 16), *pairwise(widths)]
        self.down = nn.ModuleList(nn.Sequential(conv(a, b), conv(b, b)) for a, b in pairs)
        back = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in back)
        self.joined = nn.ModuleList(nn.Sequential(conv(2 * b, b), conv(b, b)) for _, b in back)
        self.scores = nn.Conv2d(16, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for i, level in enumerate(self.down):
            x = level(functional.max_pool2d(x, 2) if i else x)
            kept.append(x)
        for up, joined, beside in zip(self.up, self.joined, kept[-2::-1], strict=True):
            x = joined(torch.cat([beside, up(x)], 1))
        return self.scores(x)


class Autoencoder(nn.Module):
    """Channels 1, 32, 64, 128, 128 and back; the output is the absolute error of its reconstruction."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 32, 64, 128, 128)
        down = [conv(a, b, stride=2) for a, b in pairwise(widths)]
        up: list[nn.Module] = []
        for a, b in pairwise(widths[:0:-1]):
            up += [nn.Upsample(scale_factor=2), conv(a, b)]
        self.body = nn.Sequential(*down, *up, nn.Upsample(scale_factor=2), nn.Conv2d(32, 1, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.body(x)).abs()


def vgg_16() -> nn.Module:
    layers: list[nn.Module] = []
    inside = 3
    for outside, times in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(times):
            layers.append(conv(inside, outside))
            inside = outside
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *head(512))


class Dense(nn.Module):
    """A layer of DenseNet: normalised first, 4 x 32 channels wide, 32 more come out."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        first = nn.Sequential(nn.BatchNorm2d(inside), nn.ReLU(), nn.Conv2d(inside, 128, 1, bias=False))
        last = nn.Sequential(nn.BatchNorm2d(128), nn.ReLU(), nn.Conv2d(128, 32, 3, padding=1, bias=False))
        self.body = nn.Sequential(first, last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.body(x)], 1)


def densenet_121() -> nn.Module:
    layers: list[nn.Module] = [conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for times in (6, 12, 24, 16):
        if inside != 64:
            layers += [nn.BatchNorm2d(inside), nn.ReLU(), nn.Conv2d(inside, inside // 2, 1), nn.AvgPool2d(2)]
            inside //= 2
        for _ in range(times):
            layers.append(Dense(inside))
            inside += 32
    return nn.Sequential(*layers, nn.BatchNorm2d(inside), nn.ReLU(), *head(inside))


NETS: dict[str, tuple[Maker, tuple[int, ...]]] = {
    "mobilenet_v2": (mobilenet_v2, (1, 3, 224, 224)),
    "resnet_18": (resnet_18, (1, 3, 224, 224)),
    "unet_256": (UNet, (1, 1, 256, 256)),
    "efficientnet_b0": (efficientnet_b0, (1, 3, 224, 224)),
    "convnext_t": (convnext_t, (1, 3, 224, 224)),
    "vit_b_16": (ViT, (1, 3, 224, 224)),
    "autoencoder_256": (Autoencoder, (1, 1, 256, 256)),
    "vgg_16": (vgg_16, (1, 3, 224, 224)),
    "densenet_121": (densenet_121, (1, 3, 224, 224)),
}


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:] or list(NETS)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        make, shape = NETS[name]
        torch.manual_seed(0)
        net = make()
        norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
        if norms:
            for norm in norms:
                norm.momentum = None
            with torch.no_grad():
                net.train()(torch.randn(2, *shape[1:]))
        path = folder / f"{name}.onnx"
        names_of = {"input_names": ["image"], "output_names": ["scores"]}
        torch.onnx.export(
            net.eval(), (torch.zeros(shape),), str(path), dynamo=False, opset_version=17, **names_of
        )
        print(f"{path}: {path.stat().st_size / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
