#!/usr/bin/env bats
# tensor-info: what it tells of streams and models is what is in them.
load common

setup() { common_setup; }

@test "a stream: fields over all batches, classes with their rows" {
    make_cifar a.bin 605
    cifar-read a.bin | tensor-info >info
    diff info - <<'END'
standard input: a stream, 605 rows in 3 batches
fields: 2
  image  uint8 [605, 32, 32, 3]
  label  int32 [605]
checksum: right
classes: 10
    0  airplane                   61 rows
    1  automobile                 61 rows
    2  bird                       61 rows
    3  cat                        61 rows
    4  deer                       61 rows
    5  dog                        60 rows
    6  frog                       60 rows
    7  horse                      60 rows
    8  ship                       60 rows
    9  truck                      60 rows
END
}

@test "batches that differ, labels that are no class, no classes" {
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import numpy, msgpack, msgpack_numpy
def write(name, *records):
    with open(name, "wb") as out:
        for r in records: out.write(msgpack_numpy.packb(r))
write("odd", {"tensor-stream": 1, "classes": ["a"]}, {"x": numpy.zeros((2, 3)), "label": numpy.array([0, 1], "u1")},
    {"x": numpy.zeros((3, 4), "f4"), "label": numpy.array([-1, 0, 0])}, {"x": numpy.zeros((1, 3)), "label": numpy.array([0], "u1")}, {"end": 6})
write("bare", {"tensor-stream": 1}, {"x": numpy.zeros(2)}, {"end": 2})'
    tensor-info odd >info
    diff info - <<'END'
odd: a stream, 6 rows in 3 batches
fields: 4
  x      float64 [3, 3]
  label  uint8 [3]
  x      float32 [3, 4]
  label  int64 [3]
checksum: none
classes: 1
    0  a                           4 rows
  labels that are no class: 2 rows
END
    tensor-info bare >info
    diff info - <<'END'
bare: a stream, 2 rows in 1 batch
fields: 1
  x  float64 [2]
checksum: none
classes: 0
END
}

@test "a model: its classes in a summary, with --all also layers, tensors and notes" {
    seed=$ROOT/tests/fuzz/seeds-model/network
    tensor-info "$seed" >info
    diff info - <<END
$seed: a model, version 1
head: cosine, dimension 2, imprinted by norm l2
parameters: 21
input: 2 x 2 x 1
layers: 11, 12 multiply-adds a picture
classes: 2
    0  a                    base
    1  b                    base
tensors: 9, 0.0 MB
notes: 0; --all lists layers, tensors and notes
checksum: none
END
    cat "$seed" | tensor-info | tail -n +2 | cmp - <(tail -n +2 info)
    run -0 tensor-info --all "$seed"
    [ "${lines[4]}" = "layers: 11, 12 multiply-adds a picture" ]
    [ "${lines[5]}" = "    0  conv:1x1x2:same      2 x 2 x 2               4 parameters            8 multiply-adds" ]
    [[ $output == *$'classes: 2\n'*$'tensors: 9, 0.0 MB\n'*"  2.batchnorm/variance  float32 [2]"* ]]
    run -0 tensor-info --all "$ROOT"/tests/fuzz/seeds-model/ridge
    [[ $output == *"layers: none; it classifies embeddings made elsewhere"* ]]
    [[ $output == *"    1  b                    novel, imprinted from 1 rows"* ]]
    [[ $output == *$'notes: 2\n  ridge/features 2'* ]]
}

@test "the summary of a model of any size fits a screen" {
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import sys, msgpack_numpy, numpy
def out(record): sys.stdout.buffer.write(msgpack_numpy.packb(record))
out({"tensor-stream": 1, "classes": ["class %d" % c for c in range(100)]})
out({"embedding": numpy.eye(100, 100, dtype="f4"), "label": numpy.arange(100)})
out({"end": 100})' >rows
    imprint --quiet rows -o model
    tensor-info model >info
    [ "$(wc -l <info)" -le 24 ]
    [ "$(awk '{ print length }' info | sort -n | tail -n 1)" -le 80 ]
    grep -qx 'classes: 100' info && grep -qx '    9  class 9              novel, imprinted from 1 rows' info
    grep -qx '  and 90 more' info
    tensor-info --all model | grep -q '^   99  class 99 '
}

@test "what steers a terminal in names of files, classes and fields is spelt out" {
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import sys, msgpack_numpy, numpy
def out(record): sys.stdout.buffer.write(msgpack_numpy.packb(record))
out({"tensor-stream": 1, "classes": ["red \u009b31m", "left \u202egpj.exe", "猫"]})
out({"x\x1b[2J": numpy.zeros((3, 1)), "label": numpy.arange(3)})
out({"end": 3})' >"$(printf 'a\nb')"
    run -0 tensor-info "$(printf 'a\nb')"
    [ "${lines[0]}" = 'a\nb: a stream, 3 rows in 1 batch' ]
    [ "${lines[2]}" = '  x\x1b[2J  float64 [3, 1]' ]
    [[ ${lines[6]} == '    0  red \u009b31m '* ]]
    [[ ${lines[7]} == '    1  left \u202egpj.exe '* ]]
    [[ ${lines[8]} == '    2  猫 '* ]]
    run -1 class-filter --keep cat "$(printf 'a\nb')"
    [ "${#lines[@]}" -eq 1 ]
    # Nothing but visible characters and line ends, in a tool's notes too.
    class-filter --per-class 2 "$(printf 'a\nb')" 2>said >/dev/null
    grep -qF "only 1 rows of class 'red \u009b31m' came" said
    ! LC_ALL=C grep -qP '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' said
}

@test "checksums of joined streams, and of a model that a tool wrote" {
    make_cifar a.bin 3
    cifar-read a.bin >one
    cat one one | tensor-info | grep -qx 'checksum: right'
    need_python numpy msgpack_numpy
    "$PYTHON" -c '
import sys, msgpack, msgpack_numpy
for r in msgpack.Unpacker(open("one", "rb"), object_hook=msgpack_numpy.decode):
    sys.stdout.buffer.write(msgpack_numpy.packb(r))' >rewritten
    tensor-info rewritten | grep -qx 'checksum: none'
    cat one rewritten one | tensor-info | grep -qx 'checksum: right in 2 of 3 streams'
    model-edit --rename a=c "$ROOT/tests/fuzz/seeds-model/network" >renamed
    tensor-info renamed | grep -qx 'checksum: right'
}

@test "several files, one of them wrong" {
    make_cifar a.bin 3
    cifar-read a.bin >one
    run -0 tensor-info one - <one
    [ "$(grep -c 'a stream, 3 rows' <<<"$output")" -eq 2 ]
    fails 1 "nowhere: cannot open" tensor-info one nowhere -o out
    head -c 100 "$ROOT"/tests/fuzz/seeds-model/network >cut
    fails 1 "cut: " tensor-info one cut -o out
    leaves_nothing out
}
