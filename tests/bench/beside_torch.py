"""Our CPU backend and PyTorch on the same work, in turns, so that both meet the same machine.

    beside_torch.py DRIVER [FILE...]

The network is keras-cnn with the cosine head, channels-last in PyTorch; each side takes uint8 pictures from
memory and makes its own floats. Prints the medians of the paired ratios with the least and the largest.
PyTorch trains as its documentation advises: gradients set to None, foreach-free Adam, and bfloat16 by
autocast where that is asked for."""
import statistics
import subprocess
import sys

import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F
from time import perf_counter

THREADS, BATCH, EMBED_ROWS, ROUNDS, CLASSES = 2, 64, 512, 9, 8
STEPS, BATCHES = 12, 3  # of one measurement


class KerasCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(),
            nn.MaxPool2d(2), nn.Dropout(.25),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(),
            nn.MaxPool2d(2), nn.Dropout(.25),
            nn.Flatten(), nn.Linear(2304, 512), nn.ReLU(), nn.Dropout(.5))
        self.weight = nn.Parameter(torch.empty(CLASSES, 512))
        nn.init.xavier_uniform_(self.weight)
        self.scale = nn.Parameter(torch.tensor(10.))

    def forward(self, x):
        return self.scale * F.linear(F.normalize(self.body(x).float()), F.normalize(self.weight))


def read_pictures(paths):
    """Classes 0 to 7, as channels-last uint8 tensors."""
    records = [numpy.fromfile(path, numpy.uint8).reshape(-1, 3073) for path in paths]
    if records:
        records = numpy.concatenate(records)
        records = records[records[:, 0] < CLASSES]
        images, labels = records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]
    else:
        generator = numpy.random.default_rng(1)
        images = generator.integers(0, 256, (4096, 3, 32, 32), numpy.uint8)
        labels = generator.integers(0, CLASSES, 4096)
    images = torch.from_numpy(numpy.ascontiguousarray(images))
    return images.contiguous(memory_format=torch.channels_last), torch.from_numpy(labels.astype(numpy.int64))


class Torch:
    def __init__(self, images, labels):
        self.images, self.labels = images, labels
        self.net = KerasCNN().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.net.parameters(), 1e-3, eps=1e-7, foreach=False)

    def prepare(self, x):
        return x.to(torch.float32, memory_format=torch.channels_last).div_(255)

    def train(self, precision, steps):
        self.net.train()
        begun = perf_counter()
        for _ in range(steps):
            rows = torch.randint(0, len(self.images), (BATCH,))
            x, y = self.prepare(self.images[rows]), self.labels[rows]
            with torch.autocast('cpu', dtype=torch.bfloat16, enabled=precision == 'bf16'):
                logits = self.net(x)
            loss = F.cross_entropy(logits.float(), y)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        return steps * BATCH / (perf_counter() - begun)

    def embed(self, precision, rows, batches):
        self.net.eval()
        begun = perf_counter()
        with torch.inference_mode(), torch.autocast('cpu', dtype=torch.bfloat16,
                                                    enabled=precision == 'bf16'):
            for i in range(batches):
                first = i * rows % (len(self.images) - rows + 1)
                self.net.body(self.prepare(self.images[first:first + rows])).float()
        return rows * batches / (perf_counter() - begun)


class Ours:
    def __init__(self, driver, paths):
        self.process = subprocess.Popen([driver, '--threads', str(THREADS), *paths], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit('the driver died')
        return float(answer)

    def train(self, precision, steps):
        return self.ask('train', precision, steps)

    def embed(self, precision, rows, batches):
        return self.ask('embed', precision, rows, batches)


# keras-cnn's operations a picture, two for each multiplication: forward, and forward with both gradients.
FORWARD_FLOPS = 2 * (32 * 32 * 32 * 27 + 30 * 30 * 32 * 288 + 15 * 15 * 64 * 288 + 13 * 13 * 64 * 576 + 2304 * 512)
TRAIN_FLOPS = 3 * FORWARD_FLOPS - 2 * 32 * 32 * 32 * 27  # the first layer needs no gradient of its input


def compare_limit(ours):
    """What share of the machine's fp32 arithmetic the backend reaches: no more than 1 can be gained."""
    shares = {'training': [], 'embedding': []}
    for _ in range(ROUNDS):
        peak = ours.ask('peak', 'fp32', 1536)
        shares['training'].append((ours.train('fp32', STEPS) * TRAIN_FLOPS / 1e9, peak))
        shares['embedding'].append((ours.embed('fp32', EMBED_ROWS, BATCHES) * FORWARD_FLOPS / 1e9, peak))
    for what, pairs in shares.items():
        print(f'{what} in fp32 does {statistics.median(a for a, _ in pairs):.0f} GFLOP/s, '
              f'{statistics.median(a / b for a, b in pairs):.2f} of what OpenBLAS reaches in a plain product of matrices '
              f'({statistics.median(b for _, b in pairs):.0f} GFLOP/s)')


def compare(name, ours, theirs, target, rounds=ROUNDS, width=34):
    """ours, theirs: functions that do the work once and return pictures a second."""
    ours(), theirs()
    pairs = []
    for i in range(rounds):  # who goes first changes, so that a drift of the machine cancels
        if i % 2:
            b = theirs()
            pairs.append((ours(), b))
        else:
            a = ours()
            pairs.append((a, theirs()))
    ratios = [a / b for a, b in pairs]
    print(f'{name:{width}s} {statistics.median(a for a, _ in pairs):9.0f} {statistics.median(b for _, b in pairs):9.0f} '
          f'{statistics.median(ratios):7.2f} ({min(ratios):.2f} to {max(ratios):.2f})'
          + (f'  wanted {target}: {"reached" if statistics.median(ratios) >= target else "MISSED"}' if target else ''),
          flush=True)


def main():
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    driver, paths = sys.argv[1], sys.argv[2:]
    images, labels = read_pictures(paths)
    ours, theirs = Ours(driver, paths), Torch(images, labels)
    print(f'PyTorch {torch.__version__}, {THREADS} threads, training in batches of {BATCH}, embedding in batches of '
          f'{EMBED_ROWS}; {"CIFAR-10" if paths else "random pictures"}; medians of {ROUNDS} alternations')
    print(f'{"":34s} {"ours":>9s} {"PyTorch":>9s} {"ratio":>7s} (least to largest)   pictures a second')
    for what, targets in ('train', (1.7, 3, None)), ('embed', (2, 3, None)):
        for (a, b), target in zip((('fp32', 'fp32'), ('auto', 'fp32'), ('auto', 'bf16')), targets):
            def mine(precision=a):
                return ours.train(precision, STEPS) if what == 'train' else \
                    ours.embed(precision, EMBED_ROWS, BATCHES)

            def other(precision=b):
                return theirs.train(precision, STEPS) if what == 'train' else \
                    theirs.embed(precision, EMBED_ROWS, BATCHES)

            compare(f'{what}: {a}, PyTorch {b}', mine, other, target)
    compare_limit(ours)


if __name__ == '__main__':
    main()
