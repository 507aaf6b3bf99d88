#!/usr/bin/env bats
# class-filter: the rows of the classes meant, all of them, in their order.
load common

setup() {
    common_setup
    make_cifar a.bin 1000
    cifar-read a.bin >all
}

# The labels, in order, and the sum of all pixels.
rows() {
    need_python msgpack_numpy
    "$PYTHON" -c '
import sys, msgpack, msgpack_numpy
labels, pixels, end = [], 0, None
for r in msgpack.Unpacker(sys.stdin.buffer, object_hook=msgpack_numpy.decode):
    if "label" in r:
        labels += list(r["label"])
        pixels += int(r["image"].sum())
    end = r.get("end", None)
assert end == len(labels), (end, len(labels))
print(*labels[:12])
print(len(labels), pixels)'
}

@test "classes by name, number and range, kept or dropped" {
    run -0 rows < <(class-filter --keep ship,0-2 all)
    [ "${lines[0]}" = "0 1 2 8 0 1 2 8 0 1 2 8" ]
    [[ ${lines[1]} == "400 "* ]]
    kept=${lines[1]}
    run -0 rows < <(class-filter --drop 3-7,truck <all)
    [ "${lines[1]}" = "$kept" ]
}

@test "all rows kept are the same bytes" {
    class-filter --keep 0-9 all | cmp - all
}

@test "numbers stay the same and the class list whole" {
    class-filter --keep ship all | tensor-info >info
    grep -q '  8  ship  *100 rows' info
    grep -q '  0  airplane  *0 rows' info
}

@test "a sample: the first N, or N at random that the seed fixes" {
    run -0 rows < <(class-filter --keep 3,8 --per-class 2 all)
    [ "${lines[0]}" = "3 8 3 8" ]
    first=${lines[1]}
    run -0 rows < <(class-filter --keep 3,8 --per-class 2 --seed 1 all)
    [[ ${lines[1]} == "4 "* ]]
    [ "${lines[1]}" != "$first" ]
    one=${lines[1]}
    run -0 rows < <(class-filter --keep 3,8 --per-class 2 --seed 1 all)
    [ "${lines[1]}" = "$one" ]
    run -0 rows < <(class-filter --keep 3,8 --per-class 2 --seed 2 all)
    [ "${lines[1]}" != "$one" ]
}

@test "a sample does not depend on how rows are cut into batches, nor on other classes" {
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import sys, msgpack, msgpack_numpy
out = sys.stdout.buffer
for r in msgpack.Unpacker(open("all", "rb"), object_hook=msgpack_numpy.decode):
    if "label" not in r:
        out.write(msgpack.packb(r))
        continue
    for i in range(0, len(r["label"]), 7):
        out.write(msgpack_numpy.packb({k: v[i:i + 7] for k, v in r.items()}))' >cut
    class-filter --keep 3,8 --per-class 5 --seed 9 cut | cmp - <(class-filter --keep 3,8 --per-class 5 --seed 9 all)
    class-filter --per-class 5 --seed 9 --keep 0-9 all | class-filter --keep 3,8 |
        cmp - <(class-filter --keep 3,8 --per-class 5 --seed 9 all)
}

@test "all numbers may be kept, no row need be" {
    class-filter --drop 0-9 all >none 2>said
    [ ! -s said ]
    tensor-info none | grep -q ' 0 rows in 0 batches'
}

@test "fewer rows than wanted, or none, is a note" {
    class-filter --keep 0-7 all >eight
    class-filter --keep ship,cat --per-class 200 eight >few 2>said
    grep -qx "class-filter: note: no row of class 'ship' came" said
    grep -qx "class-filter: note: only 100 rows of class 'cat' came where 200 are wanted" said
    class-filter --quiet --keep ship,cat --per-class 200 eight 2>said | cmp - few
    [ ! -s said ]
}

@test "streams with other class lists, one after the other" {
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import sys, numpy, msgpack, msgpack_numpy
out = open("other", "wb")
out.write(msgpack.packb({"tensor-stream": 1, "classes": ["frog", "ghost"]}))
out.write(msgpack_numpy.packb({"image": numpy.ones((4, 32, 32, 3), "u1"), "label": numpy.array([0, 1, 1, 0])}))
out.write(msgpack.packb({"end": 4}))'
    cat all other | class-filter --keep frog | tensor-info >info
    grep -q '  6  frog  *102 rows' info
    grep -q '1 *0  *ghost  *0 rows' info
    cat all other | class-filter --drop 0-9 | tensor-info >info
    grep -q '1 *0  *ghost  *2 rows' info
}

@test "fields it does not know pass through, row by row" {
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import sys, numpy, msgpack, msgpack_numpy
out = open("more", "wb")
out.write(msgpack.packb({"tensor-stream": 1, "made-by": ["me", {"year": 2026}], "classes": ["a", "b"]}))
out.write(msgpack_numpy.packb({"label": numpy.array([0, 1, 1], "u2"), "depth": numpy.arange(12.).reshape(3, 2, 2),
    "flag": numpy.array([True, False, True])}))
out.write(msgpack.packb({"end": 3}))'
    class-filter --keep b more | "$PYTHON" -c '
import sys, msgpack, msgpack_numpy
header, rows, end = msgpack.Unpacker(sys.stdin.buffer, object_hook=msgpack_numpy.decode)
assert header["made-by"] == ["me", {"year": 2026}], header
assert (rows["depth"] == [[[4, 5], [6, 7]], [[8, 9], [10, 11]]]).all()
assert list(rows["flag"]) == [False, True] and rows["depth"].dtype == float
assert end["end"] == 2'
}

@test "unknown classes and wrong usage" {
    fails 1 "--keep: no class 'bird2'; there are 10, 0-9: airplane" class-filter --keep bird2 all -o out
    fails 1 "--drop: no class '9-10'" class-filter --drop 9-10 all -o out
    fails 2 "give one of --keep LIST and --drop LIST" class-filter all
    fails 2 "give one of --keep LIST and --drop LIST" class-filter --keep 1 --drop 2 all
    fails 2 "--seed needs --per-class" class-filter --keep 1 --seed 2 all
    fails 2 "--per-class: '0' is no whole number from 1" class-filter --keep 1 --per-class 0 all
    fails 2 "--per-class: '-3' is no whole number" class-filter --keep 1 --per-class -3 all
    fails 2 "--seed: '1x' is no whole number" class-filter --keep 1 --per-class 1 --seed 1x all
    leaves_nothing out
}

@test "rows without labels, labels out of range" {
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import numpy, msgpack, msgpack_numpy
def write(name, classes, **fields):
    rows = len(next(iter(fields.values())))
    with open(name, "wb") as out:
        out.write(msgpack.packb({"tensor-stream": 1, "classes": classes}))
        out.write(msgpack_numpy.packb(fields))
        out.write(msgpack.packb({"end": rows}))
write("without", ["a"], image=numpy.zeros((2, 3)))
write("high", ["a"], label=numpy.array([0, 1]))
write("low", ["a"], label=numpy.array([0, -1]))
write("float", ["a"], label=numpy.array([0., 1.]))
write("wide", ["a"], label=numpy.zeros((2, 2), "u1"))'
    fails 1 "without: the records have no field 'label'" class-filter --keep a without -o out
    fails 1 "high: row 1: label 1 is none of the header's 1 classes" class-filter --keep a high -o out
    fails 1 "low: row 1: label -1 is none" class-filter --keep a low -o out
    fails 1 "field 'label' is float64 [2]; whole numbers, one a row, are needed" class-filter --keep a float -o out
    fails 1 "field 'label' is uint8 [2, 2]" class-filter --keep a wide -o out
    leaves_nothing out
}

@test "--per-class alone takes every class" {
    make_cifar some.bin 100
    cifar-read some.bin >all
    class-filter --per-class 3 all | tensor-info | grep -q '30 rows'
    class-filter --per-class 3 --seed 2 all >drawn
    class-filter --keep 0-9 --per-class 3 --seed 2 all | cmp - drawn
}
