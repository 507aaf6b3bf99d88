"""PyTorch's pictures a second on the same card and work as driver.c, for tests/gpu/run: one line each of
`NAME SPEED`. Where one way fails, its line says why and the others go on.

    beside_torch.py cuda|cpu quick|compiled|networks [trial]

`quick` is all but torch.compile, and the card's peaks: bytes a second of a copy (read and written), operations
a second of a product of large matrices. `networks` is embedding with those of networks.py, eager and compiled
(`graph`: without the long search).
`trial` does less of everything."""
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

import networks

DEVICE, PART, TRIAL = sys.argv[1], sys.argv[2], 'trial' in sys.argv[3:]
if DEVICE == 'cuda' and not torch.cuda.is_available():
    sys.exit('no card')
ROWS, CLASSES, BATCH, TURNS = 40000, 8, 64, 5
STEPS = 2 if TRIAL else 500
NETWORK_BATCH, NETWORK_BATCHES = 256, 8
EMBED_BATCH, EMBED_BATCHES = 1024, (1 if TRIAL else 50)
torch.backends.cudnn.benchmark = True
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # fp32 is fp32, as ours


class KerasCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(.25),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(.25),
            nn.Flatten(), nn.Linear(2304, 512), nn.ReLU(), nn.Dropout(.5))
        self.weight = nn.Parameter(torch.randn(CLASSES, 512) * .05)
        self.scale = nn.Parameter(torch.tensor(10.))

    def forward(self, x):
        return self.scale * F.linear(F.normalize(self.body(x).float()), F.normalize(self.weight))


def wait():
    if DEVICE == 'cuda':
        torch.cuda.synchronize()


def best(work, pictures):
    work(), wait()
    speeds = []
    for _ in range(TURNS):
        begun = time.perf_counter()
        work(), wait()
        speeds.append(pictures / (time.perf_counter() - begun))
    return max(speeds)


images = torch.randint(0, 256, (ROWS, 3, 32, 32), dtype=torch.uint8, device=DEVICE).to(memory_format=torch.channels_last)
labels = torch.randint(0, CLASSES, (ROWS,), device=DEVICE)


def pictures(rows):
    return images[rows].to(torch.float32, memory_format=torch.channels_last).div_(255)


class Training:
    def __init__(self, precision, compiled=None, capturable=False):
        self.net = KerasCNN().to(DEVICE, memory_format=torch.channels_last)
        self.forward = torch.compile(self.loss, mode=compiled) if compiled else self.loss
        extra = {'capturable': True} if capturable else {}
        if DEVICE == 'cuda':
            extra['fused'] = True  # one kernel for all parameters, its quickest
        self.optimizer = torch.optim.Adam(self.net.parameters(), 1e-3, eps=1e-7, **extra)
        self.precision = precision

    def loss(self, x, y):
        with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=self.precision == 'bf16'):
            logits = self.net(x)
        return F.cross_entropy(logits.float(), y)

    def step(self, rows):
        self.optimizer.zero_grad(set_to_none=True)
        self.forward(pictures(rows), labels[rows]).backward()
        self.optimizer.step()

    def epoch(self):
        order = torch.randperm(ROWS, device=DEVICE)
        for i in range(STEPS):
            self.step(order[i * BATCH % (ROWS - BATCH):][:BATCH])


class Graphed(Training):
    """The whole step, optimizer too, captured once and replayed."""

    def __init__(self, precision):
        super().__init__(precision, capturable=True)
        self.rows = torch.arange(BATCH, device=DEVICE)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(5):
                super().step(self.rows)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            super().step(self.rows)

    def step(self, rows):
        self.rows.copy_(rows)
        self.graph.replay()


def embed(precision, compiled=None):
    net = KerasCNN().to(DEVICE, memory_format=torch.channels_last).eval()
    body = torch.compile(net.body, mode=compiled) if compiled else net.body

    def work():
        # Compiled code that was trained does not bear inference_mode.
        with (torch.no_grad() if compiled else torch.inference_mode()), torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=precision == 'bf16'):
            for i in range(EMBED_BATCHES):
                first = i * EMBED_BATCH % (ROWS - EMBED_BATCH)
                body(images[first:first + EMBED_BATCH].to(torch.float32).div_(255))
    return best(work, EMBED_BATCH * EMBED_BATCHES)


def training(make):
    t = make()
    return best(t.epoch, STEPS * BATCH)


def copying():
    count = 1 << (20 if TRIAL else 30)
    source, target = (torch.zeros(count, dtype=torch.uint8, device=DEVICE) for _ in range(2))
    return best(lambda: [target.copy_(source) for _ in range(10)], 10 * 2 * count)


def multiplying():
    side = 256 if TRIAL else 8192
    a, b = (torch.randn(side, side, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    return best(lambda: [a @ b for _ in range(5)], 5 * 2 * side ** 3)


def embed_network(name, precision, mode):
    rows = 4 if TRIAL else NETWORK_BATCH
    net = networks.modules()[name]().to(DEVICE, memory_format=torch.channels_last).eval()
    run = torch.compile(net, mode=mode) if mode else net
    x = torch.randint(0, 256, (rows, 3, networks.SIDE, networks.SIDE), dtype=torch.uint8, device=DEVICE)
    x = x.contiguous(memory_format=torch.channels_last)
    mean, deviation = (torch.tensor(v, device=DEVICE).view(1, 3, 1, 1) for v in (networks.MEAN, networks.DEVIATION))

    def work():
        with torch.inference_mode(), torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=precision == 'bf16'):
            for _ in range(1 if TRIAL else NETWORK_BATCHES):
                run(x.to(torch.float32).div_(255).sub_(mean).div_(deviation))
    return best(work, rows * (1 if TRIAL else NETWORK_BATCHES))


measurements = {}
if PART == 'quick':
    measurements.update({'peak-copy': copying, 'peak-bf16': multiplying})
    for word in ('bf16', 'fp32'):
        measurements[f'train-eager-{word}'] = lambda word=word: training(lambda: Training(word))
        measurements[f'embed-eager-{word}'] = lambda word=word: embed(word)
        if DEVICE == 'cuda':
            measurements[f'train-graph-{word}'] = lambda word=word: training(lambda: Graphed(word))
    print('torch', torch.__version__, flush=True)
elif PART == 'networks':
    # What takes longest comes last: it may not be reached.
    for way, mode, word in (('eager', None, 'bf16'), ('eager', None, 'fp32'), ('graph', 'reduce-overhead', 'bf16'),
                            ('compiled', 'max-autotune', 'bf16')):
        for name in reversed(networks.WORDS):
            measurements[f'{name}-{way}-{word}'] = lambda name=name, word=word, mode=mode: embed_network(name, word, mode)
else:
    measurements['train-compiled-bf16'] = lambda: training(lambda: Training('bf16', 'max-autotune'))
    measurements['embed-compiled-bf16'] = lambda: embed('bf16', 'max-autotune')
for name, measure in measurements.items():
    try:
        print(name, f'{measure():.0f}', flush=True)
    except Exception as failure:  # a way that this PyTorch or machine does not have
        print(name, 'failed:', ' '.join(str(failure).split())[:120], flush=True)
