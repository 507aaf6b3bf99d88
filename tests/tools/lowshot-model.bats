#!/usr/bin/env bats
# lowshot-model(5): who has read nothing but the page writes a model.

load common

setup() {
    common_setup
    need_python numpy
    need_python msgpack msgpack_numpy
    "$PYTHON" - <<'PYTHON'
import numpy as np, msgpack_numpy
r = np.random.default_rng(3)
y = np.arange(40) % 2
e = (r.normal(size=(40, 7)) + 2 * np.eye(2, 7)[y]).astype("f4")
np.savez("embeddings.npz", e=e, y=y)
with open("rows", "wb") as f:
    for record in {"tensor-stream": 1, "classes": ["cat", "dog"]}, {"embedding": e, "label": y.astype("i4")}, {"end": 40}:
        f.write(msgpack_numpy.packb(record))
PYTHON
}

@test "the page's example" {
    awk '/^\.Ed/ { on = 0 } on; /^\.Bd -literal/ && seen { on = 1 } /^\.Sh EXAMPLES/ { seen = 1 }' \
        "$ROOT/src/lowshot-model.5" >example.py
    "$PYTHON" example.py >own.model
    classify --quiet --model own.model rows >predictions
    imprint --quiet --method mean --no-calibrate rows | classify --quiet --model /dev/stdin rows >by_imprint
    imprint --quiet --model own.model --method mean rows -o more.model
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
def read(path):
    records = list(msgpack.Unpacker(open(path, "rb"), object_hook=msgpack_numpy.decode))[1:-1]
    return {k: np.concatenate([r[k] for r in records if k in r]) for r in records for k in r}
data, got, other = np.load("embeddings.npz"), read("predictions"), read("by_imprint")
unit = data["e"] / np.linalg.norm(data["e"], axis=1, keepdims=True)
weight = np.array([unit[data["y"] == c].sum(0) for c in (0, 1)])
weight /= np.linalg.norm(weight, axis=1, keepdims=True)
assert np.abs(got["score"] - 10 * unit @ weight.T).max() < 1e-4
assert np.abs(got["score"] - other["score"]).max() < 1e-4
assert read("more.model")["imprint/count"].tolist() == [40, 40]
PYTHON
}

@test "weights of random features, a bias, a temperature" {
    "$PYTHON" - <<'PYTHON'
import math, numpy as np, msgpack_numpy

def philox(key, low, high):
    k, c = [key & 0xffffffff, key >> 32], [low & 0xffffffff, low >> 32, high & 0xffffffff, high >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xffffffff, (p >> 32) ^ c[3] ^ k[1], p & 0xffffffff]
        k = [(k[0] + 0x9E3779B9) & 0xffffffff, (k[1] + 0xBB67AE85) & 0xffffffff]
    return c

def projection(seed, m, d):
    numbers = []
    for i in range((m * d + 3) // 4):
        u = philox(seed, i, 6 << 60)
        for first, second in (u[:2], u[2:]):
            r, a = math.sqrt(-2 * math.log((first + 1) / 2**32)), 2 * math.pi * second / 2**32
            numbers += [r * math.cos(a), r * math.sin(a)]
    return np.array(numbers[:m * d]).reshape(m, d)

M, D = 5, 7
e = np.load("embeddings.npz")["e"].astype("f8")
e /= np.linalg.norm(e, axis=1, keepdims=True)
x = np.hstack([e, np.maximum(e @ projection(9, M, D).T, 0) / math.sqrt(M)])
weight, bias = np.random.default_rng(1).normal(size=(2, D + M)).astype("f4"), np.array([0.5, -1], "f4")
np.save("expected", x @ weight.T + bias)
tensors = {"head/weight": np.ones((2, D), "f4"), "ridge/weight": weight, "head/bias": bias}
header = {"tensor-stream": 1, "classes": ["cat", "dog"],
          "model": {"version": 2, "network": "", "input": [0, 0, 0], "dimension": D, "head": "softmax",
                    "kinds": ["base", "novel"], "norm": "l2", "ridge/features": M, "ridge/plain": 1, "ridge/seed": 9}}
with open("own.model", "wb") as f:
    for record in [header, *({k: v} for k, v in tensors.items()), {"end": sum(map(len, tensors.values()))}]:
        f.write(msgpack_numpy.packb(record))
PYTHON
    classify --quiet --model own.model rows >predictions
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
records = list(msgpack.Unpacker(open("predictions", "rb"), object_hook=msgpack_numpy.decode))[1:-1]
assert np.abs(np.concatenate([r["score"] for r in records]) - np.load("expected.npy")).max() < 1e-4
PYTHON
}

# change FILE BYTE TO: another byte there, BYTE from the end where it is negative.
change() {
    "$PYTHON" -c 'import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[int(sys.argv[2])] ^= 255
open(sys.argv[3], "wb").write(data)' "$@"
}

@test "who needs the first of a model reads no further" {
    printf 'conv:3x3x4:same relu maxpool:8\n' >tiny.net
    make_cifar made.bin 40
    cifar-read made.bin >rows
    cnn-train --quiet --device reference --arch @tiny.net --epochs 1 rows >net.model
    embed --quiet --device reference --model net.model rows >embeddings
    imprint --quiet --model net.model --update-base embeddings -o whole.model
    classify --quiet --model whole.model embeddings >right
    # The last bytes are the end's; before them sums; the network's weights before those.
    sums=-500
    network=$("$PYTHON" -c 'print(open("whole.model", "rb").read().index(b"0.conv/weight") + 100)')
    change whole.model $sums sums.model
    change whole.model "$network" network.model
    for model in sums network; do
        classify --quiet --model $model.model embeddings | cmp right
        fails 1 "damaged" imprint --quiet --model $model.model --update-base embeddings -o none
        # A pipe is read to its end.
        fails 1 "damaged" classify --quiet --model <(cat $model.model) embeddings -o none
    done
    embed --quiet --device reference --model sums.model rows | cmp embeddings
    fails 1 "damaged" embed --device reference --model network.model rows -o none
    head -c -1 whole.model >cut.model
    cat whole.model <(echo) >long.model
    fails 1 "cut short" classify --model cut.model embeddings -o none
    fails 1 "something follows" classify --model long.model embeddings -o none
    fails 1 "cut short" embed --model cut.model rows -o none
    # Of another network's weights, the fingerprint is another.
    cnn-train --quiet --device reference --arch @tiny.net --epochs 1 --seed 2 rows >other.model
    fails 1 "another network" classify --model other.model embeddings -o none
}

@test "a model that some tool would read beyond is refused" {
    "$PYTHON" - <<'PYTHON'
import numpy as np, msgpack_numpy
def write(path, notes, more):
    tensors = {"head/scale": np.ones(1, "f4"), "head/weight": np.ones((2, 7), "f4"),
               "imprint/sum": np.ones((2, 7)), "imprint/count": np.ones(2), **more}
    header = {"tensor-stream": 1, "classes": ["cat", "dog"],
              "model": {"version": 2, "network": "", "input": [0, 0, 0], "dimension": 7, "head": "cosine",
                        "kinds": ["novel", "novel"], "norm": "l2", **notes}}
    with open(path, "wb") as f:
        for record in [header, *({k: v} for k, v in tensors.items()), {"end": sum(map(len, tensors.values()))}]:
            f.write(msgpack_numpy.packb(record))
features = {"imprint/feature-sum": np.ones((2, 7)), "imprint/feature-gram": np.eye(7)}
write("features.model", {}, features)
write("seedless.model", {"ridge/features": 7}, features)
write("empty.model", {"ridge/features": 7, "ridge/seed": 1}, {k: v[:, :0] for k, v in features.items()})
write("wide.model", {"ridge/features": 8, "ridge/seed": 1}, features)
write("proxies.model", {"imprint/method": "proxies", "proxies/count": 1, "proxies/seed": 1}, {})
write("method.model", {"imprint/method": "guess"}, {})
PYTHON
    for tool in "imprint --base rows rows --model" "model-merge" "classify rows --model" "model-edit --drop cat" tensor-info; do
        fails 1 "ridge/features and ridge/seed are missing" $tool features.model
        fails 1 "ridge/features and ridge/seed are missing" $tool seedless.model
        fails 1 "has a dimension of 0" $tool empty.model
        fails 1 "'imprint/feature-sum' is float64 [2, 7]" $tool wide.model
        fails 1 "'imprint/exemplars' is missing, which the method proxies needs" $tool proxies.model
        fails 1 "imprint/method is 'guess'" $tool method.model
    done
}
