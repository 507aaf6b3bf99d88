"""Small networks as ONNX files, and what they give, by numpy: onnx.py NAME FILE PICTURES OUTPUT.

PICTURES is a stream of records with the field image; what the network gives for each goes to OUTPUT as numpy's .npy.
A file is written byte by byte, as onnx.proto numbers the fields, so that no library of ONNX is needed."""
import math, struct, sys
import msgpack, msgpack_numpy
import numpy as np


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, a):
    kind = {"float32": 1, "int64": 7}[a.dtype.name]
    return b"".join(field(1, d) for d in a.shape) + field(2, kind) + field(8, name) + field(9, a.tobytes())


def attribute(name, v):
    if isinstance(v, float):
        return field(1, name) + field(2, v) + field(20, 1)
    if isinstance(v, int):
        return field(1, name) + field(3, v) + field(20, 2)
    return field(1, name) + b"".join(field(8, i) for i in v) + field(20, 7)


erf = np.vectorize(math.erf)


def windows(x, kernel, strides, pads, fill):
    x = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, (2, 3))
    return view[:, :, :: strides[0], :: strides[1]]


def conv(x, w, b=None, strides=(1, 1), pads=(0, 0, 0, 0), group=1):
    parts = []
    for xs, ws in zip(np.split(x, group, 1), np.split(w, group, 0)):
        parts.append(np.einsum("nchwij,ocij->nohw", windows(xs, ws.shape[2:], strides, pads, 0), ws))
    return np.concatenate(parts, 1) + (0 if b is None else b[:, None, None])


def norm(x, g, b, m, v, epsilon=1e-5, training_mode=0):
    others = tuple(d for d in range(x.ndim) if d != 1)
    s = [-1 if d == 1 else 1 for d in range(x.ndim)]
    if training_mode:
        m, v = x.mean(others), x.var(others)
    return (x - m.reshape(s)) / np.sqrt(v.reshape(s) + epsilon) * g.reshape(s) + b.reshape(s)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


OPERATORS = {
    "Conv": conv,
    "BatchNormalization": norm,
    "Relu": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Clip": lambda x, low, high: np.clip(x, low, high),
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power,
    "Sqrt": np.sqrt, "Erf": erf, "MatMul": np.matmul, "Softmax": softmax, "Tanh": np.tanh,
    "MaxPool": lambda x, kernel_shape, strides, pads=(0, 0, 0, 0): windows(x, kernel_shape, strides, pads, -np.inf).max((4, 5)),
    "AveragePool": lambda x, kernel_shape, strides, pads=(0, 0, 0, 0), count_include_pad=0, ceil_mode=0:
        x.mean((2, 3), keepdims=True) if ceil_mode else windows(x, kernel_shape, strides, pads, 0).mean((4, 5)),
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdims=True),
    "Flatten": lambda x, axis=1: x.reshape(x.shape[0], -1),
    "Gemm": lambda x, w, b=0, transB=0: x @ (w.T if transB else w) + b,
    "ReduceMean": lambda x, axes, keepdims=1: x.mean(tuple(axes), keepdims=bool(keepdims)),
    "ReduceSum": lambda x, axes=None, keepdims=1: x.sum(None if axes is None else tuple(axes), keepdims=bool(keepdims)),
    "ReduceL2": lambda x, axes, keepdims=1: np.sqrt((x * x).sum(tuple(axes), keepdims=bool(keepdims))),
    "ReduceMax": lambda x, axes, keepdims=1: x.max(tuple(axes), keepdims=bool(keepdims)),
    "Exp": np.exp, "Log": np.log, "Sin": np.sin, "Cos": np.cos,
    "Reshape": lambda x, s: x.reshape([x.shape[i] if d == 0 else int(d) for i, d in enumerate(s)]),
    "Transpose": lambda x, perm: x.transpose(perm),
    "Concat": lambda *x, axis: np.concatenate(x, axis),
    "Gather": lambda x, i, axis=0: np.take(x, i, axis),
    "Shape": lambda x: np.array(x.shape, "i8"),
    "Unsqueeze": lambda x, axes: np.expand_dims(x, tuple(int(a) for a in axes)),
    "Tile": np.tile, "IsNaN": np.isnan, "Where": np.where,
    "Identity": lambda x: x,
    "LpNormalization": lambda x, axis=-1, p=2: x / np.sqrt((x * x).sum(axis, keepdims=True)),
}


class Graph:
    """Nodes are written down and computed, for one picture, at once."""

    def __init__(self, side, seed, picture=None):
        self.rng, self.nodes, self.tensors, self.values, self.side = np.random.RandomState(seed), [], [], {}, side
        self.values["x"] = np.zeros((1, 3, side, side), "f4") if picture is None else picture

    def constant(self, a):
        a = np.asarray(a)
        name = f"c{len(self.tensors)}"
        self.tensors.append(tensor(name, a))
        self.values[name] = a
        return name

    def weights(self, *shape, scale=None):
        fan = math.prod(shape[1:]) if len(shape) > 1 else 1
        return self.constant((self.rng.randn(*shape) * (scale or 1 / math.sqrt(fan))).astype("f4"))

    def positive(self, n):
        return self.constant(self.rng.uniform(0.5, 1.5, n).astype("f4"))

    def __call__(self, op, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(b"".join(field(1, i) for i in inputs) + field(2, name) + field(3, "node" + name) + field(4, op)
                          + b"".join(field(5, attribute(k, v)) for k, v in attributes.items()))
        if op in OPERATORS:
            self.values[name] = OPERATORS[op](*(self.values[i] for i in inputs), **attributes)
        return name

    def split(self, x, parts, axis):
        names = [f"v{len(self.nodes)}.{k}" for k in range(parts)]
        self.nodes.append(field(1, x) + b"".join(field(2, name) for name in names) + field(3, "split") + field(4, "Split")
                          + field(5, attribute("axis", axis)))
        self.values.update(zip(names, np.array_split(self.values[x], parts, axis)))
        return names

    def file(self, output, open_size=False):
        dims = b"".join(field(1, field(2, "any") if open_size and d == self.side else field(1, d))
                        for d in (1, 3, self.side, self.side))
        pictures = field(1, "x") + field(2, field(1, field(1, 1) + field(2, dims)))
        graph = (b"".join(field(1, n) for n in self.nodes) + field(2, "g") + b"".join(field(5, t) for t in self.tensors)
                 + field(11, pictures) + field(12, field(1, output)))
        return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 17))

    def normed(self, x, filters, inputs, kernel, **attributes):
        c = self("Conv", x, self.weights(filters, inputs, kernel, kernel), **attributes)
        return self("BatchNormalization", c, self.positive(filters), self.weights(filters), self.weights(filters, scale=0.1),
                    self.positive(filters), epsilon=0.001)

    def linear(self, x, inputs, outputs):
        return self("Add", self("MatMul", x, self.weights(inputs, outputs)), self.weights(outputs, scale=0.1))

    def layernorm(self, x, channels):
        off = self("Sub", x, self("ReduceMean", x, axes=[-1]))
        mean = self("ReduceMean", self("Pow", off, self.constant(np.float32(2))), axes=[-1])
        z = self("Div", off, self("Sqrt", self("Add", mean, self.constant(np.float32(1e-6)))))
        return self("Add", self("Mul", z, self.positive(channels)), self.weights(channels, scale=0.1))

    def gelu(self, x):
        e = self("Erf", self("Div", x, self.constant(np.float32(math.sqrt(2)))))
        return self("Mul", self("Mul", x, self("Add", e, self.constant(np.float32(1)))), self.constant(np.float32(0.5)))


def residual(g):
    """A small ResNet, with strides, squeeze and excitation, branches side by side, and a head."""
    x = g("Relu", g.normed("x", 8, 3, 7, strides=[2, 2], pads=[3, 3, 3, 3]))
    x = g("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    a = g.normed(g("Relu", g.normed(x, 8, 8, 3, pads=[1, 1, 1, 1])), 8, 8, 3, pads=[1, 1, 1, 1])
    x = g("Relu", g("Add", a, x))
    a = g.normed(g("Relu", g.normed(x, 12, 8, 3, strides=[2, 2], pads=[1, 1, 1, 1])), 12, 1, 3, pads=[1, 1, 1, 1], group=12)
    x = g("Relu", g("Add", a, g.normed(x, 12, 8, 1, strides=[2, 2])))
    s = g("Conv", g("GlobalAveragePool", x), g.weights(4, 12, 1, 1), g.weights(4))
    s = g("Sigmoid", g("Conv", g("Mul", s, g("Sigmoid", s)), g.weights(12, 4, 1, 1), g.weights(12)))
    x = g("Mul", x, s)
    b = g("AveragePool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=1)
    x = g("Concat", g("Conv", x, g.weights(6, 12, 1, 1)), g("Conv", b, g.weights(3, 12, 1, 1)), b, axis=1)
    # What comes last in shape arithmetic, as older exporters leave it.
    rows = g("Unsqueeze", g("Gather", g("Shape", x), g.constant(np.array(0)), axis=0), g.constant(np.array([0])))
    x = g("Reshape", g("GlobalAveragePool", x), g("Concat", rows, g.constant(np.array([-1])), axis=0))
    return g("Gemm", x, g.weights(5, 21), g.weights(5), transB=1)


def transformer(g):
    """A small vision transformer, all norms, gelus and heads in single steps."""
    side = g.side // 4
    x = g("Conv", "x", g.weights(12, 3, 4, 4), g.weights(12), strides=[4, 4])
    x = g("Transpose", g("Reshape", x, g.constant(np.array([0, 12, -1]))), perm=[0, 2, 1])
    x = g("Concat", g.weights(1, 1, 12), x, axis=1)
    t = side * side + 1
    x = g("Add", x, g.weights(1, t, 12))
    for packed in True, False:
        n = g.layernorm(x, 12)
        if packed:
            q = g("Reshape", g.linear(n, 12, 36), g.constant(np.array([1, t, 3, 2, 6])))
            q = g("Transpose", q, perm=[2, 0, 3, 1, 4])
            q, k, v = (g("Gather", q, g.constant(np.array(i)), axis=0) for i in range(3))
            q = g("Mul", q, g.constant(np.float32(1 / math.sqrt(6))))
            a = g("MatMul", q, g("Transpose", k, perm=[0, 1, 3, 2]))
        else:
            q, k, v = (g("Transpose", g("Reshape", g.linear(n, 12, 12), g.constant(np.array([1, t, 3, 4]))), perm=[0, 2, 1, 3])
                       for i in range(3))
            a = g("Div", g("MatMul", q, g("Transpose", k, perm=[0, 1, 3, 2])), g.constant(np.float32(1.5)))
        a = g("Transpose", g("MatMul", g("Softmax", a, axis=-1), v), perm=[0, 2, 1, 3])
        a = g("Mul", g.linear(g("Reshape", a, g.constant(np.array([1, t, 12]))), 12, 12), g.positive(12))
        x = g("Add", x, a)
        x = g("Add", x, g.linear(g.gelu(g.linear(g.layernorm(x, 12), 12, 20)), 20, 12))
    return g("Gather", g.layernorm(x, 12), g.constant(np.array(0)), axis=1)


def probed(g, scale=1.5, probes=1):
    """Tokens pooled by attention of one learned query, its norm in single steps, and a tanh."""
    side = g.side // 4
    x = g("Conv", "x", g.weights(12, 3, 4, 4), g.weights(12), strides=[4, 4])
    x = g("Transpose", g("Reshape", x, g.constant(np.array([0, 12, -1]))), perm=[0, 2, 1])
    probe = g("Tile", g.weights(1, probes, 12), g("Concat", g("Unsqueeze", g("Gather", g("Shape", x), g.constant(np.array(0))),
                                                       g.constant(np.array([0]))), g.constant(np.array([1, 1])), axis=0))
    q = g("Transpose", g("Reshape", g.linear(probe, 12, 12), g.constant(np.array([1, probes, 3, 4]))), perm=[0, 2, 1, 3])
    k, v = (g("Transpose", g("Reshape", g.linear(x, 12, 12), g.constant(np.array([1, side * side, 3, 4]))), perm=[0, 2, 1, 3])
            for i in range(2))
    a = g("Mul", g("MatMul", q, g("Transpose", k, perm=[0, 1, 3, 2])), g.constant(np.float32(scale)))
    # A mask that leaves all, and a look for rows that it leaves nothing of.
    a = g("Softmax", g("Add", a, g.constant(np.zeros((1, 1, probes, side * side), "f4"))), axis=-1)
    a = g("Where", g("IsNaN", a), g.constant(np.float32(0)), a)
    a = g("Transpose", g("MatMul", a, v), perm=[0, 2, 1, 3])
    x = g("Reshape", a, g.constant(np.array([1, probes, 12])))
    x = g("Add", g("MatMul", x, g.split(g.weights(12, 36), 3, 1)[1]), g.weights(12))
    x = g("Add", x, g.linear(g.gelu(g.linear(g.layernorm(x, 12), 12, 20)), 20, 12))
    return g("Tanh", g.linear(g("Gather", x, g.constant(np.array(0)), axis=1), 12, 5))


def probes(g):
    """Several queries."""
    return probed(g, probes=2)


def sliced(g):
    """One token's norm in single steps."""
    x = g("Conv", "x", g.weights(12, 3, 4, 4), g.weights(12), strides=[4, 4])
    x = g("Transpose", g("Reshape", x, g.constant(np.array([0, 12, -1]))), perm=[0, 2, 1])
    return g.layernorm(g("Gather", x, g.constant(np.array(3)), axis=1), 12)


def wide(g):
    """A mean of one window larger than the picture."""
    x = g("Conv", "x", g.weights(6, 3, 3, 3), strides=[2, 2])
    return g("Flatten", g("AveragePool", x, kernel_shape=[40, 50], strides=[40, 50], ceil_mode=1))


def flat(g):
    """A product over all of a picture, in the order channel, height, width."""
    x = g("Clip", g("Conv", "x", g.weights(4, 3, 3, 3), strides=[2, 2], pads=[0, 0, 1, 1]), g.constant(np.float32(0)),
          g.constant(np.float32(0.4)))
    x = g("Flatten", x)
    return g("Relu", g("Gemm", x, g.weights(7, g.values[x].shape[1]), g.weights(7), transB=1))


def standardised(g):
    """Filters that are computed from others: standardised in single steps, by a norm, and by a small network."""
    w = g.weights(6, 3, 3, 3)
    w = g("Sub", w, g("ReduceMean", w, axes=[1, 2, 3]))
    w = g("Mul", g("Div", w, g("ReduceL2", w, axes=[-1, -2, 1])), g.constant(g.rng.rand(6, 1, 1, 1).astype("f4")))
    x = g("Relu", g("Conv", "x", w, g.weights(6)))
    w = g("Reshape", g.weights(4, 6, 3, 3), g.constant(np.array([1, 4, 54])))
    w = g("BatchNormalization", w, g.positive(4), g.weights(4), g.weights(4), g.positive(4), training_mode=1)
    w = g("Reshape", w, g.constant(np.array([4, 6, 3, 3])))
    b = g("Tanh", g("MatMul", g.weights(1, 5), g.weights(5, 4)))
    b = g("ReduceSum", g("Sin", g("Sigmoid", g("Relu", b))), axes=[0], keepdims=0)
    b = g("Sub", g("Log", g("Exp", b)), g("ReduceMax", b, axes=[0]))
    x = g("Conv", x, w, g("Div", g("Cos", b), g("ReduceSum", b)))
    return g("Flatten", g("GlobalAveragePool", x))


def aggregated(g):
    """Results of one step after another, side by side: each is read by the next step and at the end."""
    x = [g("Relu", g("Conv", "x", g.weights(4, 3, 3, 3), strides=[2, 2]))]
    for filters in 5, 6, 3:
        x.append(g("Relu", g("Conv", x[-1], g.weights(filters, g.values[x[-1]].shape[1], 3, 3), pads=[1, 1, 1, 1])))
    x = g("Concat", *x, axis=1)
    return g("Flatten", g("GlobalAveragePool", g("Conv", x, g.weights(7, 18, 1, 1))))


def differences(g):
    """What one result has more than another, either way, halved or not, as a token mixer of pools has it."""
    x = g("Relu", g("Conv", "x", g.weights(6, 3, 3, 3), strides=[2, 2]))
    pooled = g("AveragePool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=1)
    half = g("Mul", pooled, g.constant(np.float32(0.5)))
    x = g("Add", x, g("Sub", half, x))
    x = g("Sub", g("Conv", x, g.weights(6, 6, 1, 1)), x)
    return g("Flatten", g("GlobalAveragePool", x))


def strided(g):
    """Channels put last for a norm by a table of places, as PyTorch's newer exporter writes as_strided."""
    x = g("Conv", "x", g.weights(6, 3, 4, 4), g.weights(6), strides=[4, 4])
    side = g.side // 4
    table = np.arange(6 * side * side).reshape(6, side, side).transpose(1, 2, 0)[None]
    x = g("Gather", g("Reshape", x, g.constant(np.array([-1]))), g.constant(table), axis=0)
    x = g("Transpose", g.layernorm(x, 6), perm=[0, 3, 1, 2])
    return g("Flatten", g("GlobalAveragePool", g("Conv", x, g.weights(5, 6, 3, 3))))


def scattered(g):
    """A table that is no order of axes: two places change sides."""
    x = g("Conv", "x", g.weights(6, 3, 4, 4), strides=[4, 4])
    side = g.side // 4
    table = np.arange(6 * side * side).reshape(6, side, side)[None]
    table[0, 3, 2, 2:4] = table[0, 3, 2, 3:1:-1]
    return g("Gather", g("Reshape", x, g.constant(np.array([-1]))), g.constant(table), axis=0)


def embedded(g):
    x = g("Flatten", g("GlobalAveragePool", g("Relu", g("Conv", "x", g.weights(9, 3, 3, 3), strides=[2, 2]))))
    return g("Gemm", x, g.weights(6, 9), g.weights(6), transB=1)


def unit(g, how=0):
    """An embedding of length 1, told in one way or another."""
    x = embedded(g)
    two, half, least = (g.constant(np.float32(c)) for c in (2, 0.5, 1e-12))
    if how == 0:
        return g("Div", x, g("Clip", g("ReduceL2", x, axes=[-1]), least, g.constant(np.float32(3e38))))
    if how == 1:
        return g("Div", x, g("Pow", g("ReduceSum", g("Pow", x, two), g.constant(np.array([1]))), half))
    if how == 2:
        return g("Mul", x, g("Div", g.constant(np.float32(1)),
                             g("Sqrt", g("Add", g("ReduceSum", g("Mul", x, x), g.constant(np.array([-1]))), least))))
    return g("Identity", g("LpNormalization", x, axis=1))


def unit1(g): return unit(g, 1)
def unit2(g): return unit(g, 2)
def unit3(g): return unit(g, 3)


def cosines(g):
    """Scores of classes by the cosine of embedding and weight, in single steps."""
    w = g.weights(4, 6)
    w = g("Transpose", g("Div", w, g("ReduceL2", w, axes=[1])), perm=[1, 0])
    return g("Mul", g("MatMul", unit(g), w), g.constant(np.float32(16)))


def lengths(g):
    """Weights of many lengths times an embedding of length 1."""
    return g("Gemm", unit(g), g.weights(4, 6), transB=1)


def shifted(g):
    """An embedding of length 1 that is not the end."""
    return g("Relu", unit(g))


def sine(g):
    """An operator that no word of a network means."""
    return g("Sin", g("Conv", "x", g.weights(4, 3, 3, 3)))


def tangled(g):
    """Steps that are no branches within branches."""
    a, b = g("Conv", "x", g.weights(3, 3, 1, 1)), g("Conv", "x", g.weights(3, 3, 1, 1))
    c = g("Add", g("Relu", a), b)
    return g("Add", g("Mul", a, c), g("Relu", b))


def main(name, path, pictures, output):
    side, out = 32, []
    for record in msgpack.Unpacker(open(pictures, "rb"), object_hook=msgpack_numpy.decode):
        for picture in record.get("image", []):
            g = Graph(side, 7, ((picture / 255 - 0.4) / 0.3).astype("f4").transpose(2, 0, 1)[None])
            last = globals()[name](g)
            out.append(g.values[last].reshape(-1) if last in g.values else np.zeros(1))
    np.save(output, np.array(out))
    with open(path, "wb") as file:
        file.write(g.file(last))


if __name__ == "__main__":
    main(*sys.argv[1:])
