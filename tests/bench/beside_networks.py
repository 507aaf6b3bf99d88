"""Pretrained networks on our CPU backend beside onnxruntime and PyTorch, in turns, so that all meet the same machine.

    beside_networks.py DRIVER BIN [embed|train|bf16|jpeg]...

Networks of 224 pixels, their weights random, are exported by PyTorch, read by onnx-read, and given random pictures, two
threads each. What is counted is pictures a second, with batches as each side likes them best (the best of 1, 8 and 32 for
the others; ours takes 64 and cuts them up itself).

    embed   EfficientNet-Lite0, ResNet-18 and -50, ViT-S/16 and DINOv2-small beside onnxruntime, fp32 and the default
            precision, and beside the best of PyTorch: eager and compiled, channels last, fp32 and bf16
    train   ResNet-18 and ViT-S/16, all weights, batches of 32, beside the best of PyTorch again
    bf16    how near the embeddings in bf16 are to those in fp32: the least cosine over 32 pictures of noise and shapes

    jpeg    from JPEG files in the folder $PHOTOS (else ../shared/data/photos) to embeddings, beside the same pictures as
            records made before: whole processes, start and all, in the default precision

Prints medians of the paired ratios with the least and the largest. Needs torch, torchvision, timm and onnxruntime of
PyPI."""
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from time import perf_counter

import numpy
import onnxruntime
import timm
import torch
import torch.nn.functional as F
import torchvision

from beside_torch import Ours as Driver, compare

warnings.filterwarnings("ignore")
THREADS, TRAIN_BATCH, CLASSES = 2, 32, 8
EMBED = {"tf_efficientnet_lite0": 1.3, "resnet18": None, "resnet50": 1.7, "vit_small_patch16_224": 1.7,
         "vit_small_patch14_dinov2": 1.7}  # what the default precision is to reach beside onnxruntime
TRAIN = {"resnet18": 1.3, "vit_small_patch16_224": 1.3}


def network(name, **more):
    torch.manual_seed(0)
    if hasattr(torchvision.models, name):
        return torchvision.models.get_model(name, **more)
    return timm.create_model(name, **({"img_size": 224} if "dinov2" in name else {}), **more)


def read(name, folder, binaries, keep_norms):
    """The network as an ONNX file and as a model."""
    onnx, model = (os.path.join(folder, f"{name}{keep_norms or ''}.{ending}") for ending in ("onnx", "model"))
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        torch.onnx.export(network(name).eval(), (torch.zeros(2, 3, 224, 224),), onnx, dynamo=False, input_names=["x"],
                          dynamic_axes={"x": {0: "rows"}})
    subprocess.run([os.path.join(binaries, "onnx-read"), "--preset", "imagenet", "--quiet",
                    *(["--keep-norms"] if keep_norms else []), onnx, "-o", model], check=True)
    return onnx, model


class Ours(Driver):
    def __init__(self, driver, model):
        super().__init__(driver, ["--batch", str(TRAIN_BATCH), "--model", model])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def rate(work, rows, least=2.0):
    """Pictures a second of work, repeated for some seconds."""
    count, begun = 0, perf_counter()
    while perf_counter() - begun < least:
        work()
        count += rows
    return count / (perf_counter() - begun)


def best_of(ways):
    """Of (name, work, rows), that which is the fastest in a short trial."""
    tried = []
    for name, work, rows in ways:
        work()
        tried.append((rate(work, rows, 1), name, work, rows))
    return max(tried, key=lambda t: t[0])[1:]


def onnxruntime_ways(onnx):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = THREADS, 3
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    for rows in 1, 8, 32:
        x = numpy.random.default_rng(1).standard_normal((rows, 3, 224, 224), numpy.float32)
        yield f"onnxruntime, {rows} at once", lambda x=x: session.run(None, {"x": x}), rows


def torch_ways(name):
    for compiled in False, True:
        for precision in "fp32", "bf16":
            net = network(name).eval().to(memory_format=torch.channels_last)
            if compiled:
                net = torch.compile(net)
            x = torch.randn(32, 3, 224, 224).contiguous(memory_format=torch.channels_last)

            def work(net=net, x=x, precision=precision):
                with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                    net(x)
            yield f"PyTorch, {'compiled' if compiled else 'eager'}, {precision}", work, 32


def torch_training(name):
    x = torch.randint(0, 256, (TRAIN_BATCH, 3, 224, 224), dtype=torch.uint8).contiguous(
        memory_format=torch.channels_last)
    y = torch.randint(0, CLASSES, (TRAIN_BATCH,))
    for compiled in False, True:
        for precision in "fp32", "bf16":
            net = network(name, num_classes=CLASSES).train().to(memory_format=torch.channels_last)
            optimizer = torch.optim.Adam(net.parameters(), 1e-4, fused=True)
            run = torch.compile(net) if compiled else net

            def work(run=run, optimizer=optimizer, precision=precision):
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                    logits = run(x.float().div_(255))
                optimizer.zero_grad(set_to_none=True)
                F.cross_entropy(logits.float(), y).backward()
                optimizer.step()
            yield f"PyTorch, {'compiled' if compiled else 'eager'}, {precision}", work, TRAIN_BATCH


def embed(driver, binaries, folder):
    for name, target in EMBED.items():
        onnx, model = read(name, folder, binaries, False)
        ours = Ours(driver, model)
        rows = 64 if "dino" in name else 128
        peers = [best_of(onnxruntime_ways(onnx)), best_of(torch_ways(name))]
        for precision, wanted in ("fp32", 1.0), ("auto", target):
            for peer, peer_work, peer_rows in peers:
                asked = wanted if peer.startswith("onnx") and target else None
                compare(f"embed {name} {precision}; {peer}", lambda: ours.ask("embed", precision, 64, rows // 64),
                        lambda: rate(peer_work, peer_rows), asked, rounds=5, width=75)
        ours.close()


def train(driver, binaries, folder):
    for name, target in TRAIN.items():
        _, model = read(name, folder, binaries, True)
        ours = Ours(driver, model)
        peer, work, rows = best_of(torch_training(name))
        compare(f"train {name} auto; {peer}", lambda: ours.ask("train", "auto", 3), lambda: rate(work, rows), target,
                rounds=5, width=75)
        ours.close()


def pictures(count):
    """Noise, smooth or not, in uint8."""
    noise = numpy.random.default_rng(1)
    for i in range(count):
        side = (4, 14, 56, 224)[i % 4]
        yield noise.integers(0, 256, (side, side, 3), numpy.uint8).repeat(224 // side, 0).repeat(224 // side, 1)


def bf16(driver, binaries, folder):
    import msgpack
    import msgpack_numpy
    rows = os.path.join(folder, "rows")
    with open(rows, "wb") as file:
        for record in {"tensor-stream": 1}, {"image": numpy.stack(list(pictures(32)))}, {"end": 32}:
            file.write(msgpack.packb(record, default=msgpack_numpy.encode))
    for name in EMBED:
        _, model = read(name, folder, binaries, False)
        found = []
        for precision in "fp32", "bf16":
            out = subprocess.run([os.path.join(binaries, "embed"), "--quiet", "--device", "cpu", "--precision", precision,
                                  "--model", model, rows], check=True, capture_output=True).stdout
            unpacker = msgpack.Unpacker(object_hook=msgpack_numpy.decode, max_buffer_size=1 << 30)
            unpacker.feed(out)
            found.append(numpy.concatenate([r["embedding"] for r in unpacker if "embedding" in r]))
        a, b = found
        cosines = (a * b).sum(1) / numpy.linalg.norm(a, axis=1) / numpy.linalg.norm(b, axis=1)
        print(f"bf16 {name}: least cosine {cosines.min():.6f}  wanted 0.9995: "
              f"{'reached' if cosines.min() >= 0.9995 else 'MISSED'}", flush=True)


def jpeg(driver, binaries, folder):
    photos = os.environ.get("PHOTOS", "../shared/data/photos")
    if not os.path.isdir(photos):
        print("from JPEG files: skipped, set PHOTOS to a folder of them")
        return

    def speed(command):
        begun = perf_counter()
        subprocess.run(["bash", "-c", "set -o pipefail; " + command], check=True)
        return count / (perf_counter() - begun)
    count = sum(len(files) for _, _, files in os.walk(photos))
    for name in "tf_efficientnet_lite0", "resnet50", "vit_small_patch16_224":
        _, model = read(name, folder, binaries, False)
        pictures, rows = f"{binaries}/image-read --quiet --model {model} {photos}", os.path.join(folder, "rows")
        subprocess.run(["bash", "-c", f"{pictures} >{rows}"], check=True)
        into = f"{binaries}/embed --quiet --threads {THREADS} --model {model}"
        compare(f"from JPEG files to embeddings, {name}; from records", lambda: speed(f"{pictures} | {into} >/dev/null"),
                lambda: speed(f"{into} {rows} >/dev/null"), 0.9, rounds=5, width=75)


def main():
    torch.set_num_threads(THREADS)
    driver, binaries, *what = sys.argv[1:]
    print(f"PyTorch {torch.__version__}, onnxruntime {onnxruntime.__version__}, {THREADS} threads, 224 pixels; medians of 5 "
          "alternations")
    print(f'{"":75s} {"ours":>9s} {"theirs":>9s} {"ratio":>7s} (least to largest)   pictures a second')
    with tempfile.TemporaryDirectory() as folder:
        for each in what or ["embed", "train", "bf16", "jpeg"]:
            {"embed": embed, "train": train, "bf16": bf16, "jpeg": jpeg}[each](driver, binaries, folder)


if __name__ == "__main__":
    main()
