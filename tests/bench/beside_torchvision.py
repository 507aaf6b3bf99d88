"""JPEG files to pixels of one size: image-read beside torchvision, in turns, two threads or workers each.

    beside_torchvision.py BIN

1,000 pictures of 64 x 64 as they are, and 1,000 of 1024 x 768 (50 of them, 20 times) to 224 x 224: the shorter edge made so
long, antialiased, and the middle cut out. Their pixels are random with the spectrum of photographs. torchvision reads,
decodes and resizes them in a DataLoader's two workers, and in two threads; the better counts. image-read is the whole
process, start and all, the folder's listing too; --fast beside it, which decodes no finer than is needed.

Prints medians of the paired ratios of pictures a second with the least and the largest. Needs numpy, torch, torchvision and
PIL of PyPI."""
import glob
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms.v2 import functional as F

WANTED, ROUNDS, PICTURES = 0.9, 5, 1000


def make(folder, height, width, different):
    """Random pictures of a photograph's spectrum: power by frequency to the -2."""
    os.mkdir(folder)
    random = np.random.default_rng(1)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 1 / max(height, width)
    for i in range(different):
        waves = random.standard_normal((3, *frequency.shape)) + 1j * random.standard_normal((3, *frequency.shape))
        pixels = np.fft.irfft2(waves / frequency, s=(height, width))
        pixels = 128 + 50 * pixels.transpose(1, 2, 0) / pixels.std()
        Image.fromarray(pixels.clip(0, 255).astype("u1")).save(f"{folder}/{i:04}.jpg", quality=90)
    for i in range(different, PICTURES):
        shutil.copy(f"{folder}/{i % different:04}.jpg", f"{folder}/{i:04}.jpg")


class Files(torch.utils.data.Dataset):
    def __init__(self, folder, size):
        self.files, self.size = sorted(glob.glob(folder + "/*.jpg")), size

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        picture = decode_jpeg(read_file(self.files[i]), ImageReadMode.RGB)
        if min(picture.shape[1:]) != self.size:
            picture = F.center_crop(F.resize(picture, [self.size], antialias=True), [self.size, self.size])
        return picture


def by_workers(data):
    for _ in torch.utils.data.DataLoader(data, batch_size=64, num_workers=2):
        pass


def by_threads(data):
    with ThreadPoolExecutor(2) as pool:
        for begin in range(0, len(data), 64):
            torch.stack(list(pool.map(data.__getitem__, range(begin, min(begin + 64, len(data))))))


def seconds(call, *args):
    begun = perf_counter()
    call(*args)
    return perf_counter() - begun


def compare(bin, folder, size, name):
    data = Files(folder, size)
    run = lambda *more: subprocess.run([bin + "/image-read", "--quiet", "--size", str(size), "--threads", "2", *more, folder],
                                       stdout=subprocess.DEVNULL, check=True)
    ratios = {"image-read": [], "image-read --fast": []}
    rate = []
    for call, *args in (by_workers, data), (by_threads, data), (run,):
        call(*args)
    for _ in range(ROUNDS):
        theirs = min(seconds(by_workers, data), seconds(by_threads, data))
        ratios["image-read"].append(theirs / seconds(run))
        ratios["image-read --fast"].append(theirs / seconds(run, "--fast"))
        rate.append(PICTURES / theirs)
    for tool, r in ratios.items():
        verdict = "reached" if statistics.median(r) >= WANTED else "MISSED"
        print(f"{name}: {tool} {statistics.median(r):.2f} times torchvision's pictures a second ({min(r):.2f} to {max(r):.2f})"
              f"  wanted {WANTED}: {verdict}", flush=True)
    print(f"{name}: torchvision read {statistics.median(rate):.0f} a second")


torch.set_num_threads(1)
with tempfile.TemporaryDirectory() as work:
    make(work + "/small", 64, 64, PICTURES)
    make(work + "/large", 768, 1024, 50)
    compare(sys.argv[1], work + "/small", 64, "64 x 64")
    compare(sys.argv[1], work + "/large", 224, "1024 x 768 to 224")
