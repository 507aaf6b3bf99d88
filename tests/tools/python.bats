#!/usr/bin/env bats
# Python's msgpack and msgpack_numpy read what the tools write, and write what they read.

load common

setup() {
    common_setup
    need_python numpy
    need_python msgpack msgpack_numpy
}

# filter CODE: passes a stream through Python; CODE may change each record r, a dictionary of arrays.
filter() {
    "$PYTHON" -c '
import sys, msgpack, msgpack_numpy, numpy as np
header = None
for r in msgpack.Unpacker(sys.stdin.buffer, object_hook=msgpack_numpy.decode):
    if header is None:
        header = r
        assert r["tensor-stream"] == 1
    elif "end" not in r:
        exec(sys.argv[1])
    sys.stdout.buffer.write(msgpack.packb(r, default=msgpack_numpy.encode))
' "$1"
}

@test "pictures go through Python and back into a tool" {
    make_cifar pictures.bin 250
    cifar-read pictures.bin |
        filter 'r["image"] = 255 - r["image"]; r["mean"] = r["image"].mean((1, 2, 3)).astype("f4")' |
        class-filter --keep ship,0-2 >inverted
    cifar-read pictures.bin | class-filter --keep ship,0-2 >plain
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
def read(path):
    records = list(msgpack.Unpacker(open(path, "rb"), object_hook=msgpack_numpy.decode))
    rows = records[1:-1]
    assert records[-1]["end"] == sum(len(r["label"]) for r in rows)
    return records[0], {k: np.concatenate([r[k] for r in rows]) for k in rows[0]}
raw = np.fromfile("pictures.bin", np.uint8).reshape(-1, 3073)
keep = np.isin(raw[:, 0], [0, 1, 2, 8])
image = raw[keep, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
header, plain = read("plain")
_, inverted = read("inverted")
assert plain["image"].dtype == np.uint8 and plain["image"].shape == (keep.sum(), 32, 32, 3)
assert (plain["image"] == image).all()
assert (inverted["image"] == 255 - image).all()
assert np.allclose(inverted["mean"], (255 - image.astype("f8")).mean((1, 2, 3)), atol=1e-3)
names = np.array(header["classes"])[plain["label"]]
original = "airplane automobile bird cat deer dog frog horse ship truck".split()
assert (names == np.array(original)[raw[keep, 0]]).all()
PYTHON
}

@test "a stream that Python rewrites whole is the same stream" {
    make_cifar pictures.bin 100
    cifar-read pictures.bin >before
    filter pass <before >rewritten
    class-filter --keep 0-9 before >a
    class-filter --keep 0-9 rewritten >b
    cmp a b
}

@test "labels of every integer type, as NumPy has them" {
    make_cifar pictures.bin 60
    cifar-read pictures.bin | class-filter --keep 3 >wanted.records
    for type in u1 i1 u2 i2 u4 i4 u8 i8; do
        cifar-read pictures.bin | filter "r['label'] = r['label'].astype('$type')" | class-filter --keep 3 |
            filter "r['label'] = r['label'].astype('i4')" >got
        filter "r['label'] = r['label'].astype('i4')" <wanted.records | cmp - got
    done
}

# Embeddings of any other network, made in Python, imprinted and classified here.
@test "embeddings from Python are imprinted and classified, and Python reads the model" {
    "$PYTHON" "$ROOT/tests/tools/embeddings.py" cat,dog,ship 60 24 1 >train
    "$PYTHON" "$ROOT/tests/tools/embeddings.py" cat,dog,ship 40 24 2 >test
    imprint --quiet --method mean --no-calibrate <train >own.model
    classify --model own.model <test | tee predictions | score --format json >figures
    "$PYTHON" - <<'PYTHON'
import json, msgpack, msgpack_numpy, numpy as np
def read(path):
    records = list(msgpack.Unpacker(open(path, "rb"), object_hook=msgpack_numpy.decode))
    return records[0], records[1:-1]
def rows(records, key):
    return np.concatenate([r[key] for r in records])
header, tensors = read("own.model")
model = {k: v for r in tensors for k, v in r.items()}
assert header["model"]["version"] == 3 and header["model"]["head"] == "cosine"
assert header["classes"] == ["cat", "dog", "ship"] and model["head/weight"].shape == (3, 24)

unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
_, train = read("train")
e, label = unit(rows(train, "embedding").astype("f8")), rows(train, "label")
weight = unit(np.array([e[label == c].mean(0) for c in range(3)]))
assert np.abs(model["head/weight"] - weight).max() < 1e-6
assert np.abs(model["imprint/sum"] - [e[label == c].sum(0) for c in range(3)]).max() < 1e-4
assert model["imprint/count"].tolist() == [60, 60, 60]

_, test = read("test")
e, label = unit(rows(test, "embedding").astype("f8")), rows(test, "label")
score = model["head/scale"] * (e @ weight.T)
_, predictions = read("predictions")
assert np.abs(rows(predictions, "score") - score).max() < 1e-4
assert (rows(predictions, "prediction") == score.argmax(1)).mean() > 0.99
figures = json.load(open("figures"))
assert abs(figures["all"] - (score.argmax(1) == label).mean()) < 0.01
PYTHON
}

# A classifier of one's own may end in score: int64 predictions from numpy.argmax, no scores.
@test "predictions from Python are scored" {
    "$PYTHON" - >predictions <<'PYTHON'
import sys, msgpack, msgpack_numpy, numpy as np
write = lambda r: sys.stdout.buffer.write(msgpack.packb(r, default=msgpack_numpy.encode))
write({"tensor-stream": 1, "classes": ["cat", "dog"]})
write({"label": np.array([0, 1, 1, 0]), "prediction": np.eye(2)[[0, 1, 0, 0]].argmax(1)})
write({"end": 4})
PYTHON
    [ "$(score --by all predictions | tail -n 1)" = 0.7500 ]
}

@test "what numpy writes by itself is refused with the cure" {
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
def write(path, field, x):
    with open(path, "wb") as f:
        for r in ({"tensor-stream": 1, "classes": ["cat", "dog"]}, {field: x, "label": np.array([0, 1])}, {"end": 2}):
            f.write(msgpack.packb(r, default=msgpack_numpy.encode))
write("integers", "embedding", np.ones((2, 4), int))
write("huge", "embedding", np.full((2, 4), 1e300))
write("grey", "image", np.ones((2, 28, 28), "u1"))
write("floats", "image", np.full((2, 28, 28, 1), 200.0))
r = np.random.RandomState(1)
for kind in "f2", "f4", "f8":
    write("units-" + kind, "image", (r.randint(0, 256, (2, 28, 28, 1)) / 255).astype(kind))
    write("most-" + kind, "image", (r.randint(0, 256, (2, 28, 28, 1)) / 128).astype(kind))
PYTHON
    fails 1 "integers: field 'embedding' is int64 [2, 4]; float32 with 2 dimensions is needed; numpy's .astype('float32') makes it" \
        imprint integers -o none
    fails 1 "row 0: field 'embedding' has a value that is not a finite number" imprint --quiet huge -o none
    fails 1 "the last one the channels; numpy's [..., None] adds it" cnn-train grey -o none
    fails 1 "pixels from 0 to 255; --range LOW:HIGH says from what to what these go" cnn-train floats -o none
    for kind in f2 f4 f8; do
        fails 1 "pixels from 0 to 255; --range 0:1 takes these" cnn-train units-$kind -o none
        fails 1 "--range LOW:HIGH" cnn-train most-$kind -o none
        fails 1 "outside --range 0:1" cnn-train --range 0:1 most-$kind -o none
    done
    for range in 1 1:0 0:0 a:1 0:1x : 0:inf; do
        fails 2 "takes two numbers, the smaller first" cnn-train --range $range floats -o none
    done
    leaves_nothing none
}

@test "embeddings of float16 and float64 are taken as float32, and it is said" {
    "$PYTHON" - <<'PYTHON'
import msgpack_numpy, numpy as np
x = np.random.RandomState(2).randn(300, 24).astype("f2")
for kind in "f2", "f4", "f8":
    with open(kind, "wb") as f:
        f.write(msgpack_numpy.packb({"tensor-stream": 1, "classes": ["a", "b", "c"]}))
        for at in range(0, 300, 70):
            part = x[at:at + 70].astype(kind)
            f.write(msgpack_numpy.packb({"embedding": part, "label": np.arange(at, at + len(part)) % 3, "more": part}))
        f.write(msgpack_numpy.packb({"end": 300}))
PYTHON
    imprint f4 -o f4.model 2>said
    ! grep -q note said
    classify --model f4.model --keep-embedding f4 | npy-write -o f4.npz
    for kind in f2 f8; do
        imprint $kind -o $kind.model 2>said
        grep -qx "imprint: note: field 'embedding' is float$([ $kind = f2 ] && echo 16 || echo 64), and is taken as float32" said
        cmp f4.model $kind.model
        classify --quiet --model $kind.model --keep-embedding $kind | npy-write -o $kind.npz
        "$PYTHON" -c '
import sys, numpy as np
a, b = np.load("f4.npz"), np.load(sys.argv[1] + ".npz")
for k in "score", "prediction", "embedding": assert a[k].dtype == b[k].dtype and (a[k] == b[k]).all(), k
assert b["more"].dtype == sys.argv[1] and (a["more"] == b["more"]).all()' $kind
    done
}

@test "pictures of a stated range are the uint8 ones, whatever their numbers and order" {
    "$PYTHON" - <<'PYTHON'
import msgpack_numpy, numpy as np
x = np.random.RandomState(2).randint(0, 256, (90, 8, 8, 3))
forms = {"u1": x, "i2": x - 128, "u2": x * 257, "i8": x * 1000, "f2": (x / 255), "f4": x / 127.5 - 1, "f8": x / 255}
for kind, values in forms.items():
    for order in "hwc", "chw":
        with open(f"{kind}-{order}", "wb") as f:
            f.write(msgpack_numpy.packb({"tensor-stream": 1, "classes": ["a", "b"]}))
            for at in 0, 50:
                part = values[at:at + 50].astype(kind)
                part = np.ascontiguousarray(part.transpose(0, 3, 1, 2)) if order == "chw" else part
                f.write(msgpack_numpy.packb({"image": part, "label": np.arange(len(part), dtype="i4") % 2}))
            f.write(msgpack_numpy.packb({"end": 90}))
PYTHON
    echo 'conv:3x3x4 relu dense:8' >net
    train() { cnn-train --device reference --arch @net --epochs 1 "$@"; }
    train --quiet u1-hwc -o want
    train u1-hwc --range 0:255 -o model 2>said
    ! grep -q note said
    cmp want model
    embed --device reference --model want u1-hwc -o rows
    pnm-sheet u1-hwc -o sheet
    local form
    for form in "i2 -128:127" "u2 0:65535" "i8 0:255000" "f2 0:1" "f4 -1:1" "f8 0:1"; do
        read -r kind range <<<"$form"
        train $kind-hwc --range $range --force -o model 2>said
        grep -q "note: pictures are .* from ${range/:/ to }, and become uint8" said
        cmp want model
        train --quiet $kind-chw --layout chw --range $range --force -o model
        cmp want model
        embed --quiet --device reference --model want --range $range $kind-hwc | cmp - rows
        pnm-sheet --quiet --range $range $kind-hwc | cmp - sheet
    done
}

# Six batches with texts of very different lengths, and what a reader must find in them.
write_texts() {
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
rng = np.random.RandomState(5)
def batch(rows, i):
    return {"image": rng.randint(0, 256, (rows, 4, 4, 3)).astype("u1"), "label": np.arange(rows, dtype="i4") % 2,
            "path": ["%d/" % i + "é" * rng.randint(0, i * 60 + 1) + str(k) for k in range(rows)]}
batches = [batch(5 + i, i) for i in range(6)]
records = [{"tensor-stream": 1, "classes": ["a", "b"]}] + batches + [{"end": sum(len(b["label"]) for b in batches)}]
open("texts", "wb").write(b"".join(msgpack.packb(r, default=msgpack_numpy.encode) for r in records))
paths = [(p, l) for b in batches for p, l in zip(b["path"], b["label"])]
open("all.txt", "w").write("".join(p + "\n" for p, l in paths))
open("b.txt", "w").write("".join(p + "\n" for p, l in paths if l == 1))
PYTHON
}

# The column `path` of a stream, a line each.
paths() {
    "$PYTHON" -c '
import sys, msgpack, msgpack_numpy
for r in msgpack.Unpacker(sys.stdin.buffer, object_hook=msgpack_numpy.decode):
    for p in r.get("path", []): print(p)'
}

@test "columns of texts ride along, of any length, through filters and samples" {
    write_texts
    tensor-info texts | grep -q 'path   text \[45\]'
    [ "$(tensor-info texts | grep -c 'path ')" -eq 1 ]
    class-filter --keep a,b texts | paths | diff all.txt -
    class-filter --keep b texts | paths | diff b.txt -
    class-filter --keep a,b --per-class 1000 --seed 1 texts | paths | diff all.txt -
    class-filter --keep a,b --per-class 3 --seed 1 texts | paths >six.txt
    [ "$(wc -l <six.txt)" -eq 6 ]
    [ -z "$(grep -vxFf all.txt six.txt)" ]
}

@test "columns of texts reach predictions" {
    write_texts
    filter 'r["embedding"] = r.pop("image").reshape(len(r["label"]), -1).astype("f4")' <texts >embeddings
    imprint --quiet embeddings -o two.model
    classify --quiet --model two.model embeddings | paths | diff all.txt -
}

@test "what is no column of texts is refused" {
    for column in '[1, 2]' '["a", b"b"]' '["a" * 65536, "b"]' '["a\0b", "c"]' '["a"]' '[["a"], "b"]' '["a", None]'; do
        "$PYTHON" -c "
import sys, msgpack, msgpack_numpy, numpy as np
for r in {'tensor-stream': 1, 'classes': ['a']}, {'label': np.zeros(2, 'i4'), 'path': $column}, {'end': 2}:
    sys.stdout.buffer.write(msgpack.packb(r, default=msgpack_numpy.encode))" >bad
        run -1 --separate-stderr class-filter --keep a bad
        [[ $stderr == *"'path'"*text* || $stderr == *"'path' has 1 rows"* ]]
    done
}

@test "Python's reader as it comes takes what the tools write, however large the batches were" {
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
with open("big", "wb") as f:
    for r in ({"tensor-stream": 1, "classes": ["a", "b"]},
              {"image": np.arange(40000 * 3072, dtype="u1").reshape(40000, 32, 32, 3), "label": np.arange(40000) % 2},
              {"end": 40000}):
        f.write(msgpack.packb(r, default=msgpack_numpy.encode))
PYTHON
    class-filter --quiet --keep a,b big | "$PYTHON" -c '
import sys, msgpack, msgpack_numpy, numpy as np
image, label = [], []
for r in msgpack.Unpacker(sys.stdin.buffer, object_hook=msgpack_numpy.decode):
    if "image" in r: image.append(r["image"]); label.append(r["label"])
assert (np.concatenate(image).ravel() == np.arange(40000 * 3072, dtype="u1")).all()
assert (np.concatenate(label) == np.arange(40000) % 2).all() and len(image) > 1'
}
