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
    elif "end" in r: print(r["end"])'
}

@test "grey and coloured pictures" {
    run -0 as_text < <(idx-read images labels)
    [ "${lines[0]}" = "(5, 4, 3, 1) uint8 1770 12 [0, 1, 2, 3, 4]" ]
    [ "${lines[1]}" = 5 ]
    run -0 as_text < <(idx-read colour labels)
    [ "${lines[0]}" = "(5, 2, 2, 3) uint8 1770 12 [0, 1, 2, 3, 4]" ]
}

@test "--transpose puts pictures upright that come column by column" {
    idx-read images labels >plain
    "$PYTHON" -c '
import numpy, struct
image = numpy.arange(60, dtype=numpy.uint8).reshape(5, 4, 3)
open("columns", "wb").write(struct.pack(">I3I", 0x803, 5, 3, 4) + image.transpose(0, 2, 1).tobytes())
image = numpy.arange(60, dtype=numpy.uint8).reshape(5, 2, 2, 3)
open("turned", "wb").write(struct.pack(">I4I", 0x804, 5, 2, 2, 3) + image.transpose(0, 2, 1, 3).tobytes())'
    idx-read --transpose columns labels | cmp - plain
    idx-read --transpose turned labels | cmp - <(idx-read colour labels)
    ! idx-read columns labels | cmp -s - plain
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
    # A line is a class: none may be blank before the last, and blank ones at the end do not count.
    printf 'zero\none\n\nthree\nfour\n' >names
    fails 1 "names: line 3 is blank, and names follow it" idx-read --names names images labels -o out
    printf ' \nzero\none\ntwo\nthree\nfour\n' >names
    fails 1 "names: line 1 is blank" idx-read --names names images labels -o out
    printf 'zero \r\none\t\r\ntwo\r\nthree\r\nfour\r\n \r\n\r\n\n' >names
    idx-read --names names images labels >lines
    printf '\357\273\277zero\none\ntwo\nthree\nfour' >names
    idx-read --names names images labels | cmp - lines
    class-filter --keep zero lines | tensor-info | grep -q '  0  zero  *1 rows'
    printf '\357\273\277\n' >names
    fails 1 "names: no class names in it" idx-read --names names images labels -o out
    printf 'zero\none\ntwo\nth\351e\nfour\n' >names
    fails 1 "names: line 4: the class name 'th" idx-read --names names images labels -o out
    fails 1 "is not UTF-8; \`iconv -f LATIN1 -t UTF-8\` converts it" idx-read --names names images labels -o out
    iconv -f LATIN1 -t UTF-8 names >mended
    idx-read --names mended images labels | tensor-info | grep -q '3  thée'
    iconv -f UTF-8 -t UTF-16 mended >names
    fails 1 "names: line 1: a zero byte; if it is UTF-16, \`iconv -f UTF-16 -t UTF-8\`" idx-read --names names images labels -o out
    printf 'zero\n\001\n' >names
    fails 1 "names: line 2: a class's name has no control characters" idx-read --names names images labels -o out
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

@test "gzip: what gzip -t refuses is refused, what it passes gives the same bytes" {
    gzip -nk images labels
    # Judges a file by both; where gzip -t passes it, the records must be those of what zcat makes of it.
    judge() {
        local gzip_says=0 we_say=0
        gzip -t <case >/dev/null 2>&1 || gzip_says=$?
        idx-read - labels <case >got 2>said || we_say=$?
        if [ "$we_say" -ne 0 ]; then
            [ "$gzip_says" -ne 0 ] || { echo "$1: gzip passes it, idx-read says: $(cat said)"; return 1; }
            [ "$(wc -l <said)" -eq 1 ] && grep -q 'standard input: ' said
        else
            [ "$gzip_says" -eq 0 ] || { echo "$1: gzip refuses it, idx-read does not"; return 1; }
            zcat <case | idx-read - labels | cmp - got
        fi
    }
    size=$(stat -c %s images.gz)
    for ((at = 0; at < size; at++)); do
        head -c $at images.gz >case
        judge "cut to $at bytes"
        { head -c $at images.gz; tail -c +$((at + 2)) images.gz; } >case
        judge "byte $at lost"
    done
    for tail in garbage '\0\0\0\0' '\0\0\0garbage' '\037' '\037\213' 'x' '\037\213\010\0\0\0\0\0\0\3'; do
        { cat images.gz; printf "$tail"; } >case
        judge "$tail at its end"
    done
    cat images.gz images.gz >case # too long, though healthy
    fails_with case 1 "standard input: too long" idx-read - labels -o out
    { head -c 30 images | gzip; : | gzip; tail -c +31 images | gzip; printf '\0\0'; } >case
    idx-read images labels | cmp - <(idx-read - labels <case)
    leaves_nothing out
}

@test "gzip: bytes lost in the middle and a cut trailer are told with their byte" {
    "$PYTHON" -c '
import numpy, struct, gzip
r = numpy.random.RandomState(0)
image = r.randint(0, 256, (400, 28, 28)).astype(numpy.uint8)
whole = gzip.compress(struct.pack(">I3I", 0x803, 400, 28, 28) + image.tobytes(), mtime=0)
open("labels", "wb").write(struct.pack(">I1I", 0x801, 400) + bytes(i % 10 for i in range(400)))
open("whole.gz", "wb").write(whole)
for bytes in range(1, 9):
    open("cut%d.gz" % bytes, "wb").write(whole[:-bytes])
for at in range(8):
    begin = 1000 + at * 37000
    open("lost%d.gz" % at, "wb").write(whole[:begin] + whole[begin + 784:])
print(len(whole))' >size
    idx-read whole.gz labels -o out
    rm out
    for n in 1 2 3 4 5 6 7 8; do
        fails 1 "cut$n.gz: byte $(($(cat size) - n)): cut short: the gzip data ends" idx-read "cut$n.gz" labels -o out
        fails 1 "lost$((n - 1)).gz: byte " idx-read "lost$((n - 1)).gz" labels -o out
    done
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
