#!/usr/bin/env bats
# Whatever call for memory, files, reading or writing fails once, and whatever file is damaged: one line and no
# result, or the right one. FAULTS=N tries N calls of each kind a command, 0 all of them (minutes); CUTS=N as many
# lengths of each file, 0 all of them, and CHANGES=N changes of each (hours under the sanitizers).
load common

setup() {
    common_setup
    need_python numpy PIL msgpack
    mkdir inputs
    cd inputs || return 1
}

# Small inputs of every kind.
make_inputs() {
    local D="--quiet --device reference"
    make_cifar made.bin 60
    echo 'conv:3x3x4 relu maxpool:4 dense:8 relu' >tiny.net
    cifar-read made.bin -o pictures
    class-filter --keep 0-7 pictures -o base.rows
    class-filter --keep 8-9 pictures -o novel.rows
    # shellcheck disable=SC2086
    {
        cnn-train $D --arch @tiny.net --epochs 1 --statistics --features 16 base.rows -o base.model
        embed $D --model base.model novel.rows -o novel.emb
        embed $D --model base.model --keep-image pictures -o all.emb
        imprint $D --model base.model novel.emb -o ten.model
        for class in 8 9; do
            class-filter --keep $class novel.emb | imprint $D --method mean --model base.model -o $class.model
        done
        classify $D --model ten.model all.emb -o predictions
    }
    "$PYTHON" - <<'PYTHON'
import gzip, numpy, os, struct
from PIL import Image
open("i.gz", "wb").write(gzip.compress(struct.pack(">4I", 0x803, 10, 8, 8) + bytes(range(64)) * 10))
open("l.gz", "wb").write(gzip.compress(struct.pack(">2I", 0x801, 10) + bytes(range(10))))
numpy.savez("x.npz", x=numpy.ones((9, 4)), y=numpy.arange(9) % 2)
for c in "ab":
    os.makedirs("tree/" + c)
    for i, e in enumerate(["png", "jpg", "webp", "ppm"]): Image.new("RGB", (9, 7), (i * 9, 3, 200)).save(f"tree/{c}/{i}.{e}")
PYTHON
    tar cf t.tar tree
}

commands() {
    cat <<'CASES'
cifar-read made.bin -o out
cifar-read made.bin
idx-read i.gz l.gz -o out
image-read --size 8 --threads 1 tree -o out
image-read --size 8 --threads 2 --tar t.tar -o out
class-filter --keep 0-3 --per-class 2 pictures -o out
row-filter --where wrong predictions -o out
cnn-train --quiet --device reference --arch @tiny.net --epochs 1 --statistics --features 8 --log log --checkpoint state base.rows -o out
cnn-train --quiet --device reference --init ten.model --freeze backbone --epochs 1 pictures -o out
cnn-train --quiet --device reference --arch @tiny.net --epochs 2 --val-rows 9 --keep best base.rows -o out
cnn-train --quiet --device cpu --threads 2 --arch @tiny.net --epochs 1 base.rows -o out
embed --device reference --model base.model --views 2 --augment flip pictures -o out
embed --device cpu --threads 2 --model base.model pictures -o out
imprint --quiet --device reference --model base.model novel.emb -o out
imprint --quiet --device reference --method mean --model base.model novel.emb -o out
imprint --quiet --device reference --method proxies --proxies 2 --model base.model novel.emb -o out
imprint --quiet --device reference all.emb -o out
imprint --quiet --device cpu --model base.model novel.emb -o out
classify --device reference --model ten.model --unknown auto:0.1 all.emb -o out
classify --device reference --model ten.model --format jsonl --top 3 all.emb -o out
classify --device reference --model ten.model all.emb
score predictions -o out
score --format json predictions -o out
score --html page.html predictions -o out
model-edit --drop 0 --slim ten.model -o out
model-merge 8.model 9.model -o out
tensor-info --all ten.model -o out
npy-read x.npz -o out
npy-write predictions -o out
pnm-sheet pictures -o out
image-write --dir pics pictures
image-sheet predictions --caption label -o out
onnx-write ten.model -o out
CASES
}

# Those of standard input whose tools are built.
of_built_tools() {
    local line words
    while read -r line; do
        for words in $line; do [ ! -x "$BIN/$words" ] || { echo "$line"; break; }; done
    done
}

@test "each call that fails is told of in one line, and leaves no wrong result" {
    need_no_sanitizer
    command -v cc >/dev/null || skip "needs a C compiler"
    cc -O1 -Wall -Wextra -Werror -shared -fPIC -D_GNU_SOURCE -o ../shim.so "$ROOT/tests/faults/shim.c" -ldl
    make_inputs
    commands | of_built_tools >../cases
    "$PYTHON" "$ROOT/tests/faults/run.py" ../shim.so ../cases "${FAULTS:-5}"
}

# A file, and a command that reads it damaged.
damaged_files() {
    cat <<'CASES'
?made.bin cifar-read damaged -o out
i.gz idx-read damaged l.gz -o out
i.idx idx-read damaged l.gz -o out
l.gz idx-read i.gz damaged -o out
x.npz npy-read damaged -o out
x.npy npy-read embedding=damaged -o out
x.safetensors npy-read damaged -o out
p.png image-read --size 8 --threads 1 damaged -o out
?p.jpg image-read --size 8 --threads 1 damaged -o out
p.webp image-read --size 8 --threads 1 damaged -o out
p.ppm image-read --size 8 --threads 1 damaged -o out
t.tar image-read --size 8 --threads 1 --tar damaged -o out
few class-filter --keep 0-3 --per-class 2 damaged -o out
few tensor-info --all damaged
few cnn-train --quiet --device reference --arch @tiny.net --epochs 1 damaged -o out
few embed --device reference --model base.model damaged -o out
few pnm-sheet damaged -o out
few image-write --dir pics damaged
novel.emb imprint --quiet --device reference --model base.model damaged -o out
novel.emb imprint --quiet --device reference damaged -o out
novel.emb classify --device reference --model ten.model --format jsonl --top 3 damaged -o out
novel.emb npy-write damaged -o out
predictions score damaged -o out
predictions score --format json damaged -o out
predictions score --html page.html damaged -o out
predictions row-filter --where wrong damaged -o out
predictions image-sheet damaged --caption label -o out
ten.model tensor-info --all damaged
ten.model classify --device reference --model damaged --unknown auto:0.1 novel.emb -o out
ten.model imprint --quiet --device reference --model damaged novel.emb -o out
ten.model imprint --quiet --device reference --method proxies --proxies 2 --model damaged novel.emb -o out
ten.model imprint --quiet --device reference --base base.emb --model damaged novel.emb -o out
ten.model embed --device reference --model damaged few -o out
ten.model model-merge damaged -o out
ten.model model-edit --drop 0 --slim damaged -o out
ten.model cnn-train --quiet --device reference --init damaged --epochs 1 few -o out
ten.model onnx-write damaged -o out
9.model model-merge 8.model damaged -o out
state cnn-train --quiet --device reference --arch @tiny.net --epochs 2 --resume damaged base.rows -o out
net.onnx onnx-read damaged -o out
?score.json score --runs damaged -o out
?names idx-read --names damaged i.gz l.gz -o out
?tiny.net cnn-train --quiet --device reference --arch @damaged --epochs 1 few -o out
CASES
}

make_more_inputs() {
    make_inputs
    local D="--quiet --device reference"
    class-filter --keep 0-3 --per-class 2 pictures -o few
    # shellcheck disable=SC2086
    {
        embed $D --model base.model base.rows -o base.emb
        cnn-train $D --arch @tiny.net --epochs 1 --checkpoint state base.rows -o one.model
    }
    score --format json predictions -o score.json
    seq -f 'class %g' 10 >names
    cp "$ROOT/tests/fuzz/seeds-onnx/residual.onnx" net.onnx
    tar cf t.tar -b 1 tree
    gzip -dc i.gz >i.idx
    cp tree/a/0.png p.png && cp tree/a/1.jpg p.jpg && cp tree/a/2.webp p.webp && cp tree/a/3.ppm p.ppm
    "$PYTHON" - <<'PYTHON'
import json, numpy, struct
numpy.save("x.npy", numpy.ones((9, 4), "<f4"))
head = json.dumps({"embedding": {"dtype": "F32", "shape": [9, 4], "data_offsets": [0, 144]}}).encode()
open("x.safetensors", "wb").write(struct.pack("<Q", len(head)) + head + numpy.ones(36, "<f4").tobytes())
PYTHON
}

@test "files of all kinds, cut off and changed: refused in one line, or read" {
    make_more_inputs
    damaged_files | of_built_tools >../cases
    "$PYTHON" "$ROOT/tests/faults/damage.py" ../cases "${CUTS:-5}" "${CHANGES:-10}"
}
