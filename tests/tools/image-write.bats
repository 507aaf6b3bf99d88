#!/usr/bin/env bats
# image-write: pictures to PNG and JPEG files, named by what is known of them.

load common

setup() {
    common_setup
    [ -x "$BIN/image-write" ] || skip "image-write is not built"
    need_python numpy msgpack_numpy PIL
    "$PYTHON" - <<'PYTHON'
import numpy as np, msgpack_numpy
rng = np.random.default_rng(5)
smooth = lambda c: np.clip(np.add.outer(np.arange(20), np.arange(30))[..., None] * 4 + np.arange(c) * 9, 0, 255)
with open("rows", "wb") as f:
    for record in ({"tensor-stream": 1, "classes": ["cat", "../dog", ".x"]},
                   {"image": np.stack([smooth(3), smooth(3)[::-1], rng.integers(0, 256, (20, 30, 3))]).astype("u1"),
                    "label": np.array([0, 1, 2], "i4"), "prediction": np.array([0, -1, 1], "i4"),
                    "path": ["a/one.two.jpg", "b/Äpfel/猫.png", "/.hidden"], "weight": np.array([.5, 2, 1e-3], "f4"),
                    "pair": np.zeros((3, 2), "f4")},
                   {"end": 3}):
        f.write(msgpack_numpy.packb(record))
with open("grey", "wb") as f:
    for record in ({"tensor-stream": 1, "classes": []},
                   {"image": np.stack([smooth(1)[..., :1]] * 2).astype("u1")}, {"end": 2}):
        f.write(msgpack_numpy.packb(record))
PYTHON
}

@test "PNG files hold the pixels, in folders by class; their names go to standard output" {
    image-write --dir out rows >names
    printf '%s\n' out/cat/000000.png out/_._dog/000001.png out/_x/000002.png | diff - names
    "$PYTHON" - <<'PYTHON'
import numpy as np, msgpack, msgpack_numpy
from PIL import Image
image = [r for r in msgpack.Unpacker(open("rows", "rb"), object_hook=msgpack_numpy.decode)][1]["image"]
for name, pixels in zip(open("names"), image):
    got = Image.open(name.strip())
    assert got.format == "PNG" and got.mode == "RGB" and (np.array(got) == pixels).all(), name
PYTHON
    image-read --size 20x30 out | image-write --dir again >/dev/null
    cmp out/cat/000000.png again/cat/*.png
}

@test "names by prediction, path and any field; JPEG files as near as their quality" {
    image-write --name '{prediction}/{path} {weight}.jpg' rows >names
    printf '%s\n' './cat/one.two 0.5.jpg' './unknown/猫 2.jpg' './_._dog/_hidden 0.001.jpg' | diff - names
    image-write --quality 30 --name '{row}.JPEG' rows >/dev/null
    [ "$(stat -c %s 000002.JPEG)" -lt "$(stat -c %s './_._dog/_hidden 0.001.jpg')" ]
    image-write --name 'grey{row}.jpg' grey | wc -l | grep -qx 2
    image-write --name 'g/{class}{row}.png' grey | grep -x './g/unlabelled000001.png'
    "$PYTHON" - <<'PYTHON'
import numpy as np, msgpack, msgpack_numpy
from PIL import Image
image = [r for r in msgpack.Unpacker(open("rows", "rb"), object_hook=msgpack_numpy.decode)][1]["image"]
got = Image.open("cat/one.two 0.5.jpg")
assert got.format == "JPEG" and np.abs(np.array(got).astype(int) - image[0]).max() <= 4
for name in "grey000000.jpg", "g/unlabelled000000.png":
    got = Image.open(name)
    assert got.mode == "L" and np.abs(np.array(got).astype(int) - image[0, ..., 0]).max() <= 3, name
PYTHON
}

@test "a file that is there stays, as does half of none" {
    image-write --dir out rows >/dev/null
    echo mine >out/_x/000002.png
    fails 1 "out/cat/000000.png: is there already; --force replaces it" image-write --dir out rows
    rm out/cat/000000.png
    fails 1 "_._dog/000001.png: is there already" image-write --dir out rows
    grep -qx mine out/_x/000002.png
    image-write --force --dir out rows >/dev/null
    ! grep -qx mine out/_x/000002.png
    fails 1 "one.png: is there already" image-write --name one.png rows
    (ulimit -f 1; trap '' XFSZ; fails 1 "File too large" image-write --dir full --name '{row}.png' rows)
    [ ! -e full/000002.png ]
}

@test "what cannot be done is said" {
    fails 2 "ends in .png or .jpg" image-write --name '{row}.gif' rows
    fails 2 "a word within braces" image-write --name '{row.png' rows
    fails 2 "a word within braces" image-write --name '{}.png' rows
    fails 1 "no field 'nothing' for --name" image-write --name '{nothing}.png' rows
    fails 1 "'pair' has 2 numbers a row" image-write --name '{pair}.png' rows
    : >file
    fails 1 "file" image-write --dir file rows
    fails 1 "prediction" image-write --name '{prediction}{row}.png' grey
}
