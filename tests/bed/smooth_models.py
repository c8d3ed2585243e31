"""Small networks of the smooth families: squeeze and excite, ConvNeXt, normalisations by the image, and
transformers that look at all places, at windows, or at fewer keys.
"""

import torch
from torch import nn
from torch.nn import functional


class Classifier(nn.Module):
    """`features` gives the tensor that Grad-CAM weights, `head` the scores."""

    def __init__(self, features, head):
        super().__init__()
        self.features, self.head = features, head

    def forward(self, x):
        return self.head(self.features(x))


class SqueezeExcite(nn.Module):
    """A block of EfficientNet: expanded, depthwise, gated by its own means, projected, added."""

    def __init__(self, channels):
        super().__init__()
        wide = 2 * channels
        self.expand = nn.Sequential(nn.Conv2d(channels, wide, 1), nn.BatchNorm2d(wide), nn.SiLU())
        self.depth = nn.Sequential(
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide), nn.BatchNorm2d(wide), nn.SiLU()
        )
        self.gate = nn.Sequential(nn.Conv2d(wide, 3, 1), nn.SiLU(), nn.Conv2d(3, wide, 1), nn.Sigmoid())
        self.project = nn.Conv2d(wide, channels, 1)

    def forward(self, x):
        y = self.depth(self.expand(x))
        return x + self.project(y * self.gate(y.mean((2, 3), keepdim=True)))


class NextBlock(nn.Module):
    """A block of ConvNeXt."""

    def __init__(self, channels):
        super().__init__()
        self.depth, self.norm = (
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            nn.LayerNorm(channels),
        )
        self.wide, self.narrow = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 0.7))

    def forward(self, x):
        y = self.narrow(functional.gelu(self.wide(self.norm(self.depth(x).permute(0, 2, 3, 1)))))
        return x + self.scale * y.permute(0, 3, 1, 2)


class NextHead(nn.Module):
    """A mean, a norm, scores."""

    def __init__(self, channels):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(channels), nn.Linear(channels, 3)

    def forward(self, x):
        return self.linear(self.norm(x.mean((2, 3))))


class Attention(nn.Module):
    """Self-attention by its definition, or as PyTorch's own function; keys of a coarser grid where asked."""

    def __init__(self, width, heads, fused=False, fewer=0):
        super().__init__()
        self.q, self.kv, self.out = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )
        self.heads, self.fused = heads, fused
        self.fewer = nn.Conv2d(width, width, fewer, fewer) if fewer else None

    def forward(self, x, grid=None):
        keys = x
        if self.fewer is not None:
            planes = x.transpose(1, 2).reshape(1, -1, *grid)
            keys = self.fewer(planes).flatten(2).transpose(1, 2)
        q, k, v = (
            part.reshape(1, part.shape[1], self.heads, -1).transpose(1, 2)
            for part in (self.q(x), *self.kv(keys).chunk(2, -1))
        )
        if self.fused:
            mixed = functional.scaled_dot_product_attention(q, k, v)
        else:
            self.weights = torch.softmax(q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5, -1)
            mixed = self.weights @ v
        return self.out(mixed.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    """Attention and a perceptron, each behind a norm."""

    def __init__(self, width, heads, **options):
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, **options)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def behind(self, x, seen, grid=None):
        x = x + self.attention(seen, grid)
        return x + self.narrow(functional.gelu(self.wide(self.second(x))))

    def forward(self, x, grid=None):
        return self.behind(x, self.first(x), grid)


class Transformer(nn.Module):
    """Patches, class tokens (or none), blocks, and scores of the first token or of the mean."""

    def __init__(self, size=12, patch=4, width=8, heads=2, blocks=3, tokens=1, **options):
        super().__init__()
        side = size // patch
        self.grid = (side, side)
        self.patches = nn.Conv2d(1, width, patch, patch)
        self.tokens = nn.Parameter(torch.randn(1, tokens, width))
        self.places = nn.Parameter(torch.randn(1, side**2 + tokens, width))
        self.blocks = nn.ModuleList([Block(width, heads, **options) for _ in range(blocks)])
        self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, 3)

    def start(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return torch.cat([self.tokens, x], 1) + self.places

    def end(self, x):
        x = self.norm(x)
        return self.scores(x[:, 0] if self.tokens.shape[1] else x.mean(1))

    def forward(self, x):
        x = self.start(x)
        for block in self.blocks:
            x = block(x, self.grid)
        return self.end(x)


class Windows(nn.Module):
    """Attention inside windows of a map whose channels come last, shifted once, as Swin's."""

    def __init__(self, channels=6, window=2):
        super().__init__()
        self.window = window
        self.norms = nn.ModuleList([nn.LayerNorm(channels) for _ in range(3)])
        self.layers = nn.ModuleList([Attention(channels, 2), Attention(channels, 2)])

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        for shift, norm, layer in zip((0, 1), self.norms[:2], self.layers, strict=True):
            y = torch.roll(norm(x), (-shift, -shift), (1, 2))
            n, w = x.shape[1] // self.window, self.window
            y = y.reshape(n, w, n, w, -1).permute(0, 2, 1, 3, 4).reshape(n * n, w * w, -1)
            y = torch.cat([layer(part) for part in y.split(1)])
            y = y.reshape(n, n, w, w, -1).permute(0, 2, 1, 3, 4).reshape(x.shape)
            x = x + torch.roll(y, (shift, shift), (1, 2))
        return self.norms[2](x).permute(0, 3, 1, 2)


def pooled(channels):
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4), nn.Tanh(), nn.Linear(4, 3)
    )


def normed(norm):
    layers = (nn.Conv2d(1, 4, 3, 2, 1), norm(4), nn.SiLU(), nn.Conv2d(4, 6, 3, padding=1), norm(6), nn.Mish())
    return Classifier(nn.Sequential(*layers), pooled(6))


CONVOLUTIONAL = {
    "squeeze and excite": lambda: Classifier(
        nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), SqueezeExcite(4), SqueezeExcite(4)), pooled(4)
    ),
    "next": lambda: Classifier(nn.Sequential(nn.Conv2d(1, 6, 2, 2), NextBlock(6), NextBlock(6)), NextHead(6)),
    "instance norm": lambda: normed(lambda n: nn.InstanceNorm2d(n, affine=True)),
    "group norm": lambda: normed(lambda n: nn.GroupNorm(2, n)),
    "local response": lambda: normed(lambda n: nn.LocalResponseNorm(3, alpha=0.5)),
    "gates": lambda: Classifier(
        nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1), nn.Hardswish(), nn.ELU(), nn.Softplus(), nn.GELU("tanh")),
        pooled(6),
    ),
    "windows": lambda: Classifier(nn.Sequential(nn.Conv2d(1, 6, 3, 3), Windows()), pooled(6)),
}
TRANSFORMERS = {
    "class token": lambda: Transformer(),
    "no class token": lambda: Transformer(tokens=0),
    "registers": lambda: Transformer(tokens=3),
    "PyTorch's attention": lambda: Transformer(fused=True),
}
FEWER_KEYS = {"fewer keys": lambda: Transformer(size=16, tokens=0, fewer=2)}
