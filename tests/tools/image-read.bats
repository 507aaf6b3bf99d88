#!/usr/bin/env bats
# image-read: pictures of every format to records; PIL is the judge of pixels.
load common

setup() {
    common_setup
    [ -x "$BIN/image-read" ] || skip "image-read is not built; it needs libjpeg-dev, libpng-dev, libwebp-dev and libarchive-dev"
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

@test "what is enlarged is PIL's where black meets white, too" {
    mkdir pictures
    "$PYTHON" -c "$BASE"'
noise = rng.randint(0, 2, (30, 47, 3)) * 255
Image.fromarray(noise.astype("u1")).save("pictures/noise.png")'
    compare 'im = im.resize((150, 97), Image.BICUBIC)' --size 97x150 --fit stretch --interpolation bicubic
    compare 'im = im.resize((31, 97), Image.BICUBIC)' --size 97x31 --fit stretch --interpolation bicubic
    compare 'im = im.convert("L").resize((94, 60), Image.BICUBIC)' --grey --size 60x94 --fit stretch --interpolation bicubic
    compare 'im = im.resize((100, 64), Image.BICUBIC).crop((22, 4, 78, 60))' --size 56 --edge 64 --interpolation bicubic
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
    # Also those before the first that tells the size.
    : >pictures/a.png
    run -1 --separate-stderr image-read -o none pictures
    [[ ${stderr_lines[0]} == *"pictures/a.png: empty" && ${stderr_lines[4]} == *"4 of 5 pictures could not be read"* ]]
    run -0 --separate-stderr image-read --skip --force -o out pictures
    [[ ${stderr_lines[4]} == *"note: went on without 4 of 5 pictures" ]]
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

# tars: the folder `tree` (two classes of pictures) as t.tar, and as tar packs it otherwise.
tars() {
    "$PYTHON" -c "$BASE"'
for i in range(30):
    name = "grün" if i % 3 else "red"
    os.makedirs("tree/" + name, exist_ok=True)
    base.resize((8 + i % 3, 8)).save(f"tree/{name}/ein bild {i:02}." + ["png", "ppm", "jpg"][i % 3])'
    (cd tree && tar cf ../t.tar --sort=name -- red gr*)
}

# same_rows TAR...: reads tars, from a pipe, as the rows of `tree` read as a folder; paths are in the tar.
same_rows() {
    cat "$@" | image-read --quiet --size 8 --tar >got
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy
def read(path):
    rows, names = {}, None
    for r in msgpack.Unpacker(open(path, "rb"), object_hook=msgpack_numpy.decode):
        names = r.get("classes", names)
        for p, l, i in zip(r.get("path", []), r.get("label", []), r.get("image", [])):
            key = "/".join(p.split("/")[-2:])
            assert key not in rows
            rows[key] = names[l], i.tobytes()
    return rows
want, got = read("want"), read("got")
assert want == got and len(want) == 30, (sorted(want)[:2], sorted(got)[:2])
PYTHON
}

@test "--tar: pictures of a tar are those of its folders, however it was packed" {
    tars
    image-read --size 8 tree >want
    same_rows t.tar
    (cd tree && tar cf ../dot.tar .)
    same_rows dot.tar
    for format in ustar gnu pax; do
        tar cf $format.tar --format=$format tree
        same_rows $format.tar
    done
    gzip -k t.tar
    xz -k t.tar
    bzip2 -k t.tar
    for packed in t.tar.gz t.tar.xz t.tar.bz2; do same_rows $packed; done
    # One after the other, as operands and in a pipe.
    tar cf red.tar -C tree red
    tar cf green.tar -C tree grün
    same_rows red.tar green.tar
    image-read --size 8 --tar red.tar green.tar | cmp - got
    # The same bytes whatever the number of threads; the size may be the first picture's.
    image-read --size 8 --tar --threads 1 red.tar green.tar | cmp - got
    image-read --size 8 --tar --threads 7 red.tar green.tar | cmp - got
    mkdir one
    cp tree/red/* one
    tar cf one.tar one
    image-read --tar one.tar >got
    tensor-info got | grep -q 'image  uint8 \[10, 8, 8, 3\]'
    tensor-info got | grep -q ' 0  one  *10 rows'
}

@test "--tar: WebDataset's samples have their class beside them, by number or name" {
    need_python PIL
    "$PYTHON" -c "$BASE"'
import io, tarfile
def add(tar, name, data, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name); info.size, info.type = len(data), kind
    tar.addfile(info, io.BytesIO(data))
def png(value):
    out = io.BytesIO(); Image.new("RGB", (4, 4), (value,) * 3).save(out, "PNG"); return out.getvalue()
tar = tarfile.open("w.tar", "w")
for i in range(12):
    sample = {"png": png(i * 9), "cls": b"%d\n" % (i % 3), "json": b"{}", "left.txt": b"a"}
    for end in sorted(sample, reverse=i % 2): add(tar, f"train/{i:06}.{end}", sample[end])
add(tar, "train/.hidden.png", b"no picture"); add(tar, ".git/a.png", b"none"); add(tar, "train/notes.pdf", b"")
add(tar, "train/folder.png", b"", tarfile.DIRTYPE)
tar.close()'
    image-read --tar w.tar >numbers 2>said
    grep -q 'note: 1 member not named as pictures: train/notes.pdf' said
    printf 'zero\none\ntwo\n' >names
    image-read --tar --names names w.tar >named 2>/dev/null
    "$PYTHON" - <<'PYTHON'
import msgpack, msgpack_numpy, numpy as np
for path, names in ("numbers", ["0", "1", "2"]), ("named", ["zero", "one", "two"]):
    head, rows, end = msgpack.Unpacker(open(path, "rb"), object_hook=msgpack_numpy.decode)
    assert head["classes"] == names
    assert (rows["label"] == np.arange(12) % 3).all()
    assert (rows["image"] == np.arange(12)[:, None, None, None] * 9).all() and rows["image"].shape == (12, 4, 4, 3)
    assert rows["path"] == [f"train/{i:06}.png" for i in range(12)]
PYTHON
    printf 'zero\none\n' >two
    fails 1 "train/000002.cls: '2' is no number of the 2 names" image-read --tar --names two w.tar -o out
    leaves_nothing out
}

@test "--tar: cut off anywhere, damaged, strange: refused with a line, and no whole stream" {
    tars
    local bytes at
    bytes=$(stat -c %s t.tar)
    for at in 0 1 511 512 700 1024 5000 20000 $((bytes / 2)) $((bytes / 1024 * 512)); do
        head -c "$at" t.tar >cut.tar
        fails 1 "" image-read --size 8 --tar cut.tar -o out
        leaves_nothing out
    done
    # Without the two blocks of zeros: cut between two members.
    "$PYTHON" -c '
import tarfile
t = tarfile.open("t.tar"); last = t.getmembers()[-1]
end = last.offset_data + (last.size + 511) // 512 * 512
open("cut.tar", "wb").write(open("t.tar", "rb").read()[:end])'
    fails 1 "no mark of a tar's end" image-read --size 8 --tar cut.tar -o out
    gzip -k t.tar
    head -c -9 t.tar.gz >cut.tar.gz
    fails 1 "" image-read --size 8 --tar cut.tar.gz -o out
    echo text >text
    fails 1 "" image-read --size 8 --tar text -o out
    tar cf none.tar text
    fails 1 "no pictures came" image-read --quiet --size 8 --tar none.tar -o out
    fails 1 "none.such" image-read --size 8 --tar none.such -o out
    # A member of another size than it says, 2 GiB of nothing, pictures with and without a class, a wrong name.
    "$PYTHON" -c '
import io, tarfile
data = open("tree/red/ein bild 00.png", "rb").read()
def make(path, *members):
    tar = tarfile.open(path, "w", encoding="latin-1", format=tarfile.GNU_FORMAT)
    for name, bytes in members:
        info = tarfile.TarInfo(name); info.size = len(bytes)
        tar.addfile(info, io.BytesIO(bytes))
    tar.close()
make("mixed.tar", ("a/1.png", data), ("2.png", data))
make("bad.tar", ("a/1.png", data), ("a/2.png", data[:60]), ("a/3.png", data))
make("latin.tar", ("a/\xe9.png", data))
make("class.tar", ("a.png", data), ("a.cls", b"two\nlines"))'
    fails 1 "2.png has no class, unlike pictures before it" image-read --tar mixed.tar -o out
    run -1 image-read --tar bad.tar -o out
    [[ $output = *"a/2.png: "*"1 of 3 pictures could not be read; --skip goes on without them" ]]
    image-read --tar --skip bad.tar 2>said | tensor-info | grep -q '2 rows'
    grep -q 'a/2.png: ' said
    fails 1 "is not UTF-8" image-read --tar latin.tar -o out
    fails 1 "control character" image-read --tar class.tar -o out
    printf x | dd of=a.png bs=1 seek=2G status=none
    tar cSf sparse.tar a.png
    fails 1 "a.png: more than 1073741824 bytes" image-read --tar sparse.tar -o out
    leaves_nothing out
    fails 2 "as it comes" image-read --tar --split train=0.5 t.tar
    fails 2 "as it comes" image-read --tar --list names t.tar
    fails 2 "goes with --tar" image-read --names names tree
}
