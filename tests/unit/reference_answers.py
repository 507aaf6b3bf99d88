#!/usr/bin/env python3
"""Works reference_answers.h with PyTorch, in float64, from what `reference --dump DIR` wrote:

    mkdir d; build/tests/reference --dump d | tests/unit/reference_answers.py d > tests/unit/reference_answers.h
"""
import sys

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
ROWS, STEPS = 7, (0.1, 0.05, 0.02)
folder = sys.argv[1]
layout = [line.split() for line in sys.stdin]
images = np.fromfile(f"{folder}/images", np.uint8).reshape(ROWS, 9, 11, 3)
images = torch.tensor(images / 255.0).permute(0, 3, 1, 2)
labels = torch.tensor(np.fromfile(f"{folder}/labels", np.int32)).long()


def single(x):
    """A constant that the C code holds in a float."""
    return float(np.float32(x))


def load(head):
    p, flat = {}, np.fromfile(f"{folder}/parameters.{head}", np.float32)
    for whose, name, start, *shape in layout:
        if whose != head:
            continue
        shape = [int(n) for n in shape]
        part = flat[int(start):int(start) + int(np.prod(shape))]
        p[name] = torch.tensor(part.reshape(shape).astype(np.float64))
    return p


def learns(name):
    return not name.endswith(("/mean", "/variance"))


def batchnorm(p, place, x, group, mode):
    gamma, beta, mean, variance = (p[f"{place}.batchnorm/{k}"] for k in ("gamma", "beta", "mean", "variance"))
    if mode == "infer":
        return F.batch_norm(x, mean, variance, gamma, beta, False, 0.1, 1e-5)
    out, means, variances = [], [], []
    for part in x.split(group or ROWS):
        m, v = mean.clone(), variance.clone()
        out.append(F.batch_norm(part, m, v, gamma, beta, True, 0.1, 1e-5))
        means.append(m)
        variances.append(v)
    if mode == "train":
        mean.copy_(torch.stack(means).mean(0))
        variance.copy_(torch.stack(variances).mean(0))
    return torch.cat(out)


def embed(p, mode):
    def weight(name):
        return p[name].permute(0, 3, 1, 2)
    x = F.conv2d(images, weight("0.conv/weight"), p["0.conv/bias"], padding=(1, 2))
    x = saved = F.max_pool2d(F.relu(batchnorm(p, 1, x, 0, mode)), 2)
    x = batchnorm(p, 6, F.conv2d(x, weight("5.conv/weight"), padding=1), 3, mode) + saved
    x = F.conv2d(x, weight("8.conv/weight"), p["8.conv/bias"]).mean((2, 3)) * 0.5
    return F.relu(F.linear(x, p["11.dense/weight"], p["11.dense/bias"]))


def loss(p, head, mode, smoothing):
    f, w = embed(p, mode), p["head/weight"]
    z = p["head/scale"] * F.normalize(f) @ F.normalize(w).T if head == "cosine" else f @ w.T
    return F.cross_entropy(z, labels, label_smoothing=smoothing)


def rms(arrays):
    return float(torch.cat([a.detach().flatten() for a in arrays]).square().mean().sqrt())


def step(kind, t, rate, p, state, names, gradients):
    for name, g in zip(names, gradients):
        w, (first, second) = p[name], state[name]
        decay = single(0.05) if name.endswith("weight") else 0.0
        with torch.no_grad():
            if kind == "SGD":
                g = g + decay * w
                first.mul_(single(0.85)).add_(g)
                w -= rate * (g + single(0.85) * first)
                continue
            if kind == "ADAMW":
                w -= rate * decay * w
            b1, b2 = single(0.9), single(0.99)
            first.mul_(b1).add_((1 - b1) * g)
            second.mul_(b2).add_((1 - b2) * g * g)
            w -= rate * (1 - b2**t) ** 0.5 / (1 - b1**t) * first / (second.sqrt() + single(1e-3))


def answers(head, kind):
    p = load(head)
    names = [n for n in p if learns(n)]
    for n in names:
        p[n].requires_grad_()
    smoothing = single(0.2)
    first = loss(p, head, "gradient", smoothing)
    gradients = torch.autograd.grad(first, [p[n] for n in names])
    still = [torch.zeros_like(p[n]) for n in p if not learns(n)]
    gradient = rms(list(gradients) + still)
    state = {n: (torch.zeros_like(p[n]), torch.zeros_like(p[n])) for n in names}
    total = 0.0
    for t, rate in enumerate(STEPS, 1):
        now = loss(p, head, "train", smoothing)
        total += float(now)
        step(kind, t, single(rate), p, state, names, torch.autograd.grad(now, [p[n] for n in names]))
    return (float(first), total, float(loss(p, head, "infer", 0.0)), gradient, rms(p.values()),
            rms([embed(p, "infer")]))


print(f"/* Worked by reference_answers.py with PyTorch {torch.__version__}. */")
for head in ("cosine", "softmax"):
    for kind in ("ADAM", "ADAMW", "SGD"):
        numbers = ", ".join(f"{x:.10g}" for x in answers(head, kind))
        print(f"{{HEAD_{head.upper()}, OPTIMIZER_{kind}, {{{numbers}}}}},")
