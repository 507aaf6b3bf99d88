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

@test "a model: layers, parameters, tensors, classes, from a file and a pipe" {
    seed=$ROOT/tests/fuzz/seeds-model/network
    run -0 tensor-info "$seed"
    [ "${lines[0]}" = "$seed: a model, version 1" ]
    [ "${lines[1]}" = "head: cosine, dimension 2, imprinted by norm l2" ]
    [ "${lines[2]}" = "parameters: 21" ]
    [ "${lines[4]}" = "layers: 11" ]
    [ "${lines[5]}" = "    0  conv:1x1x2:same      2 x 2 x 2               4 parameters" ]
    [[ $output == *"  2.batchnorm/variance  float32 [2]"* ]]
    [ "${lines[-1]}" = "    1  b                    base" ]
    cat "$seed" | tensor-info | tail -n +2 | cmp - <(tensor-info "$seed" | tail -n +2)
    run -0 tensor-info "$ROOT"/tests/fuzz/seeds-model/ridge
    [[ $output == *"checksum: none"* ]]
    [[ $output == *"layers: none; it classifies embeddings made elsewhere"* ]]
    [ "${lines[-1]}" = "    1  b                    novel, imprinted from 1 rows" ]
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
