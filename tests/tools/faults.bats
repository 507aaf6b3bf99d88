#!/usr/bin/env bats
# Whatever call for memory, files, reading or writing fails once: one line and no result, or the right one.
# FAULTS=N tries N calls of each kind a command, 0 all of them (minutes).
load common

setup() {
    common_setup
    need_no_sanitizer
    need_python numpy PIL
    command -v cc >/dev/null || skip "needs a C compiler"
    cc -O1 -Wall -Wextra -Werror -shared -fPIC -D_GNU_SOURCE -o shim.so "$ROOT/tests/faults/shim.c" -ldl
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

@test "each call that fails is told of in one line, and leaves no wrong result" {
    make_inputs
    commands | while read -r tool words; do
        if [ -x "$BIN/$tool" ]; then echo "$tool $words"; fi
    done >../cases
    "$PYTHON" "$ROOT/tests/faults/run.py" ../shim.so ../cases "${FAULTS:-5}"
}
