#!/usr/bin/env bats
# idx-read: IDX files of MNIST's family, plain and gzip, and what is wrong refused.
load common

setup() {
    common_setup
    need_python numpy
    # Pictures of 5 rows of 4 x 3, the labels 0 to 4.
    "$PYTHON" -c '
import numpy, struct
image = numpy.arange(60, dtype=numpy.uint8)
open("images", "wb").write(struct.pack(">I3I", 0x803, 5, 4, 3) + image.tobytes())
open("colour", "wb").write(struct.pack(">I4I", 0x804, 5, 2, 2, 3) + image.tobytes())
open("labels", "wb").write(struct.pack(">I1I", 0x801, 5) + bytes(range(5)))
open("floats", "wb").write(struct.pack(">I1I", 0xd01, 1) + bytes(4))'
}

as_text() {
    need_python msgpack_numpy
    "$PYTHON" -c '
import sys, msgpack, msgpack_numpy
for r in msgpack.Unpacker(sys.stdin.buffer, object_hook=msgpack_numpy.decode):
    if "image" in r: print(r["image"].shape, r["image"].dtype, r["image"].sum(), r["image"][1, 0, 0, 0], r["label"].tolist())
    elif "end" in r: print(r)'
}

@test "grey and coloured pictures" {
    run -0 as_text < <(idx-read images labels)
    [ "${lines[0]}" = "(5, 4, 3, 1) uint8 1770 12 [0, 1, 2, 3, 4]" ]
    [ "${lines[1]}" = "{'end': 5}" ]
    run -0 as_text < <(idx-read colour labels)
    [ "${lines[0]}" = "(5, 2, 2, 3) uint8 1770 12 [0, 1, 2, 3, 4]" ]
}

@test "gzip and plain files and standard input give the same bytes" {
    gzip -k images labels
    idx-read images labels >plain
    idx-read images.gz labels.gz | cmp - plain
    idx-read - labels <images | cmp - plain
    idx-read images - <labels.gz | cmp - plain
}

@test "names: digits, a file's, Fashion-MNIST's by the path" {
    idx-read images labels | tensor-info | grep -q '    9  9  *0 rows'
    mkdir Fashion && cp images Fashion/
    idx-read Fashion/images labels | tensor-info | grep -q '    0  T-shirt/top  *1 rows'
    (cd Fashion && idx-read images ../labels) | tensor-info | grep -q 'Ankle boot'
    printf '%s\n' a b c d e >names
    idx-read --names names images labels | tensor-info | grep -q '    4  e  *1 rows'
    printf '%s\n' a b c d >names
    fails 1 "labels: row 4, byte 12: label 4 is none of 4 classes" idx-read --names names images labels -o out
    : >names
    fails 1 "names: no class names in it" idx-read --names names images labels -o out
    fails 1 "nowhere: cannot open" idx-read --names nowhere images labels -o out
    leaves_nothing out
}

@test "Fashion-MNIST" {
    need_fashion
    run -0 tensor-info < <(idx-read "$FASHION"/t10k-images-idx3-ubyte.gz "$FASHION"/t10k-labels-idx1-ubyte.gz)
    [[ $output == *"image  uint8 [10000, 28, 28, 1]"* ]]
    [[ $output == *"9  Ankle boot               1000 rows"* ]]
}

@test "missing, empty, cut-short and too long files" {
    : >empty
    head -c 75 images >cut
    cat images labels >long
    gzip -c images | head -c 40 >cut.gz
    gzip -c long >long.gz
    gzip -c cut >short.gz
    fails 1 "nowhere: cannot open" idx-read nowhere labels -o out
    fails 1 "empty: empty" idx-read empty labels -o out
    fails 1 "cut: cut short: its head says 5 rows of 12 bytes, 76 bytes in all, and it has 75" idx-read cut labels -o out
    fails 1 "long: too long" idx-read long labels -o out
    fails 1 "long.gz: too long" idx-read long.gz labels -o out
    fails 1 "short.gz: row 4, byte 64 (uncompressed): cut short" idx-read short.gz labels -o out
    fails 1 "cut.gz:" idx-read cut.gz labels -o out
    fails_with cut 1 "standard input: cut short" idx-read - labels -o out
    leaves_nothing out
}

@test "damaged gzip" {
    head -c 100000 /dev/zero >big
    { printf '\0\0\010\003\0\0\0\144\0\0\0\144\0\0\0\012'; cat big; } | gzip >images.gz
    { printf '\0\0\010\001\0\0\0\144'; head -c 100 big; } >labels
    idx-read images.gz labels >/dev/null
    printf 'x' | dd of=images.gz bs=1 seek=60 conv=notrunc status=none
    fails 1 "images.gz: " idx-read images.gz labels -o out
    leaves_nothing out
}

@test "files that are no pictures and labels" {
    echo "hello, world" >text
    fails 1 "text: not an IDX file" idx-read text labels -o out
    fails 1 "are IMAGES and LABELS exchanged?" idx-read labels images -o out
    fails 1 "images: 3 dimensions where labels have 1" idx-read images images -o out
    fails 1 "type 0x0d; only unsigned bytes" idx-read images floats -o out
    printf '\0\0\010\001\0\0\0\004\0\1\2\3' >four
    fails 1 "images has 5 pictures, four has 4 labels" idx-read images four -o out
    printf '\0\0\010\003\0\0\0\0\0\0\0\1\0\0\0\1' >none
    fails 1 "none: no rows in it" idx-read none labels -o out
    printf '\0\0\010\003\0\0\0\1\377\377\377\377\377\377\377\377x' | gzip >huge
    fails 1 "huge: rows of more than" idx-read huge labels -o out
    printf '\0\0\010\001\0\0\0\005\0\1\2\3\013' >eleven
    fails 1 "row 4, byte 12: label 11 is none of 10 classes; name them all with --names" idx-read images eleven -o out
    leaves_nothing out
}

@test "wrong usage" {
    fails 2 "name two files" idx-read images
    fails 2 "name two files" idx-read images labels labels
    fails 2 "only one of IMAGES and LABELS" idx-read - -
}
