#!/usr/bin/env bats
# The examples that a newcomer runs first, on a few made-up pictures: what they compare is of the same rows.
load common

setup() {
    common_setup
    mkdir data
    for batch in 1 2 3 4 5; do make_cifar data/data_batch_$batch.bin 100; done
    make_cifar data/test_batch.bin 100
    export EPOCHS=1 DEVICE=cpu
}

# same_rows BEFORE AFTER: lines "rows base novel all_rows ..." of the same 90 rows; before, 10 of them are of a class
# that the model does not know, and count as wrong.
same_rows() {
    read -r rows base novel all _ <<<"$1"
    [ "$rows" -eq 90 ] && [ "$novel" = - ]
    awk -v b="$base" -v a="$all" 'BEGIN { d = a - b * 80 / 90; exit !(d < 1.1e-4 && d > -1.1e-4) }'
    read -r rows base novel all _ <<<"$2"
    [ "$rows" -eq 90 ]
    awk -v b="$base" -v n="$novel" -v a="$all" 'BEGIN { d = a - (b * 80 + n * 10) / 90; exit !(d < 1.1e-4 && d > -1.1e-4) }'
}

@test "the demo's table: three models on the same rows" {
    CIFAR10=$PWD/data WORK=$PWD/work BIN=$(basename "$BIN") "$ROOT"/examples/demo.sh >said 2>notes
    grep -A 4 'Old model' said | tail -n 4 >table
    [ "$(head -n 1 table)" = $'model\trows\tbase\tnovel\tall_rows\tharmonic_mean' ]
    line() { sed -n "s/^$1\t//p" table; }
    same_rows "$(line base)" "$(line nine)"
    same_rows "$(line base)" "$(line mean)"
    # Not a word on GPUs where there is no card, but once, with --progress.
    [ -e /dev/nvidiactl ] || [ "$(grep -c 'no GPU' notes)" -le 1 ]
}

@test "the notebook's two accuracies are of the same rows" {
    BIN=$(basename "$BIN") "$ROOT"/examples/notebook.sh data "$PWD/work" >said 2>notes
    before=$(grep -A 3 '^before imprinting' said | grep -E '^90') after=$(grep -A 3 '^after:' said | grep -E '^90')
    same_rows "$before" "$after"
}

@test "photos: eight commands, on pictures of any size and format" {
    for tool in image-read onnx-read image-sheet; do
        [ -x "$BIN/$tool" ] || skip "$tool is not built"
    done
    need_python numpy PIL
    "$PYTHON" - <<'PYTHON'
import os, numpy as np
from PIL import Image
r = np.random.default_rng(2)
colours = {"red": (140, 120, 120), "grün": (120, 140, 120), "蓝": (120, 120, 140), "grey": (120, 120, 120)}
for name, colour in colours.items():
    os.makedirs(f"own/{name}")
    for i in range(20):
        high, wide = r.integers(3, 90, 2)
        pixels = np.clip(r.normal(colour, 60, (high, wide, 3)), 0, 255).astype("u1")
        kind = ("png", "jpg", "webp", "ppm")[i % 4]
        Image.fromarray(pixels).save(f"own/{name}/a photo {i}.{kind}")
PYTHON
    echo 'conv:3x3x8:stride=2 relu avgpool:7' >net
    image-read --size 16 own | cnn-train --quiet --arch @net --epochs 3 -o tiny.model
    onnx-write --quiet tiny.model -o tiny.onnx
    NETWORK=tiny.onnx PHOTOS=own NEW=蓝 READ="--head none --until v11" WORK=$PWD/work BIN=$(basename "$BIN") \
        "$ROOT"/examples/photos/run >said
    [ "$(grep -c '^    \$ ' said)" -eq 8 ]
    grep -q 'imprinted 1 class from 5 ' said
    [ "$(grep -E '^    rows' said | tr -s ' ' | cut -d ' ' -f 3)" -eq 24 ]
    grep -q '蓝' work/report.html
    [ -s work/mistakes.png ] || grep -q 'There are none' said
}

@test "README's own embeddings and arrays: each command as written prints what stands there" {
    [ -x "$BIN/npy-read" ] || skip "npy-read is not built"
    command -v mlr || skip "needs miller"
    need_python numpy msgpack_numpy sklearn
    mkdir python
    ln -s "$PYTHON" python/python3
    ln -s "$ROOT/examples" .
    PATH=$PWD/python:$PATH "$PYTHON" - "$ROOT/README.md" <<'PYTHON'
import re, subprocess, sys
text = open(sys.argv[1]).read()
section = text.split("## One stage alone\n")[1].split("\n## ")[0]
lines = [line[4:] for line in section.split("\n") if line.startswith("    ")]
steps = []                      # [command, what it prints]; a command goes on while a quote is open
for line in lines:
    if line.startswith("$ "):
        steps.append([line[2:], ""])
    elif steps[-1][0].count('"') % 2:
        steps[-1][0] += "\n" + line
    else:
        steps[-1][1] += line + "\n"
assert len(steps) >= 12, steps
def near(a, b):                 # processors differ in the last digits
    try: return abs(float(a) - float(b)) <= .02 * max(1, abs(float(b)))
    except ValueError: return a == b
for command, wanted in steps:
    if "duckdb" in command and subprocess.call([sys.executable, "-c", "import duckdb"], stderr=subprocess.DEVNULL):
        continue
    ran = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    got, want = ran.stdout.split(), wanted.split()
    assert ran.returncode == 0, (command, ran.stdout)
    if "duckdb" not in command:
        assert len(got) == len(want) and all(map(near, got, want)), (command, ran.stdout, wanted)
PYTHON
}

@test "plot-log draws the curves of several runs, with and without validation" {
    command -v gnuplot || skip "needs gnuplot"
    need_python numpy PIL
    made() { # EPOCHS VALIDATION
        jq -nc --argjson n "$1" --argjson val "$2" 'range(1; $n + 1) | {epoch: ., loss: (2 / .), accuracy: (1 - 1 / (1 + .)),
            val_loss: (if $val then 2.5 / . else null end), val_accuracy: (if $val then 0.9 - 1 / (1 + .) else null end)}'
    }
    made 9 true >"it's \`a\` run.log"
    made 4 false >other.log
    "$ROOT"/examples/plot-log "it's \`a\` run.log" other.log >curves.png 2>said
    [ ! -s said ]
    "$PYTHON" - <<'PYTHON'
import numpy as np
from PIL import Image
picture = np.array(Image.open("curves.png").convert("RGB")).astype(int)
assert picture.shape == (460, 1100, 3)
for half in picture[:, :550], picture[:, 550:]:
    for colour, least in ((0x1f, 0x77, 0xb4), 400), ((0xd9, 0x82, 0x2b), 100):
        assert (abs(half - colour).max(2) < 30).sum() > least, colour
PYTHON
    made 3 true >log
    for wrong in 'none.log' '<(echo text)' '<(true)'; do
        ! eval "'$ROOT'/examples/plot-log log $wrong" >out 2>said
        [ ! -s out ] && [ "$(wc -l <said)" -eq 1 ]
    done
}
