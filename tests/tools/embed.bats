# embed: pictures to embeddings.

load common

setup() {
    common_setup
    echo 'conv:3x3x4 relu maxpool:4 dense:16' >tiny.net
}

# 100 made-up pictures and a model whose embedding has 16 numbers.
make_model() {
    make_cifar made.bin 100
    cifar-read made.bin >rows
    cnn-train --quiet --device reference --arch @tiny.net --epochs 1 rows >model
}

embeds() {
    embed --device reference --model model "$@"
}

# compare FILE FILE EXPRESSION: a Python expression of a and b, the streams' fields over all rows.
compare() {
    need_python numpy msgpack msgpack_numpy
    "$PYTHON" - "$@" <<'PYTHON'
import sys, msgpack, msgpack_numpy, numpy as np
def load(path):
    fields = {}
    for record in msgpack.Unpacker(open(path, "rb"), object_hook=msgpack_numpy.decode, strict_map_key=False):
        if "tensor-stream" not in record and "end" not in record:
            for name, value in record.items():
                fields.setdefault(name, []).append(value)
    return {name: np.concatenate(values) for name, values in fields.items()}
a, b = load(sys.argv[1]), load(sys.argv[2])
close = lambda x, y: x.shape == y.shape and abs(x - y).max() <= 1e-5 * abs(y).max()
if not eval("(" + sys.argv[3] + ")"):
    print({k: (v.dtype, v.shape) for k, v in a.items()}, {k: (v.dtype, v.shape) for k, v in b.items()})
    sys.exit(sys.argv[3] + ": not so")
PYTHON
}

# rewrite CODE <stream >stream: a Python filter over the batches, named b; np is numpy.
rewrite() {
    need_python numpy msgpack msgpack_numpy
    "$PYTHON" -c '
import sys, msgpack, msgpack_numpy, numpy as np
for b in msgpack.Unpacker(sys.stdin.buffer, object_hook=msgpack_numpy.decode, strict_map_key=False):
    if "tensor-stream" not in b and "end" not in b:
        exec(sys.argv[1])
    sys.stdout.buffer.write(msgpack.packb(b, default=msgpack_numpy.encode))' "$1"
}

@test "--keep-image keeps the pictures beside their embeddings" {
    make_model
    embeds rows >plain
    embeds --keep-image --batch 7 rows >kept
    compare kept rows '(a["image"] == b["image"]).all() and len(a["image"]) == 100'
    compare kept plain 'close(a["embedding"], b["embedding"]) and "image" not in b'
    embeds --keep-image --views 3 --augment flip rows >views
    compare views rows '(a["image"][::3] == b["image"]).all() and (a["image"][2::3] == b["image"]).all()'
    classify --device reference --model model kept | row-filter --quiet --where right | pnm-sheet >right.ppm
}

@test "embeddings replace pictures; every other field passes through" {
    make_model
    rewrite 'b["weight"] = np.arange(len(b["label"])) * 0.5' <rows >more
    embeds more >out
    compare out more '"image" not in a and a["embedding"].dtype == "f4" and a["embedding"].shape == (100, 16)
        and (a["label"] == b["label"]).all() and (a["weight"] == b["weight"]).all() and len(a) == 3'
}

@test "an embedding is what the network's formula says" {
    make_model
    echo 'conv:3x3x4 relu' >one.net
    cnn-train --quiet --device reference --arch @one.net --epochs 1 rows >model
    embeds rows >out
    need_python numpy msgpack msgpack_numpy
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
def batches(path):
    return msgpack.Unpacker(open(path, "rb"), object_hook=msgpack_numpy.decode, strict_map_key=False)
model = {k: v for r in batches("model") for k, v in r.items() if hasattr(v, "shape")}
image = np.concatenate([r["image"] for r in batches("rows") if "image" in r]) / 255.0
got = np.concatenate([r["embedding"] for r in batches("out") if "embedding" in r])
w, bias = model["0.conv/weight"].astype("f8"), model["0.conv/bias"]
windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(1, 2))  # rows y x channel dy dx
want = np.maximum(np.einsum("nyxcij,oijc->nyxo", windows, w) + bias, 0).reshape(len(image), -1)
assert got.shape == want.shape and abs(got - want).max() < 1e-5, abs(got - want).max()
PYTHON
}

@test "the size of batches, the stream's or the tool's, changes nothing" {
    make_model
    embeds rows >whole
    for size in 1 7 64 100 1000; do
        embeds --batch $size rows >out
        compare out whole '(a["embedding"] == b["embedding"]).all() and (a["label"] == b["label"]).all()'
    done
    need_python msgpack msgpack_numpy
    "$PYTHON" -c '
import sys, msgpack, msgpack_numpy
for b in msgpack.Unpacker(sys.stdin.buffer, object_hook=msgpack_numpy.decode, strict_map_key=False):
    parts = [{k: v[i:i + 3] for k, v in b.items()} for i in range(0, len(b["label"]), 3)] if "label" in b else [b]
    for part in parts:
        sys.stdout.buffer.write(msgpack.packb(part, default=msgpack_numpy.encode))' <rows >threes
    embeds --batch 16 threes >out
    compare out whole '(a["embedding"] == b["embedding"]).all() and (a["label"] == b["label"]).all()'
}

@test "fields may change from batch to batch" {
    make_model
    rewrite 'b["extra"] = b["label"] * 2' <rows >with
    rewrite 'b["label"] = b["label"].astype("i8")' <rows >wide
    cat rows with rows wide >mixed
    embeds mixed >out
    embeds rows rows rows rows >plain
    compare out plain '(a["embedding"] == b["embedding"]).all() and len(a["extra"]) == 100'
}

@test "rows without labels are embedded, too" {
    make_model
    rewrite 'del b["label"]' <rows >bare
    embeds bare >out
    embeds rows >plain
    compare out plain 'list(a) == ["embedding"] and (a["embedding"] == b["embedding"]).all()'
}

@test "views: the plain one first, the others of their own, numbered" {
    make_model
    embeds rows >plain
    embeds --views 3 --augment flip,shift:4 rows >out
    compare out plain 'a["embedding"].shape == (300, 16) and (a["embedding"][::3] == b["embedding"]).all()
        and (a["view"] == np.tile([0, 1, 2], 100)).all() and a["view"].dtype == "u2"
        and (a["label"] == np.repeat(b["label"], 3)).all()
        and (a["embedding"][1::3] != b["embedding"]).any(1).mean() > 0.9
        and (a["embedding"][1::3] != a["embedding"][2::3]).any(1).mean() > 0.9'
    # Which view a picture gets depends on its row in the stream, not on the batches.
    embeds --views 3 --augment flip,shift:4 --batch 7 rows >sevens
    compare sevens out '(a["embedding"] == b["embedding"]).all()'
    embeds --views 3 --augment flip,shift:4 --seed 2 rows >other
    compare other out '(a["embedding"] != b["embedding"]).any()'
}

@test "views averaged are the mean of the views" {
    make_model
    embeds --views 4 --augment shift:3,cutout:6 rows >views
    embeds --views 4 --augment shift:3,cutout:6 --average rows >out
    compare out views 'close(a["embedding"], b["embedding"].reshape(100, 4, 16).mean(1)) and "view" not in a'
    compare out views 'close(a["plain"], b["embedding"].reshape(100, 4, 16)[:, 0])'
    embeds --flip rows >flipped
    embeds --flip --views 4 --augment shift:3,cutout:6 --average rows >out
    compare out flipped 'close(a["plain"], b["embedding"])'
}

@test "flip: the mean with the mirror image" {
    make_model
    embeds rows >plain
    rewrite 'b["image"] = b["image"][:, :, ::-1].copy()' <rows >mirrored.rows
    embeds mirrored.rows >mirrored
    embeds --flip rows >out
    compare out plain '(a["embedding"] != b["embedding"]).any(1).all()'
    rewrite 'b["embedding"] = (b["embedding"] + np.concatenate([r["embedding"] for r in msgpack.Unpacker(
        open("mirrored", "rb"), object_hook=msgpack_numpy.decode, strict_map_key=False) if "embedding" in r])) / 2' \
        <plain >mean
    compare out mean 'close(a["embedding"], b["embedding"])'
}

@test "the header says whose embeddings they are, and keeps the rest" {
    make_model
    embeds rows >out
    need_python msgpack
    rewrite_header='import sys, msgpack; print(next(iter(msgpack.Unpacker(sys.stdin.buffer, strict_map_key=False))))'
    "$PYTHON" -c "$rewrite_header" <out | grep -qE "'embedding-of': '[0-9a-f]{16}'"
    "$PYTHON" -c "$rewrite_header" <out | grep -q "'airplane', 'automobile'"
    # The head is not part of it, what is below is.
    cnn-train --quiet --device reference --init model --freeze backbone --epochs 1 rows >head
    embed --device reference --model head rows | cmp - out
    cnn-train --quiet --device reference --init model --epochs 1 rows >other
    embed --device reference --model other rows >out2
    [ "$("$PYTHON" -c "$rewrite_header" <out)" != "$("$PYTHON" -c "$rewrite_header" <out2)" ]
}

@test "streams concatenate, and the class list grows with them" {
    make_model
    class-filter --keep 0-4 rows >a
    need_python msgpack
    "$PYTHON" -c '
import sys, msgpack
for b in msgpack.Unpacker(sys.stdin.buffer, strict_map_key=False):
    if "tensor-stream" in b: b["classes"][0] = "zebra"
    sys.stdout.buffer.write(msgpack.packb(b))' <rows >b
    cat a b | embeds >out
    embeds a b >files
    cmp out files
    # 50 rows of the first five classes; then all ten, the first of them an eleventh class.
    compare out out 'np.bincount(a["label"]).tolist() == [10, 20, 20, 20, 20, 10, 10, 10, 10, 10, 10]'
    "$PYTHON" -c '
import sys, msgpack
headers = [r for r in msgpack.Unpacker(sys.stdin.buffer, strict_map_key=False) if "tensor-stream" in r]
assert [len(h["classes"]) for h in headers] == [10, 11] and headers[1]["classes"][10] == "zebra"' <out
}

@test "an empty stream gives an empty stream" {
    make_model
    class-filter --drop 0-9 rows >none
    embeds none >out
    class-filter --keep 0-9 out >/dev/null
    compare out out 'a == {}'
}

@test "pictures of another size, wrong fields, no records" {
    make_model
    rewrite 'b["image"] = b["image"][:, :28]' <rows >small
    fails 1 "rows 1 to 100: pictures of 28 x 32 x 3; the model takes 32 x 32 x 3" embed --device reference --model model -o out small
    rewrite 'b["image"] = b["image"].astype("f4")' <rows >floats
    fails 1 "uint8" embed --device reference --model model -o out floats
    rewrite 'del b["image"]' <rows >blind
    fails 1 "image" embed --device reference --model model -o out blind
    fails 1 "empty" embed --device reference --model model -o out /dev/null
    fails 1 "no-such" embed --device reference --model model -o out no-such
    leaves_nothing out
}

@test "broken streams leave no file, and an old one untouched" {
    make_model
    echo old >out
    head -c 100000 rows >cut
    fails 1 "cut" embed --device reference --model model -o out cut
    fails_with cut 1 "standard input" embed --device reference --model model -o out
    fails 1 "made.bin" embed --device reference --model model -o out made.bin
    [ "$(cat out)" = old ]
    leaves_nothing .out
    # Into a pipe goes no end record.
    ! embeds cut >part 2>/dev/null
    fails 1 "part" class-filter --keep 0-9 part
}

@test "broken models" {
    make_model
    head -c 2000 model >cut
    fails 1 "cut" embed --device reference --model cut -o out rows
    fails 1 "no-such" embed --device reference --model no-such -o out rows
    fails 1 "rows" embed --device reference --model rows -o out rows
    need_python numpy msgpack msgpack_numpy
    rewrite 'b.update({k: np.full_like(v, np.nan) for k, v in b.items() if k == "3.dense/weight"})' <model >nan
    fails 1 "nan" embed --device reference --model nan -o out rows
    "$PYTHON" - <<'PYTHON' >headonly
import sys, msgpack, msgpack_numpy, numpy as np
out = lambda r: sys.stdout.buffer.write(msgpack.packb(r, default=msgpack_numpy.encode))
out({"tensor-stream": 1, "classes": ["a"], "model": {"version": 1, "network": "", "input": [0, 0, 0],
     "dimension": 4, "head": "cosine", "kinds": ["base"], "norm": "l2"}})
out({"head/scale": np.array([10], "f4")})
out({"head/weight": np.ones((1, 4), "f4")})
out({"end": 2})
PYTHON
    fails 1 "no network" embed --device reference --model headonly -o out rows
    leaves_nothing out
}

@test "a full disk, a reader that goes away, a terminal" {
    need_terminal
    make_model
    [ -w /dev/full ] && fails 1 "No space" embed --device reference --model model -o /dev/full rows
    for _ in 1 2 3 4 5 6 7 8; do cat rows; done | embeds 2>said | head -c 100 >/dev/null
    [ ! -s said ]
    command -v script >/dev/null || skip "script is not installed"
    ! script -qec "embed --device reference --model model rows" /dev/null >said </dev/null
    grep -q terminal said
}

@test "wrong usage exits 2" {
    local wrong=("" "--model m --views 0" "--model m --views 2" "--model m --augment flip"
        "--model m --views 2 --augment spin" "--model m --batch 0" "--model m --device abacus"
        "--model m --precision half" "--model m --seed x")
    local options
    for options in "${wrong[@]}"; do
        # shellcheck disable=SC2086
        fails 2 "" embed $options -o out
    done
    leaves_nothing out
}

@test "memory does not grow with the rows" {
    need_no_sanitizer
    make_model
    # A quick network: the stream is the work. 60,000 rows are 184 MB of pictures.
    echo 'maxpool:16 dense:4' >least.net
    cnn-train --quiet --device reference --arch @least.net --epochs 1 rows >model
    for _ in $(seq 20); do cat rows; done >more
    for _ in $(seq 30); do cat more; done | peak_memory embed --device reference --model model >/dev/null
    [ "$(cat peak)" -lt $((150 * 1024)) ]
}

@test "a layer as wide as thousands of maps takes little memory: as many rows at a time as fit" {
    need_no_sanitizer
    make_model
    echo 'conv:1x1x8192 relu maxpool:all dense:4' >wide.net
    class-filter --quiet --keep 0-9 --per-class 1 rows >one
    cnn-train --quiet --device cpu --arch @wide.net --epochs 1 --batch 1 one >model
    peak_memory embed --device cpu --model model rows >/dev/null # 100 rows of maps are 3.4 GB
    [ "$(cat peak)" -lt $((500 * 1024)) ]
}
