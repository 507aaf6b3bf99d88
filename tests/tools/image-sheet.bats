#!/usr/bin/env bats
# image-sheet: a stream's first pictures on one page, with captions.

load common

setup() {
    common_setup
    [ -x "$BIN/image-sheet" ] || skip "image-sheet is not built"
    need_python numpy msgpack_numpy PIL
}

# make_records FILE: six pictures of 32 x 32 with labels cat, dog, dog, cat, cat, dog; predictions
# cat (right), cat (wrong), unknown, cat, dog, dog; and paths.
make_records() {
    "$PYTHON" - "$1" <<'PYTHON'
import sys, numpy as np, msgpack_numpy
rng = np.random.default_rng(5)
score = np.log(np.array([[.9, .1], [.8, .2], [.5, .5], [.75, .25], [.4, .6], [.01, .99]], "f4"))
with open(sys.argv[1], "wb") as f:
    for record in ({"tensor-stream": 1, "classes": ["cat", "dog"]},
                   {"image": rng.integers(0, 256, (6, 32, 32, 3), dtype="u1"),
                    "label": np.array([0, 1, 1, 0, 0, 1], "i4"), "prediction": np.array([0, 0, -1, 0, 1, 1], "i4"),
                    "score": score, "path": [f"a/{i}.png" for i in range(6)]},
                   {"end": 6}):
        f.write(msgpack_numpy.packb(record))
PYTHON
}

@test "pictures stand whole in their places, framed by right and wrong, with captions under them" {
    make_records rows
    image-sheet --columns 4 --size 64 --caption path rows -o page.png
    "$PYTHON" - <<'PYTHON'
import numpy as np, msgpack, msgpack_numpy
from PIL import Image
page = np.array(Image.open("page.png")).astype(int)
image = [r for r in msgpack.Unpacker(open("rows", "rb"), object_hook=msgpack_numpy.decode)][1]["image"]
wide, high = 64 + 6 + 10, 64 + 6 + 3 * 16 + 10
assert page.shape == (2 * high + 10, 4 * wide + 10, 3), page.shape
right, wrong = (13, 115, 51), (199, 26, 26)
def near(a, b): return np.abs(a - np.array(b)).max(-1) <= 1
for i in range(8):
    top, left = 10 + i // 4 * high, 10 + i % 4 * wide
    place = page[top:top + high - 10, left:left + wide - 10]
    if i >= 6:
        assert (place == 255).all()
        continue
    assert (place[3:67, 3:67] == image[i].repeat(2, 0).repeat(2, 1)).all(), i
    good = i in (0, 3, 5)
    for edge in place[:3], place[67:70], place[:70, :3], place[:70, 67:]:
        assert near(edge, right if good else wrong).all(), i
    lines = [place[72 + 16 * n:72 + 16 * (n + 1)] for n in range(3)]
    ink = lambda line: line.reshape(-1, 3)[np.argmin(line.reshape(-1, 3).sum(1))]
    assert ink(lines[0]).max() < 70 and np.ptp(ink(lines[0])) == 0, i              # the class, black
    assert np.argmax(ink(lines[1])) == (1 if good else 0) and np.ptp(ink(lines[1])) > 50, i
    assert 70 < ink(lines[2]).max() < 190 and np.ptp(ink(lines[2])) == 0, i        # the path, grey
# The same words look the same, others do not: cat at 0 and 3 (and 4), dog at 1.
word = lambda i: page[10 + i // 4 * high + 72:10 + i // 4 * high + 88, 10 + i % 4 * wide:10 + i % 4 * wide + 70]
assert (word(0) == word(3)).all() and (word(0) == word(4)).all() and (word(1) == word(5)).all()
assert (word(0) != word(1)).any()
PYTHON
}

@test "lines are those that records have fields for; --plain has none" {
    make_records rows
    for case in "rows 2" "unlabelled 1" "bare 0"; do
        set -- $case
        "$PYTHON" - "$1" <<'PYTHON'
import sys, msgpack, msgpack_numpy
away = {"rows": (), "unlabelled": ("label",), "bare": ("label", "prediction", "score")}[sys.argv[1]]
records = list(msgpack.Unpacker(open("rows", "rb"), object_hook=msgpack_numpy.decode))
with open("now", "wb") as f:
    for r in records:
        f.write(msgpack_numpy.packb({k: v for k, v in r.items() if k not in away}))
PYTHON
        image-sheet --rows 1 --columns 2 --size 32 now -o page.png
        "$PYTHON" -c 'import sys; from PIL import Image
assert Image.open("page.png").size == (2 * 48 + 10, 58 + 16 * int(sys.argv[1])), Image.open("page.png").size' "$2"
    done
    image-sheet --plain --rows 1 --columns 2 --size 32 rows -o page.png
    "$PYTHON" -c 'import numpy as np; from PIL import Image
page = np.array(Image.open("page.png")); assert page.shape == (58, 106, 3) and (page[10:13] == 255).all()'
}

@test "pictures of any size, grey ones too, fit their places" {
    "$PYTHON" - <<'PYTHON'
import numpy as np, msgpack_numpy
with open("rows", "wb") as f:
    for record in ({"tensor-stream": 1, "classes": []}, {"image": np.full((1, 300, 100, 1), 7, "u1")},
                   {"image": np.full((1, 5, 40, 3), [9, 99, 199], "u1")}, {"image": np.full((1, 1, 1, 3), 60, "u1")},
                   {"end": 3}):
        f.write(msgpack_numpy.packb(record))
PYTHON
    image-sheet --size 100 rows -o page.png
    "$PYTHON" - <<'PYTHON'
import numpy as np
from PIL import Image
page = np.array(Image.open("page.png"))
assert page.shape == (126, 358, 3), page.shape
def box(colour):
    y, x = np.nonzero((page == colour).all(-1))
    return y.min(), y.max() + 1, x.min(), x.max() + 1
assert box([7, 7, 7]) == (13, 113, 46, 79), box([7, 7, 7])           # 100 x 33, centred
assert box([9, 99, 199]) == (13 + 45, 13 + 55, 129 + 10, 129 + 90), box([9, 99, 199])  # twice, 10 x 80
assert box([60, 60, 60]) == (13, 113, 245, 345), box([60, 60, 60])
PYTHON
}

@test "what cannot be shown is said" {
    make_records rows
    fails 1 "no field 'nothing'" image-sheet --caption nothing rows -o page.png
    fails 1 "'score' has 2 numbers a row" image-sheet --caption score rows -o page.png
    fails 1 "32000 a side" image-sheet --rows 1000 --size 4096 rows -o page.png
    head -c 2000 rows >cut
    fails 1 "cut" image-sheet cut -o page.png
    [ ! -e page.png ]
}

@test "it reads no further than it needs" {
    make_cifar made.bin 5000
    cifar-read made.bin made.bin made.bin 2>said | image-sheet --rows 1 --columns 3 -o page.png
    [ ! -s said ]
}
