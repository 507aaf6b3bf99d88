"""What an ONNX file's graph gives, by numpy: onnx_run.py FILE RECORDS OUTPUT.

RECORDS is a stream with the field that the graph's input is named after; what its outputs are goes to OUTPUT as numpy's
.npz, the file's metadata as `meta`. Opset 17, and of it what onnx-write writes."""
import json, struct, sys
import msgpack, msgpack_numpy
import numpy as np
from onnx import OPERATORS, windows


def fields(data):
    """Number and value of a message's fields: whole numbers, or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value - (1 << 64) if value >> 63 else value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = varint() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
            yield key >> 3, data[at : at + size]
            at += size


def all_of(message, number):
    return [value for n, value in fields(message) if n == number]


def one_of(message, number, default=b""):
    return (all_of(message, number) or [default])[-1]


def attribute(message):
    kind = one_of(message, 20)
    value = {1: lambda: struct.unpack("<f", one_of(message, 2))[0], 2: lambda: one_of(message, 3, 0),
             7: lambda: all_of(message, 8)}[kind]()
    return one_of(message, 1).decode(), value


def constant(message):
    kind = {1: "<f4", 7: "<i8"}[one_of(message, 2)]
    return one_of(message, 8).decode(), np.frombuffer(one_of(message, 9), kind).reshape(all_of(message, 1))


def conv(x, w, b=None, strides=(1, 1), pads=(0, 0, 0, 0), group=1, dilations=(1, 1), kernel_shape=None):
    assert list(w.shape[2:]) == list(kernel_shape)
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations)]
    spread = np.zeros((*w.shape[:2], *reach), w.dtype)
    spread[:, :, :: dilations[0], :: dilations[1]] = w
    return OPERATORS["Conv"](x, spread, b, strides, pads, group)


def average(x, kernel_shape, strides=(1, 1), pads=(0, 0, 0, 0), count_include_pad=0):
    assert count_include_pad == 0
    ones = windows(np.ones_like(x), kernel_shape, strides, pads, 0).sum((4, 5))
    return windows(x, kernel_shape, strides, pads, 0).sum((4, 5)) / ones


def normalised(x, gamma, beta, axis, epsilon):
    assert axis == -1
    off = x - x.mean(-1, keepdims=True)
    return off / np.sqrt((off**2).mean(-1, keepdims=True) + epsilon) * gamma + beta


def cut(x, first, last, axes=(0,)):
    return x[tuple(slice(first[0], last[0]) if i == axes[0] else slice(None) for i in range(x.ndim))]


RUN = {
    **OPERATORS,
    "Conv": conv,
    "AveragePool": average,
    "LayerNormalization": normalised,
    "Slice": cut,
    "Cast": lambda x, to: x.astype({1: "f4"}[to]),
    "Tanh": np.tanh,
    "LeakyRelu": lambda x, alpha: np.where(x > 0, x, alpha * x),
    "HardSigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "Max": np.maximum,
    "GlobalMaxPool": lambda x: x.max((2, 3), keepdims=True),
    "Expand": lambda x, shape: np.broadcast_to(x, shape),
    "Pad": lambda x, pads: np.pad(x, list(zip(pads[: x.ndim], pads[x.ndim :]))),
    "ReduceL2": lambda x, axes: np.sqrt((x**2).sum(tuple(axes), keepdims=True)),
    "ReduceMax": lambda x, axes, keepdims: x.max(tuple(axes), keepdims=bool(keepdims)),
}


def main(path, records, output):
    with open(path, "rb") as file:
        model = file.read()
    graph = one_of(model, 7)
    assert [one_of(o, 2) for o in all_of(model, 8)] == [17]
    values = dict(constant(t) for t in all_of(graph, 5))
    name = one_of(all_of(graph, 11)[0], 1).decode()
    rows = [r[name] for r in msgpack.Unpacker(open(records, "rb"), object_hook=msgpack_numpy.decode) if name in r]
    values[name] = np.concatenate(rows)
    for node in all_of(graph, 1):
        inputs = [values[i.decode()] for i in all_of(node, 1)]
        attributes = dict(attribute(a) for a in all_of(node, 5))
        values[one_of(node, 2).decode()] = RUN[one_of(node, 4).decode()](*inputs, **attributes)
    meta = {one_of(m, 1).decode(): one_of(m, 2).decode() for m in all_of(model, 14)}
    np.savez(output, meta=json.dumps(meta), **{n: values[n] for n in (one_of(o, 1).decode() for o in all_of(graph, 12))})


if __name__ == "__main__":
    main(*sys.argv[1:])
