"""ResNet-50 and ViT-S/16 of 224 pixels: as words of our networks, and as PyTorch's modules.

    networks.py resnet50|vit-s          prints the words

Their norms are folded into the convolutions in both, as a network that is only to embed has them."""
import sys

SIDE = 224
MEAN, DEVIATION = (.485, .456, .406), (.229, .224, .225)
INPUT = "normalize:" + ":".join(",".join(map(str, numbers)) for numbers in (MEAN, DEVIATION))
STAGES = (64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)  # of ResNet-50: width, blocks, stride
WIDTH, HEADS, DEPTH, PATCH = 384, 6, 12, 16  # of ViT-S/16


def resnet50_words():
    words = [INPUT, "conv:7x7x64:stride=2:pad=3 relu maxpool:3x3:stride=2:pad=1"]
    for width, blocks, stride in STAGES:
        for block in range(blocks):
            by = stride if block == 0 else 1
            words.append(f"save conv:1x1x{width} relu conv:3x3x{width}:stride={by}:pad=1 relu conv:1x1x{4 * width}")
            if block == 0:
                words.append(f"| conv:1x1x{4 * width}:stride={by}")
            words.append("add relu")
    return " ".join([*words, "avgpool"])


def vit_s_words():
    block = (f"save layernorm:1e-06 conv:1x1x{3 * WIDTH} attention:{HEADS} conv:1x1x{WIDTH} add "
             f"save layernorm:1e-06 conv:1x1x{4 * WIDTH} gelu conv:1x1x{WIDTH} add")
    return " ".join([INPUT, f"conv:{PATCH}x{PATCH}x{WIDTH}:stride={PATCH} tokens:1 position", *[block] * DEPTH,
                     "layernorm:1e-06 take:0"])


WORDS = {"resnet50": resnet50_words, "vit-s": vit_s_words}


def modules():
    """Name: what makes PyTorch's module."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Bottleneck(nn.Module):
        def __init__(self, inputs, width, stride, first):
            super().__init__()
            self.a, self.b = nn.Conv2d(inputs, width, 1), nn.Conv2d(width, width, 3, stride, 1)
            self.c = nn.Conv2d(width, 4 * width, 1)
            self.beside = nn.Conv2d(inputs, 4 * width, 1, stride) if first else nn.Identity()

        def forward(self, x):
            return F.relu(self.c(F.relu(self.b(F.relu(self.a(x))))) + self.beside(x))

    def resnet50():
        layers, inputs = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
        for width, blocks, stride in STAGES:
            for block in range(blocks):
                layers.append(Bottleneck(inputs, width, stride if block == 0 else 1, block == 0))
                inputs = 4 * width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.between = nn.LayerNorm(WIDTH, 1e-6), nn.LayerNorm(WIDTH, 1e-6)
            self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x):
            rows, places, _ = x.shape
            q, k, v = self.qkv(self.before(x)).reshape(rows, places, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(rows, places, WIDTH)
            x = x + self.out(y)
            return x + self.down(F.gelu(self.up(self.between(x))))

    class ViT(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
            self.token = nn.Parameter(torch.randn(1, 1, WIDTH) * .02)
            self.position = nn.Parameter(torch.randn(1, (SIDE // PATCH) ** 2 + 1, WIDTH) * .02)
            self.blocks, self.norm = nn.Sequential(*(Block() for _ in range(DEPTH))), nn.LayerNorm(WIDTH, 1e-6)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(len(x), -1, -1).to(x.dtype), x], 1) + self.position.to(x.dtype)
            return self.norm(self.blocks(x))[:, 0]

    return {"resnet50": resnet50, "vit-s": ViT}


if __name__ == "__main__":
    print(WORDS[sys.argv[1]]())
