#!/usr/bin/env bats
# image-read: pictures of every format to records; PIL is the judge of pixels.
load common

setup() {
    common_setup
    [ -x "$BIN/image-read" ] || skip "image-read is not built; it needs libjpeg-dev, libpng-dev and libwebp-dev"
    need_python numpy PIL msgpack msgpack_numpy
}

# A smooth picture with some noise, 61 x 83, as PIL's Image `base`.
BASE='
import numpy as np, sys, os
from PIL import Image, ImageOps
rng = np.random.RandomState(1)
y, x = np.mgrid[0:61, 0:83]
base = np.stack([128 + 90 * np.sin(x / 9 + c) * np.cos(y / (7 + c)) for c in range(3)], 2) + rng.randint(-9, 9, (61, 83, 3))
base = Image.fromarray(base.clip(0, 255).astype("u1"))
'

# compare CODE OPTION...: runs image-read with the options on the files in the folder `pictures`, and holds its rows
# against those of CODE, which turns PIL's picture `im` (turned, RGB) into what is wanted.
compare() {
    local code=$1
    shift
    for file in pictures/*; do
        image-read --quiet "$@" "$file" >out
        "$PYTHON" - "$file" "$code" <<'PYTHON'
import sys, msgpack, msgpack_numpy, numpy as np
from PIL import Image, ImageOps
im = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
exec(sys.argv[2])
want = np.asarray(im).astype(int)
rows = [r for r in msgpack.Unpacker(open("out", "rb"), object_hook=msgpack_numpy.decode) if "image" in r]
got = rows[0]["image"][0].astype(int)
got = got[..., 0] if want.ndim == 2 else got
assert got.shape == want.shape, (sys.argv[1], got.shape, want.shape)
share = (abs(got - want) <= 1).mean()
assert share >= 0.99, (sys.argv[1], share, abs(got - want).max())
PYTHON
    done
}

formats() {
    mkdir pictures
    "$PYTHON" -c "$BASE"'
os.chdir("pictures")
grey = base.convert("L")
base.save("a.jpg"); base.save("progressive.jpg", progressive=True); grey.save("grey.jpg"); base.convert("CMYK").save("cmyk.jpg")
base.save("a.png"); grey.save("grey.png"); base.quantize(32).save("palette.png")
base.putalpha(grey); base.save("alpha.png"); base = base.convert("RGB")
Image.merge("LA", (grey, grey)).save("grey-alpha.png")
base.save("lossy.webp", quality=70); base.save("lossless.webp", lossless=True)
base.save("a.ppm"); grey.save("a.pgm")'
}

@test "pixels of every format are PIL's" {
    formats
    compare ''
    compare 'im = im.convert("L")' --grey
}

@test "resized pictures are PIL's, cropped, padded and stretched" {
    formats
    compare 'im = im.resize((32, 24), Image.BILINEAR)' --size 24x32 --fit stretch
    compare 'im = im.resize((32, 24), Image.BICUBIC)' --size 24x32 --fit stretch --interpolation bicubic
    compare 'im = im.resize((120, 100), Image.BICUBIC)' --size 100x120 --fit stretch --interpolation bicubic
    compare 'im = im.resize((38, 28), Image.BILINEAR).crop((7, 2, 31, 26))' --size 24 --edge 28
    compare 'im = im.resize((32, 24), Image.BILINEAR).crop((4, 0, 28, 24))' --size 24
    compare '
small = im.resize((24, 17), Image.BILINEAR)
im = Image.new("RGB", (24, 24)); im.paste(small, (0, 3))' --size 24 --fit pad
}

@test "pictures are turned as EXIF says, in every format and whatever is cut off" {
    mkdir pictures
    "$PYTHON" -c "$BASE"'
for o in range(1, 9):
    exif = Image.Exif(); exif[0x112] = o
    base.save("pictures/%d.jpg" % o, exif=exif, quality=95)
    base.save("pictures/%d.png" % o, exif=exif)
    base.save("pictures/%d.webp" % o, exif=exif, lossless=True)'
    compare ''
    compare '
w, h = im.size; s = 24 / min(w, h)
im = im.resize((int(w * s + 1e-9), int(h * s + 1e-9)), Image.BILINEAR)
left, top = round((im.size[0] - 24) / 2), round((im.size[1] - 24) / 2)
im = im.crop((left, top, left + 24, top + 24))' --size 24
}

@test "a folder's sub-folders are classes; paths and labels ride along" {
    mkdir -p photos/dog/deep photos/cat photos/.hidden "photos/ant eater"
    "$PYTHON" -c "$BASE"'
for i, p in enumerate(["dog/b.jpg", "dog/deep/a.PNG", "cat/1.jpeg", ".hidden/x.jpg", "dog/.x.jpg", "ant eater/z.webp"]):
    base.resize((8, 8)).save("photos/" + p)'
    echo text >photos/cat/notes.txt
    run -0 --separate-stderr image-read -o out photos
    [ "$stderr" = "image-read: note: 1 file in folders not named as pictures: photos/cat/notes.txt" ]
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy
header, rows, end = msgpack.Unpacker(open("out", "rb"), object_hook=msgpack_numpy.decode)
assert header["classes"] == ["ant eater", "cat", "dog"], header
assert rows["path"] == ["photos/ant eater/z.webp", "photos/cat/1.jpeg", "photos/dog/b.jpg", "photos/dog/deep/a.PNG"]
assert rows["label"].tolist() == [0, 1, 2, 2] and rows["image"].shape == (4, 8, 8, 3) and end["end"] == 4
PYTHON
    # Files alone have no class, and do not mix with those that have one.
    image-read --quiet photos/cat/1.jpeg | tensor-info >info
    grep -q 'image ' info
    run ! grep -q 'label ' info
    run -1 image-read --quiet -o mixed photos photos/cat/1.jpeg
    [ ! -e mixed ]
}

@test "lists of names, with classes or without, from a file or standard input" {
    formats
    image-read --quiet --size 16 pictures >folder
    ls pictures/* | image-read --quiet --size 16 - | cmp - folder
    ls pictures/* >names
    image-read --quiet --size 16 --list names | cmp - folder
    { printf '\xef\xbb\xbf' && sed 's/$/\r/' names; } >windows
    image-read --quiet --size 16 --list windows | cmp - folder
    printf 'pictures/a.jpg\tdog\npictures/a.png\tcat\n' | image-read --quiet - | tensor-info | grep -q '0  dog  *1 rows'
    printf 'pictures/a.jpg\tdog\n\npictures/a.png\tcat\n' >blank
    run -1 image-read -o out --list blank
    [[ $output == *"blank: line 2: "* ]]
    [ ! -e out ]
}

@test "two shares of one split have every picture once" {
    mkdir -p all/a all/b
    "$PYTHON" -c "$BASE"'
for i in range(30): base.resize((4, 4)).save("all/%s/%02d.png" % ("ab"[i % 3 == 0], i))'
    paths() { image-read --quiet "$@" all | "$PYTHON" -c '
import sys, msgpack, msgpack_numpy
for r in msgpack.Unpacker(sys.stdin.buffer, object_hook=msgpack_numpy.decode):
    for p in r.get("path", []): print(p)'; }
    paths | sort >every
    for share in 0.8:0.2 0.5:0.5 0.85:0.15; do
        paths --split train="${share%:*}" --seed 3 >train
        paths --split test="${share#*:}" --seed 3 >test
        sort train test | diff every -
    done
    paths --split train=0.8 >train
    [ "$(grep -c all/a train)" -eq 16 ] && [ "$(grep -c all/b train)" -eq 8 ]
    paths --split train=0.8 --seed 9 >other
    run ! cmp -s train other
}

@test "the same bytes whatever the number of threads" {
    mkdir pictures
    "$PYTHON" -c "$BASE"'
for i in range(40): base.resize((50 + i, 40 + i)).save("pictures/%02d.jpg" % i)'
    image-read --quiet --size 32 --threads 1 pictures >one
    image-read --quiet --size 32 --threads 7 pictures | cmp - one
}

@test "sizes that differ need --size; a model tells its own" {
    mkdir pictures
    "$PYTHON" -c "$BASE"'
base.save("pictures/a.png"); base.resize((40, 30)).save("pictures/b.png")'
    run -1 image-read -o out pictures
    [[ $output == *"pictures/b.png: 40 x 30 pixels where the first picture has 83 x 61; give --size"* ]]
    [ ! -e out ]
    need_cifar10
    class-filter --per-class 5 <(cifar-read "$CIFAR10/test_batch.bin") | cnn-train --quiet --epochs 1 --threads 1 -o m.model
    image-read --quiet --model m.model pictures | tensor-info | grep -q 'uint8 \[2, 32, 32, 3\]'
}

@test "what cannot be read is named, counted, and fails, or is skipped" {
    mkdir pictures
    "$PYTHON" -c "$BASE"'
base.save("pictures/good.jpg"); base.save("pictures/cut.jpg"); base.save("pictures/gif.png", format="GIF")'
    truncate -s -200 pictures/cut.jpg
    : >pictures/empty.png
    run -1 --separate-stderr image-read -o out pictures
    [ "${#stderr_lines[@]}" -eq 4 ]
    [[ $stderr == *"pictures/cut.jpg: a damaged JPEG: Premature end of JPEG file"* ]]
    [[ $stderr == *"pictures/gif.png: a GIF; convert it"* && $stderr == *"pictures/empty.png: empty"* ]]
    [[ ${stderr_lines[3]} == *"3 of 4 pictures could not be read; --skip goes on without them" ]]
    [ ! -e out ]
    run -0 --separate-stderr image-read --skip -o out pictures
    [[ ${stderr_lines[3]} == *"note: went on without 3 of 4 pictures" ]]
    tensor-info out | grep -q 'path   *text \[1\]'
    run -1 image-read --skip -o none pictures/empty.png
    run -1 image-read missing.jpg
    [[ $output == *"missing.jpg: No such file"* ]]
}

@test "400 broken pictures: refused with a line each or read, never a crash" {
    mkdir pictures
    "$PYTHON" -c "$BASE"'
import io
small = base.resize((23, 17))
exif = Image.Exif(); exif[0x112] = 6
kinds = {"jpg": dict(exif=exif), "png": dict(exif=exif), "webp": dict(exif=exif), "ppm": {}, "jpeg": dict(progressive=True)}
for kind, how in kinds.items():
    out = io.BytesIO()
    small.save(out, format={"jpg": "JPEG", "jpeg": "JPEG", "ppm": "PPM"}.get(kind, kind.upper()), **how)
    data = out.getvalue()
    for i in range(80):
        broken = bytearray(data)
        if i % 2: broken = broken[:rng.randint(len(data))]
        for _ in range(0 if i % 2 else 1 + i // 8): broken[rng.randint(len(broken))] = rng.randint(256)
        open("pictures/%02d.%s" % (i, kind), "wb").write(bytes(broken))'
    run --separate-stderr image-read --size 16 --skip -o out pictures
    [ "$status" -le 1 ]
    failed=$(printf '%s\n' "${stderr_lines[@]}" | grep -c ': pictures/')
    [ "$failed" -ge 200 ] # every one that was cut short
    [ "$(printf '%s\n' "${stderr_lines[@]}" | grep -c 'pictures/[0-9]*[13579]\.')" -eq 200 ]
    tensor-info out | grep -q "\[$((400 - failed)), 16, 16, 3\]"
}
